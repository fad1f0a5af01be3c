"""What happens to the fake desk's requests: opened, written to, changed, closed, reopened, deleted. Without HTTP.

Every rule names where tiledesk-server 2.19.16 has it, or was seen on it on 2026-11-22.
"""

from __future__ import annotations

import random
from typing import Any, Callable

from rasa_tiledesk.testing._desk_chat21 import Chat21
from rasa_tiledesk.testing._desk_people import Member, People, Principal, Refusal, Silence
from rasa_tiledesk.testing._desk_routing import Routing
from rasa_tiledesk.testing._desk_store import ASSIGNED, CLOSED, TEMP, UNASSIGNED, Emit, Json, Store

__all__ = ["Desk"]


class Desk:
    """The state of one project.

    Args:
        people: accounts and contacts.
        clock: seconds since 1970.
        rng: scrambles what Tiledesk scrambles.
        emit: told of every event, with the payload a webhook gets.
        chat21: whether chat21 is there.

    Attributes:
        store: the requests and messages.
        routing: the departments, and who takes part.
        chat: what the agents' screens show; None without chat21.
    """

    def __init__(
        self, people: People, clock: Callable[[], float], rng: random.Random, emit: Emit, *, chat21: bool
    ) -> None:
        self._people = people
        self._rng = rng
        self.store = Store(people, clock, emit)
        self.store.when_commanded = lambda request, message: self._close(request, message["sender"])
        self.chat = Chat21(self.store) if chat21 else None
        self.routing = Routing(self.store, self._say, self.chat.set_members if self.chat else lambda *_: None)

    # Opening

    def create_request(self, who: Principal, body: Json) -> Json:
        """POST /{project}/requests (routes/request.js:81)."""
        if not body.get("first_text"):
            raise Refusal(422, {"errors": [{"msg": "Invalid value", "param": "first_text", "location": "body"}]})
        sender = body.get("sender") or who.id
        member = self._people.sender(sender) if body.get("sender") else self._people.members.get(who.id)
        if who.kind == "bot" or member is None:
            raise Refusal(500, {"success": False, "msg": "Error saving object.", "err": {}})
        contact = self._contact(member, who, body)
        request_id = body.get("request_id") or f"support-group-{self._people.project_id}-{self._people.secret()}"
        if request_id in self.store.requests or not self.routing.department(body):
            raise Refusal(500, {"success": False, "message": "Unable to create request", "err": {}})
        request = self._new_request(str(request_id), member, contact, who, body, first_text=body["first_text"])
        request["requester"] = self._people.members[who.id].id  # the caller's, whoever the sender is
        if self.chat:
            self.chat.announce(request)
        return self.store.json(request, populated=False)

    def _contact(self, member: Member, who: Principal, body: Json) -> Json:
        name = member.name if member.is_agent() else body.get("senderFullname") or who.name
        return self._people.contact_for(member.person, name, who, body)

    def _new_request(
        self, request_id: str, member: Member, contact: Json, who: Principal, body: Json, *, first_text: object
    ) -> Json:
        now = self.store.now()
        department = self.routing.department(body)
        assert department is not None
        request: Json = {
            "_id": self._people.object_id(),
            "request_id": request_id,
            "status": TEMP,
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
            "snapshot": {
                "department": department,
                "requester": member.json(),
                "lead": dict(contact),
                "agents": self.routing.agents_now(),
            },
        }
        request.update({key: body[key] for key in ("subject", "language", "sourcePage") if body.get(key)})
        self.store.add(request, member.person)
        if body.get("request_status") != TEMP:
            self.routing.route(request, department, bot=True)
        if self.chat:
            self.chat.create(request)
        self.store.emit("request.create", self.store.json(request))
        return request

    # Changing

    def change(self, request_id: str, body: Json) -> Json:
        """PATCH /{project}/requests/{request}: of its many fields, those that we set; empty ones are passed over."""
        request = self.store.find(request_id)
        self.store.update(request, {name: body[name] for name in ("first_text", "tags") if body.get(name)})
        return self.store.json(request)

    def set_attributes(self, request_id: str, body: Json) -> Json:
        """PATCH /{project}/requests/{request}/attributes: merged at the top level."""
        request = self.store.find(request_id)
        self.store.update(request, {"attributes": {**(request["attributes"] or {}), **body}})
        return self.store.json(request)

    # Closing

    def close(self, request_id: str, who: Principal, *, as_member: bool, message: bool = True) -> Json:
        """PUT .../close, for agents who take part (request.js:330), and .../closeg, for anybody."""
        request = self.store.requests.get(request_id)
        member = self._people.members.get(who.id)
        if as_member and member is not None and member.role not in ("owner", "admin"):
            if request is None:
                raise Refusal(404, {"success": False, "error": "Request not found"})
            if who.id not in request["participantsAgents"]:
                text = "You must be among the participants to close a conversation."
                raise Refusal(403, {"success": False, "error": text})
        if request is None:
            raise Refusal(500, {"success": False, "error": "Error closing request"})
        self._close(request, who.id, message=message)
        return self.store.json(request)

    def _close(self, request: Json, closed_by: str, *, message: bool = True) -> None:
        if request["status"] != CLOSED:  # a closed one is only told of again (requestService.js:1382)
            self.routing.count(request, -1)
            self.store.open.pop(request["request_id"], None)
            self.store.update(request, {"status": CLOSED, "closed_at": self.store.now(), "closed_by": closed_by})
        payload = {**self.store.json(request), "messages": self.store.messages(request["request_id"])}
        self.store.emit("request.close", payload)
        if message:
            self._support_line(request, "Chat closed", "CHAT_CLOSED", update=False)

    def reopen(self, request_id: str) -> Json:
        """PUT .../reopen (requestService.js:1442): who closed it, and when, stays written."""
        request = self.store.requests.get(request_id)
        if request is None:
            raise Refusal(500, {"success": False, "error": "Error reopening request"})
        if request["status"] not in (ASSIGNED, UNASSIGNED):
            self.store.open[request_id] = request
            self.store.update(request, {"status": ASSIGNED if request["participants"] else UNASSIGNED})
            self.routing.count(request, 1)
            self._support_line(request, "Chat reopened", "CHAT_REOPENED", update=True)
        return self.store.json(request)

    def delete(self, request_id: str, who: Principal) -> Json:
        """DELETE /{project}/requests/{request} (request.js:1123): the request and its messages, for the owner."""
        member = self._people.members.get(who.id)
        if member is None:
            raise Refusal(500, {"err": "error"})
        if member.role != "owner":
            raise Refusal(403, {"success": False, "msg": "Unauthorized."})
        request = self.store.find(request_id)
        self.routing.count(request, -1)
        self.store.remove(request)
        return self.store.json(request, populated=False)

    def _support_line(self, request: Json, text: str, key: str, *, update: bool) -> None:
        attributes = {"subtype": "info/support", "updateconversation": update, "messagelabel": {"key": key}}
        self._say(request, self.store.system_line(text, attributes, request))

    # Messages

    def post(self, request_id: str, who: Principal, body: Json) -> Json:
        """POST .../messages (routes/message.js:66): adds to a request, or makes it."""
        request = self.store.requests.get(request_id)
        if request is None:
            return self._open_by(request_id, who, body)
        message = self.store.made(request, who, body)
        answer = dict(message)  # as it was before chat21 took it
        self.store.set_last_message(request, answer)
        self._say(request, message)
        return {**answer, "request": self.store.json(request)}

    def agent_says(self, request_id: str, who: Principal, body: Json) -> Json:
        """What an agent types: with chat21 it comes to Tiledesk from there."""
        if self.chat is None:
            return self.post(request_id, who, body)
        request = self.store.find(request_id)
        message = self.store.made(request, who, body)
        self.chat.agent_says(request, message)
        return {**message, "request": self.store.json(request)}

    def _say(self, request: Json, message: Json) -> None:
        self.store.say(request, message)
        if self.chat:
            self.chat.take(request, message)

    def _open_by(self, request_id: str, who: Principal, body: Json) -> Json:
        if not body.get("text") and body.get("type", "text") == "text":
            raise Refusal(422, {"errors": ["text field is required"]})
        member = self._people.sender(body["sender"]) if body.get("sender") else self._people.members.get(who.id)
        if member is None:
            raise Silence  # a bot's token without a sender (message.js:162)
        contact = self._contact(member, who, body)
        if not self.routing.department(body) or not body.get("text"):
            raise Refusal(500, {"success": False, "msg": "Error creating request", "err": {}})
        request = self._new_request(request_id, member, contact, who, body, first_text=body["text"])
        message = self.store.made(request, who, {**body, "senderFullname": contact.get("fullname")})
        answer = dict(message)
        self._say(request, message)
        if self.chat:
            self.chat.announce(request)
        return {**answer, "request": self.store.json(request)}

    def post_many(self, request_id: str, who: Principal, body: Any) -> list[Json]:
        """POST .../messages/multi (message.js:356): all saved at once, in any order, with one time."""
        request = self.store.find(request_id, "Request doesn't exist.")
        if not isinstance(body, list):
            raise Silence
        stored: list[Json] = []
        failure: Exception | None = None
        for item in body:
            if item is None:
                failure = Silence()
                break
            try:
                stored.append(self.store.made(request, who, item if isinstance(item, dict) else {}))
            except (Refusal, Silence) as error:
                failure = failure or error
        now = self.store.now()
        for message in stored:
            message.update(createdAt=now, updatedAt=now)
        answer = [dict(message) for message in stored]
        for message in self._rng.sample(stored, len(stored)):
            self._say(request, message)
        if isinstance(failure, Refusal):
            text = "Error inserting multiple messages."
            err = failure.body.get("err") if isinstance(failure.body, dict) else None
            raise Refusal(500, {"success": False, "msg": text, "err": err})
        if failure is not None:
            raise failure
        return answer
