# ruff: noqa: ARG005 - every handler takes the call and who made it
"""The fake desk's routes, behind the checks that tiledesk-server 2.19.16 makes, in its order: project, login, role."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import unquote

from rasa_tiledesk.testing._desk_hooks import Hooks
from rasa_tiledesk.testing._desk_listing import agents_list, users_list
from rasa_tiledesk.testing._desk_people import People, Principal, Refusal, Silence
from rasa_tiledesk.testing._desk_state import Desk

__all__ = ["Call", "Reply", "Routes"]

_BODY_LIMIT = 512_000
_REQUEST = "/{project}/requests/{request}"
_HOOK = "/{project}/subscriptions/{subscription}"
_NOBODY = Principal("nobody", "")


@dataclass(frozen=True)
class Call:
    """A call that the fake received.

    Attributes:
        route: method and path with ids left out, such as ``POST /{project}/requests/{request}/messages``.
        ids: what stood there, by name.
        query: the query's parameters.
        raw: the body as it came.
        authorization: the header of that name.
        number: how many calls of this route there have been, this one included.
    """

    route: str
    ids: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes = field(repr=False)
    authorization: str | None = field(repr=False)
    number: int = 0

    @property
    def body(self) -> Any:
        """The decoded JSON, or None where there is none."""
        return json.loads(self.raw) if self.raw else None


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its body, and of what kind that is."""

    status: int
    body: bytes
    type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


_Handle = Callable[[Call, Principal], Any]


@dataclass(frozen=True)
class _Route:
    path: str
    handle: _Handle
    role: str | None
    bots: bool
    signed: bool


