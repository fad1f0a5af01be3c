"""What the store holds and what the action's webhook brought, each event once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["merge"]

Event = dict[str, Any]


def merge(stored: Sequence[Event], running: Sequence[Event]) -> list[Event]:
    """All events of a conversation: the stored ones, then those that only the webhook brought, in their own order.

    Events have no id, and the two copies of one event may differ in metadata and in the type of their numbers, so an
    event is known by what it is, when it happened and what it says. Where several are alike even in that (clocks that
    tick in milliseconds, events posted with a time of their own) as many are kept as the side with more of them has.

    Args:
        stored: all sessions, as the tracker store holds them.
        running: `tracker.events` of the action's webhook: the running session, or in a session's first turn the last
            one too, and always the turn that is not stored yet.
    """
    brought = set(_keys(running))  # the store may hold far more than that
    unmatched = Counter(key for key in _keys(stored) if key in brought)
    new = []
    for event, key in zip(running, _keys(running)):
        if unmatched[key] > 0:
            unmatched[key] -= 1
        else:
            new.append(event)
    return [*stored, *new]


def _keys(events: Iterable[Mapping[str, Any]]) -> Iterable[Hashable]:
    for event in events:
        # A user event has a message_id (None when it came from outside), action, slot and loop events have a name.
        says = event.get("message_id") or event.get("name") or event.get("text")
        yield str(event.get("event")), _microseconds(event.get("timestamp")), str(says)


def _microseconds(timestamp: object) -> int | None:
    # DynamoDB gives a Decimal with 9 digits for what was a float (rasa 3.6.21, core/utils.py).
    try:
        return round(float(timestamp) * 1_000_000)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
