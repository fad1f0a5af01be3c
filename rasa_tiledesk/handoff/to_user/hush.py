"""The step that keeps the bot quiet: it pauses a bot that is not, and tells a user whom nobody has told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.to_user.voice import LISTEN, SLOT, Voice, quietly
from rasa_tiledesk.ledger import Handoff, Outcome, Step
from rasa_tiledesk.responses import CONNECTING

__all__ = ["Hush"]


@dataclass(frozen=True)
class Hush:
    """Pauses the bot where it is not: the action's answer was lost, or a new session ended the pause."""

    voice: Voice
    happened = None  # repeatable: it looks first

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Look, and pause."""
        if handoff.is_open:
            tracker = self.voice.tracker(handoff, deadline)
            slot = (tracker.get("slots") or {}).get(SLOT)
            if not tracker.get("paused") or slot is None:
                # Who has the slot has been told already.
                self.voice.append(
                    handoff, self._events(handoff, step, told=slot == handoff.id), deadline, aloud=not quietly(step)
                )
        return Outcome()

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Without words: a bot that talks over an agent is worse than one that does not say why it is quiet."""
        self.voice.append(handoff, self._events(handoff, step, told=False), deadline, aloud=False)
        return Outcome()

    def _events(self, handoff: Handoff, step: Step, *, told: bool) -> list[dict[str, Any]]:
        pause: list[dict[str, Any]] = [
            {"event": "pause"},
            {"event": "slot", "name": SLOT, "value": handoff.id},
            LISTEN,
        ]
        return pause if told else [self.voice.words(handoff, CONNECTING, step.key), *pause]
