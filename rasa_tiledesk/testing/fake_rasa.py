"""A Rasa server for tests: a real HTTP server that behaves as rasa 3.6.21 does in the calls we make."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from rasa_tiledesk.testing.rasa_events import completed, refusal, state

__all__ = ["FakeRasa"]

VERSION = "3.6.21"

_SESSION_START = (
    {"event": "action", "name": "action_session_start", "confidence": 1.0},
    {"event": "session_started"},
    {"event": "action", "name": "action_listen"},
)
_BEGINNING = ["action_session_start", "session_started"]
_ROUTE = re.compile(r"/conversations/(.+)/(tracker/events|tracker)")
_VERBOSITY = ("NONE", "APPLIED", "AFTER_RESTART", "ALL")


class FakeRasa:
    """Rasa's HTTP API on a free port of 127.0.0.1, its conversations in memory; use it as a context manager.

    ```python
    with FakeRasa(token="secret") as rasa:
        rasa.says("ann", "hello")                        # ann wrote on the callback channel
        RasaClient(rasa.url, token="secret").append_events(
            "ann", [{"event": "bot", "text": "Hi"}], output_channel="latest", side_effects=True
        )
        assert rasa.delivered["callback"][0]["text"] == "Hi"
    ```

    It keeps all sessions, as Rasa on a SQL store does, and like that it works with the last one only. There is no
    domain, no model and no prediction.

    Args:
        token: what `--auth-token` would be, or None for an open API.
        api: whether `--enable-api` was given.
        channels: the channels that can push a message to a user.

    Attributes:
        delivered: what `execute_side_effects` sent, per channel: messages with `recipient_id`, oldest first.
        requests: the calls received, oldest first: method and path.
        latency: seconds added to every answer.
        refusing: channels that raise when they send: Rasa then answers 500 and keeps nothing (telegram does, 3.6.21).
    """

    def __init__(self, *, token: str | None = None, api: bool = True, channels: Iterable[str] = ("callback",)) -> None:
        self.delivered: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.requests: list[tuple[str, str]] = []
        self.latency = 0.0
        self.refusing: set[str] = set()
        self._token = token
        self._api = api
        self._channels = frozenset(channels)
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._faults: deque[int | str] = deque()
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.rasa = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> FakeRasa:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def events(self, sender_id: str) -> list[dict[str, Any]]:
        """Every event of the conversation; none when there is no such conversation."""
        return list(self._events.get(sender_id, []))

    def add(self, sender_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Store raw events as they are, as if they had happened; they begin the conversation if there is none."""
        self._events.setdefault(sender_id, []).extend(dict(event) for event in events)

    def says(self, sender_id: str, text: str, *, channel: str = "callback", message_id: str | None = None) -> None:
        """The user writes; the bot does not answer."""
        message_id = message_id or uuid4().hex
        event = {"event": "user", "text": text, "input_channel": channel, "message_id": message_id, "parse_data": {}}
        with self._lock(sender_id):
            self._append(sender_id, [] if sender_id in self._events else _timed(_SESSION_START))
            self._append(sender_id, _timed([event]))

    def fail_next(self, *faults: int | str) -> None:
        """Let the next calls go wrong, one fault for each.

        Args:
            faults: an HTTP status; ``"hang"`` (no answer until the server closes); ``"reset"`` (the connection breaks
                and nothing was done); ``"lost"`` (it was done, and the connection breaks before the answer).
        """
        self._faults.extend(faults)

    @contextlib.contextmanager
    def busy(self, sender_id: str) -> Iterator[None]:
        """Hold the conversation's lock, as a running action does: what adds events waits for the end of the block."""
        with self._lock(sender_id):
            yield

    def _lock(self, sender_id: str) -> threading.Lock:
        with self._guard:
            return self._locks[sender_id]

    def _next_fault(self) -> int | str | None:
        with self._guard:
            return self._faults.popleft() if self._faults else None

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        """What Rasa answers: the status, and JSON or the text of a page."""
        path, query = (
            urlsplit(target).path,
            {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()},
        )
        if (method, path) == ("GET", "/"):
            return 200, f"Hello from Rasa: {VERSION}"
        route = _ROUTE.fullmatch(path)
        if not self._api or not (route or path in ("/version", "/status")):
            return 404, "<!DOCTYPE html><title>404 — Not Found</title>"
        if path == "/version":
            return 200, {"version": VERSION, "minimum_compatible_version": VERSION}
        if self._token is not None and query.get("token") != self._token:
            return _failure(401, "NotAuthenticated", "User is not authenticated.")
        if not route:
            return 200, {"model_file": "fake.tar.gz", "model_id": "fake", "num_active_training_jobs": 0}
        # Not decoded: Rasa takes the id as it stands in the path.
        sender_id, resource = route.groups()
        if (method, resource) not in (("GET", "tracker"), ("POST", "tracker/events")):
            return 405, "<!DOCTYPE html><title>405 — Method Not Allowed</title>"
        verbosity = query.get("include_events", "AFTER_RESTART").upper()
        if verbosity not in _VERBOSITY:
            known = ", ".join(_VERBOSITY)
            return _failure(
                400, "BadRequest", f"Invalid parameter value for 'include_events'. Should be one of {known}"
            )
        if method == "GET":
            return 200, state(sender_id, self.events(sender_id) or _timed(_SESSION_START), verbosity)
        return self._post(sender_id, body, query, verbosity)

    def _post(self, sender_id: str, body: bytes, query: Mapping[str, str], verbosity: str) -> tuple[int, Any]:
        try:
            sent = json.loads(body) if body else None
        except ValueError:
            return 400, {"description": "Bad Request", "status": 400, "message": "Failed when parsing body as json"}
        events: list[Any] = sent if isinstance(sent, list) else [sent]
        why = refusal(events)
        if why:
            words = "Failed to validate the events format. For more information about the format visit the docs."
            return _failure(400, "BadRequest", f"{words} Error: {why}")
        try:
            added = _timed(events)
            if not added:
                raise ValueError
        except ValueError as error:
            return _failure(500, "ConversationError", f"An unexpected error occurred. Error: {error}")
        with self._lock(sender_id):
            if query.get("execute_side_effects") == "true" and self.refusing:
                latest = state(sender_id, _last_session(self.events(sender_id)), verbosity)["latest_input_channel"]
                if (
                    latest if query.get("output_channel") == "latest" else query.get("output_channel")
                ) in self.refusing:
                    return _failure(500, "ConversationError", "An unexpected error occurred. Error: the channel raised")
            session = _last_session(self.events(sender_id))
            session += self._append(sender_id, added)
            after = state(sender_id, session, verbosity)
            if query.get("execute_side_effects", "false").lower() == "true":
                self._deliver(sender_id, added, query.get("output_channel"), after["latest_input_channel"])
        return 200, after

    def _append(self, sender_id: str, added: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add events; a new conversation gets a session start before them, later than they are, as Rasa does it."""
        begins = [event.get("name") or event["event"] for event in added[:2]]
        known = sender_id in self._events or begins == _BEGINNING
        appended = [*([] if known else _timed(_SESSION_START)), *added]
        self._events.setdefault(sender_id, []).extend(appended)
        return appended

    def _deliver(
        self, sender_id: str, events: Sequence[Mapping[str, Any]], channel: str | None, latest: str | None
    ) -> None:
        channel = latest if channel == "latest" else channel
        if channel not in self._channels:
            return  # Rasa answers 200 and drops the message
        for event in events:
            if event["event"] == "bot":
                message = {**event["data"], "text": event["text"], **event["metadata"], "recipient_id": sender_id}
                self.delivered[str(channel)].append(message)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    rasa: FakeRasa

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a traceback in a test's output."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        """Silent: a test's output is its own."""

    def _serve(self) -> None:
        rasa = self.server.rasa
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rasa.requests.append((self.command, urlsplit(self.path).path))
        fault = rasa._next_fault()
        if fault == "hang":
            rasa._closing.wait()
        if fault in ("hang", "reset"):
            return self._reset()
        if isinstance(fault, int):
            return self._send(*_failure(fault, "ConversationError", "An unexpected error occurred. Error: as told"))
        status, answer = rasa._answer(self.command, self.path, body)
        rasa._closing.wait(rasa.latency)
        return self._reset() if fault == "lost" else self._send(status, answer)

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


def _failure(status: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    failure = {"version": VERSION, "status": "failure", "message": message, "reason": reason, "details": {}}
    return status, {**failure, "help": None, "code": status}


def _timed(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [completed(event, now=time.time()) for event in events]


def _last_session(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a SQL store gives Rasa to work with: by time, not by order (core/tracker_store.py, _event_query)."""
    starts = [event["timestamp"] for event in events if event["event"] == "session_started"]
    return [event for event in events if event["timestamp"] >= max(starts)] if starts else list(events)
