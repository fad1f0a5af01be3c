"""A tracker's events as the steps that bring them to the agents: the opening, the history, what is said later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rasa_tiledesk.handoff.asked import Event
from rasa_tiledesk.ledger import Handoff, Kind, NewStep
from rasa_tiledesk.settings import EntityRule, History, LastHours, LastTurns, PatternRule, PhoneRule, SlotRule
from rasa_tiledesk.transcript import (
    Message,
    Redactor,
    Rule,
    Speaker,
    Speakers,
    Turn,
    fold,
    in_scope,
    read_turns,
    to_messages,
)
from rasa_tiledesk.transcript.fold import SUMMARY_ROOM_MS

__all__ = [
    "BEFORE",
    "OPENING_ATTRIBUTES",
    "addressed",
    "first_words",
    "history_messages",
    "last_turn",
    "message_steps",
    "newest_messages",
    "older_messages",
    "opening_line",
    "redactor",
    "speakers",
    "starts_at",
    "turns_of",
]


# Messages of one sender at once: chat21 drops what exceeds 30 (facts in `ledger.lanes`); the rest is for what is said
# meanwhile, and for the bot's own lines.
BURST = 24

# So many turns more than wanted: a button stands a few turns before its click.
BEFORE = 30


def speakers(handoff_id: str, facts: Mapping[str, Any]) -> Speakers:
    """Who speaks in a request; the user's id is filled in by `addressed`, once it is known.

    The bot's id is one of its own a conversation: Tiledesk's chat engine limits messages by sender id over all
    conversations (chat21-server 0.2.55, observer.js:468-474).
    """
    return Speakers(
        user=Speaker("", str(facts.get("user_name") or "Guest")),
        bot=Speaker(f"bot_rasa-{handoff_id[:16]}", str(facts.get("bot_name") or "Bot")),
        agent=Speaker(f"agent_rasa-{handoff_id[:16]}", "Agent"),
    )


def addressed(handoff: Handoff, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as it is sent: with the requester's id, which is not known when it is written to the ledger."""
    return {**body, "sender": body["sender"] or handoff.requester_id}


def redactor(history: History, events: Iterable[Event], slots: Mapping[str, Any] | None = None) -> Redactor:
    """What removes from a conversation what must not leave.

    Args:
        history: the settings.
        events: all that are at hand, not only those in scope: a value that was named once is removed everywhere.
        slots: the slots' values now.
    """
    return Redactor([_rule(rule) for rule in history.redact], events, slots)


def _rule(rule: str | PatternRule | EntityRule | SlotRule | PhoneRule) -> Rule:
    if isinstance(rule, str):
        return Rule(rule)
    ((kind, of),) = vars(rule).items()
    return Rule(kind, of)


def turns_of(events: Iterable[Event], secret: bytes) -> list[Turn]:
    """What was said.

    Args:
        events: of a tracker.
        secret: what the turns' keys are made with, so that none confirms a guess of what was redacted.
    """
    return read_turns(events, secret=secret)


def message_steps(messages: Iterable[Message], *, first: int | None = None) -> list[NewStep]:
    """The messages as steps, each after the other from `first` on, or behind all others."""
    return [
        NewStep(
            message.key,
            Kind.MESSAGE,
            {"message": message.body},
            "user" if message.body["attributes"]["rasa"]["who"] == "user" else "bot",
            None if first is None else first + place,
        )
        for place, message in enumerate(messages)
    ]


# What the opening line carries, and the request by it. No call removes an attribute; null is kept (2.19.16, seen).
OPENING_ATTRIBUTES = ("subtype", "clienttimestamp", "rasa")


def opening_line(lines: Sequence[str], by: Speakers, *, before_ms: int) -> dict[str, Any]:
    """The body of the line that opens a request: who it is, for the agents.

    Tiledesk 2.19.16 opens a request by a message of the end user only (routes/message.js answers 403 to other senders).
    It is of subtype `info`, which users never see.
    """
    return {
        "sender": by.user.id,
        "senderFullname": by.user.name,
        "text": "\n".join(["The bot hands this conversation over.", *lines]),
        "type": "text",
        "channel": {"name": "rasa"},
        "attributes": {
            "subtype": "info",
            "clienttimestamp": before_ms - SUMMARY_ROOM_MS,
            "rasa": {"key": "opening", "who": "system"},
        },
    }


def history_messages(
    events: Sequence[Event],
    by: Speakers,
    history: History,
    secret: bytes,
    *,
    unreadable: bool,
    slots: Mapping[str, Any] | None = None,
    shift_ms: int = 0,
) -> list[Message]:
    """All of the history as messages: a summary of the older turns, then the newest ones.

    Args:
        events: of all sessions.
        by: who speaks.
        history: the settings.
        secret: as for `turns_of`.
        unreadable: the tracker store could not be read, so there may have been more.
        slots: as for `redactor`.
        shift_ms: how far the turns' times are moved; see `clocks`.
    """
    remove = redactor(history, events, slots)
    turns = _moved([remove.turn(turn) for turn in _in_scope(turns_of(events, secret), history)], shift_ms)
    older, native = _cut(turns, by, history)
    messages = to_messages(native, by, continued=bool(older))
    return [*fold(older, by, before_ms=starts_at(messages), unreadable=unreadable), *messages]


