"""The actions as rasa-sdk runs them: what the user hears, what Rasa is told, whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rasa_sdk import Tracker
from rasa_sdk.executor import CollectingDispatcher

from rasa_tiledesk import actions, runtime
from rasa_tiledesk.actions import ActionSessionStart, ActionTiledeskHandoff, ActionTiledeskRelay
from rasa_tiledesk.handoff.ledger import State
from rasa_tiledesk.testing import FakeTiledesk, Fault
from tests.unit.conftest import conversation

DOMAIN = {"responses": {"utter_tiledesk_connecting": [{"text": "One moment"}]}}


@pytest.fixture(autouse=True)
def _own_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runtime, "_made", None)
    yield
    if runtime._made is not None:
        runtime._made.worker.stop()


@pytest.fixture
def tiledesk() -> Iterator[FakeTiledesk]:
    with FakeTiledesk() as desk:
        yield desk


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, desk: FakeTiledesk, **changes: str) -> None:
    keys = {
        "url": desk.url,
        "project_id": f'"{desk.project_id}"',
        "email": desk.owner[0],
        "password": desk.owner[1],
        "ledger": f"sqlite:///{folder / 'ledger.db'}",
        **changes,
    }
    path = folder / "endpoints.yml"
    path.write_text("tiledesk:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items()))
    monkeypatch.setenv("RASA_TILEDESK_ENDPOINTS", str(path))


def tracker(events: list[dict[str, Any]], slots: dict[str, Any] | None = None, form: str | None = None) -> Tracker:
    return Tracker.from_dict(
        {
            "sender_id": "ann",
            "slots": slots or {},
            "events": events,
            "latest_message": {},
            "active_loop": {"name": form} if form else {},
        }
    )


def run(action: Any, of: Tracker, domain: dict[str, Any] | None = None) -> tuple[list[Any], list[dict[str, Any]]]:
    dispatcher = CollectingDispatcher()
    events = asyncio.run(action.run(dispatcher, of, DOMAIN if domain is None else domain))
    return dispatcher.messages, events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_the_user_hears_the_bots_own_words_and_the_bot_is_paused(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert said[0]["response"] == "utter_tiledesk_connecting"
    assert names(events) == ["slot", "pause", "action"]
    assert events[-1]["name"] == "action_listen"
    assert runtime.runtime().ledger.handoff(events[0]["value"]).state is State.IMPORTING


def test_a_bot_without_responses_speaks_ours(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    said, _ = run(ActionTiledeskHandoff(), tracker(conversation(3)), {})
    assert said[0]["text"].startswith("I'm connecting you with a colleague")


def test_an_active_form_is_left(tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    _, events = run(ActionTiledeskHandoff(), tracker(conversation(3), form="order_form"))
    assert names(events) == ["active_loop", "slot", "slot", "pause", "action"]
    assert (events[0]["name"], events[1]["name"], events[1]["value"]) == (None, "requested_slot", None)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"password": "wrong"}, "tiledesk.password"),
        ({"project_id": '"5e2c35c8f0dbc10017bb3aac"'}, "tiledesk.project_id"),
        ({"department": "Nowhere"}, "tiledesk.department"),
        ({"url": "http://127.0.0.1:9"}, "tiledesk.url"),
        ({"colour": "blue"}, "tiledesk.colour"),
        ({"ledger": "sqlite:////nowhere/ledger.db"}, "tiledesk.ledger"),
    ],
)
def test_what_is_wrong_is_one_sentence_to_the_user_and_the_key_in_the_log(
    tiledesk: FakeTiledesk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
    key: str,
) -> None:
    configure(monkeypatch, tmp_path, tiledesk, **changes)
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert [message["text"] for message in said] == [
        "I'm sorry, I could not reach my colleagues just now. Go on with me, or ask again in a few minutes."
    ]
    assert events == []
    assert key in caplog.text
    assert "turn 0" not in caplog.text


def test_a_tiledesk_that_never_answers_is_given_up_in_time(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(actions, "BUDGET_SECONDS", 0.5)
    configure(monkeypatch, tmp_path, tiledesk)
    tiledesk.faults = lambda call: Fault.hang()
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert said[0]["text"].startswith("I'm sorry")
    assert events == []
    assert "no answer within" in caplog.text


def test_a_handoff_that_succeeds_after_the_user_was_told_otherwise_is_taken_back(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    monkeypatch.setattr(actions, "BUDGET_SECONDS", 0.4)
    monkeypatch.setattr(actions, "GRACE_SECONDS", -0.3)  # the action gives up before its thread does
    tiledesk.fail("POST /auth/signin", Fault.slow(0.2))
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert (said[0]["text"][:9], events) == ("I'm sorry", [])
    actions._threads.submit(lambda: None).result()
    ledger = runtime.runtime().ledger
    while not set(ledger.counts()) <= {State.FAILING, State.FAILED}:
        actions._threads.submit(lambda: None).result()
    assert tiledesk.requests() == []


def test_a_conversation_that_was_never_handed_over_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASA_TILEDESK_ENDPOINTS", "/nowhere.yml")  # reading it would fail
    assert run(ActionTiledeskRelay(), tracker(conversation(3))) == ([], [])


def test_what_the_user_says_while_a_human_has_the_conversation_is_queued_once(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    events = conversation(3)
    _, answered = run(ActionTiledeskHandoff(), tracker(events))
    slots = {"tiledesk_handoff": answered[0]["value"]}
    later = [*events, {"event": "user", "text": "hello?", "timestamp": 1_700_000_100.0, "message_id": "late"}]
    assert run(ActionTiledeskRelay(), tracker(later, slots)) == ([], [])
    assert run(ActionTiledeskRelay(), tracker(later, slots)) == ([], [])
    pending = runtime.runtime().ledger.pending(answered[0]["value"])
    assert [message.body["text"] for message in pending] == ["turn 1", "turn 2", "hello?"]


def test_the_slot_is_cleared_when_the_handoff_is_over(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    _, events = run(ActionTiledeskRelay(), tracker(conversation(1), {"tiledesk_handoff": "gone"}))
    assert [(event["name"], event["value"]) for event in events] == [("tiledesk_handoff", None)]


def test_a_new_session_keeps_the_bot_quiet_while_a_human_has_the_conversation(
    tiledesk: FakeTiledesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, tmp_path, tiledesk)
    _, answered = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    slots = {"tiledesk_handoff": answered[0]["value"], "name": "Ann", "empty": None}
    _, events = run(ActionSessionStart(), tracker(conversation(3), slots))
    assert names(events) == ["session_started", "slot", "slot", "slot", "pause", "action"]
    fresh = {"session_config": {"carry_over_slots_to_new_session": False}}
    _, events = run(ActionSessionStart(), tracker(conversation(3), slots), fresh)
    assert names(events) == ["session_started", "slot", "pause", "action"]


def test_a_new_session_of_everybody_else_is_rasas_own() -> None:
    _, events = run(ActionSessionStart(), tracker([], {"name": "Ann"}))
    assert names(events) == ["session_started", "slot", "action"]


def test_a_ledger_that_cannot_be_asked_keeps_the_bot_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASA_TILEDESK_ENDPOINTS", "/nowhere.yml")
    _, events = run(ActionSessionStart(), tracker([], {"tiledesk_handoff": "x"}))
    assert "pause" in names(events)


@pytest.mark.parametrize("action", [ActionTiledeskHandoff, ActionTiledeskRelay, ActionSessionStart])
def test_actions_can_be_pickled_as_rasa_sdk_does(action: type[Any]) -> None:
    assert pickle.loads(pickle.dumps(action())).name() == action().name()
