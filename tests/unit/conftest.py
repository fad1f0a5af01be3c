"""A bot's side of the world on fakes: Tiledesk, Rasa, a ledger in memory, a clock that stands."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Answer, Asking
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.care import Care
from rasa_tiledesk.handoff.lane import Lane
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.handoff.to_agents import lane_to_agents
from rasa_tiledesk.handoff.to_agents.say import Saying
from rasa_tiledesk.handoff.to_user import lane_to_user
from rasa_tiledesk.handoff.to_user.listen import Listening
from rasa_tiledesk.handoff.to_user.news import Newsroom
from rasa_tiledesk.handoff.to_user.webhooks import Announcing
from rasa_tiledesk.handoff.worker import Runs, Worker
from rasa_tiledesk.http import Http
from rasa_tiledesk.ledger import Duty, Handoff, Ledger
from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from rasa_tiledesk.trackers import TrackerReader
from rasa_tiledesk.trackers.rasa_api import RasaApiReader
from tests.databases import empty
from tests.due import left_over, next_moment
from tests.unit.acting import Acting, acting_between

IN_VAIN = 3


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
    recent: Recent = field(default_factory=lambda: Recent(lambda: 0.0))

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

    def to_settings(self) -> Settings:
        base = {"url": self.tiledesk.url, "project_id": self.tiledesk.project_id, "email": "e", "password": "p"}
        return Settings(**{**base, **self.settings})

    def _reader(self) -> TrackerReader:
        return self.reader or RasaApiReader(self.rasa.url, None)

    def rasa_client(self) -> RasaClient:
        return RasaClient(self.rasa.url, http=Http(connect_timeout=1, read_timeout=self.read_timeout))

    def lane(self, settings: Settings) -> Lane:
        lane = lane_to_agents(settings, self.desk, self.ledger, self._reader(), self.recent)
        return replace(lane, jitter=lambda: 0.0)

    def worker(self, *, name: str = "worker") -> Worker:
        settings = self.to_settings()
        interval = 2.0 if settings.relay.receive == "poll" else 5.0
        newsroom = Newsroom(self.desk, self.ledger, name=name, interval=interval, clock=self.clock)
        hooked = settings.relay.receive == "webhook"
        announcing = Announcing(self.ledger, self.tiledesk.project_id) if hooked else None
        duties: dict[Duty, Runs] = {
            Duty.TO_AGENTS: self.lane(settings),
            Duty.TO_USER: replace(
                lane_to_user(settings, self.rasa_client(), self.ledger, channel_seconds=self.read_timeout),
                jitter=lambda: 0.0,
            ),
            Duty.LISTEN: Listening(self.desk, self.ledger, newsroom, lambda: 1.0, announcing),
            Duty.CARE: Care(settings, self.ledger, self.rasa_client()),
        }
        return Worker(self.ledger, duties, newsroom, name=name, jitter=lambda: 0.0)

    def asking(self) -> Asking:
        settings = self.to_settings()
        return Asking(
            settings,
            self.desk,
            self.rasa_client(),
            self.ledger,
            self._reader(),
            self.lane(settings),
            self.recent,
            "action",
            lambda: None,
        )

    def saying(self) -> Saying:
        settings = self.to_settings()
        return Saying(settings, self.ledger, self.lane(settings), "action", lambda: None, lambda: uuid.uuid4().hex)

    def ask(self, events: Sequence[Any], sender: str = "ann", *, ask_id: str = "first", **slots: Any) -> Answer:
        return self.asking().ask(Ask(sender, events, slots, "callback"), Deadline(8), ask_id=ask_id)

    def work(self, worker: Worker, *, seconds: float = 600) -> None:
        """Let the worker do all that becomes due within so many seconds; the clock leaps from moment to moment.

        Nobody else does anything meanwhile. So who has asked for news in vain a few times gets none before something
        else is done, and the clock leaps there.
        """
        end, in_vain = self.clock.seconds + seconds, 0
        while self.clock.seconds <= end:
            in_vain += 1
            while worker.run_once() or worker.ask_for_news():
                in_vain = 0
            moment = next_moment(self.ledger, news=in_vain < IN_VAIN)
            self.clock.seconds = min(max(self.clock.seconds + 0.001, moment), end + 1)

    def said(self, handoff: Handoff) -> list[dict[str, Any]]:
        """What agents see of the conversation: our messages behind the opening line, as the server lists them."""
        ours = [m for m in self.tiledesk.messages(handoff.request_id) if "rasa" in (m.get("attributes") or {})]
        return [m for m in ours if m["attributes"]["rasa"]["key"] != "opening"]

    def now(self, handoff: Handoff) -> Handoff:
        """The handoff as the ledger has it now."""
        return self.ledger.handoffs.get(handoff.id)

    def is_at_rest(self) -> bool:
        """Whether nothing is due, ever, and no text is left."""
        return not list(left_over(self.ledger))


@pytest.fixture(scope="session")
def standing_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def database(standing_clock: Clock) -> Iterator[Database]:
    """In memory; each world gets it empty."""
    made = Database("sqlite://", clock=standing_clock)
    yield made
    made.close()


@pytest.fixture
def world(database: Database, standing_clock: Clock) -> Iterator[World]:
    clock, ticks = standing_clock, itertools.count()
    clock.seconds = Clock().seconds
    # No two events of a conversation have one time, however long the clock stands.
    with FakeTiledesk() as tiledesk, FakeRasa(clock=lambda: clock() + next(ticks) / 1000) as rasa:
        ledger = Ledger(database, per_minute=10_000)
        empty(database)
        yield World(tiledesk, rasa, clock, ledger)


def conversation(turns: int, *, start: float = 1_700_000_000.0, first: str = "user") -> list[dict[str, Any]]:
    """A session of so many turns, user and bot by turns."""
    events: list[dict[str, Any]] = [
        {"event": "action", "name": "action_session_start", "timestamp": start},
        {"event": "session_started", "timestamp": start},
    ]
    for number in range(turns):
        by_user = (number % 2 == 0) == (first == "user")
        event = {"event": "user" if by_user else "bot", "text": f"turn {number}", "timestamp": start + number + 1}
        event["input_channel"] = "callback"
        more = {"message_id": f"m{number}", "parse_data": {}, "input_channel": "callback"} if by_user else {"data": {}}
        events.append({**event, **more})
    return events


@pytest.fixture
def endpoints(tmp_path: Path) -> Path:
    """Where a test may write its endpoints.yml."""
    return tmp_path / "endpoints.yml"


@pytest.fixture
def acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Acting]:
    """An action server in this process."""
    yield from acting_between(tmp_path, monkeypatch)
