"""The step that closes the request, when it is not the agent who did."""

from __future__ import annotations

from dataclasses import dataclass

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskNotFound
from rasa_tiledesk.handoff.lane import Wait
from rasa_tiledesk.ledger import Handoff, Ledger, Outcome, Step
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["Close"]


@dataclass(frozen=True)
class Close:
    """Closes what may be open in Tiledesk."""

    desk: TiledeskClient
    ledger: Ledger
    settle: float
    happened = None  # repeatable: it looks first, since closing twice tells everybody twice
    instead = None

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Close it, unless it is closed or was never opened."""
        desk = self.desk.within(deadline)
        try:
            if not desk.request(handoff.request_id).closed:
                desk.close(handoff.request_id)
        except TiledeskNotFound:
            # A call whose answer never came may still be on its way to the database.
            left = self.settle - (self.ledger.now() - (handoff.ended or 0)) / 1000
            if left > 0:
                raise Wait(left) from None
        return Outcome()
