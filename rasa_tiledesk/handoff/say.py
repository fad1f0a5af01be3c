"""What the user says while a human has the conversation, inside the action: written down, then sent at once if free.

When nothing else of the handoff is on its way, one call carries the message; otherwise, and whenever that call fails,
a worker sends it in its turn.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskError
from rasa_tiledesk.handoff.conversation import addressed, latest_words, redactor, said_later, turns_after
from rasa_tiledesk.handoff.ledger import Handoff, Ledger
from rasa_tiledesk.handoff.pace import Pace
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["Saying"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 20.0

_numbers = itertools.count()


@dataclass(frozen=True)
class Saying:
    """Carries the user's words.

    Attributes:
        settings: the `tiledesk:` section.
        desk: Tiledesk.
        ledger: where the words are written down first.
        pace: how fast one sender may speak.
        name: who holds the lease while a message is sent; made unique for each.
        wake: called when a worker has to go on.
    """

    settings: Settings
    desk: TiledeskClient
    ledger: Ledger
    pace: Pace
    name: str
    wake: Callable[[], None]

    def say(
        self,
        sender_id: str,
        events: Sequence[Mapping[str, Any]],
        slots: Mapping[str, Any],
        *,
        ends: str | None,
        deadline: Deadline,
    ) -> bool:
        """Carry what the user has just said.

        Args:
            sender_id: whose conversation.
            events: the tracker's, up to what was said.
            slots: the tracker's.
            ends: who ends the handoff by this, for its history; None when it goes on.
            deadline: how long sending may take.

        Returns:
            Whether the sender has an open handoff.

        Raises:
            LedgerError: it could not be written down.
        """
        said, before = latest_words(events)
        if said is None:
            return self.ledger.open_handoff(sender_id) is not None
        remove = redactor(self.settings.history, events, slots)
        lease = f"{self.name}/{next(_numbers)}"
        parts: dict[str, Mapping[str, Any]] = {}

        def words(handoff: Handoff, before_is_known: bool) -> list[tuple[str, Mapping[str, Any]]]:
            turns = [said]
            if before is not None and not before_is_known and before != handoff.context.get("last_key"):
                # Said while no action server ran. It must not come behind what was said after it.
                turns = [*(turn for turn in turns_after(events, handoff) if turn.key != said.key), said]
            made = said_later(turns, handoff, remove)
            parts.update(made)
            return made

        handoff, at_once = self.ledger.say(sender_id, said.key, before, words, lease=lease, seconds=LEASE_SECONDS)
        if handoff is None:
            return False
        if at_once:
            self._send(handoff, at_once, parts[at_once], lease=lease, deadline=deadline)
        if ends:
            self.ledger.remember(handoff, ending=ends)
        if ends or not at_once or len(parts) > 1:
            self.wake()
        return True

    def _send(self, handoff: Handoff, key: str, body: Mapping[str, Any], *, lease: str, deadline: Deadline) -> None:
        message = addressed(handoff, body)
        try:
            if self.pace.wait(message["sender"]) <= 0:
                self.desk.within(deadline).send_message(handoff.request_id, message)
                self.ledger.said(handoff.id, lease, key)
                return
        except TiledeskError as error:
            logger.warning("handoff %s: a message is left to the worker: %s", handoff.id, error)
        self.ledger.release(handoff.id, lease)
        self.wake()