class Routes:
    """What each call does. Not thread-safe: the server holds its lock."""

    def __init__(self, people: People, desk: Desk, hooks: Hooks) -> None:
        self._people = people
        self._hooks = hooks
        store, routing = desk.store, desk.routing
        self._by_shape: dict[tuple[str, int], list[tuple[re.Pattern[str], _Route]]] = {}

        self._open("POST /auth/signin", lambda call, _: people.sign_in(call.body or {}))
        self._open("POST /auth/signinAnonymously", lambda call, _: people.sign_in_anonymously(call.body or {}))
        self._open("POST /auth/signinWithCustomToken", lambda call, _: people.sign_in_signed(call.authorization))
        self._open("GET /projects/{project}/isopen", lambda call, _: {"isopen": routing.is_open})
        self._open("GET /projects/{project}/users/availables", lambda call, _: routing.available_json())
        self._open("GET /{project}/departments", lambda call, _: list(store.departments.values()))

        self._open("GET /{project}/departments/default", lambda call, _: store.departments[routing.default_department])

        self._add("GET /{project}/faq_kb/{bot}", self._bot, "admin")
        self._add("POST /{project}/leads", lambda call, who: people.add_contact(call.body, who.id), "agent")
        self._add("PUT /{project}/leads/{lead}", lambda call, _: people.change_contact(call.ids["lead"], call.body))

        # Before GET {request}, as on the real server, where users' routes come first (app.js:616).
        self._add("GET /{project}/requests/me", lambda call, who: users_list(store, who.id, call.query), "guest")
        self._add("GET /{project}/requests", lambda call, who: agents_list(store, who, call.query))
        self._add("POST /{project}/requests", lambda call, who: desk.create_request(who, call.body or {}))
        self._add(f"GET {_REQUEST}", lambda call, _: store.json(store.find(call.ids["request"])))
        self._add(f"PATCH {_REQUEST}", lambda call, _: desk.change(call.ids["request"], call.body))
        self._add(f"DELETE {_REQUEST}", lambda call, who: desk.delete(call.ids["request"], who))
        self._add(f"PUT {_REQUEST}/assign", lambda call, _: routing.assign(call.ids["request"], call.body or {}))
        self._add(f"PATCH {_REQUEST}/attributes", lambda call, _: desk.set_attributes(call.ids["request"], call.body))
        self._add(f"PUT {_REQUEST}/close", lambda call, who: desk.close(call.ids["request"], who, as_member=True))
        self._add(f"PUT {_REQUEST}/reopen", lambda call, _: desk.reopen(call.ids["request"]))
        self._add(
            f"PUT {_REQUEST}/closeg", lambda call, who: desk.close(call.ids["request"], who, as_member=False), "guest"
        )

        people_in = f"{_REQUEST}/participants"
        self._add(f"POST {people_in}", lambda call, _: routing.join(call.ids["request"], call.body["member"]))
        self._add(
            f"DELETE {people_in}/{{member}}", lambda call, _: routing.leave(call.ids["request"], call.ids["member"])
        )

        messages = f"{_REQUEST}/messages"
        self._add(f"GET {messages}", lambda call, _: store.messages(call.ids["request"]), None)
        self._add(f"POST {messages}", lambda call, who: desk.post(call.ids["request"], who, call.body or {}), None)
        self._add(f"POST {messages}/multi", lambda call, who: desk.post_many(call.ids["request"], who, call.body), None)

        self._add("GET /{project}/subscriptions", lambda call, _: hooks.list(), "admin", bots=False)
        self._add("POST /{project}/subscriptions", self._subscribe, "admin", bots=False)
        self._add(
            f"PUT {_HOOK}", lambda call, _: hooks.change(call.ids["subscription"], call.body), "admin", bots=False
        )
        self._add("POST /{project}/events", self._tell, "guest")
        self._add(f"DELETE {_HOOK}", lambda call, _: hooks.remove(call.ids["subscription"]), "admin", bots=False)

    def _add(
        self, route: str, handle: _Handle, role: str | None = "agent", *, bots: bool = True, signed: bool = True
    ) -> None:
        method, path = route.split(" ")
        pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
        entry = (pattern, _Route(path, handle, role, bots, signed))
        self._by_shape.setdefault((method, path.count("/")), []).append(entry)

    def _open(self, route: str, handle: _Handle) -> None:
        self._add(route, handle, signed=False)

    def _bot(self, call: Call, _who: Principal) -> Any:
        number, project = self._people.bot_id, self._people.project_id
        if call.ids["bot"] != number:
            text = f"Chatbot not found with id {call.ids['bot']} for project {project}"
            raise Refusal(404, {"success": False, "msg": text})
        return {"_id": number, "name": "Rasa", "type": "external", "id_project": project}

    def _subscribe(self, call: Call, who: Principal) -> Any:
        subscription = self._hooks.add(call.body or {}, who)
        headers = (("x-hook-secret", str(subscription["secret"])),)
        return Reply(200, json.dumps(subscription).encode(), headers=headers)

    def _tell(self, call: Call, who: Principal) -> Any:
        """POST /events (pubmodules/events/eventRoute.js:15-45)."""
        name = (call.body or {}).get("name")
        if not name:
            raise Refusal(422, {"errors": [{"msg": "Invalid value", "param": "name", "location": "body"}]})
        number = self._people.object_id()
        event = {"_id": number, "name": name, "id_project": self._people.project_id, "createdBy": who.id}
        for told in ("event.emit", f"event.emit.{name}"):
            self._hooks.publish(told, {**event, "id": number})
        return event

    def name(self, method: str, path: str) -> tuple[str, Mapping[str, str]]:
        """The route of a call, as `Call.route` has it, and its ids."""
        route, ids = self._find(method, path)
        return f"{method} {route.path if route else path}", ids

    def _find(self, method: str, path: str) -> tuple[_Route | None, Mapping[str, str]]:
        for pattern, route in self._by_shape.get((method, path.count("/")), ()):
            match = pattern.fullmatch(path)
            if match:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        return None, {}

    def run(self, method: str, path: str, call: Call) -> Reply | None:
        """Do what a call asks; None for never answering."""
        try:
            answer = self._run(method, path, call)
        except Silence:
            return None
        except Refusal as refusal:
            if isinstance(refusal.body, str):
                kind = "text/html" if refusal.body.startswith("<") else "text/plain"
                return Reply(refusal.status, refusal.body.encode(), f"{kind}; charset=utf-8")
            return Reply(refusal.status, json.dumps(refusal.body).encode())
        return answer if isinstance(answer, Reply) else Reply(200, json.dumps(answer).encode())

    def _run(self, method: str, path: str, call: Call) -> Any:
        if len(call.raw) > _BODY_LIMIT:
            raise Refusal(413, {"err": "Request entity too large", "limit": _BODY_LIMIT})
        try:
            _ = call.body
        except ValueError:
            raise Refusal(500, {"err": "error"}) from None
        route, ids = self._find(method, path)
        project = ids.get("project") if route else path.split("/")[1]
        if project is not None and project != self._people.project_id:
            raise _wrong_project(project, path)
        if route is None:
            raise Refusal(404, f"<!DOCTYPE html>\n<title>Error</title>\n<pre>Cannot {method} {path}</pre>\n")
        if not route.signed:
            return route.handle(call, _NOBODY)
        who = self._people.principal(call.authorization)
        self._people.require(who, route.role, bots=route.bots)
        return route.handle(call, who)


def _wrong_project(project: str, path: str) -> Refusal:
    known = re.fullmatch(r"[0-9a-fA-F]{24}", project) or len(project) == 12
    if path.startswith("/projects/"):
        error: dict[str, object] = {"errorCode": 1000, "msg": "Error getting object."}
        if known:
            error = {"errorCode": 1010, "msg": "project not found for id", "projectId": project}
        return Refusal(500, {"success": False, "msg": error})
    return Refusal(400, {"error": f"{'Project not found with' if known else 'Invalid project'} id: {project}"})
