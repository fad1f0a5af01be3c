"""How commands print: tables, times and ages, and nothing that a terminal would obey."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

__all__ = ["age", "moment", "printable", "table"]


def printable(text: str) -> str:
    """The text with its control characters shown, not sent: users choose their words and sender ids."""
    return "".join(
        letter if letter in "\n\t" or letter >= "\xa0" or " " <= letter <= "~" else f"\\x{ord(letter):02x}"
        for letter in text.encode("utf-8", "replace").decode("utf-8")
    )


def moment(ms: int) -> str:
    """A time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms / 1000))


def age(ms: int) -> str:
    """A duration in its two largest units."""
    seconds = max(0, ms // 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; the last column is as wide as it likes."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        yield "  ".join([*cells, row[-1]]).rstrip()
