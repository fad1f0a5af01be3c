"""How much time is left: one budget carried through a chain of calls."""

from __future__ import annotations

import time
from typing import Callable

__all__ = ["Deadline"]


class Deadline:
    """A point in time after which nobody waits for the answer any more.

    Args:
        seconds: the budget from now.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - self._clock())

    def expired(self) -> bool:
        """Whether the budget is spent."""
        return self.remaining() <= 0.0
