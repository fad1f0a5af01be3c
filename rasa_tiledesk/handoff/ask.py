"""The ask for a human, inside the action: everything up to the answer the user gets.

    direct   sign in, create the request, import all of it: done when the action answers
    staged   sign in, open the request unseen by agents; a worker imports the rest and only then assigns it

Whatever fails here, the user is told by the action and stays with the bot; what may be left in Tiledesk is closed by
the worker.
"""

from __future__ import annotations

import enum
import hashlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import LedgerError, TiledeskError, TiledeskNotFound, TiledeskUncertain, TrackerStoreError
from rasa_tiledesk.handoff.conversation import (
    Ask,
    Placed,
    addressed,
    history_messages,
    opening_messages,
    redactor,
    speakers,
)
from rasa_tiledesk.handoff.ledger import Handoff, Ledger, State
from rasa_tiledesk.handoff.user_facts import about, tell
from rasa_tiledesk.settings import EntityRule, History, LastTurns, Settings, SlotRule
from rasa_tiledesk.tiledesk import TiledeskClient
from rasa_tiledesk.trackers import TrackerReader, merge
from rasa_tiledesk.transcript import read_turns

__all__ = ["Answer", "Asking", "Outcome", "open_seen", "open_unseen", "sign_in", "whole_history"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
STORE_SECONDS = 3.0  # how long the tracker store may take

# So many turns more than wanted: a button stands a few turns before its click.
_BEFORE = 30

# More than so many handoffs of one conversation within so many seconds are a loop, not a wish.
LOOP_HANDOFFS, LOOP_SECONDS = 4, 60

Event = Mapping[str, Any]


class Outcome(enum.Enum):
    """What came of an ask."""

    CONNECTED = "connected"
    ALREADY = "already"
    NO_AGENTS = "no_agents"
    CLOSED_HOURS = "closed_hours"
    FAILED = "failed"


@dataclass(frozen=True)
class Answer:
    """What came of an ask, and the handoff it made or found, if any."""

    outcome: Outcome
    handoff: Handoff | None = None


@dataclass(frozen=True)
class Asking:
    """Makes handoffs of asks.

    Attributes:
        settings: the `tiledesk:` section.
        desk: Tiledesk.
        ledger: where the handoff is written before anything is sent.
        reader: reads the tracker store.
        name: who holds the lease while the action runs.
        hand_on: called with the handoff's id and the webhook's events when a worker has to go on.
        new_id: makes unguessable ids of 32 hexadecimal digits.
    """

    settings: Settings
    desk: TiledeskClient
    ledger: Ledger
    reader: TrackerReader
    name: str
    hand_on: Callable[[str, Sequence[Event]], None]
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex

    def ask(self, ask: Ask, deadline: Deadline) -> Answer:
        """Hand the conversation over, unless it is handed over already.

        Raises:
            LedgerError: nothing could be written down, so nothing was sent.
        """
        running = self.ledger.open_handoff(ask.sender_id)
        if running is not None:
            return Answer(Outcome.ALREADY, running)
        since = self.ledger.now() - LOOP_SECONDS * 1000
        if sum(handoff.created > since for handoff in self.ledger.of_sender(ask.sender_id)) >= LOOP_HANDOFFS:
            logger.error(
                "no handoff: %d in %d s for one conversation; the bot hands over again and again, check its rules",
                LOOP_HANDOFFS,
                LOOP_SECONDS,
            )
            return Answer(Outcome.FAILED)
        desk = self.desk.within(deadline)
        try:
            refused = self._refused(desk)
            if refused is not None:
                return Answer(refused)
            department = desk.department(self.settings.department)
        except TiledeskError as error:
            logger.error("no handoff: %s", error)
            return Answer(Outcome.FAILED)
        handoff, new = self._write_down(ask, department.id, deadline)
        if not new:
            return Answer(Outcome.ALREADY, handoff)
        try:
            handoff = self._carry_out(sign_in(handoff, self.settings, desk, self.ledger), desk)
        except LedgerError:
            raise
        except Exception as error:  # the user is told so, and no worker must go on with it
            words = str(error) if isinstance(error, TiledeskError) else f"unexpected {type(error).__name__}"
            logger.error("handoff %s failed: %s", handoff.id, words, exc_info=not isinstance(error, TiledeskError))
            handoff = self.ledger.move(handoff, State.FAILING, note=words, due_in=0)
        self.ledger.release(handoff.id, self.name)
        self.hand_on(handoff.id, ask.events)
        return Answer(Outcome.FAILED if handoff.state is State.FAILING else Outcome.CONNECTED, handoff)

    def take_back(self, handoff: Handoff) -> None:
        """End a handoff that the user was told had failed."""
        self.ledger.move(self.ledger.handoff(handoff.id), State.FAILING, note="succeeded too late", due_in=0)

    def _refused(self, desk: TiledeskClient) -> Outcome | None:
        availability = self.settings.availability
        if availability.closed == "refuse" and not desk.is_open():
            return Outcome.CLOSED_HOURS
        if availability.nobody == "refuse" and not desk.available_agents(desk.department(self.settings.department).id):
            return Outcome.NO_AGENTS
        return None

    def _write_down(self, ask: Ask, department_id: str, deadline: Deadline) -> tuple[Handoff, bool]:
        handoff_id = self.new_id()
        requester, history = self.settings.requester, self.settings.history
        user_name = ask.slot(requester.name_slot) or f"Guest {handoff_id[:4]}"
        by = speakers(handoff_id, user_name)
        messages: list[Placed]
        if history.import_ == "direct":
            events, unreadable = whole_history(ask.events, ask.sender_id, self.settings, self.reader, deadline)
            messages = history_messages(events, by, history, unreadable=unreadable, slots=ask.slots)
            older = False
        else:
            messages, older = opening_messages(ask.events, by, history, ask.slots)
        context = {
            "import": history.import_,
            "older": older,
            "opened_by": messages[0][2]["attributes"]["rasa"]["who"] if messages else None,
            "department": department_id,
            "user_name": user_name,
            "email": ask.slot(requester.email_slot),
            "language": ask.slot("language"),
            "channel": ask.channel,
            "first_text": _first_words(messages),
            "last_key": messages[-1][1].partition("/")[0] if messages else None,
            "texts": dict(ask.texts),
            "named": ask.slot(requester.name_slot) is not None,
            "about": about(ask, requester, redactor(history, ask.events, ask.slots)),
        }
        return self.ledger.begin(
            handoff_id,
            ask.sender_id,
            f"support-group-{self.settings.project_id}-{self.new_id()}",
            context,
            messages,
            lease=self.name,
            seconds=LEASE_SECONDS,
        )

    def _carry_out(self, handoff: Handoff, desk: TiledeskClient) -> Handoff:
        if handoff.context["import"] == "staged":
            return open_unseen(handoff, desk, self.ledger, self.name)
        return self._import_directly(handoff, desk)

    def _import_directly(self, handoff: Handoff, desk: TiledeskClient) -> Handoff:
        """The tutorial's way: agents see the request from the first moment, and its messages in any order."""
        open_seen(handoff, desk)
        messages = self.ledger.pending(handoff.id)
        keys = [message.key for message in messages]
        self.ledger.advance(handoff.id, self.name, seconds=LEASE_SECONDS, attempt=keys)
        desk.send_messages(handoff.request_id, [addressed(handoff, message.body) for message in messages])
        self.ledger.advance(handoff.id, self.name, seconds=LEASE_SECONDS, arrived=keys)
        tell(handoff, desk)
        return self.ledger.move(handoff, State.LIVE, due_in=0)


def sign_in(handoff: Handoff, settings: Settings, desk: TiledeskClient, ledger: Ledger) -> Handoff:
    """Make the end user known to Tiledesk, unless that is done.

    `signed` gives one id per sender id and project, so that agents see one contact across handoffs; `anonymous` takes
    the id of the sender's last handoff again, where there is one.
    """
    if handoff.requester_id is not None:
        return handoff
    name, secret = handoff.context["user_name"], settings.requester.project_secret
    if settings.requester.identity == "signed" and secret is not None:
        material = f"{settings.project_id}\x00{handoff.sender_id}".encode("utf-8", "surrogatepass")
        user_id = f"rasa-{hashlib.sha256(material).hexdigest()[:32]}"
        desk.sign_in_signed(user_id, project_secret=secret.get_secret_value(), name=name)
        return ledger.remember(handoff, requester_id=user_id)
    project = f"support-group-{settings.project_id}-"
    for earlier in reversed(ledger.of_sender(handoff.sender_id)):
        if earlier.requester_id is not None and earlier.request_id.startswith(project):
            return ledger.remember(handoff, requester_id=earlier.requester_id)
    return ledger.remember(handoff, requester_id=desk.sign_in_anonymously(name=name).id)


def open_seen(handoff: Handoff, desk: TiledeskClient) -> None:
    """Create the request as Tiledesk's tutorial does: routed at once, without messages."""
    desk.create_request(
        request_id=handoff.request_id,
        sender=handoff.requester_id or "",
        sender_name=handoff.context["user_name"],
        first_text=handoff.context["first_text"],
        department_id=handoff.context["department"],
        language=handoff.context["language"],
    )


def open_unseen(handoff: Handoff, desk: TiledeskClient, ledger: Ledger, lease: str) -> Handoff:
    """Open the request by its first message, not yet routed; a request that is open already is not opened again."""
    opening = ledger.messages(handoff.id)[0]
    if not opening.arrived:
        if not opening.attempted or not _exists(handoff, desk):
            ledger.advance(handoff.id, lease, seconds=LEASE_SECONDS, attempt=[opening.key])
            try:
                desk.open_request(
                    handoff.request_id,
                    addressed(handoff, opening.body),
                    temporary=True,
                    department_id=handoff.context["department"],
                    language=handoff.context["language"],
                )
            except TiledeskUncertain:
                if not _exists(handoff, desk):
                    raise
        ledger.advance(handoff.id, lease, seconds=LEASE_SECONDS, arrived=[opening.key])
    return ledger.move(handoff, State.IMPORTING, due_in=0)


def whole_history(
    running: Sequence[Event], sender_id: str, settings: Settings, reader: TrackerReader, deadline: Deadline
) -> tuple[list[Event], bool]:
    """The events of all sessions that the scope may need, and whether the tracker store could not be read.

    The running session needs no store when the webhook brought its beginning.
    """
    if settings.history.scope == "session" and any(event.get("event") == "session_started" for event in running):
        return list(running), False
    try:
        stored = _stored(
            running, sender_id, settings.history, reader, Deadline(min(STORE_SECONDS, deadline.remaining()))
        )
    except TrackerStoreError as error:
        logger.error("earlier history left out: %s", error)
        return list(running), True
    return [*merge(stored, [dict(event) for event in running])], False


def _stored(
    running: Sequence[Event], sender_id: str, history: History, reader: TrackerReader, deadline: Deadline
) -> list[dict[str, Any]]:
    """What the store holds: of a `last: N` the newest events, so that it costs what N turns cost; else all.

    A value that must not leave may have been named by an entity or a slot long ago: then all are read too.
    """
    by_value = any(isinstance(rule, (EntityRule, SlotRule)) for rule in history.redact)
    if not isinstance(history.scope, LastTurns) or by_value:
        return reader.events(sender_id, deadline=deadline)
    turns = max(history.scope.last, len(read_turns(running))) + _BEFORE
    newest = 3 * turns  # slots and beginnings of sessions are among them, and what is said to programs
    while True:
        stored = reader.events(sender_id, deadline=deadline, newest=newest)
        if len(stored) < newest or len(read_turns(stored)) >= turns:
            return stored
        newest *= 4


def _exists(handoff: Handoff, desk: TiledeskClient) -> bool:
    try:
        desk.request(handoff.request_id)
    except TiledeskNotFound:
        return False
    return True


def _first_words(messages: Sequence[Placed]) -> str:
    """What agents read in their list: what the user said first, of what they get to see."""
    said = (body["text"] for _, _, body in messages if body["attributes"]["rasa"]["who"] == "user")
    return next(said, "(the user has not said anything)")[:500]
