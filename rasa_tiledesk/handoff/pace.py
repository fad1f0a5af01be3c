"""How fast one sender may speak to Tiledesk.

Its chat engine drops messages, without an error, that exceed 30 in a burst and 30 a minute from one sender id
(chat21-server 0.2.55 and later with Redis, services/RateManager.js:23-26; read, not run). We stay a little below.
"""

from __future__ import annotations

import threading
import time
from typing import Callable

__all__ = ["Pace"]


class Pace:
    """A token bucket a sender id.

    Args:
        burst: messages at once.
        per_minute: messages a minute after that.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self, *, burst: int = 28, per_minute: float = 28.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = float(burst)
        self._rate = per_minute / 60.0
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, sender: str) -> float:
        """0.0, and one message is counted; or the seconds until the sender may speak again."""
        now = self._clock()
        with self._lock:
            tokens, since = self._buckets.get(sender, (self._burst, now))
            tokens = min(self._burst, tokens + (now - since) * self._rate)
            if tokens < 1.0:
                return (1.0 - tokens) / self._rate
            self._buckets[sender] = (tokens - 1.0, now)
            if len(self._buckets) > 1_000:
                self._forget_full(now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            sender: (tokens, since)
            for sender, (tokens, since) in self._buckets.items()
            if tokens + (now - since) * self._rate < self._burst
        }
