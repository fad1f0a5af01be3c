"""From Rasa's events to what Tiledesk gets. Pure: no I/O, no clock, no configuration file.

events ──read_turns──▶ turns ──in_scope──▶ turns ──redact──▶ turns ──fold──▶ summary + turns ──to_messages──▶ messages
"""

from __future__ import annotations

from rasa_tiledesk.transcript.fold import fold
from rasa_tiledesk.transcript.messages import Message, Speaker, Speakers, to_messages
from rasa_tiledesk.transcript.redact import Redactor, Rule
from rasa_tiledesk.transcript.render import one_line
from rasa_tiledesk.transcript.rich import Button, Card
from rasa_tiledesk.transcript.scope import in_scope
from rasa_tiledesk.transcript.turns import Turn, moment_of, read_turns

__all__ = [
    "Button",
    "Card",
    "Message",
    "Redactor",
    "Rule",
    "Speaker",
    "Speakers",
    "Turn",
    "fold",
    "in_scope",
    "moment_of",
    "one_line",
    "read_turns",
    "to_messages",
]
