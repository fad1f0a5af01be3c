"""A Rasa server for tests: a real HTTP server that behaves as rasa 3.6.21 does in the calls we make."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Callable
from uuid import uuid4

from rasa_tiledesk.testing import _rasa_http as wire
from rasa_tiledesk.testing._rasa_http import Broken, Caller, failure
from rasa_tiledesk.testing.rasa_events import external, last_session, messages, refusal, state, timed, turn

__all__ = ["FakeRasa"]

_SESSION_START = (
    {"event": "action", "name": "action_session_start", "confidence": 1.0},
    {"event": "session_started"},
    {"event": "action", "name": "action_listen"},
)
_BEGINNING = ["action_session_start", "session_started"]
_GLANCE = 0.005  # seconds between two looks at whether the caller is still there


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

    It keeps all sessions, as Rasa on a SQL store does, and like that it works with the last one only. As Rasa it sends
    first and saves then, and gives both up where they are when the caller hangs up. There is no model: what the bot
    answers stands in `answers`.

    Args:
        token: what `--auth-token` would be, or None for an open API.
        api: whether `--enable-api` was given.
        channels: the channels that can push a message to a user.
        clock: seconds since 1970; what events are stamped with.

    Attributes:
        delivered: what `execute_side_effects` sent, per channel: messages with `recipient_id`, oldest first.
        requests: the calls received, oldest first: method and path.
        answers: the intents of the bot's domain, and the messages (`text`, `buttons`, ...) with which it answers each
            when it is triggered; any other intent is refused.
        bot_answers: whether the bot answers what a user `says`, with ``answer to <text>``, while it is not paused.
        latency: seconds added to every answer, when all is done.
        channel_latency: seconds that a channel takes for each message, after the user has it.
        refusing: channels that raise when they send: Rasa then answers 500 and keeps nothing (telegram does, 3.6.21).
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        api: bool = True,
        channels: Iterable[str] = ("callback",),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.delivered: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.requests: list[tuple[str, str]] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.bot_answers = False
        self.latency = 0.0
        self.channel_latency = 0.0
        self.refusing: set[str] = set()
        self._clock = clock
        self._token = token
        self._api = api
        self._channels = frozenset(channels)
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._faults: deque[int | str] = deque()
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._held: threading.Event | None = None
        self._server = wire.RasaServer(self._serve)
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

    def paused(self, sender_id: str) -> bool:
        """Whether the bot is silent in this conversation."""
        return bool(state(sender_id, last_session(self.events(sender_id)), "NONE")["paused"])

    def says(
        self,
        sender_id: str,
        text: str,
        *,
        intent: str | None = None,
        channel: str = "callback",
        message_id: str | None = None,
    ) -> None:
        """The user writes; what Rasa understands is `intent`, and the bot answers only if `bot_answers` says so."""
        with self._turn(sender_id):
            self._hear(sender_id, text, intent, channel, message_id)
            if self.bot_answers and not self.paused(sender_id):
                answer = self._timed(turn([{"text": f"answer to {text}"}], action="utter_answer"))
                self.delivered[channel] += messages(sender_id, answer)
                self._save(sender_id, answer)

    def restart(self, sender_id: str, *, channel: str = "callback") -> None:
        """The user writes ``/restart``: Rasa hears it although the bot is paused, and forgets slots and pause.

        Until the user writes again, ``latest`` is no channel: Rasa does not look behind the session's start.
        """
        with self._turn(sender_id):
            self._hear(sender_id, "/restart", "restart", channel)
            self._save(sender_id, self._timed([{"event": "action", "name": "action_restart"}, {"event": "restart"}]))
            self._save(sender_id, self._timed(_SESSION_START))

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
        with self._turn(sender_id):
            yield

    @contextlib.contextmanager
    def hold_channel(self) -> Iterator[threading.Event]:
        """Make the channels slow: each takes a message, the user has it, and it says so only after the block.

        Gives an event that is set as soon as a message has been taken.
        """
        self._held = held = threading.Event()
        try:
            yield held
        finally:
            self._held = None

    def _timed(self, events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return timed(events, self._clock)

    @contextlib.contextmanager
    def _turn(self, sender_id: str, caller: Caller | None = None) -> Iterator[None]:
        with self._guard:
            lock = self._locks[sender_id]
        while not lock.acquire(timeout=_GLANCE if caller else -1):
            if caller:
                caller.expect()
        try:
            if caller:
                caller.expect()
            yield
        finally:
            lock.release()

    def _hear(self, sender_id: str, text: str, intent: str | None, channel: str, message_id: str | None = None) -> None:
        understood = {"intent": {"name": intent, "confidence": 1.0}} if intent else {}
        message = {"text": text, "input_channel": channel, "message_id": message_id or uuid4().hex}
        self._save(sender_id, [] if sender_id in self._events else self._timed(_SESSION_START))
        self._save(sender_id, self._timed([{"event": "user", **message, "parse_data": understood}]))

    def _serve(self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Caller) -> tuple[int, Any]:
        self.requests.append((method, path))
        with self._guard:
            fault = self._faults.popleft() if self._faults else None
        if fault == "hang":
            self._closing.wait()
        if fault in ("hang", "reset"):
            raise Broken
        if isinstance(fault, int):
            return failure(fault, "ConversationError", "An unexpected error occurred. Error: as told")
        answer = self._answer(method, path, query, body, caller)
        self._closing.wait(self.latency)
        if fault == "lost":
            raise Broken
        return answer

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: bytes, caller: Caller) -> tuple[int, Any]:
        if (method, path) == ("GET", "/"):
            return 200, f"Hello from Rasa: {wire.VERSION}"
        route = wire.ROUTE.fullmatch(path)
        if not self._api or not (route or path in ("/version", "/status")):
            missing = {"description": "Not Found", "status": 404, "message": f"Requested URL {path} not found"}
            return 404, "<!DOCTYPE html><title>404 — Not Found</title>" if method == "GET" else missing
        if path == "/version":
            return 200, {"version": wire.VERSION, "minimum_compatible_version": wire.VERSION}
        if self._token is not None and query.get("token") != self._token:
            return failure(401, "NotAuthenticated", "User is not authenticated.")
        if not route:
            return 200, {"model_file": "fake.tar.gz", "model_id": "fake", "num_active_training_jobs": 0}
        # Not decoded: Rasa takes the id as it stands in the path.
        sender_id, resource = route.groups()
        if method != wire.METHODS[resource]:
            return 405, "<!DOCTYPE html><title>405 — Method Not Allowed</title>"
        if wire.verbosity(query) not in wire.VERBOSITIES:
            known = ", ".join(wire.VERBOSITIES)
            return failure(400, "BadRequest", f"Invalid parameter value for 'include_events'. Should be one of {known}")
        if method == "GET":
            return 200, state(sender_id, self.events(sender_id) or self._timed(_SESSION_START), wire.verbosity(query))
        try:
            sent = json.loads(body) if body else None
        except ValueError:
            return 400, {"description": "Bad Request", "status": 400, "message": "Failed when parsing body as json"}
        try:
            return (self._trigger if resource == "trigger_intent" else self._add)(sender_id, sent, query, caller)
        except ValueError as error:
            return failure(500, "ConversationError", f"An unexpected error occurred. Error: {error}")

    def _add(self, sender_id: str, sent: Any, query: Mapping[str, str], caller: Caller) -> tuple[int, Any]:
        events: list[Any] = sent if isinstance(sent, list) else [sent]
        why = refusal(events)
        if why:
            words = "Failed to validate the events format. For more information about the format visit the docs."
            return failure(400, "BadRequest", f"{words} Error: {why}")
        added = self._timed(events)
        if not added:
            raise ValueError
        with self._turn(sender_id, caller):
            # A new conversation gets a session start before them, later than they are, as Rasa does it.
            begins = [event.get("name") or event["event"] for event in added[:2]]
            known = sender_id in self._events or begins == _BEGINNING
            appended = [*([] if known else self._timed(_SESSION_START)), *added]
            after = state(sender_id, [*last_session(self.events(sender_id)), *appended], wire.verbosity(query))
            if query.get("execute_side_effects", "false").lower() == "true":
                self._deliver(sender_id, added, wire.channel_of(query, after), caller)
            self._save(sender_id, appended)
        return 200, after

    def _trigger(self, sender_id: str, sent: Any, query: Mapping[str, str], caller: Caller) -> tuple[int, Any]:
        name = sent.get("name")
        if not name:
            return failure(400, "BadRequest", "Name of the intent not provided in request body.")
        with self._turn(sender_id, caller):
            if name not in self.answers:
                return failure(404, "NotFound", "The intent does not exist in the domain.")
            opening = [] if sender_id in self._events else self._timed(_SESSION_START)
            session = last_session(self.events(sender_id)) + opening
            before = state(sender_id, session, "NONE")
            said = [] if before["paused"] else turn(self.answers[name], action=f"utter_{name}")
            added = self._timed([external(name, sent.get("entities"), channel=before["latest_input_channel"]), *said])
            self._deliver(sender_id, added, wire.channel_of(query, before), caller)
            self._save(sender_id, [*opening, *added])
        return 200, {"tracker": state(sender_id, session + added, wire.verbosity(query)), "messages": []}

    def _save(self, sender_id: str, events: Sequence[dict[str, Any]]) -> None:
        self._events.setdefault(sender_id, []).extend(events)

    def _deliver(
        self, sender_id: str, events: Sequence[Mapping[str, Any]], channel: str | None, caller: Caller
    ) -> None:
        if channel in self.refusing:
            raise ValueError("the channel raised")
        if channel not in self._channels:
            return  # Rasa answers 200 and drops the messages
        for message in messages(sender_id, events):
            self.delivered[str(channel)].append(message)
            self._wait_for_channel(caller)

    def _wait_for_channel(self, caller: Caller) -> None:
        held, until = self._held, time.monotonic() + self.channel_latency
        if held:
            held.set()
        while (held and held is self._held) or time.monotonic() < until:
            caller.expect(_GLANCE)
            if self._closing.is_set():
                raise Broken
        caller.expect()
