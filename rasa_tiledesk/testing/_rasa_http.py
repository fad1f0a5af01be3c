"""The socket side of FakeRasa: routes and queries; takes a call, breaks it as told, knows when the caller hung up."""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

__all__ = [
    "METHODS",
    "ROUTE",
    "VERBOSITIES",
    "VERSION",
    "Broken",
    "Caller",
    "RasaServer",
    "channel_of",
    "failure",
    "verbosity",
]

VERSION = "3.6.21"

ROUTE = re.compile(r"/conversations/(.+)/(tracker/events|tracker|trigger_intent)")
METHODS = {"tracker": "GET", "tracker/events": "POST", "trigger_intent": "POST"}
VERBOSITIES = ("NONE", "APPLIED", "AFTER_RESTART", "ALL")

_TARGET = re.compile(r"[!-~]+")


class Broken(Exception):
    """The connection ends without an answer."""


class Caller:
    """Whoever waits at the other end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def expect(self, within: float = 0.0) -> None:
        """See that the caller is there, for so many seconds.

        Raises:
            Broken: the caller went away: Sanic then cancels what it does for it, wherever that stands.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            if selector.select(within) and not self._has_sent():
                raise Broken

    def _has_sent(self) -> bool:
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False


Answering = Callable[[str, str, "dict[str, str]", bytes, Caller], "tuple[int, Any]"]


class RasaServer(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1.

    Args:
        answer: gives the status and the body, JSON or the text of a page, for a method, path, query and body; raises
            Broken for none.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answering) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a traceback in a test's output."""


class _Handler(BaseHTTPRequestHandler):
    server: RasaServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        """Silent: a test's output is its own."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(target.query).items()}
        try:
            if not _TARGET.fullmatch(self.path):
                raise Broken
            answer = self.server.answer(self.command, target.path, query, body, Caller(self.connection))
        except Broken:
            self._reset()
        else:
            self._send(*answer)

    def _send(self, status: int, answer: Any) -> None:
        page = isinstance(answer, str)
        content = answer.encode() if page else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def failure(status: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    """What Rasa answers when it fails or refuses: the status and the body."""
    said = {"version": VERSION, "status": "failure", "message": message, "reason": reason, "details": {}}
    return status, {**said, "help": None, "code": status}


def verbosity(query: Mapping[str, str]) -> str:
    """Which events of the tracker the caller wants to see."""
    return query.get("include_events", "AFTER_RESTART").upper()


def channel_of(query: Mapping[str, str], now: Mapping[str, Any]) -> str | None:
    """The channel that the caller names, or the user's latest."""
    named = query.get("output_channel")
    return now["latest_input_channel"] if named == "latest" else named
