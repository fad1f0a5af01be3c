r"""A text as people read it: links, HTML and JSON write letters in other ways, and a reader sees none of that.

What must not leave is looked for in what is read and taken out of what is written. So each character that is read knows
where in the text it stands: the "é" of `caf%C3%A9`, `caf&eacute;` and `caf\u00e9` covers six, eight and six characters.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Reading", "placed", "readings"]

_ENCODED = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<html>&(?:nbsp\b;?|\#[0-9]{1,7};|\#[xX][0-9A-Fa-f]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};))"
    r"|(?P<units>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|(?P<escape>\\(?:x[0-9A-Fa-f]{2}|[bfnrt\"'/\\]))"
)
_MARKS = ("%", "&", "\\")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ROUNDS = 4  # `%252540` is encoded three times


class Reading:
    """What is read in a text.

    Attributes:
        text: its characters.
        begins: where in the text that was written each of them begins.
        ends: where it ends.
    """

    def __init__(self, text: str, begins: Sequence[int], ends: Sequence[int]) -> None:
        self.text = text
        self.begins = begins
        self.ends = ends

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the text that was written the characters from `start` to before `end` stand."""
        return self.begins[start], self.ends[end - 1]

    def encoded(self, place: int) -> bool:
        """Whether the character was written by more than one."""
        return self.ends[place] - self.begins[place] > 1

    @functools.cached_property
    def flat(self) -> Reading:
        """The same with every digit as 0-9, every dash as a minus, every space as a blank, and nothing unseen."""
        if self.text.isascii():
            return self
        text, places = placed(self.text, _FLAT)
        following = [*places[1:], len(self.text)]  # what is not seen belongs to what stands before it
        lasts = (max(place, follows - 1) for place, follows in zip(places, following))
        return Reading(text, [self.begins[place] for place in places], [self.ends[last] for last in lasts])


def readings(text: str) -> Iterator[Reading]:
    """The text as it is written, then as it is read; in between, where it is encoded more than once."""
    reading = Reading(text, range(len(text)), range(1, len(text) + 1))
    yield reading
    for _ in range(_ROUNDS):
        if not any(mark in reading.text for mark in _MARKS):
            return
        decoded = _decoded(reading)
        if decoded.text == reading.text:
            return
        yield decoded
        reading = decoded


def placed(text: str, table: Mapping[int, str]) -> tuple[str, list[int]]:
    """The text translated by the table, and for each character of that the place of the one it was made of."""
    pieces = [table[ord(char)] for char in text]
    return "".join(pieces), [place for place, piece in enumerate(pieces) for _ in piece]


def _decoded(reading: Reading) -> Reading:
    text = reading.text
    chars: list[str] = []
    begins: list[int] = []
    ends: list[int] = []

    def keep(start: int, end: int) -> None:
        chars.append(text[start:end])
        begins.extend(reading.begins[start:end])
        ends.extend(reading.ends[start:end])

    at = 0
    for found in _ENCODED.finditer(text):
        keep(at, found.start())
        at = found.end()
        for char, start, end in _DECODERS[str(found.lastgroup)](found[0]):
            chars.append(char)
            begins.append(reading.begins[found.start() + start])
            ends.append(reading.ends[found.start() + end - 1])
    keep(at, len(text))
    return Reading("".join(chars), begins, ends)


def _percent(written: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    for char in bytes.fromhex(written.replace("%", "")).decode("utf-8", "surrogateescape"):
        end = at + 3 * len(char.encode("utf-8", "surrogateescape"))
        # A byte that is no UTF-8 is of an old page in Latin-1.
        yield chr(ord(char) - 0xDC00) if "\udc80" <= char <= "\udcff" else char, at, end
        at = end


def _html(written: str) -> Iterator[tuple[str, int, int]]:
    text = html.unescape(written)
    if text == written:  # no entity that HTML knows
        yield from ((char, place, place + 1) for place, char in enumerate(written))
    else:
        yield from ((char, 0, len(written)) for char in text)


def _units(written: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in written.split("\\u")[1:])
    for char in units.decode("utf-16-be", "surrogatepass"):
        end = at + (12 if ord(char) > 0xFFFF else 6)
        yield char, at, end
        at = end


def _escape(written: str) -> Iterator[tuple[str, int, int]]:
    char = chr(int(written[2:], 16)) if written[1] == "x" else _ESCAPES.get(written[1], written[1])
    yield char, 0, len(written)


_DECODERS = {"percent": _percent, "html": _html, "units": _units, "escape": _escape}


class _Flat(dict[int, str]):
    """Each character → what the finders know it by, "" where nothing is seen of its own. Fills itself."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Cf", "Mn", "Mc", "Me"):  # joiners, accents, the frame of a keycap
            same = ""
        elif category == "Nd":
            same = str(unicodedata.decimal(char))
        elif category == "Pd" or char == "\u2212":
            same = "-"
        else:
            same = unicodedata.normalize("NFKC", char)
        self[code] = same
        return same


_FLAT = _Flat()
