"""A bad network between Tiledesk and the action server: every webhook comes twice, late, and in any order."""

from __future__ import annotations

import contextlib
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["shuffling_proxy"]


@contextlib.contextmanager
def shuffling_proxy(target: str, *, seed: int = 1, longest: float = 3.0) -> Iterator[str]:
    """Its URL; what is posted there is answered 200 at once and posted to the target twice, up to `longest` s later."""
    rng = random.Random(seed)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {"x-hook-secret": self.headers.get("x-hook-secret", ""), "Content-Type": "application/json"}
            for _ in range(2):
                timer = threading.Timer(rng.uniform(0, longest), _post, (target + self.path, body, headers))
                timer.daemon = True
                timer.start()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10)
