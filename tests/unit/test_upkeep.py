"""What an action server needs of Tiledesk is looked at again and again, said once, and mended."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
import requests

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.to_user.webhooks import EVENTS, PATH, Hooks
from rasa_tiledesk.ledger import End
from rasa_tiledesk.runtime import Runtime, assemble, rasa_of
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa
from rasa_tiledesk.upkeep import Upkeep
from tests.unit.conftest import World, conversation

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
    before = parts.ledger.hooks.all()
    assert len(before) == len(EVENTS)
    assert all(hooks.knows(secret) for secret in before.values())
    (deleted, *_) = before
    looks(lambda: parts, lambda: world.desk.unsubscribe(deleted))
    after = parts.ledger.hooks.all()
    assert {hook.id for hook in world.desk.subscriptions()} == set(after)
    assert not hooks.knows(before[deleted])
    assert len(after) == len(EVENTS)
    assert all(hooks.knows(secret) for secret in after.values())


def test_servers_that_mend_at_the_same_moment_agree_on_one_webhook_and_one_secret(parts: Runtime, world: World) -> None:
    first, second = (Hooks(world.desk, parts.ledger, URL) for _ in range(2))
    first.mend()
    known = parts.ledger.hooks.all()
    second.mend()
    assert parts.ledger.hooks.all() == known
    double = world.desk.subscribe(EVENTS[0], "https://elsewhere.example.com")
    url = f"{world.tiledesk.url}/{world.tiledesk.project_id}/subscriptions/{double.id}"
    requests.put(url, json={"target": URL + PATH}, auth=world.tiledesk.owner, timeout=5).raise_for_status()
    first.mend()
    second.mend()
    assert {hook.id for hook in world.desk.subscriptions()} == set(parts.ledger.hooks.all())
    assert len(parts.ledger.hooks.all()) == len(EVENTS)


def test_webhooks_to_a_former_address_of_ours_are_removed_and_nobody_elses(parts: Runtime, world: World) -> None:
    somebodys = world.desk.subscribe(EVENTS[0], "https://crm.example.com")
    Hooks(world.desk, parts.ledger, "https://former.example.com").mend()
    assert parts.hooks
    parts.hooks.mend()
    targets = {hook.target for hook in world.desk.subscriptions()}
    assert targets == {URL + PATH, somebodys.target}
    assert set(parts.ledger.hooks.all()) == {hook.id for hook in world.desk.subscriptions()} - {somebodys.id}


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
    parts.ledger.hooks.keep("5e2c35c8f0dbc10017bb3aac", EVENTS[0], URL + PATH, "made elsewhere")
    assert not hooks.knows("made elsewhere")  # within the second the ledger is not asked again
    now[0] += 2
    assert hooks.knows("made elsewhere")
    parts.ledger.hooks.forget("5e2c35c8f0dbc10017bb3aac")
    now[0] += 61
    assert not hooks.knows("made elsewhere")


@pytest.mark.parametrize(
    ("rasa", "advice"),
    [
        (FakeRasa(api=False), "rasa run --enable-api"),
        (FakeRasa(token="secret"), "check relay.rasa_token"),
        (None, "check relay.rasa_url: is Rasa running there?"),
    ],
    ids=["no API", "a wrong token", "not running"],
)
def test_rasa_is_looked_at_too_and_the_key_to_mend_is_named(
    parts: Runtime, caplog: pytest.LogCaptureFixture, rasa: FakeRasa | None, advice: str
) -> None:
    caplog.set_level(logging.INFO)
    well = parts.rasa

    def look(url: str) -> list[float]:
        object.__setattr__(parts.endpoints.tiledesk.relay, "rasa_url", url)
        object.__setattr__(parts, "rasa", rasa_of(parts.endpoints.tiledesk))
        return looks(lambda: parts, lambda: object.__setattr__(parts, "rasa", well))

    if rasa is None:
        waits = look("http://127.0.0.1:9")
    else:
        with rasa:
            waits = look(rasa.url)
    problem, ready = said(caplog)
    assert problem.startswith("no handoff will work until this is mended: Rasa: ")
    assert advice in problem
    assert ready.startswith("ready")
    assert waits == [60.0, 600.0]


def test_old_handoffs_are_forgotten_and_younger_and_open_ones_are_not(parts: Runtime, world: World) -> None:
    now = [1_800_000_000.0]
    parts.ledger._database._clock = lambda: now[0]
    handoffs = parts.ledger.handoffs

    def ask(sender: str) -> str:
        world.rasa.says(sender, "a human please")
        handoff = parts.asking.ask(Ask(sender, conversation(1), {}, "callback"), Deadline(8)).handoff
        assert handoff
        return handoff.id

    handoffs.end(ask("old"), End.USER)
    ask("still-open")
    now[0] += 20 * 24 * 3600.0
    handoffs.end(ask("younger"), End.USER)
    now[0] += 80 * 24 * 3600.0  # ledger_keep_days: 90
    looks(lambda: parts)
    assert {s: len(handoffs.of_sender(s)) for s in ("old", "still-open", "younger")} == {
        "old": 0,
        "still-open": 1,
        "younger": 1,
    }
