"""While a handoff is live: what agents say goes to the user, and the end of the request gives the user back.

A webhook is only a hint that there is something to read. What is delivered is read from Tiledesk, in its order, so
that webhooks which are lost, repeated, late, in any order or forged change nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasa_tiledesk.errors import RasaApiError
from rasa_tiledesk.handoff.conversation import bot_line, redactor, said_later, turns_after
from rasa_tiledesk.handoff.from_agents import agent_joined, chat_closed, for_the_user
from rasa_tiledesk.handoff.ledger import Carried, Direction, Handoff, Ledger, State
from rasa_tiledesk.handoff.user_side import UserSide
from rasa_tiledesk.responses import AGENT_JOINED, ENDED, FAILED, STILL_WAITING
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["ENDED_KEY", "Relay"]

logger = logging.getLogger(__name__)

IN = Direction.TO_USER

SWEEP_SECONDS = 60.0  # how often to read what webhooks may have lost, and to look at Rasa
POLL_SECONDS = 2.0
IDLE_POLL_SECONDS = 10.0
IDLE_AFTER = 300.0
PATIENCE_SECONDS = 300.0  # a front end may be away for a while; what is refused for longer cannot be delivered

JOINED_KEY, WAITING_KEY, ENDED_KEY, FAILED_KEY = "joined", "waiting", "ended", "failed"

# Rasa answers 200 and drops what these channels cannot push (rasa 3.6.21, core/channels); telegram answers 500 there.
CANNOT_PUSH = frozenset(
    {"rest", "rasa_chat", "cmdline", "mattermost", "hangouts", "botframework", "twilio_voice", "telegram"}
)

_UNDELIVERED = "[Your message could not be delivered to the user: their channel refused it.]"
_NO_PUSH = (
    "[This user writes on the channel '{channel}', which cannot be written to. "
    "They see your messages when their client asks for them.]"
)


@dataclass(frozen=True)
class Relay:
    """Carries agents' words to users.

    Attributes:
        settings: the `tiledesk:` section.
        desk: Tiledesk.
        ledger: what was heard and what was delivered.
        user: the way to the user.
        refused: since when Rasa has refused what is for a user, ms since 1970 by handoff.
    """

    settings: Settings
    desk: TiledeskClient
    ledger: Ledger
    user: UserSide
    refused: dict[str, int] = field(default_factory=dict)

    def listen(self, handoff: Handoff) -> None:
        """Write down what agents have said since the last time, and whether the request is over."""
        messages = self.desk.messages(handoff.request_id)
        known = {message.key for message in self.ledger.messages(handoff.id, IN)}
        new: list[tuple[str, Mapping[str, Any]]] = []
        words = [(message.id, for_the_user(message, handoff)) for message in messages]
        heard = [(key, event) for key, event in words if event is not None and key not in known]
        age = (self.ledger.now() - handoff.created) / 1000
        if JOINED_KEY not in known and (heard or agent_joined(messages)):
            new.append((JOINED_KEY, {"response": AGENT_JOINED}))
        elif JOINED_KEY not in known and WAITING_KEY not in known and age > self.settings.availability.wait_limit:
            new.append((WAITING_KEY, {"response": STILL_WAITING}))
        new += [(key, {"event": event}) for key, event in heard]
        if self._is_over(handoff, messages):
            new.append((ENDED_KEY, {"response": ENDED}))
        if new:
            self.ledger.enqueue(handoff.id, new, IN)
        self.ledger.listened(handoff, next_in=self._pause(handoff))

    def end(self, handoff: Handoff) -> None:
        """Write down that the user is to be told that it is over, and given back to the bot."""
        self.ledger.enqueue(handoff.id, [(ENDED_KEY, {"response": ENDED})], IN)

    def give_up(self, handoff: Handoff) -> None:
        """Write down that the user is to be told that nobody will come, and given back to the bot."""
        self.ledger.enqueue(handoff.id, [(FAILED_KEY, {"response": FAILED})], IN)

    def look_at_rasa(self, handoff: Handoff) -> None:
        """Carry on what Rasa logged while no action server ran, and keep the bot quiet.

        Raises:
            RasaApiError: Rasa cannot be asked.
        """
        if not self.user.can_reach(handoff):
            return
        events = self.user.keep_quiet(handoff)
        missed = turns_after(events, handoff)
        if not missed:
            return
        remove = redactor(self.settings.history, events)
        new = self.ledger.enqueue(handoff.id, said_later(missed, handoff, remove))
        if new:
            logger.warning("handoff %s: %d messages caught up from the tracker", handoff.id, new)

    def deliver(self, handoff: Handoff, hold: Callable[[Sequence[str], Sequence[str]], None]) -> None:
        """Bring the user what is written down for them, in order, each once.

        Args:
            handoff: open, or over with its end still to be told.
            hold: called with the keys that have arrived and those about to be sent; keeps the lease.

        Raises:
            RasaApiError: to be tried again.
        """
        pending = self.ledger.pending(handoff.id, IN)
        if not pending:
            return
        if any(message.attempted for message in pending):
            there = self.user.delivered_keys(handoff)
            hold([message.key for message in pending if message.key in there], [])
            pending = [message for message in pending if message.key not in there]
        for message in pending:
            hold([], [message.key])
            try:
                self._deliver_one(handoff, message)
            except RasaApiError as error:
                if not self._is_hopeless(handoff, error):
                    raise
                logger.error("handoff %s: a message could not be delivered: %s", handoff.id, error)
                self._tell_agent(handoff, f"undelivered/{message.key}", _UNDELIVERED)
                if self.user.can_reach(handoff) and message.body.get("response") in (ENDED, FAILED):
                    self._give_back(handoff, message, aloud=False)
            else:
                self.refused.pop(handoff.id, None)
            hold([message.key], [])

    def _deliver_one(self, handoff: Handoff, message: Carried) -> None:
        response = message.body.get("response")
        if response in (ENDED, FAILED):
            self._give_back(handoff, message, aloud=True)
        elif response:
            self.user.say(handoff, str(response), message.key)
        else:
            channel = self.user.deliver(handoff, message.body["event"], message.key)
            if channel in CANNOT_PUSH:
                self._tell_agent(handoff, "no-push", _NO_PUSH.format(channel=channel))

    def _give_back(self, handoff: Handoff, message: Carried, *, aloud: bool) -> None:
        newer = self.ledger.open_handoff(handoff.sender_id)
        if newer is None or newer.id == handoff.id:  # the next handoff's pause must not be lifted
            self.user.give_back(handoff, str(message.body["response"]), message.key, aloud=aloud)

    def _is_over(self, handoff: Handoff, messages: Sequence[Any]) -> bool:
        """The request itself is asked when a message says so, and at every sweep: some ends leave no message."""
        sweep = self.ledger.now() - handoff.updated > SWEEP_SECONDS * 1000
        return (sweep or chat_closed(messages)) and self.desk.request(handoff.request_id).closed

    def _pause(self, handoff: Handoff) -> float:
        if self.settings.relay.receive == "webhook":
            return SWEEP_SECONDS
        return POLL_SECONDS if self.ledger.now() - handoff.updated < IDLE_AFTER * 1000 else IDLE_POLL_SECONDS

    def _is_hopeless(self, handoff: Handoff, error: RasaApiError) -> bool:
        """Rasa answers 500 when a channel refuses a message, and to its own troubles too."""
        if not self.user.can_reach(handoff):
            return True
        if error.status not in (400, 500):
            return False
        since = self.refused.setdefault(handoff.id, self.ledger.now())
        return self.ledger.now() - since > PATIENCE_SECONDS * 1000

    def _tell_agent(self, handoff: Handoff, key: str, text: str) -> None:
        """A line from the bot in the agents' conversation."""
        if handoff.state is State.LIVE:
            self.ledger.enqueue(handoff.id, [bot_line(handoff, key, text, self.ledger.now())])
