"""The events of a whole conversation: what the action brought, and what the tracker store has of earlier sessions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.handoff.asked import Event
from rasa_tiledesk.handoff.history import BEFORE, turns_of
from rasa_tiledesk.settings import EntityRule, History, LastTurns, Settings, SlotRule
from rasa_tiledesk.trackers import TrackerReader, merge

__all__ = ["whole_history"]

logger = logging.getLogger(__name__)

STORE_SECONDS = 3.0  # how long the tracker store may take while a user waits


def whole_history(
    running: Sequence[Event], sender_id: str, settings: Settings, reader: TrackerReader, deadline: Deadline
) -> tuple[list[Event], bool]:
    """The events of all sessions that the scope may need, and whether the tracker store could not be read.

    The running session needs no store when the webhook brought its beginning.
    """
    if settings.history.scope == "session" and any(event.get("event") == "session_started" for event in running):
        return list(running), False
    try:
        stored = _stored(
            running, sender_id, settings.history, reader, Deadline(min(STORE_SECONDS, deadline.remaining()))
        )
    except TrackerStoreError as error:
        logger.error("earlier history left out: %s", error)
        return list(running), True
    return [*merge(stored, [dict(event) for event in running])], False


def _stored(
    running: Sequence[Event], sender_id: str, history: History, reader: TrackerReader, deadline: Deadline
) -> list[dict[str, Any]]:
    """What the store holds: of a `last: N` the newest events, so that it costs what N turns cost; else all.

    A value that must not leave may have been named by an entity or a slot long ago: then all are read too.
    """
    by_value = any(isinstance(rule, (EntityRule, SlotRule)) for rule in history.redact)
    if not isinstance(history.scope, LastTurns) or by_value:
        return reader.events(sender_id, deadline=deadline)
    turns = max(history.scope.last, len(turns_of(running, b""))) + BEFORE
    newest = 3 * turns  # slots and beginnings of sessions are among them, and what is said to programs
    while True:
        stored = reader.events(sender_id, deadline=deadline, newest=newest)
        if len(stored) < newest or len(turns_of(stored, b"")) >= turns:
            return stored
        newest *= 4
