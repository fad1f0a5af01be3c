"""A process killed by SIGKILL at any step of a handoff, found by enumeration, and started again.

A step is a moment just before or just after a write to the ledger or an HTTP call. A child process dies at the n-th
one; then another does what the ledger says is left. For every n the agents end with each turn once and in order.
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

from rasa_tiledesk.handoff.ledger import Ledger, State
from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.http import Answer, Http
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from tests.unit.conftest import Clock, World, conversation

TURNS = 5


class DyingHttp(Http):
    """Counts a step before and after each call."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__()
        self._step = step

    def call(self, *args: Any, **more: Any) -> Answer:
        self._step()
        answer = super().call(*args, **more)
        self._step()
        return answer


class DyingLedger(Ledger):
    """Counts a step before and after each write."""

    step: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self.step()
        with super()._transaction() as connection:
            yield connection
        self.step()


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


def child(tiledesk: Any, rasa: FakeRasa, file: Path, mode: str, die_at: int) -> int:
    """Hand over and import in a process of its own that dies at that step; returns how many steps it made, or -9."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it forks beside the fakes' threads, and uses none of them
        process = os.fork()
    if process == 0:
        steps = 0

        def step() -> None:
            nonlocal steps
            if steps == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1

        clock = Clock()
        ledger = DyingLedger(f"sqlite:///{file}", clock=clock)
        ledger.step = step
        world = DyingWorld(tiledesk, rasa, clock, ledger, {"history": {"import": mode}})
        world.step = step
        worker = world.worker(name="first")
        world.ask(conversation(TURNS), worker=worker)
        worker.run_once()
        os.write(writer, str(steps).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(process, 0)
    with os.fdopen(reader) as pipe:
        made = pipe.read()
    return int(made) if status == 0 else -os.WTERMSIG(status)


def finish(world: World, worker: Worker) -> None:
    """Let the worker bring to its end what the dead one left."""
    for _ in range(20):
        world.work(worker, seconds=0)
        if set(world.ledger.counts()) <= {State.LIVE}:
            break
    world.work(worker, seconds=2)  # were anything sent twice, it would be now


@pytest.mark.parametrize("mode", ["staged", "direct"])
def test_killed_at_every_step_and_started_again_each_turn_is_there_once_in_order(tmp_path: Path, mode: str) -> None:
    for die_at in itertools.count():
        with FakeTiledesk() as tiledesk, FakeRasa() as rasa:
            rasa.says("ann", "hello")
            file = tmp_path / f"{mode}-{die_at}.db"
            ended = child(tiledesk, rasa, file, mode, die_at)
            if ended >= 0:  # it came to its end before that step: they have all been tried
                assert ended == die_at > 20
                break
            assert ended == -signal.SIGKILL
            clock = Clock()
            clock.seconds += 100  # the leases of the dead have run out
            world = World(
                tiledesk, rasa, clock, Ledger(f"sqlite:///{file}", clock=clock), {"history": {"import": mode}}
            )
            finish(world, world.worker(name="second"))
            handoff = world.ledger.open_handoff("ann")
            if handoff is None:  # it died before anything was written down, so the user asks again
                assert world.ledger.counts() == {}
                continue
            assert handoff.state is State.LIVE, die_at
            said = world.said(handoff)
            if mode == "direct":  # which promises no order of creation
                said.sort(key=lambda message: message["attributes"]["clienttimestamp"])
            assert [message["text"] for message in said] == [f"turn {number}" for number in range(TURNS)], die_at
            (request,) = tiledesk.requests()
            assert request["request_id"] == handoff.request_id
            assert request["participants"] == [tiledesk.owner_id]
            world.ledger.close()
