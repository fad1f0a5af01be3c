"""A bot's action server inside the test: the product's parts at work in its own threads, FakeRasa for Rasa.

Real is what stands around it: Tiledesk, chat21, the agent's chat and the ledger's file.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Answer
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.to_user.voice import SLOT
from rasa_tiledesk.ledger import Handoff, Life
from rasa_tiledesk.responses import AGENT_JOINED
from rasa_tiledesk.runtime import Runtime, assemble
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa
from rasa_tiledesk.testing.rasa_events import last_session
from stack.agent import Message
from stack.tiledesk import LiveProject
from tests.waiting import until

# The bot's own, so that it can be seen whom it names.
_RESPONSES = {AGENT_JOINED: [{"text": "{agent} has joined"}]}

__all__ = ["User", "action_server", "conversation", "endpoints_file", "key_of", "ours"]


def endpoints_file(
    folder: Path, project: LiveProject, rasa: FakeRasa, *, ledger: str | None = None, **sections: Mapping[str, Any]
) -> Path:
    """A bot's endpoints.yml.

    Args:
        folder: where it is written; the ledger is a file there, unless another is named.
        project: the desk.
        rasa: the bot.
        ledger: a database's URL.
        sections: more of the `tiledesk:` section.
    """
    email, password = project.owner
    settings: dict[str, Any] = {
        "url": project.url,
        "project_id": project.project_id,
        "email": email,
        "password": password,
        "ledger": ledger or f"sqlite:///{folder / 'ledger.db'}",
        **sections,
        "relay": {"rasa_url": rasa.url, **sections.get("relay", {})},
    }
    path = folder / "endpoints.yml"
    path.write_text(json.dumps({"tiledesk": settings}))  # which YAML can read
    return path


def conversation(turns: int, *, lines_of_bot: int = 1, clock: Callable[[], float] = time.time) -> list[dict[str, Any]]:
    """A session of so many turns that ends now: the user says one thing, then the bot so many."""
    start = clock() - turns - 5
    events: list[dict[str, Any]] = [
        {"event": "action", "name": "action_session_start", "timestamp": start},
        {"event": "session_started", "timestamp": start},
    ]
    for number in range(turns):
        by_user = number % (lines_of_bot + 1) == 0
        event = {"text": f"turn {number}", "timestamp": start + number + 1, "input_channel": "callback"}
        if by_user:
            events.append({"event": "user", **event, "message_id": uuid.uuid4().hex, "parse_data": {}})
        else:
            events.append({"event": "bot", **event, "data": {}})
    return events


@contextlib.contextmanager
def action_server(endpoints: Path) -> Iterator[Runtime]:
    """The parts of one action server, at work until the block ends."""
    parts = assemble(load_endpoints(endpoints))
    parts.worker.start()
    try:
        yield parts
    finally:
        parts.worker.stop()
        parts.ledger.close()


@dataclass
class User:
    """A user who writes to the bot on the callback channel.

    Attributes:
        rasa: the bot.
        server: the action server that the next thing is said to.
        id: Rasa's id of the conversation.
    """

    rasa: FakeRasa
    server: Runtime
    id: str = field(default_factory=lambda: f"user-{uuid.uuid4().hex}")

    def has_said(self, events: Sequence[Mapping[str, Any]]) -> User:
        """This is what was said so far."""
        self.rasa.add(self.id, events)
        return self

    def ask(self) -> Answer:
        """Ask for a human; the bot does what the action answers."""
        ask = Ask(self.id, self.rasa.events(self.id), {}, "callback", _RESPONSES, running=True)
        answer = self.server.asking.ask(ask, Deadline(8), ask_id=uuid.uuid4().hex)
        assert answer.handoff is not None, answer
        told = [{"event": "slot", "name": SLOT, "value": answer.handoff.id}, {"event": "pause"}]
        self.rasa.add(self.id, self.rasa._timed([*told, {"event": "action", "name": "action_listen"}]))
        return answer

    def hand_over(self, *, seconds: float = 60) -> Handoff:
        """Ask for a human; returns when agents have the conversation."""
        handoff = self.ask().handoff
        assert handoff is not None
        return self.assigned(handoff, seconds=seconds)

    def assigned(self, handoff: Handoff, *, seconds: float = 60) -> Handoff:
        """The handoff, as soon as agents have it."""
        until(lambda: self.now(handoff).life is Life.LIVE, "the assignment", seconds=seconds)
        return self.now(handoff)

    def now(self, handoff: Handoff) -> Handoff:
        """The handoff as the ledger has it."""
        return self.server.ledger.handoffs.get(handoff.id)

    def says(self, text: str, *, intent: str | None = None) -> None:
        """Write something; the action carries it where the slot is set, as Rasa calls it."""
        self.rasa.says(self.id, text, intent=intent)
        events = last_session(self.rasa.events(self.id))
        self.server.saying.say(self.id, events, {}, paused=self.rasa.paused(self.id), deadline=Deadline(4))

    def messages(self) -> list[dict[str, Any]]:
        """What reached the user, oldest first."""
        return [one for one in list(self.rasa.delivered["callback"]) if one["recipient_id"] == self.id]

    def heard(self) -> list[str]:
        """The texts and pictures that reached the user, oldest first."""
        return [str(one.get("text") or one.get("image")) for one in self.messages()]


def key_of(message: Message) -> str | None:
    """The key that we gave to a message; None when it is none of ours."""
    marker = (message.raw.get("attributes") or {}).get("rasa")
    return marker["key"] if marker else None


def ours(messages: Sequence[Message]) -> list[Message]:
    """Our messages as the agent's chat sorts them, without the line that opens the request."""
    mine = [message for message in messages if key_of(message) not in (None, "opening")]
    return sorted(mine, key=lambda message: message.time)
