"""The durable record of handoffs and of every step of theirs: the truth about what is live."""

from __future__ import annotations

from rasa_tiledesk.ledger.lanes import Ended, Held, LeaseLost
from rasa_tiledesk.ledger.ledger import Ledger
from rasa_tiledesk.ledger.life import HUSH_KEY
from rasa_tiledesk.ledger.records import (
    OPEN_LIVES,
    Duty,
    End,
    Handoff,
    Kind,
    Life,
    Missed,
    NewStep,
    Notice,
    Outcome,
    Stage,
    Step,
    Work,
)
from rasa_tiledesk.ledger.words import Said, Taken

__all__ = [
    "HUSH_KEY",
    "OPEN_LIVES",
    "Duty",
    "End",
    "Ended",
    "Handoff",
    "Held",
    "Kind",
    "LeaseLost",
    "Ledger",
    "Life",
    "Missed",
    "NewStep",
    "Notice",
    "Outcome",
    "Said",
    "Stage",
    "Step",
    "Taken",
    "Work",
]
