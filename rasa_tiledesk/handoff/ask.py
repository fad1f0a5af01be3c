"""The ask for a human, inside the action: may we, who is there, write down, open; everything up to the user's answer.

    staged   the request is opened unseen by agents; a worker brings the rest, and only then routes it
    direct   create the request, post all of it: done when the action answers

Whatever fails here, the user is told by the action and stays with the bot; what may be left in Tiledesk is closed by
the worker.
"""

from __future__ import annotations

import enum
import logging
import uuid
from dataclasses import dataclass
from typing import Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError, TiledeskError
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.failure import words_of
from rasa_tiledesk.handoff.history import redactor
from rasa_tiledesk.handoff.lane import Lane
from rasa_tiledesk.handoff.plan import direct_steps, facts_of, staged_steps
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.handoff.said import heard_since, said_of
from rasa_tiledesk.handoff.stored import whole_history
from rasa_tiledesk.ledger import End, Handoff, Kind, Ledger, Life
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.tiledesk import TiledeskClient
from rasa_tiledesk.trackers import TrackerReader

__all__ = ["Answer", "Asking", "Outcome"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
RASA_SECONDS = 2.0

# More than so many handoffs of one conversation within so many seconds are a loop, not a wish.
LOOP_HANDOFFS, LOOP_SECONDS = 4, 60


class Outcome(enum.Enum):
    """What came of an ask."""

    CONNECTED = "connected"
    QUEUED = "queued"
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
        rasa: Rasa's HTTP API, without which nobody could be heard.
        ledger: where the handoff is written before anything is sent.
        reader: reads the tracker store.
        lane: the way to the agents.
        recent: keeps the webhook's events for the worker.
        name: who holds the lane while the action runs.
        wake: called when a worker has to go on.
        new_id: makes unguessable ids of 32 hexadecimal digits.
    """

    settings: Settings
    desk: TiledeskClient
    rasa: RasaClient
    ledger: Ledger
    reader: TrackerReader
    lane: Lane
    recent: Recent
    name: str
    wake: Callable[[], None]
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex

    def ask(self, ask: Ask, deadline: Deadline, *, ask_id: str = "") -> Answer:
        """Hand the conversation over, unless it is handed over already.

        Args:
            ask: what the action's webhook brought.
            deadline: how long it may take.
            ask_id: names this ask; who does not hear of its outcome may take it back by that.

        Raises:
            LedgerError: the ledger failed; see `take_back`.
        """
        running = self._running(ask, ask_id)
        if running is not None:
            return Answer(Outcome.ALREADY, running)
        if self._loops(ask.sender_id):
            return Answer(Outcome.FAILED)
        desk = self.desk.within(deadline)
        try:
            self._check_rasa(ask.sender_id, deadline)
            department = desk.department(self.settings.department).id
            refused, free = self._available(desk, department)
        except (TiledeskError, RasaApiError) as error:
            logger.error("no handoff: %s", error)
            return Answer(Outcome.FAILED)
        if refused is not None:
            return Answer(refused)
        handoff_id = self.new_id()
        self.recent.keep(handoff_id, ask.events)
        history, secret = self.settings.history, self.ledger.hooks.for_keys()
        facts = facts_of(ask, self.settings, department, secret, now=desk.now)
        if history.import_ == "direct":
            events, unreadable = whole_history(ask.events, ask.sender_id, self.settings, self.reader, deadline)
            steps = direct_steps(handoff_id, facts, ask, history, secret, events, unreadable=unreadable)
        else:
            steps = staged_steps(handoff_id, facts, ask, history, secret)
        handoff, work = self.ledger.handoffs.begin(
            handoff_id,
            ask.sender_id,
            f"support-group-{self.settings.project_id}-{self.new_id()}",
            facts,
            steps,
            asked_by=ask_id,
            lease=f"{self.name}/ask",
            seconds=LEASE_SECONDS,
        )
        if work is None:
            return Answer(Outcome.ALREADY, handoff)
        failed = self.lane.run(work, deadline=deadline, only={Kind.OPEN, Kind.BULK})
        handoff = self.ledger.handoffs.get(handoff.id)
        if handoff.life is Life.ASKED:
            words = words_of(failed) if failed else "the request could not be opened in time"
            logger.error("handoff %s failed: %s", handoff.id, words)
            self.ledger.handoffs.take_back(handoff.id, ask_id, end=End.FAILED, words=words)
            self.wake()
            return Answer(Outcome.FAILED, self.ledger.handoffs.get(handoff.id))
        handoff = self.ledger.handoffs.confirm(handoff.id)
        self.wake()
        return Answer(Outcome.CONNECTED if free else Outcome.QUEUED, handoff)

    def take_back(self, ask_id: str, sender_id: str) -> bool:
        """End what this ask has made, unless a later one has promised it to the user.

        For an action that told the user that it failed, and does not know what became of it.

        Raises:
            LedgerError: the ledger failed; to be tried again.
        """
        running = self.ledger.handoffs.open_of(sender_id)
        return running is not None and self.ledger.handoffs.take_back(running.id, ask_id)

    def _running(self, ask: Ask, ask_id: str) -> Handoff | None:
        running = self.ledger.handoffs.open_of(ask.sender_id)
        if running is not None and self._has_restarted(ask, running):
            # The action server was away when the user restarted: that handoff is over.
            self.wake()
            return None
        return running and self.ledger.handoffs.promise(ask.sender_id, ask_id)

    def _has_restarted(self, ask: Ask, running: Handoff) -> bool:
        """Whether the user restarted the bot since; what they had said before that is still brought to the agents."""
        ends = self.settings.relay.end_intents
        heard = heard_since(ask.events, running, self.ledger.hooks.for_keys(), ends)
        said = said_of(heard, running, redactor(self.settings.history, ask.events, ask.slots), ends)
        if said.end is not End.RESTART:
            return False
        self.ledger.words.found(running.id, said)
        return True

    def _loops(self, sender_id: str) -> bool:
        since = self.ledger.now() - LOOP_SECONDS * 1000
        if sum(one.created > since for one in self.ledger.handoffs.of_sender(sender_id)) < LOOP_HANDOFFS:
            return False
        logger.error(
            "no handoff: %d in %d s for one conversation; the bot hands over again and again, check its rules",
            LOOP_HANDOFFS,
            LOOP_SECONDS,
        )
        return True

    def _check_rasa(self, sender_id: str, deadline: Deadline) -> None:
        """Whether the user could be reached: paused, and nobody ever heard, is worse than told now.

        Raises:
            RasaApiError: they could not, and waiting would not help.
        """
        try:
            self.rasa.tracker(
                sender_id, include_events="NONE", deadline=Deadline(min(RASA_SECONDS, deadline.remaining()))
            )
        except RasaApiError as error:
            if error.setup or not error.sent:
                raise
            logger.warning("Rasa does not answer now, and may later: %s", error)

    def _available(self, desk: TiledeskClient, department: str) -> tuple[Outcome | None, bool]:
        """(why the user is refused, or None; whether somebody is free)."""
        availability = self.settings.availability
        is_open = desk.is_open()
        if not is_open and availability.closed == "refuse":
            return Outcome.CLOSED_HOURS, False
        free = is_open and bool(desk.available_agents(department))
        return (Outcome.NO_AGENTS if not free and availability.nobody == "refuse" and is_open else None), free
