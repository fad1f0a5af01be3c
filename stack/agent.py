"""What an agent sees in Tiledesk, read over its REST API by plain calls that share no code with the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        time: when it was said, in milliseconds.
        raw: all that Tiledesk tells.
    """

    sender: str
    name: str
    text: str
    image: str
    time: int
    raw: dict[str, Any]


class Agent:
    """An agent who is signed in to a project.

    Args:
        url: Tiledesk's REST API.
        project_id: the project.
        email: the agent's login.
        password: the agent's login.
    """

    def __init__(self, url: str, project_id: str, email: str, password: str) -> None:
        self._project = f"{url.rstrip('/')}/{project_id}"
        self._http = requests.Session()
        self._http.trust_env = not url.startswith("http://127.0.0.1")  # no proxy reaches this computer
        answer = self._http.post(
            f"{url.rstrip('/')}/auth/signin", json={"email": email, "password": password}, timeout=30
        )
        answer.raise_for_status()
        self._http.headers["Authorization"] = answer.json()["token"]

    def requests(self) -> list[dict[str, Any]]:
        """The open conversations of the project, newest first."""
        found: list[dict[str, Any]] = self._get("/requests")["requests"]
        return sorted(found, key=lambda request: str(request["createdAt"]), reverse=True)

    def messages(self, request_id: str) -> list[Message]:
        """What was said in a conversation, in the order the agent's chat shows it; Tiledesk's own notices left out."""
        messages = [_message(raw) for raw in self._get(f"/requests/{request_id}/messages")]
        return sorted((message for message in messages if message.sender != "system"), key=lambda each: each.time)

    def _get(self, path: str) -> Any:
        answer = self._http.get(self._project + path, timeout=60)
        answer.raise_for_status()
        return answer.json()


def _message(raw: dict[str, Any]) -> Message:
    metadata = raw.get("metadata") or {}
    return Message(
        sender=raw["sender"],
        name=raw.get("senderFullname", ""),
        text=raw.get("text", ""),
        image=metadata.get("src", ""),
        time=int((raw.get("attributes") or {}).get("clienttimestamp", 0)),
        raw=raw,
    )
