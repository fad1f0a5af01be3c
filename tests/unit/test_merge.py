from __future__ import annotations

import copy
from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rasa_tiledesk.testing.conversations import load
from rasa_tiledesk.trackers import merge

Event = dict[str, Any]

# Few values, so that alike events are common.
events = st.lists(
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(["user", "bot", "action", "slot", "pause"]),
            "timestamp": st.sampled_from([1.5, 2.5]),
        },
        optional={"text": st.sampled_from(["a", "b", None]), "name": st.sampled_from(["x", "y", None])},
    ),
    max_size=12,
)
odd = st.sampled_from([None, True, -1, 10**400, float("nan"), float("inf"), Decimal("sNaN"), "now", "", [1], {"a": 1}])


def counted(conversation: list[Event]) -> Counter[str]:
    return Counter(repr((event["event"], event["timestamp"], name_of(event))) for event in conversation)


def name_of(event: Event) -> str:
    return str(event.get("name") or event.get("text"))


@given(events, events)
def test_loses_nothing_and_doubles_nothing(stored: list[Event], running: list[Event]) -> None:
    assert counted(merge(stored, running)) == counted(stored) | counted(running)


@given(events, events)
def test_keeps_the_order_of_both(stored: list[Event], running: list[Event]) -> None:
    merged = merge(stored, running)

    assert merged[: len(stored)] == stored
    added = iter(running)
    assert all(any(event == other for other in added) for event in merged[len(stored) :])


@given(events, events)
def test_changes_nothing_the_second_time(stored: list[Event], running: list[Event]) -> None:
    merged = merge(stored, running)

    assert merge(merged, running) == merged
    assert merge(merged, stored) == merged


@given(st.lists(st.dictionaries(st.sampled_from(["event", "timestamp", "text", "name", "message_id"]), odd)))
def test_never_raises(garbage: list[Event]) -> None:
    assert merge(garbage, garbage) == garbage


@given(st.integers(0, 83), st.integers(0, 83))
def test_puts_a_recorded_conversation_together(saved: int, from_: int) -> None:
    """The store lacks the running turn, and the webhook what came before the running session."""
    whole = load("shop")
    assert merge(whole[:saved], whole[min(from_, saved) :]) == whole


def test_knows_an_event_again_whatever_a_store_made_of_it() -> None:
    stored = load("shop")
    running = copy.deepcopy(stored)
    for event in running:
        event["metadata"] = {"model_id": "another"}
        event["timestamp"] = Decimal(str(event["timestamp"])).quantize(Decimal("1e-9"))

    assert merge(stored, running) == stored


def test_keeps_equal_messages_of_one_turn() -> None:
    beep = {"event": "bot", "text": "beep", "timestamp": 1.5}

    assert merge([beep, beep], [beep, beep, beep]) == [beep, beep, beep]
    assert merge([beep, beep], [beep]) == [beep, beep]


def test_is_linear() -> None:
    stored = [{"event": "bot", "text": "beep", "timestamp": 1.5} for _ in range(100_000)]

    assert len(merge(stored, stored)) == 100_000


def test_times_are_the_same_to_a_millionth_of_a_second() -> None:
    said = {"event": "bot", "text": "beep", "timestamp": 1.5}

    assert merge([said], [{**said, "timestamp": 1.5000004}]) == [said]
    assert len(merge([said], [{**said, "timestamp": 1.5000006}])) == 2
