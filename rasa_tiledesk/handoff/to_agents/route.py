"""The step that lets agents see the request: what they are told of the user, then the assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.lane import Wait
from rasa_tiledesk.handoff.to_agents.about import tell
from rasa_tiledesk.handoff.to_agents.message import key_of
from rasa_tiledesk.ledger import Duty, Handoff, Kind, Ledger, Life, Outcome, Step
from rasa_tiledesk.tiledesk import UNASSIGNED, Message, TiledeskClient

__all__ = ["Route"]

LOOKED_AT = 3  # of the last so many messages one must be delivered: some never are marked so, though they are

# After so long a chat engine that is there has marked something; and for no longer is one waited for that is not well.
NO_ENGINE_MS, ENGINE_MS = 1_000, 20_000
DELIVERED = 200  # models/messageConstants.js


@dataclass(frozen=True)
class Route:
    """Routes the request to an agent of its department, once the agents' chat has its history."""

    desk: TiledeskClient
    ledger: Ledger
    happened = None  # repeatable: Tiledesk does nothing to a request that is assigned (routes/request.js:577)
    instead = None

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Wait for the chat engine, tell, assign."""
        desk = self.desk.within(deadline)
        if handoff.facts.get("import") != "direct":
            self._wait_for_engine(handoff, desk)
        tell(handoff, desk)
        request = desk.assign(handoff.request_id, handoff.facts["department"])
        # Whoever joins a request that nobody had has taken it by themselves.
        return Outcome(life=Life.LIVE, facts={"queued": True} if request.status == UNASSIGNED else {})

    def _wait_for_engine(self, handoff: Handoff, desk: TiledeskClient) -> None:
        """Assigned before chat21 has the history, an agent never gets it (chat21-server 0.2.55 with Redis, seen)."""
        ours = [message for message in desk.messages(handoff.request_id) if key_of(message) is not None]
        sent = self.ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)
        last = max((one.sent for one in sent if one.kind is not Kind.ROUTE), default=0)
        wait = engine_wait(ours, self.ledger.now() - last)
        if wait:
            raise Wait(wait)


def engine_wait(messages: Sequence[Message], age_ms: int) -> float:
    """Seconds until it is worth looking again whether the agents' chat has these messages; 0.0 when they may be routed.

    Args:
        messages: ours, in order. Status 0 is not yet seen by the chat engine, 150 sent, 200 delivered.
        age_ms: since the last of them was sent.
    """
    statuses = [message.status for message in messages[-LOOKED_AT:]]
    if not statuses or DELIVERED in statuses or age_ms > ENGINE_MS:
        return 0.0
    if not any(statuses) and age_ms >= NO_ENGINE_MS:
        return 0.0
    return 0.3
