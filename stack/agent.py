"""What an agent sees and does in Tiledesk, over its REST API by plain calls that share no code with the package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import requests

__all__ = ["Agent", "Message"]


@dataclass(frozen=True)
class Message:
    """One message of a request.

    Attributes:
        sender: Tiledesk's id of who said it.
        name: who the agent reads that said it.
        text: what was said.
        image: the picture's address, where there is one.
        time: when it was said, in milliseconds; what is said live has only the time when it was stored.
        raw: all that Tiledesk tells.
    """

    sender: str
    name: str
    text: str
    image: str
    time: int
    raw: dict[str, Any]

    @property
    def is_turn(self) -> bool:
        """Whether it was said, and is not a line about the conversation."""
        return (self.raw.get("attributes") or {}).get("subtype") != "info"


class Agent:
    """An agent who is signed in to a project.

    Args:
        url: Tiledesk's REST API.
        project_id: the project.
        email: the agent's login.
        password: the agent's login.

    Attributes:
        id: who the agent is, for Tiledesk and for chat21.
        name: what others read.
    """

    def __init__(self, url: str, project_id: str, email: str, password: str) -> None:
        self._project = f"{url.rstrip('/')}/{project_id}"
        self._http = requests.Session()
        self._http.trust_env = not url.startswith("http://127.0.0.1")  # no proxy reaches this computer
        # The server closes a connection that was idle for 5 s, at times just when it is used again.
        self._http.headers["Connection"] = "close"
        answer = self._http.post(
            f"{url.rstrip('/')}/auth/signin", json={"email": email, "password": password}, timeout=30
        )
        answer.raise_for_status()
        user = answer.json()["user"]
        self.id = str(user["_id"])
        self.name = " ".join(name for name in (user.get("firstname"), user.get("lastname")) if name)
        self._http.headers["Authorization"] = answer.json()["token"]

    def requests(self) -> list[dict[str, Any]]:
        """The open conversations of the project, newest first."""
        return sorted(self.listed(), key=lambda request: str(request["createdAt"]), reverse=True)

    def listed(self, **query: str) -> list[dict[str, Any]]:
        """The conversations that a query of `GET /requests` finds, in the order of the answer."""
        found: list[dict[str, Any]] = self._get(f"/requests?{urlencode(query)}")["requests"]
        return found

    def messages(self, request_id: str) -> list[Message]:
        """What was said in a conversation, in the order the agent's chat shows it; Tiledesk's own notices left out."""
        messages = [_message(raw) for raw in self._get(f"/requests/{request_id}/messages")]
        return sorted((message for message in messages if message.sender != "system"), key=lambda each: each.time)

    def join(self, request_id: str) -> None:
        """Take part in a conversation."""
        self._call("POST", f"/requests/{request_id}/participants", {"member": self.id})

    def leave(self, request_id: str) -> None:
        """Take part no longer."""
        self._call("DELETE", f"/requests/{request_id}/participants/{self.id}")

    def move(self, request_id: str, department_id: str) -> None:
        """Give a conversation to an agent of another department."""
        self._call("PUT", f"/requests/{request_id}/departments", {"departmentid": department_id, "nobot": True})

    def give_to(self, request_id: str, other: Agent) -> None:
        """Let another agent have a conversation."""
        self._call("PUT", f"/requests/{request_id}/participants", [other.id])

    def note(self, request_id: str, text: str) -> None:
        """Write down something beside the conversation, for agents."""
        self._call("POST", f"/requests/{request_id}/notes", {"text": text})

    def close(self, request_id: str) -> None:
        """End a conversation."""
        self._call("PUT", f"/requests/{request_id}/close", {})

    def reopen(self, request_id: str) -> None:
        """Go on with one that has ended."""
        self._call("PUT", f"/requests/{request_id}/reopen", {})

    def _get(self, path: str) -> Any:
        return self._call("GET", path)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._http.request(method, self._project + path, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


def _message(raw: dict[str, Any]) -> Message:
    metadata = raw.get("metadata") or {}
    return Message(
        sender=raw["sender"],
        name=raw.get("senderFullname", ""),
        text=raw.get("text", ""),
        image=metadata.get("src", ""),
        time=int((raw.get("attributes") or {}).get("clienttimestamp") or _ms(raw["createdAt"])),
        raw=raw,
    )


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)
