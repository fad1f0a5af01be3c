"""Looking after a handoff: its time limits, and whether Rasa still does what the ledger says.

Nothing waits for ever: nobody opened, nobody came, nobody speaks; each has a way out by time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError
from rasa_tiledesk.handoff.history import redactor
from rasa_tiledesk.handoff.said import KEEP_WAITING, heard_since, said_of
from rasa_tiledesk.ledger import HUSH_KEY, Duty, End, Handoff, Kind, Ledger, Life, NewStep, Work
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.responses import IDLE, STILL_WAITING
from rasa_tiledesk.settings import Settings

__all__ = ["Care"]

logger = logging.getLogger(__name__)

ANSWERED_MS = 12_000  # by then an action has answered, or never will
LOOK_MS = 300_000  # how often to see in Rasa whether the bot is still paused
LOOK_SECONDS = 10.0

# Silence by which an agent and a user who have no limit of their own have parted; longer than a weekend.
LONGEST_SILENCE_SECONDS = 3 * 24 * 3600.0
WARNING_SECONDS = 60.0  # before the close, or half of the limit where that is less

_BACK, _STAY = "Back to the bot", "Keep waiting"


@dataclass(frozen=True)
class Care:
    """Looks after handoffs.

    Attributes:
        settings: the `tiledesk:` section.
        ledger: where they are.
        rasa: Rasa's HTTP API.
    """

    settings: Settings
    ledger: Ledger
    rasa: RasaClient

    def run(self, work: Work) -> None:
        """Do what it is time for, and say when to look again."""
        handoff, now = work.handoff, work.now
        if handoff.is_open and not self._ended(handoff, now):
            if now >= _next_look(handoff):
                self._look(handoff)
            handoff = self.ledger.handoffs.get(handoff.id)
            moments = [moment for moment in self._moments(handoff) if moment > now]
            if handoff.spoke != work.handoff.spoke:  # meanwhile: what was not ended for that is looked at again
                moments.append(now)
            self.ledger.lanes.leave(work, again_in=max(0.5, (min(moments) - now) / 1000) if moments else None)
        else:
            self.ledger.lanes.leave(work)

    def _moments(self, handoff: Handoff) -> Iterator[float]:
        """When there is something to do, ms since 1970."""
        yield _next_look(handoff)
        if handoff.life is not Life.LIVE:
            yield handoff.created + self.settings.availability.give_up * 1000
            return
        if not handoff.joined:
            yield handoff.created + self.settings.availability.wait_limit.after * 1000
        limit = self._silence()
        yield handoff.spoke + _warn_after(limit) * 1000
        yield handoff.spoke + limit * 1000

    def _silence(self) -> float:
        return self.settings.relay.idle_limit or LONGEST_SILENCE_SECONDS

    def _ended(self, handoff: Handoff, now: int) -> bool:
        """Do what its limits ask for; whether it has ended by that."""
        age, silence = (now - handoff.created) / 1000, (now - handoff.spoke) / 1000
        available = self.settings.availability
        if handoff.life is not Life.LIVE:
            if age < available.give_up:
                return False
            words = self._trouble(handoff)
            logger.error("handoff %s given up after %.0f s: %s", handoff.id, age, words)
            return self.ledger.handoffs.end(handoff.id, End.FAILED, words=words, seen=handoff)
        if silence >= self._silence():
            return self.ledger.handoffs.end(handoff.id, End.SILENCE, seen=handoff)
        if not handoff.joined and age >= available.wait_limit.after:
            if available.wait_limit.then == "return":
                return self.ledger.handoffs.end(handoff.id, End.NOBODY_CAME, seen=handoff)
            self._say(handoff, NewStep("waiting", Kind.SAY, self._still_waiting()))
        if silence >= _warn_after(self._silence()):
            self._say(handoff, NewStep(f"idle/{handoff.spoke}", Kind.SAY, {"response": IDLE}))
        return False

    def _trouble(self, handoff: Handoff) -> str:
        _, words = self.ledger.handoffs.troubles(handoff.id).get(Duty.TO_AGENTS, (0, None))
        return words or End.FAILED.value

    def _still_waiting(self) -> dict[str, Any]:
        body: dict[str, Any] = {"response": STILL_WAITING}
        if self.settings.availability.wait_limit.then == "offer":
            body["buttons"] = [{"title": _STAY, "payload": KEEP_WAITING}]
            intents = self.settings.relay.end_intents
            body["buttons"] += [{"title": _BACK, "payload": f"/{intents[0]}"}] if intents else []
        return body

    def _say(self, handoff: Handoff, step: NewStep) -> None:
        self.ledger.handoffs.tell(handoff.id, [step])

    def _look(self, handoff: Handoff) -> None:
        """See in Rasa whether the bot is paused, and whether the user said something that no action heard."""
        try:
            tracker = self.rasa.tracker(handoff.sender_id, deadline=Deadline(LOOK_SECONDS))
        except RasaApiError as error:
            logger.error("handoff %s: Rasa could not be asked whether the bot is paused: %s", handoff.id, error)
            self.ledger.handoffs.looked(handoff.id)
            return
        events = tracker.get("events") or []
        heard = heard_since(events, handoff, self.ledger.hooks.for_keys(), self.settings.relay.end_intents)
        remove = redactor(self.settings.history, events)
        new = self.ledger.words.found(handoff.id, said_of(heard, handoff, remove, self.settings.relay.end_intents))
        if new:
            logger.warning("handoff %s: %d messages caught up from the tracker", handoff.id, new)
        quiet = [] if tracker.get("paused") else [NewStep(f"{HUSH_KEY}/{handoff.looked}", Kind.HUSH)]
        self.ledger.handoffs.looked(handoff.id, quiet)


def _next_look(handoff: Handoff) -> float:
    return handoff.looked + LOOK_MS if handoff.looked else handoff.created + ANSWERED_MS


def _warn_after(limit: float) -> float:
    return max(limit - WARNING_SECONDS, limit / 2)
