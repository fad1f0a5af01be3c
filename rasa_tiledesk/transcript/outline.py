"""JSON as lines that people who never saw JSON can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["outline"]


def outline(value: Any) -> list[str]:
    """A plain value (see `plain`) in lines: a name and what it holds, what is inside of it indented below."""
    return list(_lines(value))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _entry(f"{name}:", item)
    elif isinstance(value, list) and value:
        for item in value:
            first, *more = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in more)
    else:
        nothing = value is None or isinstance(value, (Mapping, list))
        yield from ("–" if nothing else str(value).strip() or "–").splitlines()


def _entry(name: str, item: Any) -> Iterator[str]:
    lines = list(_lines(item))
    if len(lines) == 1 and not (isinstance(item, (Mapping, list)) and item):
        yield f"{name} {lines[0]}"
    else:
        yield name
        yield from (f"  {line}" for line in lines)
