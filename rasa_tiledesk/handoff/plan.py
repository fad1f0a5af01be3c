"""What a handoff begins with: the facts that later steps need, and the steps to the agents.

staged   open (unseen by agents) · history · the newest turns · route
direct   open (routed at once) · all of it in few calls, in any order · route
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rasa_tiledesk.handoff.asked import Ask, Event
from rasa_tiledesk.handoff.clocks import shift_ms
from rasa_tiledesk.handoff.history import (
    first_words,
    history_messages,
    last_turn,
    message_steps,
    newest_messages,
    opening_line,
    redactor,
    speakers,
    starts_at,
)
from rasa_tiledesk.handoff.to_agents.about import about, introduction
from rasa_tiledesk.ledger import Kind, NewStep
from rasa_tiledesk.settings import History, Settings

__all__ = ["direct_steps", "facts_of", "staged_steps"]

FIRST_NATIVE = 1000  # the newest turns' places in the lane; the summary of older ones comes before them

_NOBODY_SAID = "(the user has not said anything)"


def facts_of(
    ask: Ask, settings: Settings, department: str, secret: bytes, *, now: float | None = None
) -> dict[str, Any]:
    """What later steps need of the ask, made now by Tiledesk's clock, where that is known."""
    requester, history = settings.requester, settings.history
    named, newest = ask.slot(requester.name_slot), last_turn(ask.events, secret)
    return {
        "import": history.import_,
        "department": department,
        "user_name": named or f"Guest {_digits(ask.sender_id)}",
        "bot_name": history.bot_name or _in_words(ask.assistant()),
        "named": named is not None,
        "language": ask.slot("language"),
        "channel": ask.channel,
        "responses": dict(ask.responses),
        "about": about(ask, requester, redactor(history, ask.events, ask.slots)),
        "last_key": newest.key if newest else None,
        "last_at": newest.at if newest else 0.0,
        "shift_ms": shift_ms(ask, now),
        "first_text": _NOBODY_SAID,
    }


def staged_steps(handoff_id: str, facts: dict[str, Any], ask: Ask, history: History, secret: bytes) -> list[NewStep]:
    """The steps of a staged handoff; the facts learn the user's first words."""
    by = speakers(handoff_id, facts)
    messages, more = newest_messages(ask.events, by, history, secret, ask.slots, shift_ms=facts["shift_ms"])
    facts["first_text"] = (first_words(messages) or _NOBODY_SAID)[:500]
    starts = starts_at(messages)
    lines = introduction(facts, redactor(history, ask.events, ask.slots))
    opening = {"message": opening_line(lines, by, before_ms=starts)}
    steps = [NewStep("opening", Kind.OPEN, opening, "user", position=0)]
    if more:
        older = {"native": [message.key for message in messages], "starts": starts}
        steps.append(NewStep("history", Kind.HISTORY, older, position=1))
    return [*steps, *message_steps(messages, first=FIRST_NATIVE), NewStep("route", Kind.ROUTE)]


def direct_steps(
    handoff_id: str,
    facts: dict[str, Any],
    ask: Ask,
    history: History,
    secret: bytes,
    events: Sequence[Event],
    *,
    unreadable: bool,
) -> list[NewStep]:
    """The steps of a direct handoff; the facts learn the user's first words."""
    by = speakers(handoff_id, facts)
    messages = history_messages(
        events, by, history, secret, unreadable=unreadable, slots=ask.slots, shift_ms=facts["shift_ms"]
    )
    facts["first_text"] = (first_words(messages) or _NOBODY_SAID)[:500]
    bodies: list[Mapping[str, Any]] = [message.body for message in messages]
    bulk = NewStep("bulk", Kind.BULK, {"messages": bodies}, position=1)
    return [NewStep("open", Kind.OPEN, position=0), bulk, NewStep("route", Kind.ROUTE)]


def _digits(sender_id: str) -> str:
    """Four digits by which agents tell a guest from another, the same at each handoff."""
    return hashlib.sha256(sender_id.encode("utf-8", "surrogatepass")).hexdigest()[:4]


def _in_words(assistant: str | None) -> str:
    """An `assistant_id` such as `20260101-paper_and_ink` as a name."""
    words = [word for word in (assistant or "").replace("_", "-").split("-") if word and not word.isdigit()]
    return " ".join(words).title() if words and assistant != "placeholder_default" else "Bot"
