"""chat21 behind the fake desk: what of a request reaches the screens of its agents, and what never does.

As chat21-server 0.2.55 with Redis and chat21-http-server 0.2.41 were seen to behave with tiledesk-server 2.19.16 on
2026-11-24. Everything happens at once here, unless chat21 is stalled.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable

from rasa_tiledesk.testing._desk_store import Json, Store

__all__ = ["Chat21"]

_SYSTEM = "system"
_BODY_LIMIT = 100 * 1024  # body-parser's default, in chat21-http-server
_HISTORY = 200  # what who joins is sent of what was said before (chat21Api/index.js:487)
_UNNOTED = 8  # seen: 13 % of what was delivered stays at 150 for good
_SENT, _RECEIVED = 150, 200


@dataclass
class _Bucket:
    """services/RateManager.js of chat21-server: 30 messages of a sender at once, then 30 a minute."""

    tokens: float
    since: float

    def take(self, now: float) -> bool:
        tokens = min(30.0, self.tokens + (now - self.since) * 30 / 60)
        if tokens <= 0:
            return False
        self.tokens, self.since = tokens - 1, now
        return True


@dataclass
class _Group:
    """A request in chat21: who is in it, what was said, and what each member has of that, by the message's id."""

    members: set[str] = field(default_factory=set)
    timeline: list[Json] = field(default_factory=list)
    inboxes: dict[str, dict[str, Json]] = field(default_factory=dict)

    def deliver(self, note: Json) -> None:
        self.timeline.append(note)
        for member in self.members:
            self.inboxes.setdefault(member, {})[note["message_id"]] = note


