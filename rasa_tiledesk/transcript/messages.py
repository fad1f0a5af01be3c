"""Turns → the messages Tiledesk stores."""

from __future__ import annotations

import json
import mimetypes
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import regex

from rasa_tiledesk.transcript.render import in_words, neutral, storable
from rasa_tiledesk.transcript.turns import Turn

__all__ = ["CHANNEL", "Message", "Speaker", "Speakers", "begins", "split_text", "to_messages"]

CHANNEL = {"name": "rasa"}

# Tiledesk 2.19.16 takes bodies up to 512,000 bytes (app.js:300), and JSON writes a character as up to 12 of them.
MAX_TEXT = 30_000
_MAX_RAW = 20_000

# What is one character to a reader: a letter with its accents, an emoji of several parts.
_SEEN = regex.compile(r"\X")
_LONGEST_SEEN = 100


@dataclass(frozen=True)
class Speaker:
    """A sender to Tiledesk: its id and the name agents see."""

    id: str
    name: str


@dataclass(frozen=True)
class Speakers:
    """Who speaks in a conversation: the end user, the bot, and agents of an earlier handoff."""

    user: Speaker
    bot: Speaker
    agent: Speaker

    def of(self, turn: Turn) -> Speaker:
        """Who said the turn. An agent's words in a transcript are of an earlier handoff, and marked as that."""
        if turn.who == "agent":
            return Speaker(self.agent.id, f"{storable(turn.agent) or self.agent.name} (earlier)")
        return self.user if turn.who == "user" else self.bot


@dataclass(frozen=True)
class Message:
    """One message for Tiledesk.

    Attributes:
        key: unique within the request; what `attributes.rasa.key` holds, so that it is recognised when read back.
        body: the JSON body.
    """

    key: str
    body: Mapping[str, Any]


def to_messages(
    turns: Sequence[Turn], speakers: Speakers, *, after_ms: int = 0, continued: bool = False
) -> list[Message]:
    """The messages of the turns, in order; a turn whose text is too long becomes several.

    Where a session or a restart began, a line of its own says so, unless nothing stands before it.

    Args:
        turns: what was said.
        speakers: who said it.
        after_ms: the `clienttimestamp` of the message before the first, in milliseconds since 1970.
        continued: there is more of the conversation before the first turn.

    `attributes.clienttimestamp` is the turn's own time in ms, made strictly increasing: the agents' chat sorts by it.
    """
    messages = []
    for place, turn in enumerate(turns):
        if (place or continued) and begins(turn):
            after_ms = max(after_ms + 1, int(turn.at * 1000) - 1)
            messages.append(_stamped(_separator(turn, speakers.bot), after_ms))
        for message in _of_turn(turn, speakers.of(turn)):
            after_ms = max(after_ms + 1, int(turn.at * 1000))
            messages.append(_stamped(message, after_ms))
    return messages


def begins(turn: Turn) -> str:
    """A line that says what began with the turn; "" when nothing did."""
    what = "The conversation was restarted" if turn.restarted else "A new session began" if turn.new_session else ""
    when = time.strftime(", %Y-%m-%d %H:%M UTC", time.gmtime(turn.at)) if turn.at else ""
    return what and f"{what}{when}"


def split_text(text: str, limit: int = MAX_TEXT) -> Iterator[str]:
    """Cut a text into parts of at most `limit` characters, at the end of a line or a word where there is one."""
    while len(text) > limit:
        cut = max(text.rfind("\n", limit // 2, limit), 0) or max(text.rfind(" ", limit // 2, limit), 0)
        cut = cut or _between_seen(text, limit)
        yield text[:cut]
        text = text[cut:].lstrip("\n ") if text[cut] in "\n " else text[cut:]
    yield text


def _between_seen(text: str, limit: int) -> int:
    """The last place up to the limit that is not inside of what a reader sees as one character."""
    begin = max(limit - _LONGEST_SEEN, limit // 2)
    ends = [seen.end() for seen in _SEEN.finditer(text, begin, limit + _LONGEST_SEEN)]
    return next((end for end in reversed(ends) if begin < end <= limit), limit)


def _separator(turn: Turn, speaker: Speaker) -> Message:
    key = f"{turn.key}/begin"
    return Message(
        key,
        {
            "sender": speaker.id,
            "senderFullname": speaker.name,
            "text": begins(turn),
            "type": "text",
            "channel": CHANNEL,
            "attributes": {"subtype": "info", "rasa": {"key": key, "who": "system"}},
        },
    )


def _of_turn(turn: Turn, speaker: Speaker) -> Iterator[Message]:
    image = storable(turn.images[0]) if turn.images and _shown_as_image(turn.images[0]) else None
    rest = replace(turn, images=turn.images[1:]) if image else turn
    text = in_words(rest, with_images=True)
    marker: dict[str, Any] = {"key": turn.key, "who": turn.who}
    if turn.clicked:
        marker["clicked"] = True
    if turn.raw:
        # As a string: MongoDB refuses keys that hold a dot or begin with a dollar sign.
        data = json.dumps(turn.raw, ensure_ascii=True, default=str)
        if len(data) <= _MAX_RAW:
            marker["data"] = data
    for number, part in enumerate(split_text(text), start=1):
        key = turn.key if number == 1 else f"{turn.key}/{number}"
        body: dict[str, Any] = {
            "sender": speaker.id,
            "senderFullname": speaker.name,
            "text": part,
            "type": "text",
            "channel": CHANNEL,
            "attributes": {"rasa": {**marker, "key": key} if number == 1 else {"key": key, "who": turn.who}},
        }
        if image and number == 1:
            body["type"] = "image"
            body["text"] = part or neutral(image)
            body["metadata"] = {"src": image, "type": mimetypes.guess_type(urlsplit(image).path)[0] or "image/*"}
        yield Message(key, body)


def _shown_as_image(link: str) -> bool:
    return urlsplit(link).scheme in ("http", "https") and len(link) <= 2_000


def _stamped(message: Message, at_ms: int) -> Message:
    attributes = {**message.body["attributes"], "clienttimestamp": at_ms}
    return replace(message, body={**message.body, "attributes": attributes})
