"""Enough of PostgreSQL's protocol to note what a reader asks, and to fall silent at a question of choice."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence

__all__ = ["PostgresWire"]

_REFUSED = (80877103, 80877104)  # encryption, by TLS or GSS
_SETTINGS = {"server_version": "15.0", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "TimeZone": "UTC"}
_TEXT = 25
_TOLD = {
    "select pg_catalog.version()": "PostgreSQL 15.0",
    "select current_schema()": "public",
    "show standard_conforming_strings": "on",
    "show transaction isolation level": "read committed",
}


class PostgresWire:
    """A server on a free port.

    Args:
        rows: what the table's column `data` holds.
        silent_at: begin of the question that is never answered.

    Attributes:
        asked: all questions so far.
    """

    def __init__(self, rows: Sequence[str] = (), *, silent_at: str = "\x00") -> None:
        self.rows = list(rows)
        self.silent_at = silent_at
        self.asked: list[str] = []
        self._closed = threading.Event()

    def __enter__(self) -> PostgresWire:
        wire = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, struct.error):
                    wire._greet(self.request)
                    while wire._answer(self.request):
                        pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _greet(self, line: socket.socket) -> None:
        while True:
            (size, code) = struct.unpack("!ii", _read(line, 8))
            _read(line, size - 8)
            if code not in _REFUSED:
                break
            line.sendall(b"N")
        told = b"".join(_message("S", _cstring(name) + _cstring(value)) for name, value in _SETTINGS.items())
        line.sendall(_message("R", struct.pack("!i", 0)) + told + _message("Z", b"I"))

    def _answer(self, line: socket.socket) -> bool:
        kind = _read(line, 1)
        body = _read(line, struct.unpack("!i", _read(line, 4))[0] - 4)
        if kind != b"Q":
            return False
        question = body.rstrip(b"\0").decode()
        self.asked.append(question)
        if question.startswith(self.silent_at):
            self._closed.wait()
            return False
        if question.startswith("FETCH"):
            rows, self.rows = self.rows, []
            answer = b"".join(_rows(rows))
        elif question.lower().startswith(("select", "show")):
            told = _TOLD.get(question)
            answer = b"".join(_rows([told] if told else []))
        else:
            answer = _message("C", _cstring(question.split()[0]))
        line.sendall(answer + _message("Z", b"T"))
        return True


def _rows(values: Sequence[str]) -> Iterator[bytes]:
    yield _message("T", struct.pack("!h", 1) + _cstring("data") + struct.pack("!ihihih", 0, 0, _TEXT, -1, -1, 0))
    for value in values:
        raw = value.encode()
        yield _message("D", struct.pack("!hi", 1, len(raw)) + raw)
    yield _message("C", _cstring(f"SELECT {len(values)}"))


def _message(kind: str, body: bytes) -> bytes:
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def _cstring(text: str) -> bytes:
    return text.encode() + b"\0"


def _read(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = line.recv(size - len(data))
        if not chunk:
            raise ConnectionError
        data += chunk
    return data
