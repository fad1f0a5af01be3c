"""What must not leave: found by rules in all that a turn shows or carries, and replaced before it is kept or sent.

All rules look at the same text, as it is written and as it is read, and what overlaps is replaced as one, so that no
rule cuts in two what another would have found. It is done again until nothing is found: redacting what is redacted
changes nothing.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable, NamedTuple, TypeVar

from rasa_tiledesk.transcript.finders import DOTS, FIELDS, Place, cards, emails, ibans, phones
from rasa_tiledesk.transcript.patterns import Pattern
from rasa_tiledesk.transcript.plain import plain
from rasa_tiledesk.transcript.readings import Reading, readings
from rasa_tiledesk.transcript.rich import Button
from rasa_tiledesk.transcript.turns import Turn
from rasa_tiledesk.transcript.values import Values, values_of

__all__ = ["Redactor", "Rule"]

logger = logging.getLogger(__name__)

_Finder = Callable[[Reading], Iterable[Place]]
_Clean = Callable[[str], str]
_Whole = TypeVar("_Whole")


class Rule(NamedTuple):
    """One thing to remove.

    Attributes:
        kind: `card`, `iban`, `email`, `phone`, `pattern`, `entity` or `slot`.
        of: the pattern, the name of the entity or slot, or the phone numbers' country.
    """

    kind: str
    of: str = ""


class Redactor:
    """Removes what the rules name; never raises: what cannot be checked becomes dots.

    Args:
        rules: what to remove.
        events: raw events of the conversation, as many as there are: an entity's value may be said again much later.
        slots: the slots' values now.
    """

    def __init__(self, rules: Sequence[Rule], events: Iterable[Any] = (), slots: Mapping[str, Any] | None = None):
        self._within: list[_Finder] = [find for rule in rules for find in _within(rule)]
        self._across: list[_Finder] = [_ACROSS[rule.kind] for rule in rules if rule.kind in _ACROSS]
        entities = [rule.of for rule in rules if rule.kind == "entity"]
        names = [rule.of for rule in rules if rule.kind == "slot"]
        if entities or names:
            self._across.append(Values(values_of(events, slots or {}, entities=entities, slots=names)).find)

    def text(self, text: str) -> str:
        """The text without what must not leave."""
        (left,) = self._clean([text], Counter())
        return left

    def value(self, value: Any) -> Any:
        """The same for the texts, names and numbers in JSON, which is made plain (see `plain`)."""
        return self._each(_each_in, plain(value), Counter())

    def turn(self, turn: Turn) -> Turn:
        """The same for all that a turn shows or carries; its key, time and speaker stay.

        What a reader would put together, such as the title and the subtitle of a card, is looked at together.
        """
        return self._each(_each_text, turn, Counter()) if self._within or self._across else turn

    def report(self, turns: Iterable[Turn]) -> list[tuple[Turn, str, int]]:
        """(turn, kind, how many) of what would be removed, and not what it is."""
        found = []
        for turn in turns:
            shown: Counter[str] = Counter()
            carried: Counter[str] = Counter()
            self._each(_each_text, replace(turn, raw=None), shown)
            self._each(_each_in, plain(turn.raw), carried)  # mostly the same once more
            found += [(turn, kind, count) for kind, count in sorted((shown | carried).items())]
        return found

    def _each(self, walk: Callable[[_Whole, _Clean], _Whole], whole: _Whole, kinds: Counter[str]) -> _Whole:
        """Walk over all texts twice, always in the same order: to gather them, and to put back what is left of them."""
        texts: list[str] = []

        def gather(text: str) -> str:
            texts.extend([text] if text else [])
            return text

        walk(whole, gather)
        left = iter(self._clean(texts, kinds))
        return walk(whole, lambda text: next(left) if text else text)

    def _clean(self, texts: list[str], kinds: Counter[str]) -> list[str]:
        # It ends: every replacement leaves fewer characters that are no dots.
        while True:
            try:
                places = list(_merged([*self._places(texts)]))
            except Exception as error:
                logger.warning("texts could not be checked and are withheld: %s", type(error).__name__)
                return [DOTS] * len(texts)
            if not places:
                return texts
            kinds.update(place.kind for place in places)
            texts = list(_replaced(texts, places))

    def _places(self, texts: Sequence[str]) -> Iterator[Place]:
        if self._within:
            begin = 0
            for text in texts:
                for place in _found(self._within, text):
                    yield place._replace(start=begin + place.start, end=begin + place.end)
                begin += len(text) + len(FIELDS)
        if self._across:
            yield from _found(self._across, FIELDS.join(texts))


# Found over all texts of a turn; the others in each text alone.
_ACROSS: Mapping[str, _Finder] = {"card": cards, "iban": ibans}


def _within(rule: Rule) -> Iterator[_Finder]:
    if rule.kind == "pattern":
        yield Pattern(rule.of).find
    elif rule.kind == "phone":
        yield functools.partial(phones, country=rule.of or None)
    elif rule.kind == "email":
        yield emails


def _found(finders: Sequence[_Finder], text: str) -> Iterator[Place]:
    for reading in readings(text):
        for find in finders:
            yield from find(reading)


def _replaced(texts: Sequence[str], places: Sequence[Place]) -> Iterator[str]:
    """The texts without what is at the places; of what stands in several texts the first shows what stays visible."""
    begin = number = 0
    for text in texts:
        end, at, left = begin + len(text), begin, ""
        while number < len(places) and places[number].start < end:
            place = places[number]
            start = max(place.start, begin)
            left += text[at - begin : start - begin] + (place.shown if start == place.start else DOTS)
            at = min(place.end, end)
            if place.end > end:
                break  # it goes on in the next text
            number += 1
        yield left + text[at - begin :]
        begin = end + len(FIELDS)


def _merged(places: list[Place]) -> Iterator[Place]:
    """Places that do not overlap, in order: of those that do, the one that covers the others, else dots over all."""
    places.sort()
    at = 0
    while at < len(places):
        start, end, longest = places[at].start, places[at].end, places[at]
        while at < len(places) and places[at].start < end:
            place = places[at]
            end = max(end, place.end)
            longest = max(longest, place, key=lambda one: (one.end - one.start, one.shown == DOTS))
            at += 1
        covers = (longest.start, longest.end) == (start, end)
        yield Place(start, end, longest.kind, longest.shown if covers else DOTS)


def _each_text(turn: Turn, clean: _Clean) -> Turn:
    return replace(
        turn,
        text=clean(turn.text),
        buttons=_each_button(turn.buttons, clean),
        cards=tuple(
            replace(
                card,
                title=clean(card.title),
                subtitle=clean(card.subtitle),
                lines=tuple(map(clean, card.lines)),
                image=clean(card.image),
                buttons=_each_button(card.buttons, clean),
            )
            for card in turn.cards
        ),
        images=tuple(map(clean, turn.images)),
        attachments=tuple(map(clean, turn.attachments)),
        custom=_each_in(plain(turn.custom), clean),
        raw=_each_in(plain(turn.raw), clean),
    )


def _each_button(buttons: tuple[Button, ...], clean: _Clean) -> tuple[Button, ...]:
    titles = [clean(button.title) for button in buttons]  # one after the other, as they are read
    return tuple(
        replace(button, title=title, payload=clean(button.payload), url=clean(button.url))
        for button, title in zip(buttons, titles)
    )


def _each_in(value: Any, clean: _Clean) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            name = clean(key)
            while name in cleaned:  # two names may have become one
                name += "'"
            cleaned[name] = _each_in(item, clean)
        return cleaned
    if isinstance(value, (list, tuple)):
        return [_each_in(item, clean) for item in value]
    text = str(value)
    left = clean(text)
    return value if left == text else left
