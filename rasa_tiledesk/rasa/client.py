"""The client of Rasa's HTTP API: read a conversation, add events to it, make the bot answer in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError
from rasa_tiledesk.http import Http, NoAnswer, NotSent

__all__ = ["RasaClient"]

# Rasa decodes no path, and its server closes the connection at a byte that is not printable ASCII (rasa 3.6.21, sanic
# 21.12, httptools 0.9.0, seen on 2026-11-24). `.` and `..` would arrive, but a proxy between may fold them away, which
# makes another user's conversation of `a/../b`.
_NAMEABLE = re.compile(r"(?!(.*/)?\.{1,2}(/|$))[!\"$->@-~]+")

_PASSING = (408, 409, 425, 429)  # what a later call may find otherwise; and every 5xx

_HINTS = {
    401: "check relay.rasa_token: it must be what `rasa run --auth-token` has",
    403: "check relay.rasa_token: it must be what `rasa run --auth-token` has",
    404: "start Rasa with `rasa run --enable-api`, and check relay.rasa_url",
    409: "Rasa has no model loaded yet",
}
_FOREIGN = "check relay.rasa_url: is that Rasa?"


class RasaClient:
    """Calls Rasa's HTTP API (rasa 3.6.21, server.py); safe to share between threads.

    Calls that add events wait for the conversation's lock, so an action must not make them for its own conversation:
    it would wait for itself.

    Args:
        url: of the Rasa server, such as ``http://localhost:5005``.
        token: what `rasa run --auth-token` has, or None. Rasa takes it in the query only.
        http: the connection to use; by default one of its own.
    """

    def __init__(self, url: str, *, token: str | None = None, http: Http | None = None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._http = http or Http()

    def __repr__(self) -> str:
        return "RasaClient()"  # the URL may carry a password

    def tracker(
        self, sender_id: str, *, include_events: str = "ALL", deadline: Deadline | None = None
    ) -> dict[str, Any]:
        """The state of a conversation and its events; waits for no lock.

        For a conversation that Rasa does not know it answers with a new session, which it does not keep.

        Args:
            sender_id: whose conversation.
            include_events: ALL, AFTER_RESTART, APPLIED (without what was reverted) or NONE.
            deadline: how long it may take.

        Raises:
            RasaApiError: it failed, or the sender id cannot be named in a path of Rasa's.
        """
        query = {"include_events": include_events}
        return self._conversation("GET", sender_id, "tracker", query, deadline=deadline)

    def append_events(
        self,
        sender_id: str,
        events: Sequence[Mapping[str, Any]],
        *,
        output_channel: str | None = None,
        side_effects: bool = False,
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        """Add events to a conversation, in order; answers with its state after them.

        Rasa knows no idempotency: what is repeated after an unknown outcome may arrive twice. It sends first and saves
        then, and gives both up where they are when the caller hangs up: after a timeout the user may have the words
        although the conversation never will (rasa 3.6.21, seen). In a conversation that
        Rasa does not know yet it puts a session start before the events, which is later than they are, and on a SQL
        store (which cuts sessions by time) it does not see them again: begin such a conversation with
        `action_session_start` and `session_started` yourself.

        Args:
            sender_id: whose conversation.
            events: as Rasa writes them; one with a `timestamp` keeps it. At least one.
            output_channel: where side effects go: a channel's name, or ``latest`` for the one the user wrote on last.
                Rasa answers 200 and drops the messages when that channel cannot push (such as `rest`): check
                `latest_input_channel` of the answer.
            side_effects: send the `bot` events among them to the user; otherwise they are only recorded.
            deadline: how long it may take.

        Raises:
            RasaApiError: it failed; `sent` tells whether it may have taken effect.
        """
        query = {"execute_side_effects": "true" if side_effects else "false"}
        if output_channel:
            query["output_channel"] = output_channel
        body = [dict(event) for event in events]
        return self._conversation("POST", sender_id, "tracker/events", query, body=body, deadline=deadline)

    def trigger_intent(
        self,
        sender_id: str,
        name: str,
        entities: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
        *,
        output_channel: str = "latest",
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        """Make the bot answer an intent as if the user had just said it; answers with the state after that.

        The conversation gets a user event ``EXTERNAL: name``. While it is paused, that is all.

        Args:
            sender_id: whose conversation.
            name: an intent of the bot's domain.
            entities: ``{entity: value}``, or as Rasa writes them in a user event.
            output_channel: where the answer goes; see `append_events`.
            deadline: how long it may take: as long as the bot's answer does, its actions included.

        Raises:
            RasaApiError: it failed; its status is 404, and `setup` False, when the domain has no such intent.
        """
        query = {"output_channel": output_channel, "include_events": "AFTER_RESTART"}
        kept = dict(entities) if isinstance(entities, Mapping) else [dict(entity) for entity in entities]
        body = {"name": name, "entities": kept}
        return self._conversation("POST", sender_id, "trigger_intent", query, body=body, deadline=deadline)

    def check(self, *, deadline: Deadline | None = None) -> str:
        """Whether Rasa can be reached, has its API enabled, accepts the token and has a model; gives its version.

        Raises:
            RasaApiError: one of these is not so; says which and what to do.
        """
        version = self._call("GET", "/version", {}, deadline=deadline).get("version")
        self._call("GET", "/status", {}, deadline=deadline)
        return str(version)

    @staticmethod
    def can_name(sender_id: str) -> bool:
        """Whether Rasa's HTTP API can reach this conversation: printable ASCII without spaces, ``#`` and ``?``."""
        return bool(_NAMEABLE.fullmatch(sender_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _conversation(
        self,
        method: str,
        sender_id: str,
        resource: str,
        query: Mapping[str, str],
        *,
        body: Any = None,
        deadline: Deadline | None = None,
    ) -> dict[str, Any]:
        if not self.can_name(sender_id):
            raise RasaApiError(
                "Rasa: its HTTP API cannot name this sender id: it does not decode paths, so an id with spaces, "
                "letters outside ASCII, # or ?, or with . or .. between slashes, is out of reach",
                sent=False,
                setup=True,
            )
        path = f"/conversations/{quote(sender_id, safe='/')}/{resource}"
        state = self._call(method, path, query, body=body, deadline=deadline)
        state = state["tracker"] if isinstance(state.get("tracker"), dict) else state  # trigger_intent wraps it
        if state.get("sender_id") != sender_id or not isinstance(state.get("events", []), (list, type(None))):
            raise RasaApiError(
                f"Rasa: {method} /{resource} answered for another conversation (check relay.rasa_url)", setup=True
            )
        return state

    def _call(
        self, method: str, path: str, query: Mapping[str, str], *, body: Any = None, deadline: Deadline | None = None
    ) -> dict[str, Any]:
        call = f"Rasa: {method} /{path.rpartition('/')[2]}"
        params = {**query, "token": self._token} if self._token else query
        # A channel may be silent for long, and Rasa with it: how long is the caller's to say.
        silence = deadline.remaining() if deadline else None
        try:
            answer = self._http.call(
                method,
                self._url + path,
                json=body,
                params=params,
                deadline=deadline,
                read_timeout=silence,
                undecoded=True,
            )
        except NotSent as error:
            raise RasaApiError(f"{call}: {error} (check relay.rasa_url: is Rasa running there?)", sent=False) from None
        except NoAnswer as error:
            raise RasaApiError(f"{call}: {error}") from None
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status == 200 and isinstance(said, dict):
            return said
        # Without `--enable-api` the server under Rasa answers 404 for it, as a page or as JSON without a reason.
        rasas = isinstance(said, dict) and (answer.status != 404 or "reason" in said)
        passing = answer.status >= 500 or answer.status in _PASSING
        hint = "" if rasas and answer.status == 404 else _HINTS.get(answer.status, "" if rasas else _FOREIGN)
        raise RasaApiError(
            f"{call} answered {answer.status}{_words(said)}{f' ({hint})' if hint else ''}",
            status=answer.status,
            setup=not passing and (answer.status in (401, 403) or not rasas),
        )


def _words(said: Any) -> str:
    """Rasa's reason and message, without the events that its refusal of a schema repeats.

    The server under Rasa gives no reason, and repeats the path with the sender id.
    """
    if not isinstance(said, dict) or "reason" not in said:
        return ""
    message = str(said.get("message") or "").partition("\n")[0]
    if said.get("reason") == "BadRequest":
        message = message.partition(" Error: ")[0]
    return "".join(f": {part[:300]}" for part in (str(said.get("reason") or ""), message) if part)
