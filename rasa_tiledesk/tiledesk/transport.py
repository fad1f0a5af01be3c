"""One call of Tiledesk: sent, repeated where that is safe, and its answer or failure read.

Tiledesk words its refusals in five ways (`msg`, `message`, `error`, `err`, `errors`), as plain text, or as a 200 with
``success: false``; here they all become the errors of `rasa_tiledesk.errors`.
"""

from __future__ import annotations

import email.utils
import json
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

__all__ = ["Transport"]

ATTEMPTS = 3
BACKOFF = 0.2  # seconds before the first repeat, doubled each time, with up to as much again as jitter
BUDGET = 20.0  # seconds for a call and its repeats when the caller gives no deadline
DETAIL = 300  # characters of Tiledesk's words that an error keeps

_URL_HINT = "check tiledesk.url"


class Transport:
    """Calls one server; safe to share between threads.

    Args:
        url: the API's base; may carry a path.
        project_id: the project, to tell a wrong project from a wrong url.
        http: the connection pool.
        sleep: waits between repeats.
        jitter: a number from 0 to 1.
    """

    def __init__(
        self,
        url: str,
        project_id: str,
        http: Http,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = url.rstrip("/")
        self._project_id = project_id
        self._http = http
        self._sleep = sleep
        self._jitter = jitter

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
        try:
            answer = self._http.call(method, url, json=body, params=params, headers=headers, deadline=deadline)
        except NotSent as error:
            raise TiledeskUnreachable(name, str(error), hint=_URL_HINT) from None
        except NoAnswer as error:
            failure = TiledeskTimeout if error.timed_out else TiledeskDisconnected
            raise failure(name, str(error)) from None
        return self._read(name, answer)

    def _read(self, name: str, answer: Answer) -> Any:
        status = answer.status
        data, is_json = _decode(answer)
        if 200 <= status < 300:
            if not is_json:
                raise TiledeskNonsense(name, "the answer is not JSON", status=status, hint=_URL_HINT)
            if isinstance(data, dict) and data.get("success") is False:
                raise TiledeskRefused(name, _words(data), status=status)
            return data
        if 300 <= status < 400:
            host = urlsplit(answer.headers.get("Location", "")).netloc.rpartition("@")[2] or "the same host"
            raise TiledeskRefused(
                name, f"redirects to {host}", status=status, hint=f"{_URL_HINT}: it must not redirect"
            )
        detail = _words(data) if is_json else _plain(answer.body)
        hint = "" if is_json or "<" not in answer.body[:200].decode("latin-1") else f"{_URL_HINT}: a web page answered"
        found = re.match(r"(?:Invalid project id|Project not found with id): ?(\S*)", detail) if status == 400 else None
        if found:
            taken = found.group(1)
            if taken != self._project_id:
                hint = f"{_URL_HINT}: its path does not fit this server"
                raise TiledeskNotFound(name, f"the server took {taken!r} for the project id", status=status, hint=hint)
        if found or (status == 500 and detail.startswith("project not found")):  # so says GET /projects/... (seen)
            raise TiledeskNotFound(name, "the project is unknown", status=status, hint="check tiledesk.project_id")
        if status == 429:
            after = _retry_after(answer.headers.get("Retry-After"))
            raise TiledeskRateLimited(name, detail, hint=hint, retry_after=after)
        if status == 403 and "belong to the project" in detail:
            hint = "check tiledesk.project_id, or invite this account into the project"
        elif status == 403 and "role" in detail:
            hint = "the account needs the role agent, and admin for subscriptions; tiledesk.email says which account"
        raise _FAILURES.get(status, TiledeskServerError if status >= 500 else TiledeskRefused)(
            name, detail, status=status, hint=hint
        )


_FAILURES: Mapping[int, type[TiledeskError]] = {
    401: TiledeskUnauthorized,
    403: TiledeskForbidden,
    404: TiledeskNotFound,
    413: TiledeskTooLarge,
}


def _decode(answer: Answer) -> tuple[Any, bool]:
    try:
        return json.loads(answer.body), True
    except ValueError:
        return None, False


def _words(data: Any) -> str:
    """Tiledesk's own words, wherever it put them, without what our call carried."""
    if isinstance(data, Mapping):
        for key in ("msg", "message", "error", "err"):
            if data.get(key):
                return _words(data[key])
        problems = data.get("errors")
        if isinstance(problems, list):
            return _clean("; ".join(_problem(problem) for problem in problems))
        return "no reason given"
    return _clean(data) if isinstance(data, str) else "no reason given"


def _problem(problem: Any) -> str:
    if not isinstance(problem, Mapping):
        return str(problem)
    return f"{problem.get('param', 'body')}: {problem.get('msg', 'invalid')}"  # never its `value`: that is our input


def _plain(body: bytes) -> str:
    text = body[:4096].decode("utf-8", "replace")
    title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return _clean(f"a web page: {' '.join(title.group(1).split())}")
    return _clean("a web page" if "<" in text else text.strip() or "no reason given")


def _clean(text: str) -> str:
    """Without ids and tokens: a request's id alone opens its transcript (routes/public-request.js)."""
    text = re.sub(r"support-group-\S+|eyJ[\w-]+\.[\w.-]+", "...", text)
    text = re.sub(r"(user id)\s*:.*", r"\1", text, flags=re.DOTALL)
    return text[:DETAIL]


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
