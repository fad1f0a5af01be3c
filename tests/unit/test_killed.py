"""A process killed by SIGKILL at any step of a handoff, found by enumeration, and started again.

A child process dies at the n-th write to the ledger or HTTP call, or at the end of all; then another does what the
ledger says is left. For every n each turn is there once and in order, on both sides.

It dies just before a write or call, which is just after the one before: nothing outside the process changes meanwhile.
"""

from __future__ import annotations

import itertools
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest
from sqlalchemy.engine import Connection

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.http import Answer, Http
from rasa_tiledesk.ledger import End, Handoff, Ledger, Life
from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.responses import ENDED, default_text
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from tests.databases import empty
from tests.unit.conftest import Clock, World, conversation

TURNS = 5

Act = Callable[[World, Worker], None]
"""What a process does that may be killed meanwhile."""


class DyingHttp(Http):
    """Counts a step before each call."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__()
        self._step = step

    def call(self, *args: Any, **more: Any) -> Answer:
        self._step()
        return super().call(*args, **more)


class DyingDatabase(Database):
    """Counts a step before each transaction that writes."""

    step: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.step()
        with super().writing() as connection:
            yield connection


class DyingWorld(World):
    """A world whose process ends at the n-th step."""

    step: Callable[[], None]

    @property
    def desk(self) -> TiledeskClient:
        return TiledeskClient(
            self.tiledesk.url,
            self.tiledesk.project_id,
            credential=AgentLogin(*self.tiledesk.owner),
            http=DyingHttp(self.step),
        )

    def rasa_client(self) -> RasaClient:
        return RasaClient(self.rasa.url, http=DyingHttp(self.step))


class Scene:
    """The world around processes that die: its fakes and its ledger outlive them."""

    def __init__(
        self, tiledesk: FakeTiledesk, rasa: FakeRasa, database: DyingDatabase, clock: Clock, mode: str
    ) -> None:
        self.tiledesk, self.rasa, self.clock = tiledesk, rasa, clock
        self.settings = {"history": {"import": mode}}
        self._database = database

    @contextmanager
    def world(self) -> Iterator[World]:
        """A process that lives; it comes when the leases of the dead have run out."""
        self.clock.seconds += 100
        yield World(self.tiledesk, self.rasa, self.clock, Ledger(self._database), self.settings)
        self._database.close()  # no connection outlives a fork

    def dies(self, act: Act, at: int) -> int:
        """Act in a process of its own that dies at that step; returns how many steps it made, or -9."""
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it forks beside the fakes' threads, and uses none
            process = os.fork()
        if process == 0:
            os.write(writer, str(self._act(act, at)).encode())
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(process, 0)
        with os.fdopen(reader) as pipe:
            made = pipe.read()
        return int(made) if status == 0 else -os.WTERMSIG(status)

    def _act(self, act: Act, at: int) -> int:
        steps = 0

        def step() -> None:
            nonlocal steps
            if steps == at:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1

        world = DyingWorld(self.tiledesk, self.rasa, self.clock, Ledger(self._database), self.settings)
        world.step = self._database.step = step
        act(world, world.worker(name="first"))
        return steps

    def live(self) -> Handoff:
        """A handoff that agents have, with the bot paused."""
        with self.world() as world:
            handoff = world.ask(conversation(1)).handoff
            assert handoff is not None
            self.rasa.add(
                "ann", [{"event": "slot", "name": "tiledesk_handoff", "value": handoff.id, "timestamp": 1.7e9}]
            )
            self.rasa.add("ann", [{"event": "pause", "timestamp": 1.7e9}])
            carry_on(world, leaps=2)
            assert world.now(handoff).life is Life.LIVE
        self.rasa.delivered.clear()
        return handoff


def carry_on(world: World, *, leaps: int = 4) -> None:
    """All that becomes due, the clock in leaps: over what may be on its way still, too."""
    worker = world.worker(name="second")
    for _ in range(leaps):
        while worker.run_once() or worker.ask_for_news():
            pass
        world.clock.seconds += 20


def work(world: World, worker: Worker) -> None:
    """All that is due now."""
    while worker.run_once():
        pass


def scenes(folder: Path, mode: str = "staged", *, turns: int = 1) -> Iterator[tuple[int, Scene]]:
    """A new world for each step at which to die, on one database: it knows the statements from the worlds before."""
    clock = Clock()
    database = DyingDatabase(f"sqlite:///{folder / 'ledger.db'}", clock=clock)
    for die_at in itertools.count():
        with FakeTiledesk() as tiledesk, FakeRasa() as rasa:
            rasa.add("ann", conversation(turns))
            yield die_at, Scene(tiledesk, rasa, database, clock, mode)
            empty(database)
            database.close()


def died(scene: Scene, act: Act, at: int, *, least: int) -> bool:
    """Whether it died at that step; else it came to its end, as a process that dies then, and none is left to try."""
    ended = scene.dies(act, at)
    assert ended == -signal.SIGKILL or ended == at > least
    return ended < 0


@pytest.mark.parametrize("mode", ["staged", "direct"])
def test_killed_at_every_step_and_started_again_each_turn_is_there_once_in_order(tmp_path: Path, mode: str) -> None:
    def act(world: World, worker: Worker) -> None:
        world.ask(conversation(TURNS))
        work(world, worker)

    for die_at, scene in scenes(tmp_path, mode, turns=TURNS):
        over = not died(scene, act, die_at, least=10)
        with scene.world() as world:
            carry_on(world)
            handoff = world.ledger.handoffs.open_of("ann")
            if handoff is None:  # it died before anything was written down, so the user asks again
                assert world.ledger.handoffs.counts() == {}
                continue
            assert handoff.life is Life.LIVE, die_at
            said = world.said(handoff)
            if mode == "direct":  # which promises no order of creation
                said.sort(key=lambda message: message["attributes"]["clienttimestamp"])
            assert [message["text"] for message in said] == [f"turn {number}" for number in range(TURNS)], die_at
            (request,) = scene.tiledesk.requests()
            assert request["request_id"] == handoff.request_id
            assert request["participants"] == [scene.tiledesk.owner_id]
            assert scene.rasa.paused("ann"), die_at
        if over:
            break


def test_killed_while_a_users_words_are_said_they_reach_the_agent_once(tmp_path: Path) -> None:
    said = {"event": "user", "text": "hello?", "timestamp": 1_700_000_100.0, "message_id": "m100", "parse_data": {}}

    def act(world: World, worker: Worker) -> None:
        world.saying().say("ann", [*conversation(1), said], {}, paused=True, deadline=Deadline(8))
        work(world, worker)

    for die_at, scene in scenes(tmp_path):
        handoff = scene.live()
        scene.rasa.add("ann", [said])
        over = not died(scene, act, die_at, least=2)
        with scene.world() as world:
            # Rasa is looked at every 300 s: the words may be there alone.
            world.work(world.worker(name="second"), seconds=340)
            assert [message["text"] for message in world.said(handoff)] == ["turn 0", "hello?"], die_at
        if over:
            break


def test_killed_while_an_agents_words_are_delivered_they_reach_the_user_once(tmp_path: Path) -> None:
    for die_at, scene in scenes(tmp_path):
        handoff = scene.live()
        scene.tiledesk.agent_says(handoff.request_id, "one")
        scene.tiledesk.agent_says(handoff.request_id, "two")
        scene.clock.seconds += 60
        over = not died(scene, _listen, die_at, least=4)
        with scene.world() as world:
            carry_on(world)
            heard = [message["text"] for message in scene.rasa.delivered["callback"]]
            assert [text for text in heard if "joined" not in text] == ["one", "two"], die_at
            assert len(heard) <= 3, die_at
        if over:
            break


def _listen(world: World, worker: Worker) -> None:
    while worker.ask_for_news() or worker.run_once():
        pass


@pytest.mark.parametrize("by_user", [False, True])
def test_killed_at_the_end_the_user_is_told_and_given_back_once(tmp_path: Path, by_user: bool) -> None:
    def act(world: World, worker: Worker) -> None:
        if by_user:
            world.ledger.handoffs.end(world.ledger.handoffs.of_sender("ann")[0].id, End.USER)
        _listen(world, worker)

    for die_at, scene in scenes(tmp_path):
        handoff = scene.live()
        if not by_user:
            scene.tiledesk.close_as_agent(handoff.request_id)
        scene.clock.seconds += 60
        over = not died(scene, act, die_at, least=4)
        with scene.world() as world:
            if by_user and world.now(handoff).is_open:
                assert die_at == 0, "what was not written down is asked for again"
                continue
            carry_on(world)
            assert world.now(handoff).end is (End.USER if by_user else End.AGENT)
            assert [message["text"] for message in scene.rasa.delivered["callback"]] == [default_text(ENDED)], die_at
            assert not scene.rasa.paused("ann"), die_at
            assert world.desk.request(handoff.request_id).closed, die_at
        if over:
            break
