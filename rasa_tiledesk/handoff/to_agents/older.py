"""The step that adds what is older than the newest turns: one summary, read from memory or the tracker store."""

from __future__ import annotations

from dataclasses import dataclass

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.history import message_steps, older_messages, speakers
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.handoff.stored import whole_history
from rasa_tiledesk.ledger import Handoff, Ledger, Outcome, Step
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.trackers import TrackerReader

__all__ = ["FIRST_SUMMARY", "Older"]

FIRST_SUMMARY = 2  # its place in the lane: behind the opening and this step

STORE_SECONDS = 20.0


@dataclass(frozen=True)
class Older:
    """Folds the older turns. Nothing leaves by this step: what it makes are steps."""

    settings: Settings
    reader: TrackerReader
    ledger: Ledger
    recent: Recent
    happened = None  # repeatable
    instead = None

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Read and fold."""
        running = self.recent.events(handoff.id)
        limit = Deadline(min(STORE_SECONDS, deadline.remaining()))
        events, unreadable = whole_history(running, handoff.sender_id, self.settings, self.reader, limit)
        summary, first = older_messages(
            events,
            speakers(handoff.id, handoff.facts),
            self.settings.history,
            self.ledger.hooks.for_keys(),
            native=set(step.body["native"]),
            starts=step.body["starts"],
            unreadable=unreadable,
            shift_ms=handoff.facts.get("shift_ms", 0),
        )
        return Outcome(
            to_agents=message_steps(summary, first=FIRST_SUMMARY), facts={"first_text": first[:500]} if first else {}
        )
