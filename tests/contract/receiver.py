"""A webhook receiver for tests."""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Hook", "Receiver"]


@dataclass(frozen=True)
class Hook:
    """A webhook as it arrived."""

    headers: dict[str, str]
    body: dict[str, Any]


class Receiver:
    """Takes webhooks on a free port."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[Hook] = queue.Queue()
        arrived = self._arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                arrived.put(Hook(headers, json.loads(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/tiledesk/webhook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def take(self, count: int, seconds: float = 15.0) -> list[Hook]:
        """The next so many, in the order of arrival."""
        end = time.monotonic() + seconds
        return [self._arrived.get(timeout=max(0.01, end - time.monotonic())) for _ in range(count)]

    def close(self) -> None:
        """Stop taking them."""
        self._server.shutdown()
        self._server.server_close()
