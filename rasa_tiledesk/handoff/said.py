"""What the user said after the ask, read from Rasa's events: for the agents, or the end of the handoff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rasa_tiledesk.handoff.asked import Event
from rasa_tiledesk.handoff.history import turns_of
from rasa_tiledesk.handoff.live import live_steps
from rasa_tiledesk.ledger import End, Handoff, NewStep, Said
from rasa_tiledesk.transcript import Redactor, Turn

__all__ = ["KEEP_WAITING", "Heard", "ends_by", "heard_last", "heard_since", "said_of"]

KEEP_WAITING = "/tiledesk_keep_waiting"
"""The payload of the button that says so: nobody's words to anybody."""

# An intent guessed at less is no wish to leave a human, and no question that a bot could answer.
SURE = 0.7

Heard = tuple[Turn, Mapping[str, Any]]
"""A turn of the user's, and how Rasa understood it."""


def heard_last(events: Sequence[Event], secret: bytes) -> tuple[Heard | None, str | None]:
    """What the user has just said, and the key of what they had said before.

    None when the latest turn was not the user's (a reminder, a trigger), and when nothing of the user stands before.
    """
    turns = turns_of(events[-60:], secret)  # enough to find the button that was clicked
    before = next((turn.key for turn in reversed(turns[:-1]) if turn.who == "user"), None)
    if not turns or turns[-1].who != "user":
        return None, before
    return (turns[-1], _understood(events[-60:], turns[-1])), before


def heard_since(events: Sequence[Event], handoff: Handoff, secret: bytes, end_intents: Sequence[str]) -> list[Heard]:
    """What the user said after the ask while the bot was paused, as the tracker has it; and what ends the handoff.

    What a bot that was not paused heard, it has answered.
    """
    turns = turns_of(events, secret)
    last, last_at = handoff.facts.get("last_key"), float(handoff.facts.get("last_at") or 0.0)
    begin = next((place for place in range(len(turns) - 1, -1, -1) if turns[place].key == last), None)
    # By Rasa's clock alone: it may be another than ours.
    later = turns[begin + 1 :] if begin is not None else [turn for turn in turns if turn.at > last_at]
    quiet = _said_to_a_paused_bot(events)
    heard = [(turn, _understood(events, turn)) for turn in later if turn.who == "user"]
    return [(turn, how) for turn, how in heard if turn.at in quiet or _end(turn, how, end_intents)]


def said_of(heard: Sequence[Heard], handoff: Handoff, remove: Redactor, end_intents: Sequence[str]) -> Said:
    """The steps for what was said, in order, up to what ends the handoff."""
    steps: list[NewStep] = []
    for place, (turn, understood) in enumerate(heard):
        if _is(turn, understood, KEEP_WAITING):
            continue
        end = _end(turn, understood, end_intents)
        steps += _steps(turn, understood, handoff, remove, ends=end is not None)
        if end is not None:
            # Heard are only words to a paused bot: it has answered none of those that follow, after a restart neither.
            rest = [one for one in heard[place + 1 :] if _end(*one, end_intents) is None]
            after = [step for later, how in rest for step in _steps(later, how, handoff, remove)]
            return Said(steps, end, turn.key, after)
    return Said(steps)


def _steps(
    turn: Turn, understood: Mapping[str, Any], handoff: Handoff, remove: Redactor, *, ends: bool = False
) -> Iterator[NewStep]:
    first, *others = live_steps([turn], handoff, remove)
    more = {"ends": True} if ends else {"said": _answerable(understood, remove)}
    yield replace(first, body={**first.body, **more})
    yield from others


def ends_by(heard: Heard, end_intents: Sequence[str]) -> bool:
    """Whether this ends the handoff."""
    return _end(*heard, end_intents) is not None


def _said_to_a_paused_bot(events: Sequence[Event]) -> set[Any]:
    """When, by Rasa's clock."""
    paused = False
    moments: set[Any] = set()
    for event in events:
        kind = event.get("event")
        if kind in ("pause", "resume", "restart", "session_started"):
            paused = kind == "pause"
        elif kind == "user" and paused:
            moments.add(event.get("timestamp"))
    return moments


def _understood(events: Sequence[Event], turn: Turn) -> Mapping[str, Any]:
    for event in reversed(events):
        if event.get("event") == "user" and event.get("timestamp") == turn.at:
            parsed = event.get("parse_data")
            return parsed if isinstance(parsed, Mapping) else {}
    return {}


def _intent(understood: Mapping[str, Any]) -> tuple[str | None, float]:
    intent = understood.get("intent")
    if not isinstance(intent, Mapping) or not isinstance(intent.get("name"), str):
        return None, 0.0
    confidence = intent.get("confidence", 1.0)
    return intent["name"], float(confidence) if isinstance(confidence, (int, float)) else 0.0


def _is(turn: Turn, understood: Mapping[str, Any], payload: str) -> bool:
    """Whether it was this payload, typed or by a button."""
    return (turn.raw or {}).get("payload") == payload or payload in (turn.text.strip(), understood.get("text"))


def _end(turn: Turn, understood: Mapping[str, Any], end_intents: Sequence[str]) -> End | None:
    name, confidence = _intent(understood)
    if _is(turn, understood, "/restart") or (name == "restart" and confidence >= SURE):
        return End.RESTART
    return End.USER if name in end_intents and confidence >= SURE else None


def _answerable(understood: Mapping[str, Any], remove: Redactor) -> dict[str, Any]:
    """What the bot needs to answer it later, should it reach no agent: {} where it had not understood it."""
    name, confidence = _intent(understood)
    if name is None or confidence < SURE or name.endswith("fallback"):
        return {}
    entities: dict[str, Any] = {}
    found = understood.get("entities")
    for entity in found if isinstance(found, list) else []:
        if isinstance(entity, Mapping) and isinstance(entity.get("entity"), str):
            value = entity.get("value")
            entities[entity["entity"]] = remove.text(value) if isinstance(value, str) else value
    return {"intent": name, "entities": entities}
