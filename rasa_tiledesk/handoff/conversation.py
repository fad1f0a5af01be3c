"""What an ask for a human brings along, and the messages made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasa_tiledesk.handoff.ledger import Handoff
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
    "FIRST_SUMMARY",
    "Ask",
    "Placed",
    "addressed",
    "bot_line",
    "history_messages",
    "latest_words",
    "older_messages",
    "opening_messages",
    "redactor",
    "said_later",
    "speakers",
    "turns_after",
]

# Positions in a request: the opening, the summary of older turns, the newest turns, then what is said later.
OPENING, FIRST_SUMMARY, FIRST_NATIVE = 0, 1, 1000

Event = Mapping[str, Any]
Placed = tuple[int, str, Mapping[str, Any]]
"""(position, key, body) of a message."""

_OPENING_TEXT = "The bot hands this conversation over. It follows in the order the user saw it."


@dataclass(frozen=True)
class Ask:
    """A user's ask for a human, as the action's webhook brings it.

    Attributes:
        sender_id: Rasa's id of the conversation.
        events: the tracker's events that the webhook brought, the running turn included.
        slots: the tracker's slots.
        channel: the input channel of the user's latest message.
        texts: what to tell the user later, text and buttons by response name.
    """

    sender_id: str
    events: Sequence[Event] = field(repr=False)
    slots: Mapping[str, Any] = field(default_factory=dict, repr=False)
    channel: str | None = None
    texts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def slot(self, name: str) -> str | None:
        """A slot's value when it is a text that says something."""
        value = self.slots.get(name)
        return value.strip()[:200] if isinstance(value, str) and value.strip() else None


