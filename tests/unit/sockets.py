"""Small servers on real sockets, which do to a connection whatever a test wants."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Callable

__all__ = ["OK", "Serve", "Trickle", "answering", "read", "server"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[str]:
    """Hands each connection, in a thread of its own, to `serve`, then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection:
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read(connection: socket.socket) -> bytes:
    """A whole request: closing with some of it unread would reset the connection."""
    data, wanted = b"", None
    while wanted is None or len(data) < wanted:
        chunk = connection.recv(65536)
        if not chunk:
            break
        data += chunk
        if wanted is None and b"\r\n\r\n" in data:
            length = re.search(rb"(?i)content-length: (\d+)", data)
            wanted = data.index(b"\r\n\r\n") + 4 + (int(length.group(1)) if length else 0)
    return data


def answering(raw: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(raw)

    return serve


class Trickle:
    """Answers for ever, a piece at a time; each takes a tenth of a second on its own clock.

    Attributes:
        now: that clock.
        cut: set when the other side closed the connection before the patience of 5 real seconds ended.
    """

    def __init__(self, start: bytes, piece: bytes) -> None:
        self.now = 0.0
        self.cut = threading.Event()
        self._start = start
        self._piece = piece

    def clock(self) -> float:
        return self.now

    def __call__(self, connection: socket.socket) -> None:
        read(connection)
        pace = threading.Event()
        try:
            connection.sendall(self._start)
            for _ in range(1000):
                connection.sendall(self._piece)
                self.now += 0.1
                pace.wait(0.005)
        except OSError:
            self.cut.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
