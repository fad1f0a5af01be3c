"""One call of Tiledesk: sent, repeated where that is safe, and its answer or failure read.

Tiledesk words its refusals in five ways (`msg`, `message`, `error`, `err`, `errors`), as plain text, or as a 200 with
``success: false``; here they all become the errors of `rasa_tiledesk.errors`. What stands between us and Tiledesk
answers too: its no is no word about the call, and never taken for Tiledesk's.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from typing import Any, Callable
from urllib.parse import quote, urlsplit

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import (
    TiledeskDisconnected,
    TiledeskError,
    TiledeskForbidden,
    TiledeskNonsense,
    TiledeskNotFound,
    TiledeskRateLimited,
    TiledeskRefused,
    TiledeskServerError,
    TiledeskTimeout,
    TiledeskTooLarge,
    TiledeskUnauthorized,
    TiledeskUncertain,
    TiledeskUnreachable,
)
from rasa_tiledesk.http import Answer, Http, NoAnswer, NotSent
from rasa_tiledesk.tiledesk.words import has_own_words, moment, plain, shown, words

__all__ = ["Transport"]

ATTEMPTS = 3
BACKOFF = 0.2  # seconds before the first repeat, doubled each time, with up to as much again as jitter
BUDGET = 20.0  # seconds for a call and its repeats when the caller gives no deadline

_URL_HINT = "check tiledesk.url"


class Transport:
    """Calls one server; safe to share between threads.

    Args:
        url: the API's base; may carry a path.
        project_id: the project, to tell a wrong project from a wrong url.
        http: the connection pool.
        sleep: waits between repeats.
        jitter: a number from 0 to 1.
        clock: the local time in seconds since 1970.

    Attributes:
        clock_offset: Tiledesk's time minus the local time, in seconds, at the last answer that told the time; None
            before the first. A `Date` header has whole seconds, so it is right to half of one plus half of what the
            call took. Behind a proxy such as nginx, which writes its own `Date`, it is the proxy's time.
    """

    def __init__(
        self,
        url: str,
        project_id: str,
        http: Http,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock_offset: float | None = None
        self._url = url.rstrip("/")
        self._project_id = project_id
        self._http = http
        self._sleep = sleep
        self._jitter = jitter
        self._clock = clock

    def call(
        self,
        method: str,
        path: str,
        *,
        ids: Mapping[str, str] | None = None,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        authorization: str | None = None,
        deadline: Deadline | None = None,
        repeatable: bool = False,
    ) -> Any:
        """Make a call and return the JSON it answers.

        Args:
            method: the HTTP method.
            path: with ids as ``{request}``; errors show it as it stands here.
            ids: what to put there, besides ``{project}``.
            body: sent as JSON.
            params: the query.
            authorization: the header of that name.
            deadline: the repeats and their pauses fit in it.
            repeatable: the call may be made again although an earlier try may have taken effect.

        Raises:
            TiledeskError: see `rasa_tiledesk.errors`.
        """
        limit = deadline or Deadline(BUDGET)
        name = f"{method} {path}"
        known = {"project": self._project_id, **(ids or {})}
        url = self._url + path.format(**{key: quote(value, safe="") for key, value in known.items()})
        headers = {"Authorization": authorization} if authorization else {}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(name, method, url, body, params, headers, limit)
            except TiledeskError as error:
                pause = self._pause(error, attempt, repeatable=repeatable)
                if pause is None or attempt == ATTEMPTS or pause >= limit.remaining():
                    raise
            self._sleep(pause)
        raise AssertionError("unreachable")

    def _pause(self, error: TiledeskError, attempt: int, *, repeatable: bool) -> float | None:
        """Seconds until the next try, or None when there must be none."""
        backoff = BACKOFF * float(2 ** (attempt - 1)) * (1 + self._jitter())
        if isinstance(error, TiledeskRateLimited):
            return max(backoff, error.retry_after or 0.0)
        if isinstance(error, TiledeskUnreachable) or (repeatable and isinstance(error, TiledeskUncertain)):
            return backoff
        return None

    def _once(
        self,
        name: str,
        method: str,
        url: str,
        body: Any,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        deadline: Deadline,
    ) -> Any:
        before = self._clock()
        try:
            answer = self._http.call(method, url, json=body, params=params, headers=headers, deadline=deadline)
        except NotSent as error:
            raise TiledeskUnreachable(name, str(error), hint=_URL_HINT) from None
        except NoAnswer as error:
            failure = TiledeskTimeout if error.timed_out else TiledeskDisconnected
            raise failure(name, str(error)) from None
        said = moment(answer.headers.get("Date", ""))
        if said is not None:
            # The header's second has half gone by on average; it was written half-way through the call.
            self.clock_offset = said + 0.5 - (before + self._clock()) / 2
        return self._read(name, answer)

    def _read(self, name: str, answer: Answer) -> Any:
        status = answer.status
        try:
            data, is_json = answer.json(), True
        except ValueError:
            data, is_json = None, False
        own = has_own_words(data)
        if 200 <= status < 300:
            if not is_json:
                raise TiledeskNonsense(name, "the answer is not JSON", status=status, hint=_URL_HINT)
            if isinstance(data, dict) and data.get("success") is False:
                raise TiledeskRefused(name, words(data), status=status, own_words=True)
            return data
        if 300 <= status < 400:
            detail = f"redirects to {_host(answer.headers.get('Location', ''))}"
            raise TiledeskNonsense(name, detail, status=status, hint=f"{_URL_HINT}: it must not redirect")
        detail = words(data) if is_json else plain(answer.body)
        hint = "" if is_json or "<" not in answer.body[:200].decode("latin-1") else f"{_URL_HINT}: a web page answered"
        if own:
            self._know_project(name, status, detail)
        if status == 429:
            after = self._retry_after(answer.headers.get("Retry-After", ""))
            raise TiledeskRateLimited(name, detail, hint=hint, own_words=own, retry_after=after)
        if status == 403 and "belong to the project" in detail:
            hint = "check tiledesk.project_id, or invite this account into the project"
        elif status == 403 and "role" in detail:
            hint = "the account needs the role agent, and admin for subscriptions; tiledesk.email says which account"
        failure = _FAILURES.get(status)
        if failure is None and status >= 500:
            failure = TiledeskServerError
        elif failure is None and own and 400 <= status < 500 and status not in _NEVER_TILEDESKS:
            failure = TiledeskRefused
        elif failure is None:
            failure = TiledeskNonsense
            hint = hint or f"{_URL_HINT}: something between here and Tiledesk answered"
        raise failure(name, detail, status=status, hint=hint, own_words=own)

    def _know_project(self, name: str, status: int, detail: str) -> None:
        """Raise TiledeskNotFound when Tiledesk says that it does not know the project."""
        found = re.match(r"(?:Invalid project id|Project not found with id): ?(\S*)", detail) if status == 400 else None
        if found and found.group(1) != self._project_id:
            detail = f"the server took {found.group(1)!r} for the project id"
            hint = f"{_URL_HINT}: its path does not fit this server"
        elif found or (status == 500 and detail.startswith("project not found")):  # so says GET /projects/... (seen)
            detail, hint = "the project is unknown", "check tiledesk.project_id"
        else:
            return
        raise TiledeskNotFound(name, detail, status=status, hint=hint, own_words=True)

    def _retry_after(self, value: str) -> float | None:
        if re.fullmatch("[0-9]{1,9}", value.strip()):
            return float(value)
        then = moment(value)
        return None if then is None else max(0.0, then - self._clock() - (self.clock_offset or 0.0))


_FAILURES: Mapping[int, type[TiledeskError]] = {
    401: TiledeskUnauthorized,
    403: TiledeskForbidden,
    404: TiledeskNotFound,
    413: TiledeskTooLarge,
}

# A time-out, a connection that is not for this host, one that came too early: of the way here, not of the call.
_NEVER_TILEDESKS = (408, 421, 425)


def _host(location: str) -> str:
    try:
        return shown(urlsplit(location).netloc.rpartition("@")[2]) or "the same host"
    except ValueError:
        return "what is no URL"
