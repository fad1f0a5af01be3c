"""A text cut into parts that fit into a message.

Sizes are bytes of JSON in ASCII, as `requests` sends it: an emoji is twelve. In UTF-8, as Tiledesk sends it on to its
chat engine, nothing is longer than that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import regex

__all__ = ["BODY_LIMIT", "MAX_TEXT", "json_size", "split_text"]

# chat21-http-server takes JSON bodies up to 100 KB (body-parser's default): a message of 119,967 bytes never reached
# the agent, and nobody was told (chat21-http-server 0.2.41, seen on 2026-11-24). The rest is for what Tiledesk adds.
BODY_LIMIT = 90_000
MAX_TEXT = 60_000

# What is one character to a reader: a letter with its accents, an emoji of several parts.
_SEEN = regex.compile(r"\X")
_LONGEST_SEEN = 100
_WORD_JOINER = "\u2060"


def json_size(text: str) -> int:
    """Bytes that a text takes within JSON, its quotes left out."""
    return len(json.dumps(text)) - 2


def split_text(text: str, limit: int = MAX_TEXT) -> Iterator[str]:
    """Cut a text into parts of at most `limit` bytes, at the end of a line or a word where there is one.

    No part is blank, unless the whole text is.
    """
    if json_size(text) <= limit:
        yield text
        return
    while text:
        cut = _cut(text, limit)
        if text[:cut].strip():
            yield text[:cut]
        text = text[cut:].lstrip("\n") if text[cut : cut + 1] == "\n" else text[cut:].removeprefix(" ")


def _cut(text: str, limit: int) -> int:
    """The last good place to cut up to the limit."""
    most = _fitting(text, limit)
    if most == len(text):
        return most
    ends: list[int] = [seen.end() for seen in _SEEN.finditer(text, 0, most + _LONGEST_SEEN)]
    whole = [end for end in ends if end <= most]
    for gap in ("\n", " "):
        for end in reversed(whole):
            if end <= most // 2:
                break
            if text[end : end + 1] == gap:
                return end
    cut = whole[-1] if whole else most
    # A word joiner that makes harmless what stands before it stays with it.
    return cut - 1 if cut > 1 and text[cut] == _WORD_JOINER else cut


def _fitting(text: str, limit: int) -> int:
    """How many characters fit, one at least."""
    size = 0
    for number, char in enumerate(text):
        size += _size(char)
        if size > limit:
            return max(number, 1)
    return len(text)


def _size(char: str) -> int:
    if char in '"\\\n\r\t\b\f':
        return 2
    if " " <= char <= "~":  # DEL is escaped too
        return 1
    return 6 if char <= "\uffff" else 12
