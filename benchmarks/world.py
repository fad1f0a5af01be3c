"""What the benchmarks share: a bot's conversations, and the parts of an action server with a ledger of their own."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rasa_tiledesk.runtime import Runtime, assemble
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk

__all__ = ["Gate", "conversation", "parts_of"]


def conversation(turns: int, *, start: float = 1_700_000_000.0) -> list[dict[str, Any]]:
    """The events of a session of so many turns, user and bot by turns, as a webhook brings them."""
    events: list[dict[str, Any]] = [
        {"event": "action", "name": "action_session_start", "timestamp": start},
        {"event": "session_started", "timestamp": start},
    ]
    for number in range(turns):
        event: dict[str, Any] = {"text": f"turn {number}", "timestamp": start + number + 1}
        if number % 2 == 0:
            events.append({"event": "user", "message_id": f"m{number}", "parse_data": {}, **event})
        else:
            events.append({"event": "bot", "data": {"buttons": None}, "metadata": {}, **event})
    return events


def parts_of(desk: FakeTiledesk, rasa: FakeRasa, folder: Path, *, url: str | None = None, more: str = "") -> Runtime:
    """An action server's parts on the fakes, its ledger in the folder unless `more` names one."""
    ledger = "" if "ledger:" in more else f"  ledger: sqlite:///{folder / 'ledger.db'}\n"
    (folder / "endpoints.yml").write_text(
        f"tiledesk:\n  url: {url or desk.url}\n  project_id: '{desk.project_id}'\n  email: {desk.owner[0]}\n"
        f"  password: '{desk.owner[1]}'\n  relay: {{rasa_url: {rasa.url}}}\n{ledger}{more}"
    )
    return assemble(load_endpoints(folder / "endpoints.yml"))


class Gate:
    """A TCP forwarder that can refuse connections for a while."""

    def __init__(self, target: str) -> None:
        host, port = target.rpartition("//")[2].split(":")
        self._target = (host, int(port))
        self._address = ("127.0.0.1", 0)
        self._open: set[socket.socket] = set()
        self.open()
        self.url = f"http://127.0.0.1:{self._address[1]}"

    def open(self) -> None:
        """Listen, on the same port as before."""
        gate = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(gate._target) as behind:
                    ends = (self.request, behind)
                    gate._open.update(ends)
                    back = threading.Thread(target=_copy, args=(behind, self.request), daemon=True)
                    back.start()
                    _copy(self.request, behind)
                    back.join()
                    gate._open.difference_update(ends)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False
            request_queue_size = 256

        self._server = Server(self._address, Handler)
        self._address = self._server.server_address  # type: ignore[assignment]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def shut(self) -> None:
        """Break all connections and refuse new ones."""
        self._server.shutdown()
        self._server.server_close()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def fakes() -> Iterator[tuple[FakeTiledesk, FakeRasa]]:
    """A Tiledesk and a Rasa."""
    with FakeTiledesk() as desk, FakeRasa() as rasa:
        yield desk, rasa
