"""The durable record of handoffs and of every message carried: the truth about what is live."""

from __future__ import annotations

from rasa_tiledesk.handoff.ledger.records import OPEN, Carried, Direction, Handoff, State
from rasa_tiledesk.handoff.ledger.store import Ledger

__all__ = ["OPEN", "Carried", "Direction", "Handoff", "Ledger", "State"]
