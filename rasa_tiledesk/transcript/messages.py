"""Turns → the messages Tiledesk stores."""

from __future__ import annotations

import json
import logging
import mimetypes
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from rasa_tiledesk.transcript.plain import plain
from rasa_tiledesk.transcript.render import UNSHOWN, in_words, neutral, one_line, storable
from rasa_tiledesk.transcript.split import json_size, split_text
from rasa_tiledesk.transcript.turns import Turn

__all__ = ["CHANNEL", "Message", "Speaker", "Speakers", "begins", "to_messages"]

logger = logging.getLogger(__name__)

CHANNEL = {"name": "rasa"}

# Bytes; with a text of MAX_TEXT and a name both fit into BODY_LIMIT (see `split`).
_MAX_RAW = 20_000
_MAX_LINK = 2_000


@dataclass(frozen=True)
class Speaker:
    """A sender to Tiledesk: its id and the name agents see, which is made harmless (see `one_line`)."""

    id: str
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name) or "?")


@dataclass(frozen=True)
class Speakers:
    """Who speaks in a conversation: the end user, the bot, and agents of an earlier handoff."""

    user: Speaker
    bot: Speaker
    agent: Speaker

    def of(self, turn: Turn) -> Speaker:
        """Who said the turn. An agent's words in a transcript are of an earlier handoff, and marked as that."""
        if turn.who == "agent":
            return Speaker(self.agent.id, f"{one_line(turn.agent) or self.agent.name} (earlier)")
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
    A turn that cannot be shown, whatever the reason, is a line that says so.
    """
    messages = []
    for place, turn in enumerate(turns):
        if (place or continued) and begins(turn):
            after_ms = max(after_ms + 1, int(turn.at * 1000) - 1)
            messages.append(_stamped(_separator(turn, speakers.bot), after_ms))
        for message in _shown(turn, speakers.of(turn)):
            after_ms = max(after_ms + 1, int(turn.at * 1000))
            messages.append(_stamped(message, after_ms))
    return messages


def begins(turn: Turn) -> str:
    """A line that says what began with the turn; "" when nothing did."""
    what = "The conversation was restarted" if turn.restarted else "A new session began" if turn.new_session else ""
    when = time.strftime(", %Y-%m-%d %H:%M UTC", time.gmtime(turn.at)) if turn.at else ""
    return what and f"{what}{when}"


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


def _shown(turn: Turn, speaker: Speaker) -> list[Message]:
    try:
        return list(_of_turn(turn, speaker))
    except Exception as error:
        logger.warning("a turn could not be shown: %s", type(error).__name__)
        return list(_of_turn(Turn(turn.key, turn.who, turn.at, UNSHOWN), speaker))


def _of_turn(turn: Turn, speaker: Speaker) -> Iterator[Message]:
    link = storable(turn.images[0]) if turn.images else ""
    image = _image_type(link)
    text = in_words(replace(turn, images=turn.images[1:]) if image else turn)
    if not text.strip():
        text = neutral(link) if image else UNSHOWN
    marker: dict[str, Any] = {"key": turn.key, "who": turn.who}
    if turn.clicked:
        marker["clicked"] = True
    if turn.raw:
        # As a string: MongoDB refuses keys that hold a dot or begin with a dollar sign.
        data = json.dumps(plain(turn.raw))
        if json_size(data) <= _MAX_RAW:
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
            body["metadata"] = {"src": link, "type": image}
        yield Message(key, body)


def _image_type(link: str) -> str | None:
    """The type of an image that Tiledesk can show by its link; None for a link that it cannot."""
    try:
        parts = urlsplit(link)
        if parts.scheme not in ("http", "https") or not parts.hostname or json_size(link) > _MAX_LINK:
            return None
        return mimetypes.guess_type(parts.path.rpartition("/")[2])[0] or "image/*"
    except ValueError:  # such as an address in brackets that is none
        return None


def _stamped(message: Message, at_ms: int) -> Message:
    attributes = {**message.body["attributes"], "clienttimestamp": at_ms}
    return replace(message, body={**message.body, "attributes": attributes})
