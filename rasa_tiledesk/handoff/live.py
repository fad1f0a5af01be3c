"""What is said while agents look on, as steps: without a time of its own, so that their chat sorts it as it comes."""

from __future__ import annotations

from collections.abc import Sequence

from rasa_tiledesk.handoff.history import message_steps, speakers
from rasa_tiledesk.ledger import Handoff, NewStep
from rasa_tiledesk.transcript import Redactor, Turn, to_messages

__all__ = ["bot_line", "live_steps"]


def bot_line(handoff: Handoff, key: str, text: str, at_ms: int) -> NewStep:
    """A line for the agents from the bot, about the conversation rather than of it."""
    turn = Turn(key, "bot", at_ms / 1000, text)
    messages = to_messages([turn], speakers(handoff.id, handoff.facts))
    return _live(message_steps(messages))[0]


def _live(steps: list[NewStep]) -> list[NewStep]:
    """Without the turn's own time: what is said while agents look on is sorted by when it comes (chat21, seen)."""
    for step in steps:
        step.body["message"]["attributes"].pop("clienttimestamp", None)
    return steps


def live_steps(turns: Sequence[Turn], handoff: Handoff, remove: Redactor) -> list[NewStep]:
    """The steps that bring agents what was said after the ask."""
    return _live(message_steps(to_messages([remove.turn(turn) for turn in turns], speakers(handoff.id, handoff.facts))))
