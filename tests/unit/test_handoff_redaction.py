"""A handoff keeps to itself what must not leave, and tells agents who the user is."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from rasa_tiledesk.handoff.history import newest_messages, redactor, speakers
from rasa_tiledesk.handoff.said import heard_last, said_of
from rasa_tiledesk.ledger import Duty
from rasa_tiledesk.settings import History
from rasa_tiledesk.testing import Fault
from tests.counting import calls
from tests.unit.conftest import World, conversation

SECRET = "C01X00T47"
SPELT = "c01x-00t 47"
RULES = [{"entity": "passport"}, "card"]


def naming(events: list[dict[str, Any]], place: int) -> list[dict[str, Any]]:
    """The conversation, in which the entity was recognised once."""
    named = [dict(event) for event in events]
    named[place]["parse_data"] = {"entities": [{"entity": "passport", "value": SECRET}]}
    return named


def saying(events: list[dict[str, Any]], *places: int) -> list[dict[str, Any]]:
    return [{**event, "text": f"it is {SPELT}"} if place in places else event for place, event in enumerate(events)]


@pytest.mark.parametrize("mode", ["staged", "direct"])
@pytest.mark.parametrize("named_at", [2, 100], ids=["old turn", "new turn"])
def test_a_value_named_once_leaves_in_no_turn_and_is_never_written_down(
    world: World, mode: str, named_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.settings = {"history": {"redact": RULES, "import": mode}}
    events = saying(naming(conversation(100), named_at), 2, 50, 90, 101)
    worker = world.worker()
    handoff = world.ask(events).handoff
    assert handoff is not None
    steps = world.ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)
    written = [json.dumps(dict(step.body)) for step in steps]
    world.work(worker, seconds=2)
    shown = json.dumps(world.tiledesk.messages(handoff.request_id)) + json.dumps(world.tiledesk.requests())
    assert shown.count("it is \\u2022\\u2022\\u2022\\u2022") >= 4
    for text in (shown, *written, json.dumps(dict(handoff.facts)), caplog.text):
        assert SPELT not in text
        assert SECRET not in text


def test_what_is_said_later_is_redacted_too(world: World) -> None:
    handoff = world.ask(conversation(2)).handoff
    assert handoff is not None
    later = [*naming(conversation(2), 2), {"event": "user", "text": SPELT, "timestamp": 1_800_000_000.0}]
    said, _ = heard_last(later, b"")
    assert said is not None
    (step,) = said_of([said], handoff, redactor(History(redact=RULES), later), []).steps
    assert step.body["message"]["text"] == "••••"


def test_what_the_bot_may_have_to_answer_later_is_redacted_too(world: World) -> None:
    handoff = world.ask(conversation(2)).handoff
    assert handoff is not None
    understood = {
        "intent": {"name": "check_in", "confidence": 1.0},
        "entities": [{"entity": "passport", "value": SECRET}, {"entity": "seats", "value": 2}],
    }
    later = [{"event": "user", "text": SPELT, "timestamp": 1_800_000_000.0, "parse_data": understood}]
    said, _ = heard_last(later, b"")
    assert said is not None
    (step,) = said_of([said], handoff, redactor(History(redact=RULES), later), []).steps
    assert step.body["said"] == {"intent": "check_in", "entities": {"passport": "••••", "seats": 2}}


def test_what_agents_read_in_their_list_is_redacted(world: World) -> None:
    world.settings = {"history": {"redact": ["card"]}}
    events = conversation(3)
    events[2]["text"] = "4242 4242 4242 4242"
    worker = world.worker()
    world.ask(events)
    world.work(worker, seconds=2)
    assert world.tiledesk.requests()[0]["first_text"] == "•••• 4242"


def test_the_opening_costs_a_glance_at_each_event_and_no_more() -> None:
    by, history = speakers("0" * 32, {"user_name": "Ann"}), History(redact=RULES)
    events = naming(conversation(10_000), 2)

    def cost(of: list[dict[str, Any]]) -> int:
        return calls(lambda: newest_messages(of, by, history, b""))

    cost(events[-100:])  # what is made at the first use is made
    # A glance at each event for the values that must not leave is eight calls; making a turn of it is eighty.
    assert cost(events) - cost(events[-100:]) < 20 * len(events)


def test_where_a_session_or_a_restart_began_agents_see_a_line(world: World) -> None:
    world.settings = {"history": {"scope": "all", "native_turns": 6}}
    first, second = conversation(6), conversation(4, start=1_700_100_000.0)
    for number, event in enumerate(second):
        event["message_id"] = f"n{number}"
    events: list[Any] = [*first, *second[:4], {"event": "restart", "timestamp": 1_700_100_003.5}, *second[4:]]
    world.rasa.add("ann", events)
    worker = world.worker()
    handoff = world.ask(events).handoff
    assert handoff is not None
    world.work(worker, seconds=2)
    summary, *native = world.said(handoff)
    assert "turn 3" in summary["text"]
    assert [message["text"].partition(",")[0] for message in native] == [
        *("turn 4", "turn 5", "A new session began", "turn 0", "turn 1"),
        *("The conversation was restarted", "turn 2", "turn 3"),
    ]
    lines = [message for message in native if message["attributes"].get("subtype") == "info"]
    assert [line["attributes"]["rasa"]["key"].partition("/")[2] for line in lines] == ["begin", "begin"]


def contact(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: request["lead"].get(name) for name in ("fullname", "email")}


@pytest.mark.parametrize("mode", ["staged", "direct"])
def test_agents_learn_who_the_user_is_and_tiledesk_no_address_to_mail_to(world: World, mode: str) -> None:
    world.settings = {
        "history": {"import": mode, "redact": ["card"]},
        "requester": {"slots": ["order.number", "notes", "empty"]},
    }
    events = conversation(3)
    events[-1]["metadata"] = {"assistant_id": "20260101-shop"}
    slots: dict[str, Any] = {"language": "de", "order.number": 17, "notes": "4242 4242 4242 4242", "private": "x"}
    worker = world.worker()
    world.ask(events, name="Ann", email="ann@example.com", **slots)
    world.work(worker, seconds=2)
    (request,) = world.tiledesk.requests()
    assert {name: value for name, value in request["attributes"].items() if name.startswith("rasa_")} == {
        "rasa_bot": "20260101-shop",
        "rasa_channel": "callback",
        "rasa_language": "de",
        "rasa_email": "ann@example.com",
        "rasa_slot_order_number": "17",
        "rasa_slot_notes": "•••• 4242",
    }
    assert [tag["tag"] for tag in request["tags"]] == ["20260101-shop"]
    assert contact(request) == {"fullname": "Ann", "email": None}


def test_who_was_a_guest_is_known_by_name_the_next_time(world: World) -> None:
    world.settings = {"requester": {"identity": "signed", "project_secret": world.tiledesk.project_secret}}
    worker = world.worker()
    first = world.ask(conversation(2)).handoff
    world.work(worker, seconds=2)
    assert first is not None
    assert str(contact(world.tiledesk.requests()[0])["fullname"]).startswith("Guest ")
    world.tiledesk.close_as_agent(first.request_id)
    world.work(worker, seconds=60)
    world.ask(conversation(2), name="Ann")
    world.work(worker, seconds=2)
    assert contact(world.tiledesk.requests()[0])["fullname"] == "Ann"


def test_what_agents_cannot_be_told_does_not_keep_the_user_from_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    attributes = "PATCH /{project}/requests/{request}/attributes"
    world.tiledesk.faults = lambda call: Fault("answer", status=403) if call.route == attributes else None
    worker = world.worker()
    world.ask(conversation(2))
    world.work(worker, seconds=2)
    assert world.tiledesk.requests()[0]["status"] == 200
    assert "agents see less of the user" in caplog.text
