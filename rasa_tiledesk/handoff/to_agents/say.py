"""What the user says while a human has the conversation, inside the action: written down, then sent at once if free.

When nothing else is on its way to the agents, one call carries the message; otherwise, and whenever that call fails, a
worker sends it in its turn. While Tiledesk does not answer, words are only written down: the user waits for none of it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.asked import Event
from rasa_tiledesk.handoff.history import redactor
from rasa_tiledesk.handoff.lane import Lane
from rasa_tiledesk.handoff.said import ends_by, heard_last, heard_since, said_of
from rasa_tiledesk.ledger import Handoff, Ledger, Said
from rasa_tiledesk.settings import Settings

__all__ = ["Saying"]

HOLD_SECONDS = 20.0
LEAST_SECONDS = 1.0  # with less time left, a call is not even begun
SILENT_SECONDS = 10.0  # after a call that failed, for so long none is made from here

_numbers = itertools.count()


@dataclass
class Saying:
    """Carries the user's words.

    Attributes:
        settings: the `tiledesk:` section.
        ledger: where the words are written down first.
        lane: the way to the agents.
        name: who holds the lane while a message is sent; made unique for each.
        wake: called when a worker has to go on.
        new_id: makes unguessable ids of 32 hexadecimal digits.
    """

    settings: Settings
    ledger: Ledger
    lane: Lane
    name: str
    wake: Callable[[], None]
    new_id: Callable[[], str]
    _silence: Deadline = field(default_factory=lambda: Deadline(0.0), init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False)

    def say(
        self,
        sender_id: str,
        events: Sequence[Event],
        slots: Mapping[str, Any],
        *,
        paused: bool,
        deadline: Deadline,
    ) -> bool:
        """Carry what the user has just said.

        Args:
            sender_id: whose conversation.
            events: the tracker's, up to what was said.
            slots: the tracker's.
            paused: whether the bot is paused, so that nobody else answers.
            deadline: how long all of it may take.

        Returns:
            Whether the slot stays: a handoff is open, or its end is under way.

        Raises:
            LedgerError: it could not be written down.
        """
        secret = self.ledger.hooks.for_keys()
        heard, before = heard_last(events, secret)
        ends = self.settings.relay.end_intents
        if heard is None or not (paused or ends_by(heard, ends)):
            # A bot that is not paused answers it itself.
            return self.ledger.handoffs.open_of(sender_id) is not None
        remove = redactor(self.settings.history, events, slots)

        def words(handoff: Handoff, before_is_known: bool) -> Said:
            said = [heard]
            if before is not None and not before_is_known and before != handoff.facts.get("last_key"):
                # Said while no action server ran. It must not come behind what was said after it.
                since = [one for one in heard_since(events, handoff, secret, ends) if one[0].key != heard[0].key]
                said = [*since, heard]
            return said_of(said, handoff, remove, ends)

        lease = f"{self.name}/say-{next(_numbers)}" if self._may_send(deadline) else None
        taken = self.ledger.words.say(sender_id, heard[0].key, before, words, lease=lease, seconds=HOLD_SECONDS)
        if taken.handoff is None:
            request_id = f"support-group-{self.settings.project_id}-{self.new_id()}"
            self.ledger.words.strand(sender_id, request_id, words)
        elif taken.at_once is not None and taken.work is not None:
            error = self.lane.send_marked(taken.work, taken.at_once, deadline)
            if error is not None:
                with self._guard:
                    self._silence = Deadline(SILENT_SECONDS)
        self.wake()
        return True

    def _may_send(self, deadline: Deadline) -> bool:
        with self._guard:
            return self._silence.expired() and deadline.remaining() > LEAST_SECONDS
