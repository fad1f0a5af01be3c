"""Calls that the fake desk has received and obeys later, whether or not their callers still wait."""

from __future__ import annotations

import threading
from typing import Callable

from rasa_tiledesk.testing._desk_routes import Reply

__all__ = ["LateCall", "LateCalls"]

_PATIENCE = 10.0


class LateCall:
    """One call that has not taken effect yet."""

    def __init__(self, run: Callable[[], Reply | None]) -> None:
        self._run = run
        self._reply: Reply | None = None
        self._over = threading.Event()

    def take_effect(self) -> None:
        """Do what the call asks."""
        self._reply = self._run()
        self._over.set()

    def drop(self) -> None:
        """Let the caller go; the call never takes effect."""
        self._over.set()

    def reply(self) -> Reply | None:
        """Wait until it has taken effect; None for never answering."""
        self._over.wait()
        return self._reply


class LateCalls:
    """All of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: list[LateCall] = []
        self._timed: dict[LateCall, threading.Timer] = {}
        self._closed = False

    def hold(self, run: Callable[[], Reply | None], seconds: float | None) -> LateCall:
        """Keep a call for so long, or until it is let through."""
        call = LateCall(run)
        with self._changed:
            if self._closed:
                call.drop()
            elif seconds is None:
                self._held.append(call)
                self._changed.notify_all()
            else:
                timer = threading.Timer(seconds, self._time_is_up, [call])
                timer.daemon = True
                self._timed[call] = timer
                timer.start()
        return call

    def _time_is_up(self, call: LateCall) -> None:
        with self._changed:
            ours = self._timed.pop(call, None)
        if ours is not None:
            call.take_effect()

    def let_through(self, at_least: int) -> int:
        """Let those that are held without a time take effect; how many."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) >= at_least, _PATIENCE)
            held, self._held = self._held, []
        for call in held:
            call.take_effect()
        return len(held)

    def close(self) -> None:
        """Drop them all."""
        with self._changed:
            self._closed = True
            for timer in self._timed.values():
                timer.cancel()
            for call in (*self._held, *self._timed):
                call.drop()
            self._held, self._timed = [], {}
