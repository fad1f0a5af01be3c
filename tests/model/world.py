"""A world that can go wrong anywhere: real ledger and core, fakes on real sockets, one clock that only the test moves.

Two servers share the ledger. Each can be killed at any step: a step is a moment just before or just after a write to
the ledger or a call. What everybody said is written down as it happens, and `verdict` says what became of it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaTiledeskError
from rasa_tiledesk.handoff.ask import Asking, Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.care import Care
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.handoff.to_agents import lane_to_agents
from rasa_tiledesk.handoff.to_agents.say import Saying
from rasa_tiledesk.handoff.to_user import lane_to_user
from rasa_tiledesk.handoff.to_user.listen import Listening
from rasa_tiledesk.handoff.to_user.news import Newsroom
from rasa_tiledesk.handoff.to_user.voice import SLOT
from rasa_tiledesk.handoff.worker import Runs, Worker
from rasa_tiledesk.http import Answer, Http
from rasa_tiledesk.ledger import Duty, Handoff, Ledger
from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.testing import FakeAgent, FakeRasa, FakeTiledesk
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from rasa_tiledesk.trackers.rasa_api import RasaApiReader
from tests.due import left_over, next_moment

__all__ = ["SENDER", "START", "Killed", "World"]

SENDER = "ann"
START = 1_800_000_000.0
UNSENT = "Please say them again."
TOLD = ("could not be delivered to the user", "did not reach the user", "not certain that your last message")
LATEST = 10.0  # a call takes effect this much later than its caller waits, at most
IN_VAIN = 10  # so many moments in which nothing was done: nothing is, news included, before a duty is due
SPIN = 300  # so many duties in one moment: somebody runs in a circle


class Killed(BaseException):
    """The server's process has ended at this line."""


class Life:
    """How many steps a server has left; None for any number."""

    def __init__(self) -> None:
        self.steps: int | None = None

    def step(self) -> None:
        if self.steps is not None:
            if self.steps == 0:
                raise Killed
            self.steps -= 1


class MortalHttp(Http):
    def __init__(self, life: Life) -> None:
        super().__init__(connect_timeout=1.0, read_timeout=0.3)
        self._life = life

    def call(self, *args: Any, **more: Any) -> Answer:
        self._life.step()
        answer = super().call(*args, **more)
        self._life.step()
        return answer


class MortalDatabase(Database):
    life: Life

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        self.life.step()
        with super().writing() as connection:
            yield connection
        self.life.step()


@dataclass
class Server:
    """One action server."""

    name: str
    asking: Asking
    saying: Saying
    worker: Worker


