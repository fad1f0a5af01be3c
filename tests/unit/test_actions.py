"""The actions as rasa-sdk runs them: what the user hears, what Rasa is told, whatever goes wrong."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from rasa_tiledesk import actions, runtime
from rasa_tiledesk.actions import ActionSessionStart, ActionTiledeskHandoff, ActionTiledeskRelay
from rasa_tiledesk.ledger import Duty, Kind, Life
from rasa_tiledesk.testing import FakeRasa, Fault
from tests.unit.acting import Acting, names, run, tracker
from tests.unit.conftest import conversation
from tests.waiting import until


def test_the_user_hears_the_bots_own_words_and_the_bot_is_paused(acting: Acting) -> None:
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert said[0]["response"] == "utter_tiledesk_connecting"
    assert names(events) == ["slot", "pause", "action"]
    assert events[-1]["name"] == "action_listen"
    assert runtime.runtime().ledger.handoffs.get(events[0]["value"]).life in (Life.OPEN, Life.LIVE)


def test_a_bot_without_responses_speaks_ours(acting: Acting) -> None:
    said, _ = run(ActionTiledeskHandoff(), tracker(conversation(3)), {})
    assert said[0]["text"].startswith("I'm connecting you with a colleague")


def test_a_user_is_told_that_they_wait_in_a_queue_when_nobody_is_free(acting: Acting) -> None:
    acting.tiledesk.set_available(acting.tiledesk.owner_id, False)
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)), {})
    assert said[0]["text"].startswith("All my colleagues are busy right now. You are in the queue")
    assert names(events) == ["slot", "pause", "action"]
    own = {"responses": {"utter_tiledesk_queued": [{"text": "hold the line"}]}}
    assert run(ActionTiledeskHandoff(), tracker(conversation(3), sender="bob"), own)[0][0]["response"] == (
        "utter_tiledesk_queued"
    )


def test_an_active_form_is_left(acting: Acting) -> None:
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
    acting: Acting, caplog: pytest.LogCaptureFixture, changes: dict[str, str], key: str
) -> None:
    acting.configure(**changes)
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert [message["text"] for message in said] == [
        "I'm sorry, I could not reach my colleagues just now. Go on with me, or ask again in a few minutes."
    ]
    assert events == []
    assert key in caplog.text
    assert "turn 0" not in caplog.text


def test_where_rasa_could_never_be_reached_nobody_is_paused_and_the_log_names_the_cause(
    acting: Acting, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeRasa(api=False) as closed:
        acting.configure(relay=f"{{rasa_url: {closed.url}}}")
        said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert (said[0]["text"][:9], events) == ("I'm sorry", [])
    assert "--enable-api" in caplog.text


def test_a_sender_id_that_rasas_api_cannot_name_is_refused_at_the_ask(
    acting: Acting, caplog: pytest.LogCaptureFixture
) -> None:
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3), sender="anna müller"))
    assert (said[0]["text"][:9], events) == ("I'm sorry", [])
    assert "cannot name this sender id" in caplog.text
    assert acting.tiledesk.requests() == []


def test_a_tiledesk_that_never_answers_is_given_up_in_time(
    acting: Acting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(actions, "BUDGET_SECONDS", 0.5)
    acting.tiledesk.faults = lambda call: Fault.hang()
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert said[0]["text"].startswith("I'm sorry")
    assert events == []
    assert "no answer" in caplog.text


def test_a_conversation_that_was_never_handed_over_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASA_TILEDESK_ENDPOINTS", "/nowhere.yml")  # reading it would fail
    assert run(ActionTiledeskRelay(), tracker(conversation(3))) == ([], [])


def test_what_the_user_says_while_a_human_has_the_conversation_is_carried_once(acting: Acting) -> None:
    events = conversation(3)
    handoff = acting.live("ann", events)
    slots = {"tiledesk_handoff": handoff.id}
    later = [*events, {"event": "user", "text": "hello?", "timestamp": 1_700_000_100.0, "message_id": "late"}]
    assert run(ActionTiledeskRelay(), tracker(later, slots, paused=True)) == ([], [])
    assert run(ActionTiledeskRelay(), tracker(later, slots, paused=True)) == ([], [])
    texts = [m["text"] for m in acting.tiledesk.messages(handoff.request_id) if "rasa" in m["attributes"]]
    assert texts[1:] == ["turn 0", "turn 1", "turn 2", "hello?"]


def test_the_slot_stays_until_the_bot_is_back_and_is_cleared_by_what_gives_it_back(acting: Acting) -> None:
    handoff = acting.live("ann", conversation(3))
    acting.rasa.says("ann", "hello?")
    acting.tiledesk.close_as_agent(handoff.request_id)
    until(lambda: any(e["event"] == "resume" for e in acting.rasa.events("ann")), "the end")
    back = next(e for e in acting.rasa.events("ann") if e["event"] == "slot" and e["value"] is None)
    assert back["name"] == "tiledesk_handoff"
    # A tracker that is not paused and has no open handoff: the bot is back.
    _, events = run(ActionTiledeskRelay(), tracker(conversation(1), {"tiledesk_handoff": handoff.id}))
    assert [(event["name"], event["value"]) for event in events] == [("tiledesk_handoff", None)]


def test_a_bot_that_is_paused_for_a_handoff_that_nobody_knows_is_given_back(acting: Acting) -> None:
    said = conversation(1)
    slot = {"event": "slot", "name": "tiledesk_handoff", "value": "gone"}
    left = [{**event, "timestamp": 1_700_000_002.0} for event in (slot, {"event": "pause"})]
    acting.rasa.add("ann", [*said, *left])
    assert run(ActionTiledeskRelay(), tracker(said, {"tiledesk_handoff": "gone"}, paused=True)) == ([], [])
    until(lambda: not acting.rasa.paused("ann"), "the end of the pause")
    until(lambda: len(acting.rasa.delivered["callback"]) == 2, "that the user is told")
    assert [m["text"][:20] for m in acting.rasa.delivered["callback"]] == [
        "The conversation wit",
        "Your last words did ",
    ]


def test_a_new_session_keeps_the_bot_quiet_while_a_human_has_the_conversation(acting: Acting) -> None:
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


def test_the_worker_starts_with_the_first_ask_where_no_server_has_started_it(acting: Acting) -> None:
    run(ActionTiledeskHandoff(), tracker(conversation(3)))  # no Sanic app: as under gRPC, or in Rasa's own process
    until(acting.tiledesk.requests, "that agents see it")


def _as_protobuf_has_it(value: Any) -> Any:
    """As rasa-sdk's gRPC server gives a tracker: every number a float, nothing that is false, null or empty."""
    if isinstance(value, dict):
        kept = {name: _as_protobuf_has_it(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in (None, False, "", [], {})}
    if isinstance(value, list):
        return [_as_protobuf_has_it(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_tracker_as_grpc_brings_it_is_taken(acting: Acting) -> None:
    acting.configure(requester="{slots: [orders]}")
    events = [{**event, "timestamp": int(event["timestamp"])} for event in conversation(3)]
    shaped = _as_protobuf_has_it(events)
    assert "parse_data" not in shaped[2]
    _, answered = run(ActionTiledeskHandoff(), tracker(shaped, {"orders": 3.0}, bare=True))
    assert names(answered) == ["slot", "pause", "action"]
    ledger = runtime.runtime().ledger
    handoff = ledger.handoffs.get(answered[0]["value"])
    until(lambda: ledger.handoffs.get(handoff.id).life is Life.LIVE, "that agents have it")
    slots = {"tiledesk_handoff": handoff.id, "orders": 3.0}
    late = {"event": "user", "text": "hello?", "timestamp": 1_700_000_100.0, "message_id": "late"}
    assert run(ActionTiledeskRelay(), tracker([*shaped, late], slots, bare=True)) == ([], [])  # not paused: the bot's
    steps = [step.kind for step in ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)]
    assert steps.count(Kind.MESSAGE) == 3
    assert run(ActionTiledeskRelay(), tracker([*shaped, late], slots, paused=True)) == ([], [])
    assert acting.tiledesk.messages(handoff.request_id)[-1]["text"] == "hello?"
