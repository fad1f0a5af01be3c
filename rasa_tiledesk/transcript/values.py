"""The values of entities and slots: collected from a conversation's events, and found again however they are written.

A value is compared by its letters and digits alone, without case and accents, in any script's digits. So "AB 12-34 56"
is found for "ab123456", and "Jose" for "José".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rasa_tiledesk.transcript.finders import Place
from rasa_tiledesk.transcript.plain import words_of
from rasa_tiledesk.transcript.readings import Reading, placed, readings

__all__ = ["Value", "Values", "values_of"]

_LEAST = 3  # two letters, such as "no", stand in too many words
_LONG = 6  # is itself even with blanks in it, and inside of a longer word
_GAP = 3  # characters that may stand between two letters

# What stands there: blanks, dashes, dots or slashes; something else; more than _GAP characters.
_BLANK, _ODD, _MUCH = 1, 2, 4

# Scripts in which words stand apart, so that a short value that is part of a word is another word.
_APART = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "DIGIT")


class Value:
    """One value to be found.

    Attributes:
        kind: what had it, `entity` or `slot`.
        bare: its letters and digits.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        letters = _Letters(text)
        self.bare = letters.bare
        mixed = any(char.isdigit() for char in self.bare) and len(self.bare) > _LEAST
        usual = _MUCH | _ODD if mixed or len(self.bare) >= _LONG else _MUCH | _ODD | _BLANK
        self._forbidden = int.from_bytes(bytes(_MUCH if own else usual for own in letters.between[1:]), "big")
        self._alone = len(self.bare) < _LONG
        self.weight = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text if char.isalnum())

    def find(self, letters: _Letters) -> Iterator[tuple[int, int]]:
        """Where it stands: from, and to before. A candidate costs a few steps, however long the value is."""
        text, at = letters.text, letters.bare.find(self.bare)
        while at >= 0:
            end = at + len(self.bare)
            if not int.from_bytes(letters.between[at + 1 : end], "big") & self._forbidden:
                start, stop = letters.places[at], letters.places[end - 1] + 1
                while stop < len(text) and unicodedata.combining(text[stop]):
                    stop += 1
                if not (self._alone and (_joined(text, start) or _joined(text, stop))):
                    yield start, stop
            at = letters.bare.find(self.bare, at + 1)


class Values:
    """All values to be found, as they are and as they read where they are encoded."""

    def __init__(self, spoken: Iterable[tuple[str, str]]) -> None:
        found: dict[str, Value] = {}
        for kind, text in dict.fromkeys(spoken):
            for reading in readings(text):
                value = Value(kind, reading.text)
                if value.weight >= _LEAST:
                    found.setdefault(value.bare, value)
        self._values = list(found.values())

    def find(self, reading: Reading) -> Iterator[Place]:
        """Where any of them stands."""
        if not self._values:
            return
        bare = reading.text.translate(_BARE)
        among = [value for value in self._values if value.bare in bare]
        if among:
            letters = _Letters(reading.text)
            for value in among:
                for start, stop in value.find(letters):
                    yield Place(*reading.span(start, stop), value.kind)


class _Letters:
    """The letters and digits of a text, and what stands between them.

    Attributes:
        text: the text.
        bare: its letters and digits at their plainest.
        places: for each of those where in the text it stands.
        between: and what stands before it, in a byte: nothing, _BLANK, _ODD or _MUCH.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.bare, self.places = placed(text, _BARE)
        self.between = bytearray(len(self.places))
        for number in range(1, len(self.places)):
            before, place = self.places[number - 1], self.places[number]
            if place > before + 1:
                self.between[number] = _what(text[before + 1 : place])


def _what(between: str) -> int:
    seen = [char for char in between if unicodedata.category(char) not in ("Mn", "Me", "Cf")]
    if len(seen) > _GAP:
        return _MUCH
    return 0 if not seen else _BLANK if all(map(_separates, seen)) else _ODD


def values_of(
    events: Iterable[Any], current: Mapping[str, Any], *, entities: Sequence[str], slots: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(kind, value) of the named entities and slots.

    Args:
        events: raw tracker events.
        current: the slots' values now.
        entities: names of entities; their words as they were said are values too, since synonyms change a value.
        slots: names of slots.
    """
    for name in slots:
        yield from _leaves("slot", current.get(name))
    for event in events:
        if not isinstance(event, Mapping):
            continue
        kind = event.get("event")
        if kind == "slot" and event.get("name") in slots:
            yield from _leaves("slot", event.get("value"))
        elif kind == "user" and entities:
            parsed = event.get("parse_data")
            if isinstance(parsed, Mapping):
                yield from _entities(parsed.get("entities"), entities, event.get("text"))
        elif kind == "entities" and entities:
            yield from _entities(event.get("entities"), entities, None)


def _entities(found: Any, names: Sequence[str], text: Any) -> Iterator[tuple[str, str]]:
    for entity in found if isinstance(found, list) else []:
        if isinstance(entity, Mapping) and entity.get("entity") in names:
            yield from _leaves("entity", entity.get("value"))
            start, end = entity.get("start"), entity.get("end")
            if isinstance(text, str) and isinstance(start, int) and isinstance(end, int) and 0 <= start < end:
                yield "entity", text[start:end]


def _leaves(kind: str, value: Any) -> Iterator[tuple[str, str]]:
    """The texts and numbers in a value, which may be a list or a mapping of them."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, (list, tuple)):
            waiting += item
        elif item is not None and not isinstance(item, bool):
            whole = isinstance(item, float) and item.is_integer()
            yield kind, words_of(int(item) if whole else item)


def _separates(char: str) -> bool:
    return char.isspace() or char in "._/\u2212" or unicodedata.category(char) == "Pd"


def _joined(text: str, at: int) -> bool:
    """Whether a word goes on over this place."""
    return 0 < at < len(text) and _apart(text[at - 1]) and _apart(text[at])


def _apart(char: str) -> bool:
    if char.isascii():
        return char.isalnum()
    return char.isdecimal() or (char.isalpha() and unicodedata.name(char, "").startswith(_APART))


class _Bare(dict[int, str]):
    """For str.translate: each character → its letters and digits at their plainest, "" for others. Fills itself."""

    def __missing__(self, code: int) -> str:
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code)).casefold())
        kept = [char for char in text if char.isalnum() or unicodedata.category(char) == "Mc"]
        self[code] = "".join(str(unicodedata.decimal(char, char)) for char in kept)
        return self[code]


_BARE = _Bare()
