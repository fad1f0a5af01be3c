"""The one place where `requests` is called: one deadline for a whole call, a bounded pool, errors of two kinds.

What it adds to `requests` is the only question that matters for a message that must arrive exactly once: when a
call fails, can it have reached the other side? `wire` sees what was sent; nothing here guesses it from an exception.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import default_headers
from urllib3.exceptions import NewConnectionError, SSLError

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.wire import Progress, watch

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

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none, or is nested deeper than Python reads.
        """
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class _Adapter(HTTPAdapter):
    """The connections of `requests`, watched."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        watch(manager)
        return manager


class Http:
    """A pooled HTTP connection to one server; safe to share between threads.

    Proxies and CA bundles are those of the environment, as `requests` reads it (HTTPS_PROXY, REQUESTS_CA_BUNDLE, ...);
    logins in ~/.netrc are not, and cookies are not kept.

    Args:
        pool: the most connections kept open, and the most calls at once.
        connect_timeout: seconds to wait for a connection.
        read_timeout: seconds of silence to bear in the answer, when the deadline allows that many.
    """

    def __init__(
        self, *, pool: int = 16, connect_timeout: float = CONNECT_TIMEOUT, read_timeout: float = READ_TIMEOUT
    ) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._places = threading.BoundedSemaphore(pool)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(pool_maxsize=pool, max_retries=0))

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
        undecoded: bool = False,
    ) -> Answer:
        """Make one call and read its whole answer.

        All of it, waiting for a place in the pool included, ends with the deadline, whatever the other side does. Only
        the look-up of the server's name cannot be cut short, and each of its addresses may take `connect_timeout`.

        Redirects are returned, not followed: a followed POST would arrive as a GET. With `undecoded` the path is sent
        without its quoting, for a server that does not decode it.

        Raises:
            NotSent: refused, unresolvable, a proxy that lets nobody through, TLS handshake failed, no connection or no
                place in time, no time left to try; an URL, a header or a CA bundle that cannot be used.
            NoAnswer: sent, or perhaps sent, but no whole answer in time or at all.
        """
        silence = self._read_timeout if read_timeout is None else read_timeout
        progress = Progress(deadline or Deadline(self._connect_timeout + silence), silence, undecoded)
        try:
            given = {**default_headers(), **(headers or {})}
            request = requests.Request(method, url, given, json=json, params=params, auth=_as_given).prepare()
        except (requests.exceptions.RequestException, ValueError) as error:
            raise NotSent(type(error).__name__) from None
        if progress.deadline.expired():
            raise NotSent("no time left to try")
        if not self._places.acquire(timeout=progress.deadline.remaining()):
            raise NotSent("all connections were taken until no time was left")
        try:
            with progress.making():
                return self._made(request, progress)
        except NoAnswer:
            raise
        except Exception as error:
            raise _failure(error, progress) from None
        finally:
            self._places.release()

    def _made(self, request: requests.PreparedRequest, progress: Progress) -> Answer:
        # Not by Session.send: it reads a redirect's Location, and stumbles over one that is no URL.
        url = request.url or ""
        settings: Any = self._session.merge_environment_settings(url, {}, True, None, None)
        timeout = (min(self._connect_timeout, max(progress.deadline.remaining(), 0.001)), progress.patience)
        with self._session.get_adapter(url).send(request, timeout=timeout, **settings) as response:
            return Answer(response.status_code, response.headers, _read(response))

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps `requests` from replacing our Authorization header by a login in the URL."""
    return request


def _read(response: requests.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(65536):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise NoAnswer(f"the answer is larger than {MAX_BODY} bytes", timed_out=False)
    promised = response.headers.get("Content-Length", "")
    # urllib3 before 2.0 does not notice; an encoded body's length is not what arrives here.
    if re.fullmatch("[0-9]{1,18}", promised) and size < int(promised) and "Content-Encoding" not in response.headers:
        raise NoAnswer("the answer broke off", timed_out=False)
    return b"".join(chunks)


def _failure(error: Exception, progress: Progress) -> NotSent | NoAnswer:
    if progress.sent and progress.timed_out:
        return NoAnswer("no answer within the time it had", timed_out=True)
    if progress.sent:
        line = isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError))
        what = "the connection broke" if line else "the answer cannot be read"
        return NoAnswer(f"{what}: {_cause(error)}", timed_out=False)
    reasons = _reasons(error)
    if any(isinstance(reason, (requests.exceptions.Timeout, socket.timeout)) for reason in reasons):
        return NotSent("no connection in time")
    if any(isinstance(reason, (ssl.SSLError, SSLError)) for reason in reasons):
        return NotSent(f"TLS failed: {_cause(error)}")
    return NotSent(_cause(error))


def _reasons(error: BaseException) -> list[BaseException]:
    """The error and what it wraps: requests and urllib3 nest causes in `args` and `reason`."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            queue += [*item.args, getattr(item, "reason", None), item.__cause__]
    return found


def _cause(error: BaseException) -> str:
    """The innermost cause in words, without the URL: it holds ids and, for Rasa, the token."""
    reasons = _reasons(error)
    for reason in reversed(reasons):
        if isinstance(reason, OSError) and reason.strerror:
            return reason.strerror
        if isinstance(reason, NewConnectionError):
            return str(reason).rsplit(": ", 1)[-1]
        if type(reason) is OSError and "CA certificate bundle" in str(reason):
            return "there is no CA bundle where REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE says"
        if type(reason) is OSError and str(reason).startswith("Tunnel connection failed"):  # http.client's words
            return str(reason)[:200]
    return type(reasons[-1]).__name__


class _WithoutSecrets(logging.Filter):
    """Takes Rasa's token and Tiledesk's request ids out of what urllib3 writes at DEBUG: it holds whole URLs."""

    _SECRET = re.compile(r"(?<=[?&]token=)[^&\s\"]*|(?<=support-group-)[\w-]+")

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(self._SECRET.sub("***", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutSecrets())
