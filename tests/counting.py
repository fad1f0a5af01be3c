"""What work costs, as a number that is the same on every machine, busy or not."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any, Callable

__all__ = ["all_readers_ended", "calls", "lines"]


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C."""
    count = 0

    def note(_frame: object, happened: str, _what: object) -> None:
        nonlocal count
        count += happened in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def lines(work: Callable[[], object]) -> int:
    """How many lines of Python are run."""
    count = 0

    def note(_frame: FrameType, happened: str, _what: object) -> Any:
        nonlocal count
        count += happened == "line"
        return note

    sys.settrace(note)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def all_readers_ended() -> bool:
    """Whether the threads that read a tracker store have ended, or do so now."""
    readers = [thread for thread in threading.enumerate() if thread.name == "tracker_store"]
    for thread in readers:
        thread.join(10)
    return not any(thread.is_alive() for thread in readers)
