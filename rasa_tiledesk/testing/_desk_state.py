"""What the fake desk holds and how it changes: departments, requests, messages, webhooks. The rules, without HTTP.

Every rule names where tiledesk-server 2.19.16 has it, or was seen on it on 2026-11-22.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Callable

from rasa_tiledesk.testing._desk_message import new_message
from rasa_tiledesk.testing._desk_people import Member, People, Principal, Refusal, Silence, stamp

__all__ = ["Desk"]

Json = dict[str, Any]
Emit = Callable[[str, Json], None]

_TEMP, _UNASSIGNED, _ASSIGNED, _CLOSED = 50, 100, 200, 1000


class Desk:
    """The state of one project.

    Args:
        people: accounts and contacts.
        clock: seconds since 1970.
        rng: scrambles what Tiledesk scrambles.
        emit: told of every event, with the payload a webhook gets.
    """

    def __init__(self, people: People, clock: Callable[[], float], rng: random.Random, emit: Emit) -> None:
        self.people = people
        self.is_open = True
        self.departments: dict[str, Json] = {}
        self.requests: dict[str, Json] = {}
        self._messages: dict[str, list[Json]] = {}
        self._requests_of: dict[str, list[Json]] = {}
        self._open: dict[str, Json] = {}
        self._clock = clock
        self._rng = rng
        self._emit = emit
        self.default_department = self.add_department("Default Department", default=True)

    # The desk

    def add_department(self, name: str, *, default: bool = False, bot_id: str | None = None) -> str:
        """Add a department to which all agents belong."""
        number = self.people.object_id()
        self.departments[number] = {
            "_id": number,
            "name": name,
            "default": default,
            "routing": "assigned",
            "status": 1,
            "hasBot": bot_id is not None,
            **({"id_bot": bot_id} if bot_id else {}),
        }
        return number

    def available(self) -> list[Member]:
        """Agents who take requests now, the least busy first; nobody outside operating hours."""
        agents = [member for member in self.people.members.values() if member.is_agent() and member.available]
        return sorted(agents, key=lambda member: member.assigned) if self.is_open else []

    def available_json(self) -> list[Json]:
        """GET /projects/{project}/users/availables."""
        return [
            {
                "id": agent.person,
                "pu_id": agent.id,
                "fullname": agent.name,
                "email": agent.email,
                "assigned_request": agent.assigned,
            }
            for agent in self.available()
        ]

    # Requests

    def create_request(self, who: Principal, body: Json) -> Json:
        """POST /{project}/requests (routes/request.js:81)."""
        if not body.get("first_text"):
            raise Refusal(422, {"errors": [{"msg": "Invalid value", "param": "first_text", "location": "body"}]})
        sender = body.get("sender") or who.id
        member = self.people.sender(sender) if body.get("sender") else self.people.members.get(who.id)
        if who.kind == "bot" or member is None:
            raise Refusal(500, {"success": False, "msg": "Error saving object.", "err": {}})
        contact = self._contact(member, who, body)
        request_id = body.get("request_id") or f"support-group-{self.people.project_id}-{self.people.secret()}"
        if request_id in self.requests or not self._department(body):
            raise Refusal(500, {"success": False, "message": "Unable to create request", "err": {}})
        request = self._new_request(str(request_id), member, contact, who, body, first_text=body["first_text"])
        request["requester"] = self.people.members[who.id].id  # the caller's, whoever the sender is
        return self._request_json(request, populated=False)

    def _contact(self, member: Member, who: Principal, body: Json) -> Json:
        name = member.name if member.is_agent() else body.get("senderFullname") or who.name
        return self.people.contact_for(member.person, name, who, body)

    def _department(self, body: Json) -> Json | None:
        return self.departments.get(str(body.get("departmentid") or self.default_department))

    def _new_request(
        self, request_id: str, member: Member, contact: Json, who: Principal, body: Json, *, first_text: object
    ) -> Json:
        now = stamp(self._clock())
        department = self._department(body)
        assert department is not None
        request: Json = {
            "_id": self.people.object_id(),
            "request_id": request_id,
            "status": _TEMP,
            "participants": [],
            "participantsAgents": [],
            "participantsBots": [],
            "hasBot": False,
            "preflight": False,
            "requester": member.id,
            "lead": contact,
            "first_text": str(first_text),
            "department": department["_id"],
            "channel": body.get("channel") or {"name": "chat21"},
            "attributes": body.get("attributes"),
            "createdBy": who.id,
            "createdAt": now,
            "updatedAt": now,
            "snapshot": {"department": department, "requester": member.json(), "lead": dict(contact)},
        }
        request.update({key: body[key] for key in ("subject", "language", "sourcePage") if body.get(key)})
        self.requests[request_id] = request
        self._messages[request_id] = []
        self._requests_of.setdefault(member.person, []).append(request)
        if body.get("request_status") != _TEMP:
            self._route(request, department, bot=True)
        self._open[request_id] = request
        self._emit("request.create", self._request_json(request))
        if request["participantsAgents"]:
            self._tell_operator(request)
        return request

    def _route(self, request: Json, department: Json, *, bot: bool) -> None:
        operators = self.available()
        self._release(request)
        request["department"] = department["_id"]
        request["hasBot"] = bot and department["hasBot"]
        if request["hasBot"]:
            request["participantsBots"], request["participantsAgents"] = [department["id_bot"]], []
            request["participants"] = [f"bot_{department['id_bot']}"]
        else:
            chosen = [operators[0].person] if operators else []
            request["participants"], request["participantsAgents"], request["participantsBots"] = chosen, chosen, []
            if operators:
                operators[0].assigned += 1
        request["status"] = _ASSIGNED if request["participants"] else _UNASSIGNED

    def _release(self, request: Json) -> None:
        for agent in request["participantsAgents"]:
            self.people.members[agent].assigned -= 1

    def _tell_operator(self, request: Json) -> None:
        attributes = {
            "subtype": "info",
            "updateconversation": True,
            "messagelabel": {"key": "TOUCHING_OPERATOR"},
        }
        self._system(request, f"A new support request has been assigned to you: {request['first_text']}", attributes)

    def find(self, request_id: str, words: str = "Object not found.") -> Json:
        """A request, or 404."""
        request = self.requests.get(request_id)
        if request is None:
            raise Refusal(404, {"success": False, "msg": words})
        return request

    def read_request(self, request_id: str) -> Json:
        """GET /{project}/requests/{request}."""
        return self._request_json(self.find(request_id))

    def agents_list(self) -> list[Json]:
        """GET /{project}/requests: open ones, without those that are TEMP (request.js:1242)."""
        return [self._request_json(request) for request in self._open.values() if request["status"] != _TEMP]

    def requests_of(self, person: str, query: Mapping[str, str]) -> Json:
        """GET /{project}/requests/me (routes/user-request.js:84)."""
        limit = int(query.get("limit", 40))
        found = self._requests_of.get(person, [])
        if query.get("status") != "all":
            found = [request for request in found if request["status"] < _CLOSED]
        newest = [self._request_json(request) for request in found[: -limit - 1 : -1]]
        return {"perPage": limit, "count": len(found), "requests": newest}

    def assign(self, request_id: str, body: Json) -> Json:
        """PUT /{project}/requests/{request}/assign (request.js:577): does nothing once it is assigned or closed."""
        request = self.find(request_id, "Request not found")
        if request["status"] in (_ASSIGNED, _CLOSED):
            return self._request_json(request, populated=False)
        department = self._department(body)  # not the request's own, unless it is given
        if department is None:
            raise Refusal(500, {"success": False, "msg": "Error changing the department."})
        self._route(request, department, bot=not body.get("nobot"))
        self._emit("request.update", self._request_json(request))
        if request["participantsAgents"]:
            self._tell_operator(request)
        return self._request_json(request)

    def close(self, request_id: str, who: Principal, *, as_member: bool) -> Json:
        """PUT .../close, for agents who take part (request.js:330), and .../closeg, for anybody."""
        request = self.requests.get(request_id)
        member = self.people.members.get(who.id)
        if as_member and member is not None and member.role not in ("owner", "admin"):
            if request is None:
                raise Refusal(404, {"success": False, "error": "Request not found"})
            if who.id not in request["participantsAgents"]:
                text = "You must be among the participants to close a conversation."
                raise Refusal(403, {"success": False, "error": text})
        if request is None:
            raise Refusal(500, {"success": False, "error": "Error closing request"})
        self._close(request, who.id)
        return self._request_json(request)

    def _close(self, request: Json, closed_by: str) -> None:
        if request["status"] != _CLOSED:
            self._release(request)
        self._open.pop(request["request_id"], None)
        request.update(status=_CLOSED, closed_at=stamp(self._clock()), closed_by=closed_by)
        self._emit("request.update", self._request_json(request))
        payload = {**self._request_json(request), "messages": self._messages[request["request_id"]]}
        self._emit("request.close", payload)
        attributes = {
            "subtype": "info/support",
            "updateconversation": False,
            "messagelabel": {"key": "CHAT_CLOSED"},
        }
        self._system(request, "Chat closed", attributes)

    def change(self, request_id: str, body: Json) -> Json:
        """PATCH /{project}/requests/{request}: of its many fields, those that we set; empty ones are passed over."""
        request = self.find(request_id)
        request.update({name: body[name] for name in ("first_text", "tags") if body.get(name)})
        self._emit("request.update", self._request_json(request))
        return self._request_json(request)

    def set_attributes(self, request_id: str, body: Json) -> Json:
        """PATCH /{project}/requests/{request}/attributes: merged at the top level."""
        request = self.find(request_id)
        request["attributes"] = {**(request["attributes"] or {}), **body}
        self._emit("request.update", self._request_json(request))
        return self._request_json(request)

    def _request_json(self, request: Json, *, populated: bool = True) -> Json:
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

    def post(self, request_id: str, who: Principal, body: Json) -> Json:
        """POST .../messages (routes/message.js:66): adds to a request, or makes it."""
        request = self.requests.get(request_id)
        if request is None:
            return self._open_by(request_id, who, body)
        message = self._message(request, who, body)
        request["attributes"] = {**(request["attributes"] or {}), "last_message": message}
        return {**message, "request": self._request_json(request)}

    def _open_by(self, request_id: str, who: Principal, body: Json) -> Json:
        if not body.get("text") and body.get("type", "text") == "text":
            raise Refusal(422, {"errors": ["text field is required"]})
        member = self.people.sender(body["sender"]) if body.get("sender") else self.people.members.get(who.id)
        if member is None:
            raise Silence  # a bot's token without a sender (message.js:162)
        contact = self._contact(member, who, body)
        if not self._department(body) or not body.get("text"):
            raise Refusal(500, {"success": False, "msg": "Error creating request", "err": {}})
        request = self._new_request(request_id, member, contact, who, body, first_text=body["text"])
        message = self._message(request, who, {**body, "senderFullname": contact.get("fullname")})
        return {**message, "request": self._request_json(request)}

    def post_many(self, request_id: str, who: Principal, body: Any) -> list[Json]:
        """POST .../messages/multi (message.js:356): all saved at once, in any order, with one time."""
        request = self.find(request_id, "Request doesn't exist.")
        if not isinstance(body, list):
            raise Silence
        stored: list[Json] = []
        failure: Exception | None = None
        for item in body:
            if item is None:
                failure = Silence()
                break
            try:
                stored.append(self._made(request, who, item if isinstance(item, dict) else {}))
            except (Refusal, Silence) as error:
                failure = failure or error
        now = stamp(self._clock())
        for message in self._rng.sample(stored, len(stored)):
            message.update(createdAt=now, updatedAt=now)
            self._store(request, message)
        if isinstance(failure, Refusal):
            text = "Error inserting multiple messages."
            err = failure.body.get("err") if isinstance(failure.body, dict) else None
            raise Refusal(500, {"success": False, "msg": text, "err": err})
        if failure is not None:
            raise failure
        return stored

    def _message(self, request: Json, who: Principal, body: Json) -> Json:
        message = self._made(request, who, body)
        self._store(request, message)
        return message

    def _made(self, request: Json, who: Principal, body: Json) -> Json:
        made = new_message(who, body, now=stamp(self._clock()))
        ids = {"_id": self.people.object_id(), "recipient": request["request_id"], "id_project": self.people.project_id}
        return {**ids, **made}

    def _store(self, request: Json, message: Json) -> None:
        self._messages[request["request_id"]].append(message)
        payload = {**message, "request": self._request_json(request)}
        self._emit("message.create", payload)
        self._emit(f"message.create.request.channel.{request['channel'].get('name')}", payload)
        if message["status"] == 200 and re.search(r"\\close\b", message.get("text", "")):
            self._close(request, message["sender"])  # messageActionsInterceptor.js:24-43

    def _system(self, request: Json, text: str, attributes: Json) -> None:
        bot = Principal("user", "system", "Bot")
        self._message(request, bot, {"text": text, "sender": "system", "attributes": attributes})
