"""A front end that Rasa's callback channel delivers to: it listens, and keeps what came."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Callbacks", "callback_listener"]


class Callbacks:
    """What was delivered so far.

    Attributes:
        url: what `callback: url` in credentials.yml points to.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._arrived = threading.Condition()
        self._messages: list[dict[str, Any]] = []
        self._held: threading.Event | None = None

    def messages(self, sender: str) -> list[dict[str, Any]]:
        """What this user was sent, in the order of arrival."""
        with self._arrived:
            return [message for message in self._messages if message.get("recipient_id") == sender]

    def wait_for(self, sender: str, *, count: int, seconds: float = 10) -> list[dict[str, Any]]:
        """The same, as soon as there are `count` messages, or what there is when time has run out."""
        with self._arrived:  # reentrant: a Condition's own lock is an RLock
            self._arrived.wait_for(lambda: len(self.messages(sender)) >= count, timeout=seconds)
        return self.messages(sender)

    @contextlib.contextmanager
    def hold(self) -> Iterator[threading.Event]:
        """Take what is delivered, but answer only after the block; the event given is set when something came."""
        self._held = held = threading.Event()
        try:
            yield held
        finally:
            with self._arrived:
                self._held = None
                self._arrived.notify_all()

    def add(self, message: dict[str, Any]) -> None:
        """Take in one delivery."""
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()
            held = self._held
            if held:
                held.set()
                self._arrived.wait_for(lambda: self._held is not held)


@contextlib.contextmanager
def callback_listener() -> Iterator[Callbacks]:
    """Listen on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            callbacks.add(json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        callbacks = Callbacks(f"http://127.0.0.1:{server.server_port}/bot")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield callbacks
        finally:
            server.shutdown()
            thread.join()
