"""Two texts side by side, as wide as the terminal, whatever the letters: wide ones and emoji take two columns."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterable, Iterator

__all__ = ["side_by_side", "terminal_width", "width", "wrap"]

_RULE = " │ "


def terminal_width() -> int:
    """How wide to print: the terminal, but between 80 and 120 columns."""
    return max(80, min(120, shutil.get_terminal_size().columns))


def side_by_side(rows: Iterable[tuple[str, str]], *, titles: tuple[str, str], total: int) -> Iterator[str]:
    """The lines of a table of two columns; every row begins on a line of its own."""
    left_width = (total - len(_RULE)) // 2
    right_width = total - len(_RULE) - left_width

    def lines(left: str, right: str) -> Iterator[str]:
        lefts, rights = wrap(left, left_width), wrap(right, right_width)
        for index in range(max(len(lefts), len(rights))):
            words = lefts[index] if index < len(lefts) else ""
            other = rights[index] if index < len(rights) else ""
            yield f"{words}{' ' * (left_width - width(words))}{_RULE}{other}".rstrip()

    yield from lines(*titles)
    yield "─" * (left_width + 1) + "┼" + "─" * (right_width + 1)
    for number, row in enumerate(rows):
        if number:
            yield from lines("", "")
        yield from lines(*row)


def wrap(text: str, limit: int) -> list[str]:
    """Break a text into lines of at most `limit` columns, between words where that is possible.

    What a line goes on with is indented as the line is.
    """
    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip(" "))]
        current = ""
        for word in line.split():
            candidate = f"{current} {word}" if current else indent + word
            if width(candidate) <= limit:
                current = candidate
                continue
            if current:
                lines.append(current)
            *full, current = _pieces(indent, word, limit)
            lines += full
        lines.append(current)
    return lines or [""]


def width(text: str) -> int:
    """How many columns a terminal gives the text."""
    columns = 0
    joined = False
    for character in text:
        if character == "\u200d":  # joins the next emoji to the one before
            joined = True
        elif not joined:
            columns += _columns(character)
        else:
            joined = False
    return columns


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc") or "\U0001f3fb" <= character <= "\U0001f3ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _pieces(indent: str, word: str, limit: int) -> list[str]:
    """A word, cut where it is too long for a line."""
    pieces = [indent]
    for character in word:
        if width(pieces[-1] + character) > limit:
            pieces.append(indent)
        pieces[-1] += character
    return pieces