class Chat21:
    """The groups of all requests. Not thread-safe: the server holds its lock.

    Args:
        store: Tiledesk's side; gets the lines of chat21, the agents' words and the statuses.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups: dict[str, _Group] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._backlog: deque[Callable[[], None]] | None = None
        self._draining = False
        self._delivered = itertools.count(1)
        self._down = False

    # From Tiledesk

    def create(self, request: Json) -> None:
        """Make the group of a new request."""
        if not self._down:
            person = request["lead"]["lead_id"]
            self._group(request).members = {_SYSTEM, person, *request["participants"]}

    def announce(self, request: Json) -> None:
        """The lines about a new group, which Tiledesk stores behind the first message."""
        if self._down:
            return
        self._line(request, "Group created", "GROUP_CREATED", {"creator": _SYSTEM})
        for member in (_SYSTEM, *request["participants"], request["lead"]["lead_id"]):
            name = self._name(request, member)
            self._line(request, f"{name} joined group on creation", "MEMBER_JOINED_GROUP", _person(member, name))

    def set_members(self, request: Json, before: list[str]) -> None:
        """Let those join and leave who now take part or no longer do."""
        if self._down:
            return
        group, now = self._group(request), request["participants"]
        for member in [one for one in now if one not in before]:
            # Read at once, while what is still under way goes to those who were members then: whoever joins before
            # chat21 has all of the history never gets the rest.
            history = _by_time(group.timeline)[:_HISTORY]
            self._do(request, partial(_join, group, member, history))
            name = self._name(request, member)
            self._line(request, f"{name} added to group", "MEMBER_JOINED_GROUP", _person(member, name))
        for member in [one for one in before if one not in now]:
            self._do(request, partial(group.members.discard, member))
            self._line(request, f"{member} removed from group", "MEMBER_LEFT_GROUP", {"member_id": member})

    def take(self, request: Json, message: Json) -> None:
        """Take a message that Tiledesk has stored; one with a status of its own is none of chat21's."""
        if message["status"] != 0 or self._down:
            return
        message["status"] = _SENT
        note = self._note(message)
        if len(json.dumps(note, ensure_ascii=False).encode()) <= _BODY_LIMIT:
            self._do(request, lambda: self._send(request, message, note))

    def _send(self, request: Json, message: Json, note: Json) -> None:
        if not self._allowed(message["sender"]):
            return
        self._group(request).deliver(note)
        if next(self._delivered) % _UNNOTED:
            message["status"] = _RECEIVED
            self._store.delivered(request, message)
        if message["sender"] != _SYSTEM:
            self._store.set_last_message(request, message)

    # From the agents' chat

    def agent_says(self, request: Json, message: Json) -> None:
        """Take what an agent has typed; Tiledesk stores it when chat21 says so. Agents are not limited here."""
        note = self._note(message)
        self._do(request, lambda: self._said(request, message, note))

    def _said(self, request: Json, message: Json, note: Json) -> None:
        now = self._store.now()
        message.update(status=_RECEIVED, createdAt=now, updatedAt=now)
        self._group(request).deliver(note)
        self._store.say(request, message)
        self._store.set_last_message(request, message)

    def inbox(self, request_id: str, agent: str) -> list[Json]:
        """What the agent's chat has, by the time that each message carries."""
        group = self._groups.get(request_id, _Group())
        return _by_time(group.inboxes.get(agent, {}).values())

    # Failing

    def go_down(self) -> None:
        """Lose what Tiledesk sends from now on: chat21-http-server does not answer."""
        self._down = True

    def come_back(self) -> None:
        """Take again what Tiledesk sends."""
        self._down = False

    def stall(self) -> None:
        """Do nothing more until `resume`: chat21-server stands still, chat21-http-server goes on taking."""
        self._backlog = deque()

    def resume(self) -> None:
        """Do what has piled up, in order; the limiter lets all of that through (seen)."""
        backlog, self._backlog = self._backlog or deque(), None
        self._draining = True
        for step in backlog:
            step()
        self._draining = False

    def _do(self, request: Json, step: Callable[[], None]) -> None:
        if self._backlog is None:
            step()
        else:
            self._backlog.append(lambda: step() if request["request_id"] in self._store.requests else None)

    def _allowed(self, sender: str) -> bool:
        now = self._store.clock()
        return self._draining or self._buckets.setdefault(sender, _Bucket(30.0, now)).take(now)

    # What chat21 writes

    def _line(self, request: Json, text: str, key: str, parameters: Mapping[str, str]) -> None:
        attributes = {
            "subtype": "info",
            "updateconversation": True,
            "messagelabel": {"key": key, "parameters": dict(parameters)},
        }
        self._do(request, lambda: self._write(request, text, attributes))

    def _write(self, request: Json, text: str, attributes: Json) -> None:
        if self._allowed(_SYSTEM):  # one bucket for the whole installation
            line = self._store.system_line(text, attributes, request)
            line.update(senderFullname="System", status=_RECEIVED)
            self._group(request).deliver(self._note(line))
            self._store.say(request, line)

    def _note(self, message: Json) -> Json:
        """A message as chat21 has it."""
        attributes: dict[str, Any] = dict(message.get("attributes") or {})
        return {
            "message_id": message["_id"],
            "sender": message["sender"],
            "sender_fullname": message.get("senderFullname", ""),
            "recipient": message["recipient"],
            "text": message.get("text", ""),
            "type": message["type"],
            "metadata": message.get("metadata"),
            "attributes": {**attributes, "tiledesk_message_id": message["_id"]},
            "timestamp": attributes.get("clienttimestamp") or int(self._store.clock() * 1000),
            "channel_type": "group",
        }

    def _group(self, request: Json) -> _Group:
        return self._groups.setdefault(request["request_id"], _Group())

    def _name(self, request: Json, member: str) -> str:
        known = self._store.people.members.get(member)
        if member == request["lead"]["lead_id"]:
            return str(request["lead"].get("fullname") or "")
        return known.name if known else member


def _person(member: str, name: str) -> dict[str, str]:
    return {"member_id": member, "fullname": name, "firstname": name, "lastname": ""}


def _by_time(notes: Iterable[Json]) -> list[Json]:
    return sorted(notes, key=lambda note: float(note["timestamp"]))


def _join(group: _Group, member: str, history: list[Json]) -> None:
    group.members.add(member)
    inbox = group.inboxes.setdefault(member, {})
    for note in history:
        inbox.setdefault(note["message_id"], note)
