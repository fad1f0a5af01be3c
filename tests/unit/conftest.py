"""A bot's side of the world on fakes: Tiledesk, Rasa, a ledger in memory, a clock that stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Answer, Asking
from rasa_tiledesk.handoff.carry import Carrier
from rasa_tiledesk.handoff.conversation import Ask
from rasa_tiledesk.handoff.ledger import Handoff, Ledger
from rasa_tiledesk.handoff.pace import Pace
from rasa_tiledesk.handoff.relay import Relay
from rasa_tiledesk.handoff.user_side import UserSide
from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.http import Http
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from rasa_tiledesk.trackers import TrackerReader
from rasa_tiledesk.trackers.rasa_api import RasaApiReader


class Clock:
    """Stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class World:
    """Everything a handoff needs, and the way to look at what came of it."""

    tiledesk: FakeTiledesk
    rasa: FakeRasa
    clock: Clock
    ledger: Ledger
    settings: dict[str, Any] = field(default_factory=dict)
    read_timeout: float = 5.0
    reader: TrackerReader | None = None

    @property
    def desk(self) -> TiledeskClient:
        return TiledeskClient(
            self.tiledesk.url,
            self.tiledesk.project_id,
            credential=AgentLogin(*self.tiledesk.owner),
            http=Http(connect_timeout=1, read_timeout=self.read_timeout),
            sleep=lambda seconds: None,
            jitter=lambda: 0.0,
        )

    def _settings(self) -> Settings:
        base = {"url": self.tiledesk.url, "project_id": self.tiledesk.project_id, "email": "e", "password": "p"}
        return Settings(**{**base, **self.settings})

    def _reader(self) -> TrackerReader:
        return self.reader or RasaApiReader(self.rasa.url, None)

    def worker(self, *, name: str = "worker", pace: Pace | None = None, give_up_after: float = 600) -> Worker:
        settings, desk = self._settings(), self.desk
        user = UserSide(RasaClient(self.rasa.url, http=Http(connect_timeout=1, read_timeout=self.read_timeout)))
        pace = pace or Pace(burst=10_000, clock=self.clock)
        relay = Relay(settings, desk, self.ledger, user)
        carrier = Carrier(settings, desk, self.ledger, self._reader(), pace, relay)
        return Worker(carrier, self.ledger, name=name, give_up_after=give_up_after, jitter=lambda: 0.0)

    def asking(self, hand_on: Callable[[str, Sequence[Any]], None] = lambda handoff_id, events: None) -> Asking:
        return Asking(self._settings(), self.desk, self.ledger, self._reader(), "action", hand_on)

    def ask(self, events: Sequence[Any], sender: str = "ann", *, worker: Worker | None = None, **slots: Any) -> Answer:
        asking = self.asking(worker.hand_on) if worker else self.asking()
        return asking.ask(Ask(sender, events, slots, "callback"), Deadline(8))

    def work(self, worker: Worker, *, seconds: float = 600) -> None:
        """Let the worker do all that becomes due within so many seconds of the clock."""
        end = self.clock.seconds + seconds
        while self.clock.seconds <= end:
            while worker.run_once():
                pass
            self.clock.seconds += 1

    def said(self, handoff: Handoff) -> list[dict[str, Any]]:
        """What agents see: our messages, as the server lists them."""
        return [m for m in self.tiledesk.messages(handoff.request_id) if "rasa" in (m.get("attributes") or {})]


@pytest.fixture
def world() -> Iterator[World]:
    clock = Clock()
    with FakeTiledesk() as tiledesk, FakeRasa() as rasa:
        ledger = Ledger("sqlite://", clock=clock)
        yield World(tiledesk, rasa, clock, ledger)
        ledger.close()


def conversation(turns: int, *, start: float = 1_700_000_000.0, first: str = "user") -> list[dict[str, Any]]:
    """A session of so many turns, user and bot by turns."""
    events: list[dict[str, Any]] = [
        {"event": "action", "name": "action_session_start", "timestamp": start},
        {"event": "session_started", "timestamp": start},
    ]
    for number in range(turns):
        by_user = (number % 2 == 0) == (first == "user")
        event = {"event": "user" if by_user else "bot", "text": f"turn {number}", "timestamp": start + number + 1}
        events.append({**event, "message_id": f"m{number}", "parse_data": {}} if by_user else {**event, "data": {}})
    return events


@pytest.fixture
def endpoints(tmp_path: Path) -> Path:
    """Where a test may write its endpoints.yml."""
    return tmp_path / "endpoints.yml"
