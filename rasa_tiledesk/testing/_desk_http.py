"""The fake desk's HTTP side: connections, faults, and never answering."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import threading
from collections import Counter, deque
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qsl, urlsplit

from rasa_tiledesk.testing._desk_late import LateCalls
from rasa_tiledesk.testing._desk_routes import Call, Reply, Routes

__all__ = ["DeskServer", "Fault"]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a call.

    Attributes:
        kind: ``answer`` with `status`, ``garbage`` (200 and a web page), ``hang`` for ever, ``reset`` the connection,
            ``slow``: answer rightly after `seconds`, or ``late``: take effect only then.
        after: the call takes effect first; otherwise it never does. A slow or late call always does.
        status: of the answer.
        retry_after: its Retry-After header, in seconds.
        seconds: how slow or late; None for until the test says so.
    """

    kind: str
    after: bool = False
    status: int = 0
    retry_after: float | None = None
    seconds: float | None = 0.0

    @classmethod
    def answer(cls, status: int, *, after: bool = False, retry_after: float | None = None) -> Fault:
        """Answer with this status, as a proxy would."""
        return cls("answer", after, status, retry_after)

    @classmethod
    def garbage(cls, *, after: bool = False) -> Fault:
        """Answer 200 with a web page."""
        return cls("garbage", after, 200)

    @classmethod
    def hang(cls, *, after: bool = False) -> Fault:
        """Never answer."""
        return cls("hang", after)

    @classmethod
    def reset(cls, *, after: bool = False) -> Fault:
        """Reset the connection instead of answering."""
        return cls("reset", after)

    @classmethod
    def slow(cls, seconds: float) -> Fault:
        """Answer rightly, but late."""
        return cls("slow", after=True, seconds=seconds)

    @classmethod
    def late(cls, seconds: float | None = None, *, answer: int = 0) -> Fault:
        """Take effect only later, even when the caller has given up: a server does what it has received.

        A caller that still waits then gets the right answer.

        Args:
            seconds: how much later; by default when `FakeTiledesk.let_late_calls_through` is called.
            answer: the status that the caller gets at once, as from a proxy that has given up; 0 for none.
        """
        return cls("late", status=answer, seconds=seconds)


class DeskServer:
    """Serves one desk on a free port of 127.0.0.1.

    Attributes:
        lock: guards the desk.
        faults: asked about every call.
        planned: asked first: what is to go wrong with a route's next calls.
        counts: the calls of each route.
        late: the calls that take effect later.
        clock: what the Date of each answer is told by.
    """

    def __init__(self, routes: Routes, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.faults: Callable[[Call], Fault | None] | None = None
        self.planned: dict[str, deque[Fault | None]] = {}
        self.counts: Counter[str] = Counter()
        self._routes = routes
        self.clock = clock
        self.late = LateCalls()
        self._bell, self._ear = socket.socketpair()
        self.connections: set[socket.socket] = set()
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = _Listener(("127.0.0.1", self.port), type("_BoundHandler", (_Handler,), {"desk": self}))
        self.port = int(self._server.server_address[1])
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-tiledesk", daemon=True
        ).start()

    def refuse(self) -> None:
        """Refuse connections, and break those there are."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop serving; calls that hang are let go at once, those that are late never take effect."""
        self._bell.close()
        self.late.close()
        self._server.shutdown()
        self._server.server_close()

    def pause(self, connection: socket.socket, seconds: float | None) -> bool:
        """Wait so long, or for ever; False as soon as the caller has gone or the server closes."""
        with contextlib.suppress(OSError, ValueError):
            return not select.select([connection, self._ear], [], [], seconds)[0]
        return False

    def serve(
        self, method: str, target: str, authorization: str | None, raw: bytes
    ) -> tuple[Fault | None, Reply | None]:
        """Take a call: what goes wrong with it, and what it answers; no reply for never, or for later."""
        parts = urlsplit(target)
        route, ids = self._routes.name(method, parts.path)
        with self.lock:
            self.counts[route] += 1
            call = Call(route, ids, dict(parse_qsl(parts.query)), raw, authorization, self.counts[route])
            planned = self.planned.get(route)
            decided = bool(planned)
            fault = planned.popleft() if planned else None
        if not decided and self.faults is not None:
            fault = self.faults(call)

        def run() -> Reply | None:
            with self.lock:
                return self._routes.run(method, parts.path, call)

        if fault is not None and fault.kind == "late":
            later = self.late.hold(run, fault.seconds)
            return (None, later.reply()) if not fault.status else (fault, None)
        if fault is not None and not fault.after:
            return fault, None
        return fault, run()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a call that hangs is let go by the bell, not waited for
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a caller that went away is no error of ours
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    desk: DeskServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.desk.connections.add(self.connection)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault, reply = self.desk.serve(self.command, self.path, self.headers.get("Authorization"), body)
        if fault is None:
            self._answer(reply)
        elif fault.kind == "reset":
            # Closing with linger 0 sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RD)
            self.connection.close()
        elif fault.kind == "hang":
            self._answer(None)
        elif fault.kind == "slow":
            if self.desk.pause(self.connection, fault.seconds):
                self._answer(reply)
            else:
                self.close_connection = True
        else:
            page = f"<html><title>{fault.status} from a proxy</title></html>".encode()
            after = () if fault.retry_after is None else (("Retry-After", f"{fault.retry_after:g}"),)
            self._answer(Reply(fault.status, page, "text/html", after))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _answer(self, reply: Reply | None) -> None:
        if reply is None:
            self.desk.pause(self.connection, None)
            self.close_connection = True
            return
        head = [
            f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('Status',))[0]}",
            f"Content-Type: {reply.type}",
            f"Content-Length: {len(reply.body)}",
            f"Date: {formatdate(self.desk.clock(), usegmt=True)}",
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        with contextlib.suppress(OSError):
            self.wfile.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""

    def finish(self) -> None:
        self.desk.connections.discard(self.connection)
        with contextlib.suppress(OSError, ValueError):
            super().finish()
