"""What all readers share: a bound on the time, events told from garbage, errors in words without secrets."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from typing import Any, Callable, TypeVar

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError

__all__ = [
    "SAYING",
    "SESSION_START",
    "Attempt",
    "driver",
    "events_among",
    "in_time",
    "in_words",
    "newest_of",
    "require_text",
    "whole_number",
]

logger = logging.getLogger(__name__)

# The types of events a transcript is made of, what was said and what is known of it; the action that begins a session
# is one more. The others, more than half of all, are Rasa's own business and would only cost time and memory.
SAYING = ("user", "bot", "agent", "slot", "reset_slots", "entities", "session_started", "restart")
SESSION_START = "action_session_start"

_Result = TypeVar("_Result")

# Of the time left, so that a driver that gives up says why before we give up on it.
_DRIVERS_SHARE = 0.9


class Attempt(Deadline):
    """The time that a driver has for one read, and how to end what it does when that is over.

    A driver's own timeouts do not end it for sure: a socket's begins anew with every byte, and psycopg2 has none once
    it is connected.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._over = False
        self._ends: list[Callable[[], object]] = []

    def ends_by(self, hang_up: Callable[[], object]) -> None:
        """Call this when the read is given up, at once where it was; from another thread, perhaps more than once."""
        self._ends.append(hang_up)
        if self._over:
            self.end()

    def end(self) -> None:
        """The read is given up."""
        self._over = True
        for hang_up in list(self._ends):
            with contextlib.suppress(Exception):  # the driver may have let go of the connection meanwhile
                hang_up()


def in_time(read: Callable[[Attempt], _Result], deadline: Deadline, *, check: str) -> _Result:
    """What `read` gives, or an error when the time is over, whatever it is doing then.

    On a thread of its own: no driver bounds all it does. Names are looked up without a timeout, a socket's timeout
    begins anew with every byte, psycopg2 waits two seconds for a connection at least. A read that is given up is hung
    up where it said how, else ends by its driver's own timeouts; its thread does not keep the process alive.

    Args:
        read: reads; gets a deadline a little earlier than ours, for its driver, and says there how to hang up.
        deadline: when to give up.
        check: the keys of `tracker_store` to check, for the error.

    Raises:
        TrackerStoreError: no time was left, or it ran out, or `read` raised whatever it was: what a driver makes of an
            answer that is garbage is not known beforehand.
    """
    seconds = deadline.remaining()
    if seconds <= 0:
        raise TrackerStoreError("tracker_store: no time left to read it")
    outcome: Future[_Result] = Future()
    attempt = Attempt(seconds * _DRIVERS_SHARE)

    def run() -> None:
        try:
            outcome.set_result(read(attempt))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="tracker_store", daemon=True).start()
    try:
        return outcome.result(timeout=deadline.remaining())
    except TrackerStoreError:
        raise
    except Exception as error:
        # On Python 3.11 a driver's timeout may be of the class of ours; its other words may hold anything.
        late = isinstance(error, NotDone) and not outcome.done()
        if late:
            attempt.end()
        why = f"no answer within {seconds:.1f} s" if late else f"{type(error).__name__} while it was read"
        raise TrackerStoreError(f"tracker_store: {why} (check its {check})") from error


def events_among(items: Iterable[Any]) -> list[dict[str, Any]]:
    """The events a transcript is made of, in order; what is no event at all is left out and counted in the log."""
    events = []
    broken = 0
    for item in items:
        if not isinstance(item, dict):
            broken += 1
        elif item.get("event") in SAYING or (item.get("event") == "action" and item.get("name") == SESSION_START):
            events.append(item)
    if broken:
        logger.warning("tracker_store: %d rows of one conversation hold no event and were left out", broken)
    return events


def newest_of(events: list[dict[str, Any]], newest: int | None) -> list[dict[str, Any]]:
    """The last so many; all for None."""
    return events if newest is None else events[max(0, len(events) - newest) :]


def driver(module: str, *, extra: str) -> Any:
    """The driver's module, imported now: nobody needs the driver of another store.

    Raises:
        TrackerStoreError: it is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        install = f"pip install 'rasa-tiledesk[{extra}]'"
        raise TrackerStoreError(f"tracker_store: its driver is missing: {install}") from None


def require_text(section: Mapping[str, Any], *keys: str) -> None:
    """Refuse what is not a plain value: a reference to a secrets manager of Rasa Pro, a list.

    Raises:
        TrackerStoreError: names the key.
    """
    for key in keys:
        if isinstance(section.get(key), (Mapping, list)):
            raise TrackerStoreError(f"tracker_store.{key} must be text, such as ${{VARIABLE}}, not a reference")


def whole_number(section: Mapping[str, Any], key: str, default: int) -> int:
    """A number, which a variable of the environment gives as text.

    Raises:
        TrackerStoreError: names the key.
    """
    value = section.get(key, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):  # .inf
        raise TrackerStoreError(f"tracker_store.{key} must be a number") from None


def in_words(error: BaseException, *secrets: object) -> str:
    """The driver's own words on one line, without the secrets."""
    words = " ".join(str(error).split()) or type(error).__name__
    for secret in secrets:
        if secret:
            words = words.replace(str(secret), "***")
    return words
