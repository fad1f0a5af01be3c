"""One run of work on one handoff, under its lease: open it, import in order, assign, send what is said meanwhile.

It may be killed at any line. What it did last is in the ledger or can be read back from Tiledesk, and the next run
goes on from there: before a message is sent it is marked as attempted, and one that was attempted and has not
arrived is looked for in Tiledesk (by `attributes.rasa.key`) before it is sent again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import (
    TiledeskForbidden,
    TiledeskNotFound,
    TiledeskRateLimited,
    TiledeskRefused,
    TiledeskServerError,
    TiledeskUnauthorized,
)
from rasa_tiledesk.handoff.ask import open_seen, open_unseen, sign_in, whole_history
from rasa_tiledesk.handoff.conversation import FIRST_NATIVE, addressed, older_messages, speakers
from rasa_tiledesk.handoff.ledger import Carried, Direction, Handoff, Ledger, State
from rasa_tiledesk.handoff.pace import Pace
from rasa_tiledesk.handoff.relay import ENDED_KEY, Relay
from rasa_tiledesk.handoff.user_facts import tell
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.tiledesk import TiledeskClient
from rasa_tiledesk.trackers import TrackerReader

__all__ = ["Carrier", "LeaseLost"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0  # longer than any one call of Tiledesk or Rasa may take; so long a killed server is waited for
STORE_SECONDS = 30.0
SETTLE_SECONDS = 30.0
PATIENCE = 5  # so many 500s to one message mean that the message is the cause

_UNSENDABLE = "[One message could not be carried over: Tiledesk refused it.]"


class LeaseLost(Exception):
    """Another worker has taken over; stop without touching anything."""


@dataclass(frozen=True)
class Carrier:
    """Does the work of a handoff.

    Attributes:
        settings: the `tiledesk:` section.
        desk: Tiledesk.
        ledger: where the work is, and what is done of it.
        reader: reads the tracker store, when the history is no longer in memory.
        pace: how fast one sender may speak.
        relay: brings agents' words to the user.
        refused: how often each message under way was answered 500, by handoff and key.
    """

    settings: Settings
    desk: TiledeskClient
    ledger: Ledger
    reader: TrackerReader
    pace: Pace
    relay: Relay
    refused: Counter[str] = field(default_factory=Counter)

    def run(self, handoff: Handoff, lease: str, events: Sequence[Mapping[str, Any]] | None = None) -> float | None:
        """Do what can be done now.

        Args:
            handoff: as claimed.
            lease: the lease's holder.
            events: what the action's webhook brought, while it is in memory.

        Returns:
            Seconds until there is more to do; None when all is done.

        Raises:
            TiledeskError: what to retry later, or never.
            LeaseLost: stop.
        """
        if handoff.state is State.ASKED:
            handoff = self._take_up(handoff, lease)
        ending = handoff.context.get("ending")
        if ending and handoff.state in (State.IMPORTING, State.LIVE):
            # The user goes back to the bot now, even if Tiledesk is away; the request is closed when it can be.
            self.relay.end(handoff)
            handoff = self.ledger.move(handoff, State.CLOSED, note=f"by the {ending}", due_in=0)
        if handoff.state is State.IMPORTING:
            if handoff.context["older"]:
                handoff = self._add_older(handoff, lease, events)
            wait = self._send(handoff, lease)
            if wait is not None:
                return wait
            self._assign(handoff)
            handoff = self.ledger.move(handoff, State.LIVE, due_in=0)
        if handoff.state is State.LIVE:
            wait = self._send(handoff, lease)
            if wait is not None:
                return wait
            handoff = self._listen(handoff)
        if handoff.state is not State.FAILED:
            self.relay.deliver(
                handoff, lambda arrived, attempt: self._hold(handoff, lease, arrived=arrived, attempt=attempt)
            )
        if handoff.state is State.CLOSED and ending:
            wait = self._send(handoff, lease)
            if wait is not None:
                return wait
            if not self.desk.request(handoff.request_id).closed:
                self.desk.close(handoff.request_id)
        return self._clean_up(handoff) if handoff.state is State.FAILING else None

    def _listen(self, handoff: Handoff) -> Handoff:
        """Hear what agents have said; the handoff is over when they have closed the request."""
        if handoff.listen <= self.ledger.now():
            self.relay.listen(handoff)
        if not any(message.key == ENDED_KEY for message in self.ledger.pending(handoff.id, Direction.TO_USER)):
            return handoff
        return self.ledger.move(handoff, State.CLOSED, note="by the agent", due_in=0)

    def _take_up(self, handoff: Handoff, lease: str) -> Handoff:
        """Go on where an action was killed."""
        handoff = sign_in(handoff, self.settings, self.desk, self.ledger)
        if handoff.context["import"] == "staged":
            return open_unseen(handoff, self.desk, self.ledger, lease)
        try:
            self.desk.request(handoff.request_id)
        except TiledeskNotFound:
            open_seen(handoff, self.desk)
        return self.ledger.move(handoff, State.IMPORTING, due_in=0)

    def _add_older(self, handoff: Handoff, lease: str, events: Sequence[Mapping[str, Any]] | None) -> Handoff:
        running = events or ()
        found, unreadable = whole_history(
            running, handoff.sender_id, self.settings, self.reader, Deadline(STORE_SECONDS)
        )
        native = [
            (message.position, message.key, message.body)
            for message in self.ledger.messages(handoff.id)
            if message.position >= FIRST_NATIVE
        ]
        summary = older_messages(
            found,
            speakers(handoff.id, handoff.context["user_name"]),
            self.settings.history,
            native=native,
            unreadable=unreadable,
        )
        self._hold(handoff, lease)
        self.ledger.insert(handoff.id, summary)
        return self.ledger.remember(handoff, older=False)

    def _send(self, handoff: Handoff, lease: str) -> float | None:
        pending = self.ledger.pending(handoff.id)
        if any(message.attempted for message in pending):
            there = self._keys_in_tiledesk(handoff)
            self._hold(handoff, lease, arrived=[message.key for message in pending if message.key in there])
            pending = [message for message in pending if message.key not in there]
        arrived: list[str] = []
        for message in pending:
            body = addressed(handoff, message.body)
            wait = self.pace.wait(body["sender"])
            if wait > 0:
                self._hold(handoff, lease, arrived=arrived)
                return wait
            self._hold(handoff, lease, arrived=arrived, attempt=[message.key])
            self._send_one(handoff, message, body)
            arrived = [message.key]
        self._hold(handoff, lease, arrived=arrived)
        return None

    def _send_one(self, handoff: Handoff, message: Carried, body: Mapping[str, Any]) -> None:
        try:
            self.desk.send_message(handoff.request_id, body)
        except (TiledeskUnauthorized, TiledeskForbidden, TiledeskNotFound, TiledeskRateLimited):
            raise
        except (TiledeskRefused, TiledeskServerError, ValueError) as error:
            if isinstance(error, TiledeskServerError) and not self._is_hopeless(handoff, message, error):
                raise
            # One message that Tiledesk will never take must not keep the others, and the user, waiting for ever.
            logger.error("handoff %s: message %d left out: %s", handoff.id, message.position, error)
            self.desk.send_message(handoff.request_id, {**_plain(body), "text": _UNSENDABLE})
        self.refused.pop(f"{handoff.id} {message.key}", None)

    def _is_hopeless(self, handoff: Handoff, message: Carried, error: TiledeskServerError) -> bool:
        """Whether the message itself is the cause: Tiledesk says 500 to what it refuses, and to its own troubles.

        Only when it was answered 500 time and again, has not arrived after all, and Tiledesk answers other calls.
        """
        if error.status != 500:  # a proxy's words say nothing about the message
            return False
        key = f"{handoff.id} {message.key}"
        self.refused[key] += 1
        return self.refused[key] >= PATIENCE and message.key not in self._keys_in_tiledesk(handoff)

    def _assign(self, handoff: Handoff) -> None:
        tell(handoff, self.desk)
        if handoff.context["import"] == "staged":
            if handoff.context["opened_by"] != "user":
                self.desk.set_first_text(handoff.request_id, handoff.context["first_text"])
            self.desk.assign(handoff.request_id, handoff.context["department"])

    def _clean_up(self, handoff: Handoff) -> float | None:
        try:
            if not self.desk.request(handoff.request_id).closed:
                self.desk.close(handoff.request_id)
        except TiledeskNotFound:
            # A call whose answer never came may still be on its way to the database.
            age = (self.ledger.now() - handoff.updated) / 1000
            if age < SETTLE_SECONDS:
                return SETTLE_SECONDS - age
        self.ledger.forget_texts(handoff.id)
        self.ledger.move(handoff, State.FAILED, note=handoff.last_error)
        return None

    def _keys_in_tiledesk(self, handoff: Handoff) -> set[str]:
        markers = (message.attributes.get("rasa") for message in self.desk.messages(handoff.request_id))
        return {str(marker.get("key")) for marker in markers if isinstance(marker, Mapping)}

    def _hold(self, handoff: Handoff, lease: str, *, arrived: Sequence[str] = (), attempt: Sequence[str] = ()) -> None:
        if not self.ledger.advance(handoff.id, lease, seconds=LEASE_SECONDS, arrived=arrived, attempt=attempt):
            raise LeaseLost


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with nothing in it that a server could stumble over, but its place and its key."""
    marker = body["attributes"]["rasa"]
    return {
        **{name: body[name] for name in ("sender", "senderFullname", "channel")},
        "type": "text",
        "attributes": {
            "clienttimestamp": body["attributes"]["clienttimestamp"],
            "rasa": {"key": marker["key"], "who": marker["who"]},
        },
    }
