"""The steps that tell the user something in the bot's words, and that bring them what an agent said."""

from __future__ import annotations

from dataclasses import dataclass

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.live import bot_line
from rasa_tiledesk.handoff.to_user.voice import MARK, Voice, quietly
from rasa_tiledesk.ledger import Handoff, Ledger, NewStep, Outcome, Stage, Step

__all__ = ["CANNOT_PUSH", "Deliver", "Say"]

# Rasa answers 200 and drops what these channels cannot push (rasa 3.6.21, core/channels); telegram answers 500 there.
CANNOT_PUSH = frozenset(
    {"rest", "rasa_chat", "cmdline", "mattermost", "hangouts", "botframework", "twilio_voice", "telegram"}
)

_UNDELIVERED = "[Your message could not be delivered to the user: their channel refused it.]"
_UNSURE = "[It is not certain that your last message reached the user: their channel did not answer in time.]"
_NO_PUSH = (
    "[This user writes on the channel '{channel}', which cannot be written to. "
    "They see your messages when their client asks for them.]"
)


@dataclass(frozen=True)
class Say:
    """Says one of the bot's responses."""

    voice: Voice

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """One call; said so often that it may have been heard twice, it is only written down."""
        if handoff.is_open:
            event = self.voice.words(handoff, str(step.body["response"]), step.key, more=step.body.get("more"))
            if step.body.get("buttons") and not event["data"].get("buttons"):
                event["data"] = {**event["data"], "buttons": step.body["buttons"]}
            self.voice.append(handoff, [event], deadline, aloud=not quietly(step))
        return Outcome()

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether its mark is in the tracker."""
        return Outcome() if self.voice.has(handoff, step.key, deadline) else None

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Nothing: it is a courtesy."""
        return Outcome(Stage.REFUSED, why=step.why)


@dataclass(frozen=True)
class Deliver:
    """Brings the user an agent's words; they are in the tracker too."""

    voice: Voice
    ledger: Ledger

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """One call. The agent is told where it is not certain that the user has heard it."""
        event = step.body["event"]
        marked = {**event, "metadata": {**event["metadata"], MARK: f"{handoff.id}/{step.key}"}}
        aloud = not quietly(step)
        channel = self.voice.append(handoff, [marked], deadline, aloud=aloud)
        lines = []
        if not aloud:
            lines.append(self._line(handoff, f"unsure/{step.key}", _UNSURE))
        if channel in CANNOT_PUSH:
            lines.append(self._line(handoff, "no-push", _NO_PUSH.format(channel=channel)))
        return Outcome(to_agents=lines)

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether its mark is in the tracker."""
        return Outcome() if self.voice.has(handoff, step.key, deadline) else None

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """The agent is told."""
        line = self._line(handoff, f"undelivered/{step.key}", _UNDELIVERED)
        return Outcome(Stage.REFUSED, why=step.why, to_agents=[line])

    def _line(self, handoff: Handoff, key: str, text: str) -> NewStep:
        return bot_line(handoff, key, text, self.ledger.now())
