"""Waiting for what threads and servers do, without guessing how long they take."""

from __future__ import annotations

import time
from typing import Callable

__all__ = ["until"]


def until(happened: Callable[[], object], what: str = "it", *, seconds: float = 20.0) -> None:
    """Return as soon as it has happened; an AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.01)
