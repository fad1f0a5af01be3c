"""The fake desk's requests and their messages: what is stored, how it is written out, and who is told of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from rasa_tiledesk.testing._desk_message import new_message
from rasa_tiledesk.testing._desk_people import People, Principal, Refusal, stamp

__all__ = ["ASSIGNED", "CLOSED", "TEMP", "UNASSIGNED", "Emit", "Json", "Store"]

Json = dict[str, Any]
Emit = Callable[[str, Json], None]

TEMP, UNASSIGNED, ASSIGNED, CLOSED = 50, 100, 200, 1000
_SYSTEM = Principal("user", "system", "Bot")


class Store:
    """All requests, and the departments that they name.

    Args:
        people: accounts and contacts.
        clock: seconds since 1970.
        emit: told of every event, with the payload a webhook gets.

    Attributes:
        requests: all, the one that changed last at the end; so those of one millisecond keep their order.
        open: those that are not closed, oldest first.
        when_commanded: called with a request and a delivered message whose text commands to close it.
    """

    def __init__(self, people: People, clock: Callable[[], float], emit: Emit) -> None:
        self.people = people
        self.clock = clock
        self.emit = emit
        self.departments: dict[str, Json] = {}
        self.requests: dict[str, Json] = {}
        self.open: dict[str, Json] = {}
        self.when_commanded: Callable[[Json, Json], None] = lambda _request, _message: None
        self._messages: dict[str, list[Json]] = {}
        self._of_person: dict[str, list[Json]] = {}

    def now(self) -> str:
        """The time as Tiledesk writes it."""
        return stamp(self.clock())

    # Requests

    def add(self, request: Json, person: str) -> None:
        """Keep a new request of that person."""
        request_id = request["request_id"]
        self.requests[request_id] = self.open[request_id] = request
        self._messages[request_id] = []
        self._of_person.setdefault(person, []).append(request)

    def remove(self, request: Json) -> None:
        """Forget a request, and what was said in it."""
        request_id = request["request_id"]
        del self.requests[request_id], self._messages[request_id]
        self.open.pop(request_id, None)
        for requests in self._of_person.values():
            requests[:] = [one for one in requests if one is not request]

    def of_person(self, person: str) -> list[Json]:
        """The requests of an end user, oldest first."""
        return self._of_person.get(person, [])

    def find(self, request_id: str, words: str = "Object not found.") -> Json:
        """A request, or 404."""
        request = self.requests.get(request_id)
        if request is None:
            raise Refusal(404, {"success": False, "msg": words})
        return request

    def update(self, request: Json, fields: Mapping[str, Any], *, tell: bool = True) -> None:
        """Change fields of a request, which sets its `updatedAt`; `tell` emits request.update."""
        request.update(fields, updatedAt=self.now())
        self.requests[request["request_id"]] = self.requests.pop(request["request_id"])
        if tell:
            self.emit("request.update", self.json(request))

    def json(self, request: Json, *, populated: bool = True) -> Json:
        """A request as the server writes it, with its contact and department or only their ids."""
        contact = request["lead"]
        answer = {**request, "requester_id": contact["_id"], "id": request["_id"]}
        if not populated:
            return {**answer, "lead": contact["_id"]}
        members = self.people.members
        agents = [members[agent] for agent in request["participantsAgents"]]
        return {
            **answer,
            "department": self.departments[request["department"]],
            "participatingAgents": [{"_id": agent.person, "firstname": agent.name} for agent in agents],
        }

    # Messages

    def messages(self, request_id: str) -> list[Json]:
        """GET .../messages: of an unknown request, none."""
        return self._messages.get(request_id, [])

    def made(self, request: Json, who: Principal, body: Json) -> Json:
        """The message that a body makes; not stored yet."""
        message = new_message(who, body, now=self.now())
        ids = {"_id": self.people.object_id(), "recipient": request["request_id"], "id_project": self.people.project_id}
        return {**ids, **message}

    def say(self, request: Json, message: Json) -> None:
        """Store a message and tell of it."""
        self._messages[request["request_id"]].append(message)
        payload = {**message, "request": self.json(request)}
        self.emit("message.create", payload)
        self.emit(f"message.create.request.channel.{request['channel'].get('name')}", payload)
        if message["status"] == 200:
            self.delivered(request, message)

    def delivered(self, request: Json, message: Json) -> None:
        """Obey the commands in a message that has reached status 200 (messageActionsInterceptor.js:24-43)."""
        if re.search(r"\\close\b", message.get("text", "")):
            self.when_commanded(request, message)

    def set_last_message(self, request: Json, message: Json) -> None:
        """Keep a request's newest message with it (routes/message.js:271), which nobody is told of."""
        self.update(request, {"attributes": {**(request["attributes"] or {}), "last_message": message}}, tell=False)

    def system_line(self, text: str, attributes: Json, request: Json) -> Json:
        """A line that Tiledesk itself writes; not stored yet."""
        return self.made(request, _SYSTEM, {"text": text, "sender": "system", "attributes": attributes})
