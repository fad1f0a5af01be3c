"""The one place where `requests` is called: timeouts always, a bounded pool, no surprises from the environment.

What it adds to `requests` is the only question that matters for a message that must arrive exactly once: when a
call fails, can it have reached the other side?
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError, ProtocolError

from rasa_tiledesk.deadline import Deadline

__all__ = ["Answer", "Http", "NoAnswer", "NotSent"]

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 8.0
MAX_BODY = 64 * 1024 * 1024  # a request of 10,000 long messages; more than that is not an answer


class NotSent(Exception):
    """Nothing reached the other side: a repeat is safe."""


class NoAnswer(Exception):
    """The call may have reached the other side, and no whole answer came back.

    Attributes:
        timed_out: True when time ran out, False when the connection broke.
    """

    def __init__(self, detail: str, *, timed_out: bool) -> None:
        super().__init__(detail)
        self.timed_out = timed_out


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _HeadersAsGiven(requests.auth.AuthBase):
    """Keeps `requests` from replacing our Authorization header by a login found in ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Http:
    """A pooled HTTP connection to one server; safe to share between threads.

    Args:
        pool: the most connections kept open, and the most calls at once.
        connect_timeout: seconds to wait for a connection.
        read_timeout: seconds to wait for the answer, when the deadline allows that many.
    """

    def __init__(
        self, *, pool: int = 16, connect_timeout: float = CONNECT_TIMEOUT, read_timeout: float = READ_TIMEOUT
    ) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._session = requests.Session()
        self._session.auth = _HeadersAsGiven()
        # Tiledesk 2.19 answers every call with a session cookie (app.js:339-390) that nobody needs.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=pool, pool_block=True, max_retries=0))

    def call(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: Deadline | None = None,
        read_timeout: float | None = None,
    ) -> Answer:
        """Make one call and read its whole answer.

        Redirects are returned, not followed: a followed POST would arrive as a GET.

        Raises:
            NotSent: refused, unresolvable, TLS failure, no connection in time, or no time left to try.
            NoAnswer: sent, but no whole answer in time or at all.
        """
        budget = deadline or Deadline(self._connect_timeout + (read_timeout or self._read_timeout))
        left = budget.remaining()
        if left <= 0:
            raise NotSent("no time left to try")
        timeout = (min(self._connect_timeout, left), min(read_timeout or self._read_timeout, left))
        try:
            with self._session.request(
                method,
                url,
                json=json,
                params=params,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, response.headers, _read(response, budget))
        except requests.exceptions.SSLError as error:
            raise NotSent(f"TLS failed: {_cause(error)}") from None
        except requests.exceptions.ConnectTimeout:
            raise NotSent(f"no connection within {timeout[0]:.1f} s") from None
        except requests.exceptions.Timeout:
            raise NoAnswer(f"no answer within {timeout[1]:.1f} s", timed_out=True) from None
        except requests.exceptions.ConnectionError as error:
            if _never_connected(error):
                raise NotSent(_cause(error)) from None
            if "timed out" in str(error).lower():  # requests reports a body that stalls as a ConnectionError
                raise NoAnswer(f"no whole answer within {timeout[1]:.1f} s", timed_out=True) from None
            raise NoAnswer(f"the connection broke: {_cause(error)}", timed_out=False) from None
        except requests.exceptions.ChunkedEncodingError as error:
            raise NoAnswer(f"the answer broke off: {_cause(error)}", timed_out=False) from None
        except requests.exceptions.ContentDecodingError:
            raise NoAnswer("the answer's encoding is broken", timed_out=False) from None
        except requests.exceptions.RequestException as error:
            raise NotSent(type(error).__name__) from None  # an URL or header that cannot be sent

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()


def _read(response: requests.Response, budget: Deadline) -> bytes:
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(65536):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise NoAnswer(f"the answer is larger than {MAX_BODY} bytes", timed_out=False)
        if budget.expired():
            raise NoAnswer("the answer came too slowly", timed_out=True)
    promised = response.headers.get("Content-Length", "")
    # urllib3 before 2.0 does not notice; an encoded body's length is not what arrives here.
    if promised.isdigit() and size < int(promised) and "Content-Encoding" not in response.headers:
        raise NoAnswer("the answer broke off", timed_out=False)
    return b"".join(chunks)


def _reasons(error: BaseException) -> list[BaseException]:
    """The error and what it wraps: requests and urllib3 nest causes in `args` and `reason`."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            queue += [*item.args, getattr(item, "reason", None)]
    return found


def _never_connected(error: BaseException) -> bool:
    reasons = _reasons(error)
    if any(isinstance(reason, ProtocolError) for reason in reasons):
        return False
    return any(isinstance(reason, (NewConnectionError, requests.exceptions.ProxyError)) for reason in reasons)


def _cause(error: BaseException) -> str:
    """The innermost cause in words, without the URL: it holds ids and, for Rasa, the token."""
    for reason in reversed(_reasons(error)):
        if isinstance(reason, OSError) and reason.strerror:
            return reason.strerror
        if isinstance(reason, NewConnectionError):
            return str(reason).rsplit(": ", 1)[-1]
    return type(_reasons(error)[-1]).__name__


class _WithoutSecrets(logging.Filter):
    """Takes Rasa's token and Tiledesk's request ids out of what urllib3 writes at DEBUG: it holds whole URLs."""

    _SECRET = re.compile(r"(?<=[?&]token=)[^&\s\"]*|(?<=support-group-)[\w-]+")

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(self._SECRET.sub("***", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutSecrets())
