"""Connections that know the call they serve: whether any of it went out, and how long it may still take.

The exceptions of `requests` and urllib3 name what broke, not when: a TLS error may come before the first byte of a
call or after the last one. Their timeouts begin anew with every byte. So their connections are watched here, at the
few places where they connect, send and read.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection

from rasa_tiledesk.deadline import Deadline

__all__ = ["Progress", "watch"]

# What can stand in a path as it is: printable ASCII without the space, `#`, `?`. The rest stays quoted.
_QUOTED = re.compile(r"%(2[124-9A-F]|3[0-9A-E]|[4-6][0-9A-F]|7[0-9A-E])")


@dataclass
class Progress:
    """How far a call got, and what it may still take.

    Attributes:
        deadline: of the whole call.
        patience: seconds of silence that are borne while the deadline allows.
        undecoded: send the path without its quoting, for a server that does not decode it.
        sent: some of the call may have left this machine.
        timed_out: a wait ended without what was waited for.
    """

    deadline: Deadline
    patience: float
    undecoded: bool = False
    sent: bool = False
    timed_out: bool = False

    @contextmanager
    def making(self) -> Iterator[None]:
        """While this lasts, the connections that this thread uses serve this call."""
        token = _call.set(self)
        try:
            yield
        finally:
            _call.reset(token)

    @contextmanager
    def waiting(self, sock: Any) -> Iterator[None]:
        """Let the socket wait as long as the call may.

        Raises:
            TimeoutError: it may not wait any more (on Python 3.9 that is `socket.timeout`).
        """
        try:
            left = self.deadline.remaining()
            if left <= 0:
                raise socket.timeout("no time left")
            sock.settimeout(min(left, self.patience))
            yield
        except socket.timeout:
            self.timed_out = True
            raise


_call: ContextVar[Progress] = ContextVar("_call")  # requests has no way to hand it down to the connection


def watch(manager: PoolManager) -> None:
    """Have all connections of this manager serve the `Progress` that their thread is making."""
    manager.pool_classes_by_scheme = {scheme: _watched(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}


def _watched(pool: Any) -> Any:
    """The same kind of pool, with watched connections of the kind it has: plain, TLS or SOCKS."""
    kind = pool.ConnectionCls
    if issubclass(kind, _Watched):
        return pool
    return type(pool.__name__, (pool,), {"ConnectionCls": type(kind.__name__, (_Watched, kind), {})})


class _Stream(RawIOBase):
    """What a socket reads, within the call's time. It outlives the connection, as the answer's body may."""

    def __init__(self, raw: Any, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._progress = _call.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        with self._progress.waiting(self._sock):
            count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = BufferedReader(_Stream(self.fp.detach(), sock))


class _Watched(HTTPConnection):
    """Comes before the connection's own kind, whose methods it calls."""

    response_class = _Response

    def connect(self) -> None:
        progress = _call.get()
        before = progress.sent
        try:
            super().connect()
        finally:
            progress.sent = before  # to a proxy went a CONNECT, which holds nothing of the call

    def _new_conn(self) -> socket.socket:
        self.sock = super()._new_conn()  # where close() finds it
        self._bound_handshake()
        return self.sock

    def _tunnel(self) -> None:
        super()._tunnel()
        self._bound_handshake()

    def _bound_handshake(self) -> None:
        with _call.get().waiting(self.sock):
            pass  # a handshake is one wait, as long as the socket's timeout

    def send(self, data: Any) -> None:
        progress = _call.get()
        if self.sock is None and self.auto_open:
            self.connect()  # here and not in super().send(), where the call would count as sent
        with progress.waiting(self.sock):
            progress.sent = True
            super().send(data)

    def _encode_request(self, request: str) -> bytes:  # http.client's place for what is not as usual
        # `requests` and urllib3 both quote by themselves; it is undone where the request line is written.
        return (_unquoted(request) if _call.get().undecoded else request).encode("ascii")


def _unquoted(request: str) -> str:
    path, mark, rest = request.partition("?")
    return _QUOTED.sub(lambda quoted: chr(int(quoted[1], 16)), path) + mark + rest
