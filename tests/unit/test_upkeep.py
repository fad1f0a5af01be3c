"""What an action server needs of Tiledesk is looked at again and again, said once, and mended."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
import requests

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.hooks import EVENTS, PATH, Hooks
from rasa_tiledesk.runtime import Runtime, assemble
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.upkeep import Upkeep
from tests.unit.conftest import World

URL = "https://bot.example.com"


@pytest.fixture
def parts(endpoints: Path, world: World) -> Runtime:
    desk, rasa = world.tiledesk, world.rasa
    endpoints.write_text(
        f"tiledesk:\n  url: {desk.url}\n  project_id: '{desk.project_id}'\n  email: {desk.owner[0]}\n"
        f"  password: '{desk.owner[1]}'\n  relay:\n    rasa_url: {rasa.url}\n    public_url: {URL}\n  ledger: sqlite://\n"
    )
    return assemble(load_endpoints(endpoints))


def looks(begin: Callable[[], Runtime], *between: Callable[[], object]) -> list[float]:
    """Let it look, do the first, look again, and so on; how long it would have waited each time."""
    waits: list[float] = []
    left = list(between)

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if not left:
            return True
        left.pop(0)()
        return False

    Upkeep(begin, wait).run()
    return waits


def nothing() -> None:
    """Nothing happens meanwhile."""


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "rasa_tiledesk.upkeep"]


def test_what_it_finds_is_said_once_and_again_when_it_changes(
    parts: Runtime, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broken = replace(parts, desk=world.desk)
    object.__setattr__(broken.endpoints.tiledesk, "department", "Nowhere")
    waits = looks(
        lambda: broken, nothing, lambda: object.__setattr__(broken.endpoints.tiledesk, "department", None), nothing
    )
    problem, ready = said(caplog)
    assert "Nowhere" in problem
    assert ready == "ready to hand over to department Default Department"
    assert waits == [60.0, 60.0, 600.0, 600.0]


def test_a_ledger_that_is_down_at_the_start_is_asked_again(parts: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    problems = [LedgerError("tiledesk.ledger: the database failed: OperationalError")]

    def begin() -> Runtime:
        if problems:
            raise problems.pop()
        return parts

    looks(begin, nothing)
    problem, ready = said(caplog)
    assert "tiledesk.ledger" in problem
    assert ready.startswith("ready")


def test_a_webhook_that_was_deleted_in_tiledesk_is_made_again_and_its_old_secret_opens_nothing(
    parts: Runtime, world: World
) -> None:
    hooks = parts.hooks
    assert hooks
    hooks.mend()
    before = parts.ledger.hook_secrets()
    assert len(before) == len(EVENTS)
    assert all(hooks.knows(secret) for secret in before.values())
    (deleted, *_) = before
    looks(lambda: parts, lambda: world.desk.unsubscribe(deleted))
    after = parts.ledger.hook_secrets()
    assert {hook.id for hook in world.desk.subscriptions()} == set(after)
    assert not hooks.knows(before[deleted])
    assert all(hooks.knows(secret) for secret in after.values())


def test_servers_that_mend_at_the_same_moment_agree_on_one_webhook_and_one_secret(parts: Runtime, world: World) -> None:
    first, second = (Hooks(world.desk, parts.ledger, URL) for _ in range(2))
    first.mend()
    known = parts.ledger.hook_secrets()
    second.mend()
    assert parts.ledger.hook_secrets() == known
    double = world.desk.subscribe(EVENTS[0], "https://elsewhere.example.com")
    url = f"{world.tiledesk.url}/{world.tiledesk.project_id}/subscriptions/{double.id}"
    requests.put(url, json={"target": URL + PATH}, auth=world.tiledesk.owner, timeout=5).raise_for_status()
    first.mend()
    second.mend()
    assert {hook.id for hook in world.desk.subscriptions()} == set(parts.ledger.hook_secrets())
    assert len(parts.ledger.hook_secrets()) == len(EVENTS)


def test_a_secret_that_was_changed_in_tiledesk_is_set_again(parts: Runtime, world: World) -> None:
    assert parts.hooks
    parts.hooks.mend()
    for hook in world.desk.subscriptions():
        world.desk.set_secret(hook.id, "somebody else's")
    parts.hooks.mend()
    assert not parts.hooks.knows("somebody else's")


def test_another_servers_new_secret_is_known_at_once_and_a_strangers_is_not_asked_for_each_time(
    parts: Runtime, world: World
) -> None:
    now = [100.0]
    hooks = Hooks(world.desk, parts.ledger, URL, clock=lambda: now[0])
    assert not hooks.knows("made elsewhere")
    parts.ledger.keep_hook("5e2c35c8f0dbc10017bb3aac", EVENTS[0], URL + PATH, "made elsewhere")
    assert not hooks.knows("made elsewhere")  # within the second the ledger is not asked again
    now[0] += 2
    assert hooks.knows("made elsewhere")
    parts.ledger.forget_hook("5e2c35c8f0dbc10017bb3aac")
    now[0] += 61
    assert not hooks.knows("made elsewhere")
