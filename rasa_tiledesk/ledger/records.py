"""A handoff's life, its lanes and their steps, drawn once.

    life      ASKED ──▶ OPEN ──▶ LIVE ──▶ OVER        written down · open in Tiledesk, unseen · agents have it · ended
                │         │       ▲          │
                ▼         ▼       └──────────┘        an agent opened the request again
              FAILED ◀────┘                           nobody came; the user was told

    to_agents   open · history · message · message · … · route · message · … · close         in order, each exactly once
    to_user     hush · say · deliver · deliver · … · give_back · answer                      in order, each exactly once

    step      WAITING ──▶ SENT ──▶ DONE               SENT: it may be on its way; only looking tells
                 │          ├────▶ RETURNED           no agent will get it: the bot answers it, or asks for it again
                 │          └────▶ REFUSED            the other side never takes it; it was told so
                 └─────────▶ RETURNED, DONE           at the end of the handoff

A sender has at most one handoff that is ASKED, OPEN or LIVE: the database enforces it (`open_for` is unique).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "OPEN_LIVES",
    "Duty",
    "End",
    "Handoff",
    "Kind",
    "Life",
    "NewStep",
    "Outcome",
    "Stage",
    "Step",
    "Work",
]


class Life(str, enum.Enum):
    """Where a handoff stands."""

    ASKED = "asked"
    OPEN = "open"
    LIVE = "live"
    OVER = "over"
    FAILED = "failed"


OPEN_LIVES = frozenset({Life.ASKED, Life.OPEN, Life.LIVE})
PAST_LIVES = frozenset(Life) - OPEN_LIVES


class End(str, enum.Enum):
    """Who or what ended a handoff; in words, for its history."""

    AGENT = "by the agent"
    USER = "by the user"
    RESTART = "by the user's restart"
    SILENCE = "nobody spoke any more"
    NOBODY_CAME = "nobody came"
    DELETED = "the request was deleted in Tiledesk"
    LOST = "the ledger did not know it any more"
    FAILED = "it could not be carried out"
    TOO_LATE = "it succeeded after the user had been told otherwise"


class Duty(str, enum.Enum):
    """What is to be done for a handoff, each with a lease, a due time and a backoff of its own.

    The first two are its lanes. LISTEN turns what Tiledesk has into steps, CARE looks after its time limits and Rasa.
    """

    TO_AGENTS = "to_agents"
    TO_USER = "to_user"
    LISTEN = "listen"
    CARE = "care"


class Kind(str, enum.Enum):
    """What a step does; `handoff/to_agents` and `handoff/to_user` have a file for each."""

    OPEN = "open"
    HISTORY = "history"
    BULK = "bulk"
    MESSAGE = "message"
    ROUTE = "route"
    CLOSE = "close"
    HUSH = "hush"
    SAY = "say"
    DELIVER = "deliver"
    GIVE_BACK = "give_back"
    ANSWER = "answer"


class Stage(str, enum.Enum):
    """How far a step has come."""

    WAITING = "waiting"
    SENT = "sent"
    DONE = "done"
    RETURNED = "returned"
    REFUSED = "refused"


@dataclass(frozen=True)
class Handoff:
    """One row of the ledger: a sender id, a request, and how far the handoff has come.

    Attributes:
        id: ours, 32 hexadecimal digits, not guessable.
        request_id: Tiledesk's id of the request. A secret: who knows it can read the transcript.
        facts: what later steps need and the request does not hold (names, language, department ...); {} once it is over
            and nothing is left to do.
        requester_id: the end user's id in Tiledesk, None until signed in.
        end: what ended it.
        created: ms since 1970 by the database's clock, as all times here.
        spoke: when either side last said something.
        joined: an agent has spoken, or has taken it.
        heard: the request's `updatedAt` up to which agents' words are in the ledger.
        looked: when Rasa was last looked at.
        asked_by: which ask has promised it to the user last: only that one may take it back.
    """

    id: str
    sender_id: str
    request_id: str = field(repr=False)
    life: Life
    created: int
    spoke: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    requester_id: str | None = field(default=None, repr=False)
    end: End | None = None
    ended: int | None = None
    joined: bool = False
    heard: str | None = None
    looked: int = 0
    asked_by: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.life in OPEN_LIVES

    @property
    def reaches_agents(self) -> bool:
        """Whether what is posted to its request can still be read by somebody."""
        return self.is_open or self.end in (End.USER, End.RESTART, End.SILENCE, End.NOBODY_CAME)


@dataclass(frozen=True)
class NewStep:
    """A step to be written down.

    Attributes:
        key: unique in its lane; a step whose key is there is not written again.
        kind: what it does.
        body: what it needs.
        speaker: whose words they are, `user` or `bot`, for the pace; "" when it is nobody's message.
        position: its place; None for behind all others.
    """

    key: str
    kind: Kind
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    speaker: str = ""
    position: int | None = None


@dataclass(frozen=True)
class Step:
    """A step of a lane.

    Attributes:
        position: its place; steps are taken in this order.
        body: what it needs; {} once it is over, since the ledger keeps no texts longer than it must.
        sent: when it was last marked as sent, ms since 1970.
        tries: how often it was sent.
        refusals: how often in a row the other side refused it in its own words.
        refused_since: when that began, ms since 1970.
        why: the last refusal, without texts, secrets or ids.
    """

    position: int
    key: str
    kind: Kind
    speaker: str
    body: Mapping[str, Any] = field(repr=False)
    stage: Stage
    sent: int = 0
    tries: int = 0
    refusals: int = 0
    refused_since: int = 0
    why: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a step that is over, written down in one transaction with it.

    Attributes:
        stage: DONE, RETURNED or REFUSED.
        life: where the handoff goes by it; None where it stays. Without effect when it has ended meanwhile.
        to_agents: steps that follow from it.
        to_user: steps that follow from it.
        settles: keys of RETURNED steps that are dealt with by it.
        facts: what was learnt by it, kept with the handoff's facts.
        listen: look at Tiledesk at once.
        why: in words, for a step that is REFUSED; no texts, secrets or ids.
    """

    stage: Stage = Stage.DONE
    life: Life | None = None
    to_agents: Sequence[NewStep] = ()
    to_user: Sequence[NewStep] = ()
    settles: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    listen: bool = False
    why: str | None = None


@dataclass(frozen=True)
class Work:
    """A duty that the caller holds, and its handoff as it was when it was claimed.

    Attributes:
        lease: who holds it.
        woken: how often it had been said that there is work.
        attempts: how many times in a row it failed.
        now: the database's time at the claim, ms since 1970.
        hinted: when a webhook last said that there is work, ms since 1970; 0 for never.
    """

    handoff: Handoff
    duty: Duty
    lease: str
    woken: int
    attempts: int
    now: int
    hinted: int = 0


@dataclass(frozen=True)
class Notice:
    """Whether a webhook announced what was heard of an agent.

    Attributes:
        project_id: whose webhook.
        came: it did.
    """

    project_id: str
    came: bool


@dataclass(frozen=True)
class Missed:
    """How many words of agents were found by asking, since no webhook had announced them.

    Attributes:
        in_all: ever.
        in_a_row: since the last that one did.
    """

    in_all: int = 0
    in_a_row: int = 0