def speakers(handoff_id: str, user_name: str) -> Speakers:
    """Who speaks in a request; the user's id is filled in by `addressed`, once it is known.

    The bot's id is one of its own a conversation: Tiledesk's chat engine limits messages by sender id over all
    conversations (chat21-server 0.2.55, observer.js:468-474).
    """
    return Speakers(
        user=Speaker("", user_name),
        bot=Speaker(f"bot_rasa-{handoff_id[:16]}", "Bot"),
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


def history_messages(
    events: Sequence[Event],
    by: Speakers,
    history: History,
    *,
    unreadable: bool,
    slots: Mapping[str, Any] | None = None,
) -> list[Placed]:
    """All of the history as messages: a summary of the older turns, then the newest ones.

    Args:
        events: of all sessions.
        by: who speaks.
        history: the settings.
        unreadable: the tracker store could not be read, so there may have been more.
        slots: as for `redactor`.
    """
    remove = redactor(history, events, slots)
    turns = [remove.turn(turn) for turn in _in_scope(read_turns(events), history)]
    native = to_messages(turns[-history.native_turns :], by, continued=len(turns) > history.native_turns)
    summary = fold(turns[: -history.native_turns], by, before_ms=_starts(native), unreadable=unreadable)
    return [*_placed(summary, FIRST_SUMMARY), *_placed(native, FIRST_NATIVE)]


def opening_messages(
    events: Sequence[Event], by: Speakers, history: History, slots: Mapping[str, Any] | None = None
) -> tuple[list[Placed], bool]:
    """What a staged handoff starts with: the message that opens the request, and the newest turns.

    Reads from the end, so that its cost does not grow with the conversation, but for a glance at every event for the
    values of the entities and slots that must not leave. The user's first turn opens the request
    when it is the first of all; else a line of our own does: Tiledesk 2.19.16 opens a request by a message of the end
    user only (routes/message.js answers 403 to other senders), and the bot's words must not become the user's.

    Returns:
        The messages, and whether there may be older turns for `older_messages`.
    """
    turns, whole = _newest(events, history)
    remove = redactor(history, events, slots)
    native = to_messages([remove.turn(turn) for turn in turns], by, continued=not whole)
    if whole and turns and turns[0].who == "user":
        return [(OPENING, native[0].key, native[0].body), *_placed(native[1:], FIRST_NATIVE)], False
    return [*_placed([_opening_line(by, _starts(native))], OPENING), *_placed(native, FIRST_NATIVE)], not whole


def older_messages(
    events: Sequence[Event],
    by: Speakers,
    history: History,
    *,
    native: Sequence[Placed],
    unreadable: bool,
) -> list[Placed]:
    """The summary of the turns before those that `opening_messages` made messages of."""
    keys = {key for _, key, _ in native}
    turns = _in_scope(read_turns(events), history)
    begin = next((place for place, turn in enumerate(turns) if turn.key in keys), len(turns))
    starts = min((body["attributes"]["clienttimestamp"] for _, _, body in native), default=SUMMARY_ROOM_MS)
    remove = redactor(history, events)
    older = [remove.turn(turn) for turn in turns[:begin]]
    return _placed(fold(older, by, before_ms=starts, unreadable=unreadable), FIRST_SUMMARY)


def latest_words(events: Sequence[Event]) -> tuple[Turn | None, str | None]:
    """What the user has just said, and the key of what they had said before.

    None when the latest turn was not the user's (a reminder, a trigger), and when nothing of the user stands before.
    """
    turns = read_turns(events[-60:])  # enough to find the button that was clicked
    before = next((turn.key for turn in reversed(turns[:-1]) if turn.who == "user"), None)
    return (turns[-1] if turns and turns[-1].who == "user" else None), before


def said_later(turns: Sequence[Turn], handoff: Handoff, remove: Redactor) -> list[tuple[str, Mapping[str, Any]]]:
    """(key, body) of what was said after the ask."""
    by = speakers(handoff.id, handoff.context["user_name"])
    messages = to_messages([remove.turn(turn) for turn in turns], by)
    return [(message.key, message.body) for message in messages]


def turns_after(events: Sequence[Event], handoff: Handoff) -> list[Turn]:
    """What the user said after the ask, as the tracker has it."""
    turns = read_turns(events)
    last = handoff.context.get("last_key")
    begin = next((place for place in range(len(turns) - 1, -1, -1) if turns[place].key == last), None)
    if begin is not None:
        return [turn for turn in turns[begin + 1 :] if turn.who == "user"]
    return [turn for turn in turns if turn.who == "user" and turn.at * 1000 > handoff.created]


def bot_line(handoff: Handoff, key: str, text: str, at_ms: int) -> tuple[str, Mapping[str, Any]]:
    """(key, body) of a line for the agents from the bot, about the conversation rather than of it."""
    by = speakers(handoff.id, handoff.context["user_name"])
    turn = Turn(key, "bot", at_ms / 1000, text)
    (message,) = to_messages([turn], by)
    return message.key, message.body


def _in_scope(turns: Sequence[Turn], history: History) -> list[Turn]:
    scope = history.scope
    if isinstance(scope, LastTurns):
        return in_scope(turns, "all", last=scope.last)
    if isinstance(scope, LastHours):
        return in_scope(turns, "all", hours=scope.hours)
    return in_scope(turns, scope)


def _newest(events: Sequence[Event], history: History) -> tuple[list[Turn], bool]:
    """The newest turns in scope, `native_turns` at most, and whether those are all there can be."""
    # More events than turns are wanted: some are no turns, and buttons stand a few turns before the click.
    begin, wanted = len(events), history.native_turns + 30
    while begin > 0 and wanted > 0:
        begin -= 1
        wanted -= events[begin].get("event") in ("user", "bot", "agent")
    turns = read_turns(events[begin:])
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


def _opening_line(by: Speakers, starts: int) -> Message:
    body = {
        "sender": by.user.id,
        "senderFullname": by.user.name,
        "text": _OPENING_TEXT,
        "type": "text",
        "channel": {"name": "rasa"},
        "attributes": {
            "subtype": "info",
            "clienttimestamp": starts - SUMMARY_ROOM_MS,
            "rasa": {"key": "opening", "who": "system"},
        },
    }
    return Message("opening", body)


def _starts(native: Sequence[Message]) -> int:
    return int(native[0].body["attributes"]["clienttimestamp"]) if native else SUMMARY_ROOM_MS


def _placed(messages: Sequence[Message], first: int) -> list[Placed]:
    return [(first + place, message.key, message.body) for place, message in enumerate(messages)]
