"""What of the stored events a handoff reads, and what it makes of them together with the webhook's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.stored import whole_history
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.trackers import merge
from rasa_tiledesk.transcript import in_scope, read_turns

Event = dict[str, Any]


class Store:
    """A tracker store that remembers how many events it was asked for."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = list(events)
        self.asked: list[int | None] = []

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[Event]:
        self.asked.append(newest)
        return list(self._events) if newest is None else self._events[max(0, len(self._events) - newest) :]

    def close(self) -> None: ...


def settings(**history: Any) -> Settings:
    return Settings(url="http://desk", project_id="0" * 24, history=history)


def history_of(store: Store, running: Sequence[Event], **history: Any) -> list[Any]:
    events, unreadable = whole_history(running, "ann", settings(**history), store, Deadline(5))
    assert not unreadable
    return events


def session(turns: int, start: float) -> list[Event]:
    """A session in which much is said to programs and little to people, in bursts."""
    draw = random.Random(start)
    events = [{"event": "session_started", "timestamp": start}]
    while turns:
        start += 1
        kind = draw.choice(["user", "bot", "slot", "slot", "external"])
        text = f"EXTERNAL: {start}" if kind == "external" else f"{start}"
        event = "user" if kind == "external" else kind
        events.append({"event": event, "timestamp": start, "name": kind, "text": text})
        turns -= kind in ("user", "bot")
    return events


@pytest.mark.parametrize("last", [1, 7, 50, 400])
@pytest.mark.parametrize("running_turns", [0, 1, 60, 300])
def test_the_last_turns_are_the_same_as_of_all_events(last: int, running_turns: int) -> None:
    earlier = [event for number in range(5) for event in session(70, 10_000.0 * number)]
    running = session(running_turns, 60_000.0) if running_turns else []
    stored = [*earlier, *running[: len(running) * 2 // 3]]

    found = history_of(Store(stored), running, scope={"last": last})
    assert in_scope(read_turns(found), "all", last=last) == in_scope(
        read_turns(merge(stored, running)), "all", last=last
    )


def test_the_last_turns_cost_what_they_are_and_not_what_the_conversation_is() -> None:
    store = Store(session(5_000, 1.0))

    found = history_of(store, [], scope={"last": 50})
    assert len(found) < 1_500
    assert None not in store.asked


@pytest.mark.parametrize("rule", [{"entity": "passport"}, {"slot": "iban"}])
def test_a_value_named_long_ago_is_looked_for_in_all_events(rule: dict[str, str]) -> None:
    store = Store(session(500, 1.0))

    history_of(store, [], scope={"last": 50}, redact=[rule])
    assert store.asked == [None]


@pytest.mark.parametrize("scope", ["all", {"hours": 24}])
def test_another_scope_reads_all(scope: Any) -> None:
    store = Store(session(500, 1.0))

    history_of(store, [], scope=scope)
    assert store.asked == [None]
