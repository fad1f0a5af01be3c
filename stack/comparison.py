"""Is what the user saw what the agent sees: every turn once, in order, from the right side?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stack.agent import Message

__all__ = ["Row", "Turn", "clicked_by_user", "compare", "said_by_bot", "said_by_user"]


@dataclass(frozen=True)
class Turn:
    """One thing the user saw.

    Attributes:
        who: "user" or "bot".
        words: all that was on the screen, line by line.
        traces: what must be found of it in Tiledesk.
    """

    who: str
    words: str
    traces: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One turn and the message that carries it; without either one when its counterpart is missing."""

    turn: Turn | None
    message: Message | None


def said_by_user(words: str) -> Turn:
    """What the user typed."""
    return Turn("user", words, (words,))


def clicked_by_user(title: str) -> Turn:
    """The button that the user clicked."""
    return Turn("user", _button(title), (title,))


def said_by_bot(answers: Sequence[dict[str, Any]]) -> Iterator[Turn]:
    """What the answers of a channel put on the screen.

    Rasa's channels send the picture and the payload of one thing the bot says as answers of their own: here they
    stay with its text.
    """
    lines: list[str] = []
    traces: list[str] = []
    for answer in answers:
        if "text" in answer and lines:
            yield Turn("bot", "\n".join(lines), tuple(traces))
            lines, traces = [], []
        if "text" in answer:
            lines.append(answer["text"])
            traces.append(answer["text"])
        if "image" in answer:
            lines.append(f"[image] {answer['image']}")
            traces.append(answer["image"])
        for button in answer.get("buttons", ()):
            lines.append(_button(button["title"]))
            traces.append(button["title"])
        if "custom" in answer:
            lines.append(f"[custom] {json.dumps(answer['custom'], ensure_ascii=False)}")
            traces += [value for value in answer["custom"].values() if isinstance(value, str)]
    if lines:
        yield Turn("bot", "\n".join(lines), tuple(traces))


def compare(turns: Sequence[Turn], messages: Sequence[Message], *, user: str) -> list[Row]:
    """Put turns and messages beside each other.

    Args:
        turns: what the user saw.
        messages: what Tiledesk has, in its order.
        user: Tiledesk's id of the user.
    """
    rows: list[Row] = []
    done = 0
    for message in messages:
        match = next((at for at in range(done, len(turns)) if _carries(message, turns[at], user)), None)
        if match is None:
            rows.append(Row(None, message))
            continue
        rows += [Row(turn, None) for turn in turns[done:match]]
        rows.append(Row(turns[match], message))
        done = match + 1
    return rows + [Row(turn, None) for turn in turns[done:]]


def _button(title: str) -> str:
    return f"[ {title} ]"


def _carries(message: Message, turn: Turn, user: str) -> bool:
    everything = f"{message.text}\n{message.image}"
    return (message.sender == user) == (turn.who == "user") and all(trace in everything for trace in turn.traces)
