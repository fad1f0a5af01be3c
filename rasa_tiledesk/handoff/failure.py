"""What a failed call means for the step that made it: nothing was done, or refused, or nobody knows; and when again."""

from __future__ import annotations

from rasa_tiledesk.errors import (
    RasaApiError,
    RasaTiledeskError,
    TiledeskForbidden,
    TiledeskNotFound,
    TiledeskRateLimited,
    TiledeskRefused,
    TiledeskServerError,
    TiledeskTooLarge,
    TiledeskUnauthorized,
    TiledeskUnreachable,
)

__all__ = ["NotBegun", "again", "backoff", "cause_of", "is_refused", "nothing_was_done", "words_of"]

SHORT_BACKOFF, LONG_BACKOFF = 8.0, 60.0
PERSISTENT = 30  # after so many attempts in a row it is no hiccup: someone is waiting, but nobody is at work on it
LONGEST_ASKED_FOR = 600.0  # seconds of a Retry-After


class NotBegun(Exception):
    """What had to be known or made before the step failed; the step itself was not sent."""

    def __init__(self, cause: RasaTiledeskError) -> None:
        super().__init__(cause)
        self.cause = cause


def backoff(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt: doubling from 1 to 8, then 60; between half and the whole of it."""
    longest = SHORT_BACKOFF if attempts < PERSISTENT else LONG_BACKOFF
    return float(min(longest, 2.0 ** min(attempts, 10)) * (0.5 + jitter / 2))


def again(error: Exception, attempts: int, jitter: float) -> float:
    """Seconds until the next attempt, as long as the other side has asked for at least."""
    cause, pause = cause_of(error), backoff(attempts, jitter)
    if isinstance(cause, TiledeskRateLimited) and cause.retry_after is not None:
        return max(pause, min(cause.retry_after, LONGEST_ASKED_FOR))
    return pause


def cause_of(error: Exception) -> Exception:
    """What went wrong, whether before the step or in it."""
    return error.cause if isinstance(error, NotBegun) else error


def words_of(error: Exception) -> str:
    """The error in words that may be logged and kept."""
    return str(error) if isinstance(error, RasaTiledeskError) else type(error).__name__


def nothing_was_done(error: Exception) -> bool:
    """Whether the other side has provably done nothing, and the cause is not the step."""
    if isinstance(error, RasaApiError):
        return not error.sent or error.setup or error.status == 409
    never = (TiledeskUnreachable, TiledeskUnauthorized, TiledeskForbidden, TiledeskNotFound, TiledeskRateLimited)
    return isinstance(error, never)


def is_refused(error: Exception) -> bool:
    """Whether the other side has said no to this very step, in its own words.

    Tiledesk answers 500 to much of what it refuses, and Rasa when a channel refuses; both to their own troubles too.
    """
    if isinstance(error, RasaApiError):
        return error.status in (400, 500)
    if isinstance(error, TiledeskServerError):
        return error.own_words and error.status == 500
    if isinstance(error, TiledeskRefused):
        return error.own_words or isinstance(error, TiledeskTooLarge)
    return isinstance(error, ValueError)
