"""What must not leave: found by rules in all that a turn shows or carries, and replaced before it is kept or sent.

All rules look at the same text, and what overlaps is replaced as one, so that no rule cuts in two what another would
have found. It is done again until nothing is found: redacting what is redacted changes nothing.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable, NamedTuple

from rasa_tiledesk.transcript.finders import DOTS, Place, cards, emails, ibans, phones
from rasa_tiledesk.transcript.patterns import Pattern
from rasa_tiledesk.transcript.turns import Button, Turn
from rasa_tiledesk.transcript.values import Values, values_of

__all__ = ["Redactor", "Rule"]

_Finder = Callable[[str], Iterable[Place]]
_Clean = Callable[[str], str]


class Rule(NamedTuple):
    """One thing to remove.

    Attributes:
        kind: `card`, `iban`, `email`, `phone`, `pattern`, `entity` or `slot`.
        of: the pattern, the name of the entity or slot, or the phone numbers' country.
    """

    kind: str
    of: str = ""


class Redactor:
    """Removes what the rules name.

    Args:
        rules: what to remove.
        events: raw events of the conversation, as many as there are: an entity's value may be said again much later.
        slots: the slots' values now.
    """

    def __init__(self, rules: Sequence[Rule], events: Iterable[Any] = (), slots: Mapping[str, Any] | None = None):
        self._finders: list[_Finder] = [find for rule in rules for find in _finders(rule)]
        entities = [rule.of for rule in rules if rule.kind == "entity"]
        names = [rule.of for rule in rules if rule.kind == "slot"]
        if entities or names:
            self._finders.append(Values(values_of(events, slots or {}, entities=entities, slots=names)).find)

    def text(self, text: str) -> str:
        """The text without what must not leave."""
        return self._clean(text, Counter())

    def value(self, value: Any) -> Any:
        """The same for the texts, names and numbers in JSON."""
        return _each_in(value, self.text)

    def turn(self, turn: Turn) -> Turn:
        """The same for all that a turn shows or carries; its key, time and speaker stay."""
        return _each_text(turn, self.text) if self._finders else turn

    def report(self, turns: Iterable[Turn]) -> list[tuple[Turn, str, int]]:
        """(turn, kind, how many) of what would be removed, and not what it is."""
        found = []
        for turn in turns:
            shown: Counter[str] = Counter()
            carried: Counter[str] = Counter()
            _each_text(replace(turn, raw=None), functools.partial(self._clean, kinds=shown))
            _each_in(turn.raw, functools.partial(self._clean, kinds=carried))  # mostly the same once more
            found += [(turn, kind, count) for kind, count in sorted((shown | carried).items())]
        return found

    def _clean(self, text: str, kinds: Counter[str]) -> str:
        # It ends: every replacement leaves fewer characters that are no dots.
        while True:
            cleaned, end = "", 0
            for place in _merged([place for find in self._finders for place in find(text)]):
                cleaned += text[end : place.start] + place.shown
                end = place.end
                kinds[place.kind] += 1
            if not end:
                return text
            text = cleaned + text[end:]


def _finders(rule: Rule) -> Iterator[_Finder]:
    if rule.kind == "pattern":
        yield Pattern(rule.of).find
    elif rule.kind == "phone":
        yield functools.partial(phones, country=rule.of or None)
    elif rule.kind not in ("entity", "slot"):
        yield {"card": cards, "iban": ibans, "email": emails}[rule.kind]


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
                image=clean(card.image),
                buttons=_each_button(card.buttons, clean),
            )
            for card in turn.cards
        ),
        images=tuple(map(clean, turn.images)),
        attachments=tuple(map(clean, turn.attachments)),
        custom=_each_in(turn.custom, clean),
        raw=_each_in(turn.raw, clean),
    )


def _each_button(buttons: tuple[Button, ...], clean: _Clean) -> tuple[Button, ...]:
    return tuple(
        replace(button, title=clean(button.title), payload=clean(button.payload), url=clean(button.url))
        for button in buttons
    )


def _each_in(value: Any, clean: _Clean) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            name = clean(str(key))
            while name in cleaned:  # two names may have become one
                name += "'"
            cleaned[name] = _each_in(item, clean)
        return cleaned
    if isinstance(value, (list, tuple)):
        return [_each_in(item, clean) for item in value]
    text = str(value)
    left = clean(text)
    return value if left == text else left