def newest_messages(
    events: Sequence[Event],
    by: Speakers,
    history: History,
    secret: bytes,
    slots: Mapping[str, Any] | None = None,
    *,
    shift_ms: int = 0,
) -> tuple[list[Message], bool]:
    """The newest turns as messages, as many as may be said at once, and whether there may be older ones.

    Reads from the end, so that its cost does not grow with the conversation, but for a glance at every event for the
    values of the entities and slots that must not leave.
    """
    turns, whole = _newest(events, history, secret)
    remove = redactor(history, events, slots)
    older, native = _cut(_moved([remove.turn(turn) for turn in turns], shift_ms), by, history)
    return to_messages(native, by, continued=bool(older) or not whole), bool(older) or not whole


def older_messages(
    events: Sequence[Event],
    by: Speakers,
    history: History,
    secret: bytes,
    *,
    native: set[str],
    starts: int,
    unreadable: bool,
    shift_ms: int = 0,
) -> tuple[list[Message], str | None]:
    """The summary of the turns before those that `newest_messages` made messages of, and the user's first words.

    Args:
        events: of all sessions in scope.
        by: who speaks.
        history: the settings.
        secret: as for `turns_of`.
        native: the keys of those messages.
        starts: the `clienttimestamp` of the first of them.
        unreadable: the tracker store could not be read, so there may have been more.
        shift_ms: as for those messages.
    """
    turns = _in_scope(turns_of(events, secret), history)
    begin = next((place for place, turn in enumerate(turns) if turn.key in native), len(turns))
    remove = redactor(history, events)
    older = _moved([remove.turn(turn) for turn in turns[:begin]], shift_ms)
    said = next((turn.text for turn in older if turn.who == "user" and turn.text), None)
    return fold(older, by, before_ms=starts, unreadable=unreadable), said


def first_words(messages: Sequence[Message]) -> str | None:
    """What the user said first, of these messages."""
    said = (m.body["text"] for m in messages if m.body["attributes"]["rasa"]["who"] == "user")
    return next(said, None)


def last_turn(events: Sequence[Event], secret: bytes) -> Turn | None:
    """The newest turn."""
    turns = turns_of(events[-60:], secret)
    return turns[-1] if turns else None


def starts_at(native: Sequence[Message]) -> int:
    """The `clienttimestamp` of the first message; room for a summary where there is none."""
    return int(native[0].body["attributes"]["clienttimestamp"]) if native else SUMMARY_ROOM_MS


def _moved(turns: Sequence[Turn], shift_ms: int) -> list[Turn]:
    return [replace(turn, at=turn.at + shift_ms / 1000) if turn.at else turn for turn in turns]


def _in_scope(turns: Sequence[Turn], history: History) -> list[Turn]:
    scope = history.scope
    if isinstance(scope, LastTurns):
        return in_scope(turns, "all", last=scope.last)
    if isinstance(scope, LastHours):
        return in_scope(turns, "all", hours=scope.hours)
    return in_scope(turns, scope)


def _cut(turns: Sequence[Turn], by: Speakers, history: History) -> tuple[list[Turn], list[Turn]]:
    """(older turns, those that are messages of their own): no sender may say too much at once."""
    said: Counter[str] = Counter()
    begin = len(turns)
    while begin > 0 and len(turns) - begin < history.native_turns:
        said.update(message.body["sender"] for message in to_messages(turns[begin - 1 : begin], by, continued=True))
        if max(said.values()) > BURST:
            break
        begin -= 1
    return list(turns[:begin]), list(turns[begin:])


def _newest(events: Sequence[Event], history: History, secret: bytes) -> tuple[list[Turn], bool]:
    """The newest turns in scope, `native_turns` at most, and whether those are all there can be."""
    # More events than turns are wanted: some are no turns, and buttons stand a few turns before the click.
    begin, wanted = len(events), history.native_turns + BEFORE
    while begin > 0 and wanted > 0:
        begin -= 1
        wanted -= events[begin].get("event") in ("user", "bot", "agent")
    turns = turns_of(events[begin:], secret)
    in_session = any(turn.new_session for turn in turns)
    chosen = _in_scope(turns, history)
    scope = history.scope
    if isinstance(scope, LastTurns):
        whole = len(chosen) == scope.last
    elif isinstance(scope, LastHours):
        whole = len(chosen) < len(turns)
    else:
        whole = scope == "session" and in_session
    return chosen[-history.native_turns :], whole and len(chosen) <= history.native_turns
