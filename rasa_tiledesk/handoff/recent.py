"""The history that an action brought, kept in memory for a worker of the same process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Callable

__all__ = ["Recent"]

KEEP_SECONDS = 120.0  # another server may have taken the handoff; it reads the tracker store if it must


class Recent:
    """Events by handoff, for a while.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: dict[str, tuple[float, Sequence[Mapping[str, Any]]]] = {}

    def keep(self, handoff_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """A worker will ask for them soon."""
        now = self._clock()
        with self._lock:
            self._events = {one: kept for one, kept in self._events.items() if now - kept[0] < KEEP_SECONDS}
            self._events[handoff_id] = now, events

    def events(self, handoff_id: str) -> Sequence[Mapping[str, Any]]:
        """What the action brought; nothing when it was another process's, or long ago."""
        with self._lock:
            return self._events.get(handoff_id, (0.0, ()))[1]
