"""What tests do with a ledger: begin a handoff, bring it to life, look at its steps."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from rasa_tiledesk.ledger import Duty, Handoff, Kind, Ledger, Life, NewStep, Outcome, Said, Stage, Work
from rasa_tiledesk.ledger.words import WordsOf

__all__ = ["Clock", "begin", "claimed", "live", "message", "saying", "stages", "take"]

PLAN = [NewStep("opening", Kind.OPEN, {"message": {"text": "o"}}), NewStep("route", Kind.ROUTE)]


class Clock:
    """Stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def message(key: str, *, speaker: str = "user", text: str = "secret") -> NewStep:
    """A step that brings agents a message."""
    return NewStep(key, Kind.MESSAGE, {"message": {"text": text}}, speaker)


def begin(
    ledger: Ledger,
    sender: str = "ann",
    *,
    asked_by: str = "ask",
    plan: Sequence[NewStep] = PLAN,
    seconds: float = 30,
) -> tuple[Handoff, Work]:
    """A new handoff, its lane to the agents held."""
    handoff, work = ledger.handoffs.begin(
        uuid.uuid4().hex,
        sender,
        f"request-{uuid.uuid4().hex}",
        {"user_name": "Ann ü", "about": {"rasa_email": "ann@example.com", "rasa_slot_city": "Rome"}},
        plan,
        asked_by=asked_by,
        lease="me",
        seconds=seconds,
    )
    assert work is not None
    return handoff, work


def live(ledger: Ledger, sender: str = "ann", *, asked_by: str = "ask") -> Handoff:
    """A handoff that agents have, of which the user was told; nobody holds anything of it."""
    handoff, work = begin(ledger, sender, asked_by=asked_by)
    opening, route = ledger.lanes.unfinished(handoff.id, Duty.TO_AGENTS)
    ledger.lanes.advance(work, seconds=30, ended=[(opening, Outcome(life=Life.OPEN))])
    ledger.handoffs.confirm(handoff.id)
    ledger.lanes.leave(work, ended=[(route, Outcome(life=Life.LIVE))])
    return ledger.handoffs.get(handoff.id)


def claimed(ledger: Ledger, handoff: Handoff, duty: Duty, lease: str = "worker") -> Work:
    """That duty of the handoff; what else of it is due is left as it was found."""
    others = []
    try:
        while True:
            work = ledger.lanes.claim(lease, seconds=60, handoff_id=handoff.id)
            assert work is not None, f"{duty} is not due"
            if work.duty is duty:
                return work
            others.append(work)
    finally:
        for other in others:
            ledger.lanes.leave(other, again_in=0)


def take(ledger: Ledger, handoff: Handoff, duty: Duty, **outcomes: Outcome) -> list[str]:
    """Take all steps of a lane that are not over, as a lane does; their kinds.

    Args:
        outcomes: by kind, where one is not just done.
    """
    work, taken = claimed(ledger, handoff, duty), []
    for step in ledger.lanes.unfinished(handoff.id, duty):
        ledger.lanes.advance(work, seconds=60, send=step)
        ledger.lanes.advance(work, seconds=60, ended=[(step, outcomes.get(step.kind.value, Outcome()))])
        taken.append(step.kind.value)
    ledger.lanes.leave(work)
    return taken


def saying(*keys: str, **said: Any) -> WordsOf:
    """What makes the steps of the user's words, as `Words.say` takes it: those not known before, else the last."""

    def words(_: Handoff, before_is_known: bool) -> Said:
        wanted = keys[-1:] if before_is_known else keys
        return Said([message(key) for key in wanted], **said)

    return words


def stages(ledger: Ledger, handoff: Handoff, duty: Duty) -> dict[str, Stage]:
    """How far each step of a lane has come."""
    return {step.key: step.stage for step in ledger.lanes.all_steps(handoff.id, duty)}
