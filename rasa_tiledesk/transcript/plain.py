"""What an event holds, made plain: so that whatever comes after may take it as it is.

Events are JSON mostly, and mostly of a sane shape. What is not (a number of thousands of digits, a list in a list in a
list, NaN, names that are no text) comes back as words, so that nothing raises on it later. What is sane stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["plain", "words_of"]

_DEEPEST = 40  # levels
_LONGEST = 2_000  # bits: Python may refuse to write numbers of more than 640 digits
_DIGITS_A_BIT = 0.30103


def plain(value: Any, *, levels: int = _DEEPEST) -> Any:
    """The value as None, booleans, texts, finite numbers, lists and mappings with texts as names, not too deep."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        if not levels:
            return "…"
        named: dict[str, Any] = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else words_of(key)
            while name in named:  # 1 and "1" have become one
                name += "'"
            named[name] = item if type(item) is str else plain(item, levels=levels - 1)
        return named
    if isinstance(value, (list, tuple)):
        return [plain(item, levels=levels - 1) for item in value] if levels else "…"
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # neither NaN nor infinite
    if isinstance(value, int) and value.bit_length() <= _LONGEST:
        return value
    return words_of(value)


def words_of(value: Any) -> str:
    """A value that is no list and no mapping in words; never raises."""
    if isinstance(value, int) and value.bit_length() > _LONGEST:
        return f"[a number of about {round(value.bit_length() * _DIGITS_A_BIT)} digits]"
    try:
        return str(value)
    except Exception:
        return f"[{type(value).__name__}]"