@dataclass
class World:
    """Everything, and what was said in it."""

    tiledesk: FakeTiledesk
    rasa: FakeRasa
    settings: dict[str, Any]
    seconds: float = START
    skew: float = 0.0  # of Rasa's clock
    life: Life = field(default_factory=Life)
    users: list[str] = field(default_factory=list)  # what the user said while a human was wanted, or later
    agents: list[tuple[str, str]] = field(default_factory=list)  # (request, what an agent said)
    notes: list[str] = field(default_factory=list)
    actions_up: bool = True
    slow: bool = False  # a call of Rasa was given up: the user may have heard it
    deleted: bool = False
    steps: int = 0
    servers: list[Server] = field(default_factory=list)
    _ticks: Iterator[int] = field(default_factory=itertools.count)
    _released: float = START
    _level: int = 0

    def __post_init__(self) -> None:
        self._level = logging.getLogger("rasa_tiledesk").level
        logging.getLogger("rasa_tiledesk").setLevel(logging.CRITICAL + 1)
        self.rasa.bot_answers = True
        database = MortalDatabase("sqlite://", clock=lambda: self.seconds)
        database.life = Life()
        self.ledger = Ledger(database, per_minute=1_000)
        database.life = self.life
        self.servers = [self._server("one"), self._server("two")]

    def close(self) -> None:
        logging.getLogger("rasa_tiledesk").setLevel(self._level)
        self.ledger.close()

    def rasas_time(self) -> float:
        """By Rasa's clock, which never shows the same time twice."""
        return self.seconds + self.skew + next(self._ticks) / 100_000

    def _server(self, name: str) -> Server:
        base: dict[str, Any] = {
            "url": self.tiledesk.url,
            "project_id": self.tiledesk.project_id,
            "email": "e",
            "password": "p",
        }
        settings = Settings(**{**base, **self.settings})
        desk = TiledeskClient(
            self.tiledesk.url,
            self.tiledesk.project_id,
            credential=AgentLogin(*self.tiledesk.owner),
            http=MortalHttp(self.life),
            sleep=lambda seconds: None,
            jitter=lambda: 0.0,
        )
        rasa, recent = RasaClient(self.rasa.url, http=MortalHttp(self.life)), Recent(lambda: self.seconds)
        reader = RasaApiReader(self.rasa.url, None)
        lane = replace(lane_to_agents(settings, desk, self.ledger, reader, recent), jitter=lambda: 0.0)
        newsroom = Newsroom(desk, self.ledger, name=name, interval=2.0, clock=lambda: self.seconds)
        duties: dict[Duty, Runs] = {
            Duty.TO_AGENTS: lane,
            Duty.TO_USER: replace(lane_to_user(settings, rasa, self.ledger), jitter=lambda: 0.0),
            Duty.LISTEN: Listening(desk, self.ledger, newsroom, lambda: 1.0),
            Duty.CARE: Care(settings, self.ledger, rasa),
        }
        worker = Worker(self.ledger, duties, newsroom, name=f"{name}-{uuid.uuid4().hex[:6]}", jitter=lambda: 0.0)
        asking = Asking(settings, desk, rasa, self.ledger, reader, lane, recent, f"{name}-ask", lambda: None)
        saying = Saying(settings, self.ledger, lane, f"{name}-say", lambda: None, lambda: uuid.uuid4().hex)
        return Server(name, asking, saying, worker)

    # What happens

    @property
    def open(self) -> Handoff | None:
        return self.ledger.handoffs.open_of(SENDER)

    def slot(self) -> Any:
        value = None
        for event in self.rasa.events(SENDER):
            if event["event"] == "slot" and event["name"] == SLOT:
                value = event["value"]
            elif event["event"] == "restart":
                value = None
        return value

    def ask(self, server: int, *, answer_is_lost: bool = False) -> None:
        """The user asks for a human, and the bot's rule runs the action; not while the bot is paused."""
        if self.rasa.paused(SENDER):
            return
        self.rasa.bot_answers = False
        self.rasa.says(SENDER, "a human please", intent="talk_to_human")
        self.rasa.bot_answers = True
        outcome, handoff_id = Outcome.FAILED, None
        ask_id = uuid.uuid4().hex
        with contextlib.suppress(RasaTiledeskError, Killed):
            asking = self.servers[server].asking
            ask = Ask(SENDER, self.rasa.events(SENDER), {}, "callback")
            answer = asking.ask(ask, Deadline(8), ask_id=ask_id)
            outcome, handoff_id = answer.outcome, answer.handoff.id if answer.handoff else None
        self.life.steps = None
        promised = outcome in (Outcome.CONNECTED, Outcome.QUEUED, Outcome.ALREADY)
        if promised and not answer_is_lost:
            slot: dict[str, Any] = {"event": "slot", "name": SLOT, "value": handoff_id}
            events = [slot, {"event": "pause"}, {"event": "action", "name": "action_listen"}]
            self.rasa.add(SENDER, [{**event, "timestamp": self.rasas_time()} for event in events])

    def user_says(self, server: int, *, intent: str | None = None, words: str | None = None) -> None:
        """The user writes; the slot's action hears it where an action server runs, and Rasa answers when not paused."""
        words = words or f"word {len(self.users)}"
        if intent is None:
            intent = f"intent_{len(self.users)}"
            self.rasa.answers[intent] = [{"text": f"answer to {words}"}]
            self.users.append(words)
        answers, paused = not self.rasa.paused(SENDER), self.rasa.paused(SENDER)
        self.rasa.bot_answers = False
        self.rasa.says(SENDER, words, intent=intent)
        if self.actions_up and self.slot() is not None:
            with contextlib.suppress(RasaTiledeskError, Killed):
                saying = self.servers[server].saying
                stays = saying.say(SENDER, self.rasa.events(SENDER), {}, paused=paused, deadline=Deadline(4))
                if not stays:
                    clear = {"event": "slot", "name": SLOT, "value": None, "timestamp": self.rasas_time()}
                    self.rasa.add(SENDER, [clear])
            self.life.steps = None
        if answers and words.startswith("word"):
            said = {"event": "bot", "text": f"answer to {words}", "metadata": {}, "data": {}}
            self.rasa.add(SENDER, [{**said, "timestamp": self.rasas_time()}])
            self.rasa.delivered["callback"].append({"text": f"answer to {words}", "recipient_id": SENDER})
        self.rasa.bot_answers = True

    def user_restarts(self, server: int) -> None:
        slot, paused = self.slot(), self.rasa.paused(SENDER)
        self.rasa.restart(SENDER)
        if self.actions_up and slot is not None:
            # The slot's action hears the message before Rasa restarts.
            events = self.rasa.events(SENDER)
            last = max(place for place, event in enumerate(events) if event.get("text") == "/restart")
            with contextlib.suppress(RasaTiledeskError, Killed):
                self.servers[server].saying.say(SENDER, events[: last + 1], {}, paused=paused, deadline=Deadline(4))
            self.life.steps = None

    def agent_says(self, request_id: str) -> None:
        words = f"agent {len(self.agents)}"
        self.agents.append((request_id, words))
        waiting = [
            one for one in self.tiledesk.requests() if one["request_id"] == request_id and not one["participants"]
        ]
        if waiting:  # who writes in the agents' chat has taken it
            name, login = "Olive Owner", self.tiledesk.owner
            self.tiledesk.join(request_id, FakeAgent(self.tiledesk.owner_id, name, *login))
        self.tiledesk.agent_says(request_id, words)

    def agent_notes(self, request_id: str) -> None:
        self.notes.append(f"note {len(self.notes)}")
        self.tiledesk.agent_note(request_id, self.notes[-1])

    def work(self, server: int, *, most: int = SPIN) -> bool:
        """Let a server do what is due now; whether it did anything."""
        before = self.steps
        for _ in range(most):
            try:
                worker = self.servers[server].worker
                busy = worker.run_once() or worker.ask_for_news()
            except RasaTiledeskError:
                busy = True
            except Killed:
                self.life.steps = None
                self.servers[server] = self._server(self.servers[server].name)
                return True
            if not busy:
                return self.steps > before
            self.steps += 1
        assert most < SPIN, "duties are due again and again in one moment"
        return True

    def passes(self, seconds: float, *, work: bool = True, stride: float = 1.0) -> None:
        """Time goes by, and both servers do what becomes due."""
        end, in_vain = self.seconds + seconds, 0
        while self.seconds < end:
            leap = next_moment(self.ledger) if work and in_vain >= IN_VAIN else 0.0
            self.seconds = min(end, max(self.seconds + stride, leap))
            if self.seconds - self._released > LATEST:
                in_vain = 0 if self.tiledesk.let_late_calls_through(at_least=0) else in_vain
                self._released = self.seconds
            if work:
                worked = [self.work(server) for server in (0, 1)]
                in_vain = 0 if any(worked) else in_vain + 1

    def heal(self) -> None:
        """Everything works again; whoever still talks is done, and all comes to rest."""
        self.tiledesk.faults = None
        with self.tiledesk._server.lock:
            self.tiledesk._server.planned.clear()
        self.rasa._faults.clear()
        self.rasa.refusing.clear()
        self.tiledesk.let_late_calls_through(at_least=0)
        self.life.steps = None
        self.actions_up = True
        self.passes(60)
        self.passes(900, stride=15)
        for request in self.tiledesk.requests():
            self.tiledesk.close_as_agent(request["request_id"])
        self.passes(120, stride=2)
        self.passes(8_000, stride=200)

    # What became of it

    def verdict(self) -> list[str]:
        """What is not as it should be; nothing when all is well."""
        return [*self._users_words(), *self._agents_words(), *self._silent_bot(), *left_over(self.ledger)]

    def _heard(self) -> list[str]:
        return [str(message["text"]) for message in self.rasa.delivered["callback"]]

    def _in_tiledesk(self) -> dict[str, list[dict[str, Any]]]:
        return {
            one.request_id: self.tiledesk.messages(one.request_id) for one in self.ledger.handoffs.of_sender(SENDER)
        }

    def _users_words(self) -> Iterator[str]:
        heard = self._heard()
        asked_again = sum(UNSENT in words for words in heard)
        for words in self.users:
            copies = [
                (request_id, message)
                for request_id, messages in self._in_tiledesk().items()
                for message in messages
                if message["sender"] != "system"
                and re.search(rf"(^|[^o] ){words}$", str(message.get("text")), re.MULTILINE)
            ]
            per_request = Counter(request_id for request_id, _ in copies)
            if per_request and max(per_request.values()) > 1:
                yield f"{words!r} stands {max(per_request.values())} times in a request"
            answers = heard.count(f"answer to {words}")
            if answers > 1:
                yield f"{words!r} was answered {answers} times"
            reached = any(self._was_open(request_id, message) for request_id, message in copies)
            if not (reached or answers or asked_again or self.deleted):
                yield f"{words!r} reached nobody"

    def _was_open(self, request_id: str, message: dict[str, Any]) -> bool:
        closed = self.tiledesk._desk.store.requests.get(request_id, {}).get("closed_at")
        return closed is None or _when(message["createdAt"]) <= _when(closed) or request_id in self.reopened

    @property
    def reopened(self) -> set[str]:
        return {
            request_id
            for request_id, messages in self._in_tiledesk().items()
            for message in messages
            if ((message.get("attributes") or {}).get("messagelabel") or {}).get("key") == "CHAT_REOPENED"
        }

    def _agents_words(self) -> Iterator[str]:
        heard = self._heard()
        for request_id, words in self.agents:
            count = heard.count(words)
            lines = " ".join(str(message.get("text")) for message in self.tiledesk.messages(request_id))
            told = any(told in lines for told in TOLD)
            if count > (2 if self.slow else 1):
                yield f"{words!r} came {count} times"
            if not count and not told and not self.deleted:
                yield f"{words!r} never came, and the agent was not told"
        for request_id in {request_id for request_id, _ in self.agents}:
            order = [words for where, words in self.agents if where == request_id and words in heard]
            came = sorted(order, key=heard.index)
            if order != came and not self.slow:
                yield f"agents' words came as {came}"
        yield from (f"the user was shown {note!r}" for note in self.notes if note in heard)

    def _silent_bot(self) -> Iterator[str]:
        if self.open is not None:
            yield f"a handoff is still {self.open.life.value}"
        elif self.rasa.paused(SENDER):
            yield "the bot is paused, and nobody has the user"
        elif self.slot() is not None:
            yield "the slot is still set"


def _when(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))
