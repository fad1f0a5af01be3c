"""Rasa's clock is another than Tiledesk's: agents read the conversation in the order in which it was said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.clocks import shift_ms
from rasa_tiledesk.ledger import Handoff
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk
from rasa_tiledesk.trackers import TrackerReader
from tests.unit.conftest import World, conversation
from tests.unit.talking import comes_to_rest, heard, pauses, says

OURS = ("opening",)


class Stored(TrackerReader):
    """A tracker store that has these events."""

    def __init__(self, events: Sequence[Any]) -> None:
        self._events = events

    def events(self, sender_id: str, **_: Any) -> Any:
        return list(self._events)

    def close(self) -> None:
        pass


def asks(world: World, events: Sequence[Any], *, running: bool = True) -> Handoff:
    world.rasa.add("ann", list(events))
    handoff = world.asking().ask(Ask("ann", events, {}, "callback", running=running), Deadline(8)).handoff
    assert handoff is not None
    pauses(world, handoff)
    return handoff


def chat(world: World, handoff: Handoff) -> list[dict[str, Any]]:
    """What the agent's chat shows in its order, but for the lines of the system and our opening."""
    shown = world.tiledesk.agents_chat(handoff.request_id)
    said = [one for one in shown if one["sender"] != "system"]
    return [one for one in said if (one["attributes"].get("rasa") or {}).get("key") not in OURS]


@pytest.mark.parametrize("mode", ["staged", "direct"])
@pytest.mark.parametrize("ahead", [-90.0, -3.0, 0.0, 3.0, 90.0, 7200.0])
def test_agents_read_the_order_of_speaking_whatever_rasas_clock_says(world: World, ahead: float, mode: str) -> None:
    world.settings, ticks = {"history": {"import": mode}}, itertools.count()
    rasa = FakeRasa(clock=lambda: world.clock() + ahead + next(ticks) / 1000)
    with FakeTiledesk(chat21=True, clock=world.clock) as world.tiledesk, rasa as world.rasa:
        worker = world.worker()
        handoff = asks(world, conversation(5, start=world.clock.seconds + ahead - 5))
        world.work(worker, seconds=5)
        world.tiledesk.agent_says(handoff.request_id, "how can I help?")
        world.work(worker, seconds=5)
        says(world, "my order")
        world.clock.seconds += 1
        world.tiledesk.agent_says(handoff.request_id, "which one?")
        world.work(worker, seconds=5)
        says(world, "the last")
        said = [f"turn {number}" for number in range(5)]
        texts = [one["text"] for one in chat(world, handoff)]
        assert texts == [*said, "how can I help?", "my order", "which one?", "the last"]
        assert heard(world)[-2:] == ["how can I help?", "which one?"]
        assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("ahead", [-90.0, 90.0])
def test_the_history_keeps_its_distances_and_ends_now(world: World, ahead: float) -> None:
    with FakeTiledesk(chat21=True, clock=world.clock) as world.tiledesk:
        worker, now = world.worker(), world.clock.seconds
        handoff = asks(world, conversation(4, start=now + ahead - 4))
        world.work(worker, seconds=5)
        times = [one["timestamp"] / 1000 for one in chat(world, handoff)]
        assert times == pytest.approx([now - 3, now - 2, now - 1, now], abs=1.0)
        assert [later - earlier for earlier, later in zip(times, times[1:])] == pytest.approx([1.0] * 3)


def test_a_difference_of_seconds_that_a_call_takes_moves_nothing(world: World) -> None:
    with FakeTiledesk(chat21=True, clock=world.clock) as world.tiledesk:
        worker, start = world.worker(), world.clock.seconds - 5
        handoff = asks(world, conversation(4, start=start))
        world.work(worker, seconds=5)
        assert [one["timestamp"] / 1000 for one in chat(world, handoff)] == [start + turn for turn in (1, 2, 3, 4)]


def test_the_summary_of_older_turns_is_moved_alike(world: World) -> None:
    world.settings = {"history": {"native_turns": 2}}
    with FakeTiledesk(chat21=True, clock=world.clock) as world.tiledesk:
        events = conversation(6, start=world.clock.seconds - 7206)
        world.reader = Stored(events)
        worker = world.worker()
        handoff = asks(world, events)
        world.work(worker, seconds=5)
        summary, *native = chat(world, handoff)
        assert [one["text"] for one in native] == ["turn 4", "turn 5"]
        lines = summary["text"].splitlines()
        assert [line.split("  ")[0] for line in lines[1:]] == ["2027-01-15 07:59"] * 4
        assert summary["timestamp"] < native[0]["timestamp"]


def test_a_conversation_handed_over_long_after_it_was_said_keeps_its_times(world: World) -> None:
    with FakeTiledesk(chat21=True, clock=world.clock) as world.tiledesk:
        worker = world.worker()
        handoff = asks(world, conversation(2, start=1_700_000_000.0), running=False)
        world.work(worker, seconds=5)
        assert [one["timestamp"] for one in chat(world, handoff)] == [1_700_000_001_000, 1_700_000_002_000]


@pytest.mark.parametrize(
    ("events", "running", "now", "expected"),
    [
        ([{"timestamp": 100.0}], True, 190.0, 90_000),
        ([{"timestamp": 190.0}], True, 100.0, -90_000),
        ([{"timestamp": 100.0}], True, 101.9, 0),
        ([{"timestamp": 100.0}], False, 190.0, 0),
        ([{"timestamp": 100.0}], True, None, 0),
        # Asked for by a trigger, long after the last words: the newest event is of now, the newest turn is not.
        ([{"event": "user", "text": "hi", "timestamp": 10.0}, {"event": "action", "timestamp": 100.0}], True, 100.5, 0),
        ([{"timestamp": 100.0}, {"timestamp": "nonsense"}, {"timestamp": 10**400}, {}], True, 190.0, 90_000),
        ([], True, 190.0, 0),
    ],
)
def test_how_far_the_history_is_moved(events: list[Any], running: bool, now: float | None, expected: int) -> None:
    assert shift_ms(Ask("ann", events, running=running), now) == expected
