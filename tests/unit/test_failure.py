"""What a failed call means, and when the next is made."""

from __future__ import annotations

import pytest

from rasa_tiledesk.errors import (
    RasaApiError,
    TiledeskDisconnected,
    TiledeskForbidden,
    TiledeskNonsense,
    TiledeskNotFound,
    TiledeskRateLimited,
    TiledeskRefused,
    TiledeskServerError,
    TiledeskTimeout,
    TiledeskTooLarge,
    TiledeskUnauthorized,
    TiledeskUnreachable,
)
from rasa_tiledesk.handoff.failure import NotBegun, again, backoff, is_refused, nothing_was_done, words_of


def test_the_pause_doubles_from_one_second_to_eight_and_is_a_minute_after_thirty_attempts() -> None:
    assert [backoff(attempts, 1.0) for attempts in (0, 1, 2, 3, 4, 29)] == [1, 2, 4, 8, 8, 8]
    assert [backoff(attempts, 1.0) for attempts in (30, 31, 10_000)] == [60, 60, 60]


def test_the_pause_is_between_half_and_the_whole_of_it() -> None:
    assert (backoff(3, 0.0), backoff(3, 0.5), backoff(30, 0.0)) == (4, 6, 30)


@pytest.mark.parametrize(("asked_for", "pause"), [(None, 2), (1.0, 2), (30.0, 30), (600.0, 600), (1e6, 600)])
def test_what_the_other_side_asks_for_is_waited_for_but_no_longer_than_ten_minutes(
    asked_for: float | None, pause: float
) -> None:
    limited = TiledeskRateLimited("POST /x", "slowly", retry_after=asked_for)
    assert again(limited, 1, 1.0) == pause
    assert again(NotBegun(limited), 1, 1.0) == pause


@pytest.mark.parametrize(
    ("error", "nothing", "refused"),
    [
        (TiledeskUnreachable("c", "d"), True, False),
        (TiledeskUnauthorized("c", "d", status=401, own_words=True), True, True),
        (TiledeskForbidden("c", "d", status=403), True, False),
        (TiledeskNotFound("c", "d", status=404), True, False),
        (TiledeskRateLimited("c", "d"), True, False),
        (TiledeskTimeout("c", "d"), False, False),
        (TiledeskDisconnected("c", "d"), False, False),
        (TiledeskNonsense("c", "d", status=400), False, False),
        (TiledeskServerError("c", "d", status=500), False, False),
        (TiledeskServerError("c", "d", status=500, own_words=True), False, True),
        (TiledeskServerError("c", "d", status=503, own_words=True), False, False),
        (TiledeskRefused("c", "d", status=422, own_words=True), False, True),
        (TiledeskRefused("c", "d", status=422), False, False),
        (TiledeskTooLarge("c", "d", status=413), False, True),
        (RasaApiError("m", sent=False), True, False),
        (RasaApiError("m", status=401, setup=True), True, False),
        (RasaApiError("m", status=409), True, False),
        (RasaApiError("m", status=400), False, True),
        (RasaApiError("m", status=500), False, True),
        (RasaApiError("m", status=503), False, False),
        (RasaApiError("m"), False, False),
        (ValueError("too long"), False, True),
        (KeyError("x"), False, False),
    ],
    ids=repr,
)
def test_what_provably_did_nothing_and_what_is_a_no_to_this_very_step(
    error: Exception, nothing: bool, refused: bool
) -> None:
    assert (nothing_was_done(error), is_refused(error)) == (nothing, refused)


def test_words_of_an_error_that_is_none_of_ours_are_its_type_alone() -> None:
    assert words_of(TiledeskTimeout("POST /x", "no answer")) == "Tiledesk: POST /x failed: no answer"
    assert words_of(KeyError("hush")) == "KeyError"
