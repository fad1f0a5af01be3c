"""The staged import on the real Tiledesk server: in order, and whole whatever is killed."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.ledger import Handoff, Ledger, Life
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk
from stack import CHECKOUT
from stack.processes import Child, free_port
from stack.tiledesk import LiveProject
from tests.databases import throw_away_database
from tests.unit.conftest import Clock, World, conversation
from tests.unit.test_killed import TURNS, DyingDatabase, Scene, carry_on, work

pytestmark = pytest.mark.live


def ours(project: LiveProject, handoff: Handoff) -> list[dict[str, Any]]:
    """Our messages as the server lists them, which is by the time it stored them."""
    return [m for m in project.messages(handoff.request_id) if "rasa" in (m.get("attributes") or {})]


def turns_of(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages if message["text"].startswith("turn ")]


def _is_half_imported(project: LiveProject, handoff: Handoff) -> bool:
    return 4 < len(ours(project, handoff)) < 40


def until(happened: Callable[[], object], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.1)


@pytest.mark.parametrize("count", [5, 40, 500])
def test_both_orders_are_what_the_user_saw(project: LiveProject, count: int) -> None:
    with FakeRasa() as rasa:
        clock = Clock()
        world = World(cast(FakeTiledesk, project), rasa, clock, Ledger("sqlite://", clock=clock), read_timeout=20)
        worker = world.worker()
        rasa.says("ann", "hello")
        handoff = world.ask(conversation(count)).handoff
        assert handoff is not None
        world.work(worker, seconds=60)
        assert world.now(handoff).life is Life.LIVE
        stored = ours(project, handoff)
        assert stored == sorted(stored, key=lambda message: message["createdAt"])
        assert stored == sorted(stored, key=lambda message: message["attributes"]["clienttimestamp"])
        assert turns_of(stored) == [f"turn {number}" for number in range(max(0, count - 40), count)]
        summary = "\n".join(m["text"] for m in stored if m["attributes"]["rasa"].get("summary"))
        assert [f"turn {n}\n" in f"{summary}\n" for n in range(max(0, count - 40))] == [True] * max(0, count - 40)


@pytest.mark.parametrize("mode", ["staged", "direct"])
def test_killed_at_a_sample_of_steps_and_started_again(project: LiveProject, tmp_path: Path, mode: str) -> None:
    def act(world: World, worker: Worker) -> None:
        world.ask(conversation(TURNS))
        work(world, worker)

    for die_at in itertools.count(1, 3):
        with FakeRasa() as rasa:
            rasa.add("ann", conversation(TURNS))
            clock = Clock()
            database = DyingDatabase(f"sqlite:///{tmp_path / f'{die_at}.db'}", clock=clock)
            scene = Scene(cast(FakeTiledesk, project), rasa, database, clock, mode)
            ended = scene.dies(act, die_at)
            if ended >= 0:  # it came to its end before that step
                assert die_at > 10
                break
            assert ended == -signal.SIGKILL
            with scene.world() as world:
                world.read_timeout = 20
                carry_on(world)
                handoff = world.ledger.handoffs.open_of("ann")
                if handoff is None:
                    assert world.ledger.handoffs.counts() == {}
                    continue
                stored = ours(project, handoff)
                stored.sort(
                    key=lambda message: message["attributes"].get("clienttimestamp", 0) if mode == "direct" else 0
                )
                assert turns_of(stored) == [f"turn {number}" for number in range(TURNS)], die_at
                assert handoff.life is Life.LIVE
                assert world.desk.request(handoff.request_id).participants == (project.owner_id,)


def test_of_two_action_servers_on_postgresql_one_finishes_what_the_other_was_killed_at(
    project: LiveProject, tmp_path: Path
) -> None:
    email, password = project.owner
    with ExitStack() as stack:
        rasa = stack.enter_context(FakeRasa())
        rasa.says("ann", "a human please")
        ledger_url = stack.enter_context(throw_away_database("postgresql"))
        (tmp_path / "endpoints.yml").write_text(
            f"tiledesk:\n  url: {project.url}\n  project_id: '{project.project_id}'\n  email: {email}\n"
            f"  password: '{password}'\n  ledger: {ledger_url}\n  relay:\n    rasa_url: {rasa.url}\n"
        )
        servers = []
        for name in ("first", "second"):
            port = free_port()
            command = [sys.executable, "-m", "rasa_sdk", "--actions", "rasa_tiledesk.actions", "--port", str(port)]
            env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
            server = Child(name, command, log=tmp_path / name, cwd=tmp_path, env=env)
            stack.callback(server.stop)
            url = f"http://127.0.0.1:{port}"
            server.wait_ready(lambda url=url: requests.get(f"{url}/health", timeout=2).ok, seconds=60)  # type: ignore[misc]
            servers.append((server, url))
            if name == "first":
                tracker = {"sender_id": "ann", "slots": {}, "events": conversation(40), "latest_message": {}}
                tracker["active_loop"] = {}
                call = {"next_action": "action_tiledesk_handoff", "sender_id": "ann", "tracker": tracker, "domain": {}}
                answer = requests.post(f"{url}/webhook", json=call, timeout=15).json()
                handoff_id = answer["events"][0]["value"]
                ledger = Ledger(ledger_url)
                stack.callback(ledger.close)
                handoff = ledger.handoffs.get(handoff_id)
                half = partial(_is_half_imported, project, handoff)
                until(half, "the middle of the import", 20)
                server.kill()
                assert ledger.handoffs.get(handoff_id).life is Life.OPEN
        until(lambda: ledger.handoffs.get(handoff_id).life is Life.LIVE, "the takeover", 120)
        assert turns_of(ours(project, handoff)) == [f"turn {number}" for number in range(40)]
        assert handoff.request_id in {request["request_id"] for request in project.requests()}
