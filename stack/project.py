"""A project on a real Tiledesk server, with the controls of the fake one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rasa_tiledesk.http import Http
from stack.processes import StackError

__all__ = ["LiveAgent", "LiveProject"]


@dataclass(frozen=True)
class LiveAgent:
    """An agent of the project.

    Attributes:
        token: signs the agent's calls.
        member_id: the id of the membership, which carries the availability.
    """

    id: str
    name: str
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    member_id: str = ""


class LiveProject:
    """A project on the real server, with the same controls as `rasa_tiledesk.testing.FakeTiledesk`.

    Attributes:
        url: the API's base.
        project_id: the project.
        owner: e-mail and password of its owner, who is its only agent at first.
        bot: id and secret of an external bot.
        project_secret: signs end users' tokens.
        default_department: the id of the department that requests go to when none is named.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = Http(read_timeout=30)
        self._owner = self._sign_up("Olive", "Owner")
        self.owner = (self._owner.email, self._owner.password)
        self.project_id = str(self._call("POST", "/projects", {"name": "rasa_tiledesk"})["_id"])
        self.project_secret = str(self._call("POST", "/{p}/keys/generate", {})["jwtSecret"])
        bot = self._call("POST", "/{p}/faq_kb", {"name": "Rasa", "type": "external", "url": url, "language": "en"})
        self.bot = (str(bot["_id"]), str(bot["secret"]))
        self.default_department = str(self._call("GET", "/{p}/departments/default")["_id"])
        (member,) = self._call("GET", "/{p}/project_users/me")
        self._members = {self._owner.id: str(member["_id"])}

    @property
    def owner_id(self) -> str:
        """The owner's id as an agent."""
        return self._owner.id

    def add_agent(self, name: str, *, available: bool = True, role: str = "agent") -> LiveAgent:
        """Invite a new person into the project."""
        agent = self._sign_up(name, "Agent")
        body = {"email": agent.email, "role": role, "user_available": available}
        self._members[agent.id] = str(self._call("POST", "/{p}/project_users/invite", body)["_id"])
        return agent

    def add_stranger(self) -> LiveAgent:
        """Add an account that can sign in and does not belong to the project."""
        return self._sign_up("Sam", "Stranger")

    def add_department(self, name: str, *, bot: bool = False) -> str:
        """Add a department to which all agents belong, with the bot answering first if asked; returns its id."""
        body = {"name": name, "routing": "assigned", **({"id_bot": self.bot[0]} if bot else {})}
        return str(self._call("POST", "/{p}/departments", body)["_id"])

    def set_available(self, agent_id: str, available: bool) -> None:
        """Say whether an agent takes requests."""
        self._call("PUT", f"/{{p}}/project_users/{self._members[agent_id]}", {"user_available": available})

    def set_open(self, is_open: bool) -> None:
        """Be within operating hours, or never."""
        hours = {} if is_open else {"operatingHours": '{"tzname":"UTC"}'}
        self._call("PUT", "/projects/{p}", {"activeOperatingHours": not is_open, **hours})

    def agent_says(
        self,
        request_id: str,
        text: str,
        *,
        agent: LiveAgent | None = None,
        attributes: Mapping[str, object] | None = None,
        **fields: object,
    ) -> dict[str, Any]:
        """Say something as an agent, the owner by default."""
        who = agent or self._owner
        body = {"text": text, "sender": who.id, "senderFullname": who.name, **fields}
        if attributes is not None:
            body["attributes"] = dict(attributes)
        return dict(self._call("POST", f"/{{p}}/requests/{request_id}/messages", body, who))

    def agent_note(self, request_id: str, text: str) -> dict[str, Any]:
        """Leave a note that only agents may see, among the messages."""
        return self.agent_says(request_id, text, attributes={"subtype": "private"})

    def close_as_agent(self, request_id: str) -> None:
        """Close a request as the owner."""
        self._call("PUT", f"/{{p}}/requests/{request_id}/close", {})

    def reopen_as_agent(self, request_id: str) -> None:
        """Open a closed request again, as the dashboard does."""
        self._call("PUT", f"/{{p}}/requests/{request_id}/reopen", {})

    def delete_request(self, request_id: str) -> None:
        """Delete a request and what was said in it, as the owner."""
        self._call("DELETE", f"/{{p}}/requests/{request_id}")

    def join(self, request_id: str, agent: LiveAgent) -> None:
        """Let an agent take part too."""
        self._call("POST", f"/{{p}}/requests/{request_id}/participants", {"member": agent.id})

    def leave(self, request_id: str, agent: LiveAgent | None = None) -> None:
        """Let an agent leave, the owner by default."""
        self._call("DELETE", f"/{{p}}/requests/{request_id}/participants/{(agent or self._owner).id}")

    def requests(self) -> list[dict[str, Any]]:
        """The open requests that agents see, oldest first."""
        return list(self._call("GET", "/{p}/requests?limit=100&direction=1")["requests"])

    def messages(self, request_id: str) -> list[dict[str, Any]]:
        """All messages of a request, as the server lists them."""
        return list(self._call("GET", f"/{{p}}/requests/{request_id}/messages"))

    def _sign_up(self, first: str, last: str) -> LiveAgent:
        number = uuid.uuid4()
        login = {"email": f"{first.lower()}.{number.hex[:12]}@example.com", "password": number.hex}
        # Two users without a phone are refused as duplicates by a fresh database (models/user.js:68-75).
        phone = f"+39{number.int % 10**10:010d}"
        person = {**login, "firstname": first, "lastname": last, "phone": phone, "disableEmail": True}
        self._open("POST", "/auth/signup", person, {})
        answer = self._open("POST", "/auth/signin", login, {})
        return LiveAgent(
            str(answer["user"]["_id"]), f"{first} {last}", login["email"], login["password"], str(answer["token"])
        )

    def _call(self, method: str, path: str, body: Any = None, who: LiveAgent | None = None) -> Any:
        headers = {"Authorization": (who or self._owner).token}
        return self._open(method, path.replace("{p}", getattr(self, "project_id", "")), body, headers)

    def _open(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        # The server closes a connection that was idle for 5 s, at times just when it is used again.
        answer = self._http.call(method, self.url + path, json=body, headers={**headers, "Connection": "close"})
        if answer.status != 200:
            raise StackError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return json.loads(answer.body)
