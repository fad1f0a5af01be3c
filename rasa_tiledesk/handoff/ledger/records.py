"""A handoff and its states, drawn once.

             ask          opened            imported, assigned          the agent, the user or time ends it
    (none) ──────▶ ASKED ───────▶ IMPORTING ───────────────────▶ LIVE ─────────────────────────────────────▶ CLOSED
                     │                │
                     │ cannot open    │ given up                  │ succeeded too late: the user had been told otherwise
                     ▼                ▼                           ▼
                   FAILING ◀──────────┴───────────────────────────┘
                     │   the user was told; what may be left in Tiledesk is being closed
                     │
                     ▼
                   FAILED                 nothing is left; an operator or the user may ask again

A sender has at most one handoff that is ASKED, IMPORTING or LIVE: the database enforces it (`open_for` is unique).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OPEN", "TRANSITIONS", "Carried", "Direction", "Handoff", "State"]


class State(str, enum.Enum):
    """Where a handoff stands."""

    ASKED = "asked"
    IMPORTING = "importing"
    LIVE = "live"
    CLOSED = "closed"
    FAILING = "failing"
    FAILED = "failed"


class Direction(str, enum.Enum):
    """Which way a message goes."""

    TO_TILEDESK = "out"
    TO_USER = "in"


OPEN = frozenset({State.ASKED, State.IMPORTING, State.LIVE})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.ASKED: frozenset({State.IMPORTING, State.LIVE, State.FAILING, State.FAILED}),
    State.IMPORTING: frozenset({State.LIVE, State.FAILING, State.CLOSED}),
    State.LIVE: frozenset({State.CLOSED, State.FAILING}),
    State.FAILING: frozenset({State.FAILED}),
    State.CLOSED: frozenset(),
    State.FAILED: frozenset(),
}


@dataclass(frozen=True)
class Handoff:
    """One row of the ledger: a sender id, a request, and how far the handoff has come.

    Attributes:
        id: ours, 32 hexadecimal digits, not guessable.
        request_id: Tiledesk's id of the request. A secret: who knows it can read the transcript.
        context: what a later step needs and the request does not hold (names, language, department ...).
        requester_id: the end user's id in Tiledesk, None until signed in.
        created: ms since 1970.
        listen: when to read in Tiledesk what agents have said, ms since 1970.
        attempts: how many times in a row a step failed.
        last_error: the last failure in words, without texts, secrets or ids.
    """

    id: str
    sender_id: str
    request_id: str = field(repr=False)
    state: State
    created: int
    updated: int
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    requester_id: str | None = field(default=None, repr=False)
    listen: int = 0
    attempts: int = 0
    last_error: str | None = None


@dataclass(frozen=True)
class Carried:
    """A message on its way, or arrived.

    Attributes:
        position: its place among those of its direction; messages are sent in this order.
        key: to Tiledesk, what `attributes.rasa.key` holds; to the user, Tiledesk's id of the message.
        body: what is sent, as JSON; {} once it has arrived, since the ledger keeps no texts longer than it must.
        attempted: it may have been sent; unless it has arrived, read back before sending.
        arrived: the other side has it.
    """

    position: int
    key: str
    body: Mapping[str, Any] = field(repr=False)
    attempted: bool = False
    arrived: bool = False
