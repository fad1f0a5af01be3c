"""Older turns folded into one readable text, so that a long conversation does not flood the agents' chat.

Tiledesk's chat engine drops what exceeds 30 messages in a burst and 30 a minute from one sender, without an error
(chat21-server 0.2.55 and later, observer.js:468-474), and shows a joining agent the oldest 200 messages only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from rasa_tiledesk.transcript.messages import CHANNEL, Message, Speakers, begins
from rasa_tiledesk.transcript.render import UNSHOWN, in_words
from rasa_tiledesk.transcript.split import split_text
from rasa_tiledesk.transcript.turns import Turn

__all__ = ["SUMMARY_ROOM_MS", "fold"]

logger = logging.getLogger(__name__)

# Between the summary and the first turn that is a message of its own there is room for so many parts, 1 ms each.
SUMMARY_ROOM_MS = 1_000

_UNREADABLE = "The history before this could not be read."


def fold(older: Sequence[Turn], speakers: Speakers, *, before_ms: int, unreadable: bool = False) -> list[Message]:
    """One readable text of the older turns, in several messages when it is too long for one; [] when there is none.

    Args:
        older: what to fold.
        speakers: who said it; the bot tells it.
        before_ms: the `clienttimestamp` of the message that follows.
        unreadable: say that there may have been more.
    """
    lines = [_UNREADABLE] if unreadable else []
    if older:
        lines += [f"Earlier in this conversation ({len(older)} messages, times in UTC):"]
        for place, turn in enumerate(older):
            lines += [f"— {begins(turn)} —"] if place and begins(turn) else []
            lines.append(_line(turn, speakers))
    if not lines:
        return []
    parts = list(split_text("\n".join(lines)))
    return [
        _part(part, f"summary/{number}", speakers, before_ms - len(parts) + number - 1)
        for number, part in enumerate(parts, start=1)
    ]


def _line(turn: Turn, speakers: Speakers) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(turn.at)) if turn.at else "unknown time"
    try:
        words = "\n    ".join(in_words(turn).splitlines())  # indented, or a turn could forge the next one
    except Exception as error:
        logger.warning("a turn could not be shown: %s", type(error).__name__)
        words = UNSHOWN
    return f"{when}  {speakers.of(turn).name}: {words}"


def _part(text: str, key: str, speakers: Speakers, at_ms: int) -> Message:
    return Message(
        key,
        {
            "sender": speakers.bot.id,
            "senderFullname": speakers.bot.name,
            "text": text,
            "type": "text",
            "channel": CHANNEL,
            "attributes": {"rasa": {"key": key, "who": "bot", "summary": True}, "clienttimestamp": at_ms},
        },
    )
