"""Where a text holds a card number, an IBAN, an e-mail address or a phone number, and what stays visible of it.

People write numbers with spaces, dashes and invisible characters between, and in the digits of their own script. So the
finders look at a reading of the text in which every digit is 0-9, every dash a minus and every space a blank.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stdnum import iban as iban_numbers
from stdnum import luhn

from rasa_tiledesk.transcript.readings import Reading

__all__ = ["DOTS", "FIELDS", "Place", "cards", "emails", "ibans", "phone_problem", "phones"]

DOTS = "••••"
FIELDS = "\x1f"  # what stands between two fields of a turn that are read one after the other

_GAP = r"[\W_]{0,3}"
_DIGIT_RUN = re.compile(rf"(?<![0-9])[0-9](?:{_GAP}[0-9]){{12,}}")
_DIGITS = re.compile(r"[0-9]+")
# With these between them digits of any grouping may be a card; with others, such as those of times, prices and lists,
# digits that are grouped as on a card, or nothing else around them and of a number range that cards have.
_USUAL_GAPS = re.compile(r"[ \t\r\n\v\f\-._]*")
_ISSUED = re.compile(r"4|5[1-5]|2[2-7]|3[0-9]|6")
_IBAN_HEAD = re.compile(rf"(?:(?<![A-Z0-9])|(?<=IBAN))[A-Z]{_GAP}[A-Z]{_GAP}[0-9]{_GAP}[0-9]", re.IGNORECASE)
_IBAN_MORE = re.compile(rf"{_GAP}([A-Z0-9])", re.IGNORECASE)
_LOCAL = r"\w.+'!~*^#$%&=/?|`\-"
# The look behind lets a word be tried once, not once a letter: the time stays proportional to the text.
_EMAIL = re.compile(rf"(?<![{_LOCAL}])([{_LOCAL}]+) ?@ ?(?:[\w-]+\.)+[^\W\d_][\w-]+")
_LINK_PARTS = "/?&=#"
_SOME_DIGITS = re.compile(r"(?:[0-9][^0-9]{0,3}){7}")
_DIALLED = re.compile(r"(?<![0-9+])00(?=[\s\-.(]{0,2}[1-9])")
_ODD_GAPS = re.compile(r"(?:\+|(?<![0-9,.])0)[0-9 _,.()/\-]+")
_ODD_GAP = re.compile(r"(?<=[0-9)])[_,](?=[0-9(])")


class Place(NamedTuple):
    """What was found: from `start` to before `end` of the text, of a kind, to be replaced by what is `shown`."""

    start: int
    end: int
    kind: str
    shown: str = DOTS


def cards(reading: Reading) -> Iterator[Place]:
    """Card numbers: 13 to 19 digits with a right Luhn digit, from the beginning to the end of groups of digits."""
    flat = reading.flat
    for run in _DIGIT_RUN.finditer(flat.text):
        groups = list(_DIGITS.finditer(flat.text, run.start(), run.end()))
        for first, begin in enumerate(groups):
            number = ""
            for last, group in enumerate(groups[first : first + 19], start=first):
                number += group[0]
                if len(number) > 19:
                    break
                if len(number) >= 13 and luhn.is_valid(number):
                    whole = (first, last) == (0, len(groups) - 1)
                    if _like_a_card(flat.text, groups[first : last + 1], alone=whole and bool(_ISSUED.match(number))):
                        yield Place(*flat.span(begin.start(), group.end()), "card", f"{DOTS} {number[-4:]}")


def _like_a_card(text: str, groups: Sequence[re.Match[str]], *, alone: bool) -> bool:
    gaps = "".join(text[one.end() : other.start()] for one, other in zip(groups, groups[1:]))
    sizes = [len(group[0]) for group in groups]
    return alone or bool(_USUAL_GAPS.fullmatch(gaps)) or min(sizes[:-1], default=4) >= 4 or max(sizes) == 1


def ibans(reading: Reading) -> Iterator[Place]:
    """IBANs: of the length and form of their country, with the right check digits."""
    flat = reading.flat
    for head in _IBAN_HEAD.finditer(flat.text):
        number = "".join(char for char in head[0].upper() if char.isalnum())
        end = head.end()
        while len(number) < 34:
            more = _IBAN_MORE.match(flat.text, end)
            if more is None:
                break
            number, end = number + more[1].upper(), more.end()
            if len(number) >= 15 and iban_numbers.is_valid(number, check_country=False):
                yield Place(*flat.span(head.start(), end), "iban", f"{number[:2]}•• {DOTS} {number[-4:]}")


def emails(reading: Reading) -> Iterator[Place]:
    """E-mail addresses, also as they stand in links."""
    flat = reading.flat
    for found in _EMAIL.finditer(flat.text):
        start = found.start()
        if "/" in found[1] or "?" in found[1]:  # a link: of its parts the last one, unless they are encoded
            parts = (at for at in range(found.end(1) - 1, start - 1, -1) if flat.text[at] in _LINK_PARTS)
            start = next((at + 1 for at in parts if not flat.encoded(at)), start)
        if start < found.end(1):
            yield Place(*flat.span(start, found.end()), "email", "•••@•••")


def phones(reading: Reading, country: str | None = None) -> Iterator[Place]:
    """Phone numbers: written internationally, with + or 00; of a country, also as they are written there."""
    flat = reading.flat
    if not _SOME_DIGITS.search(flat.text):
        return
    dialled = _DIALLED.sub(" +", flat.text)
    from phonenumbers import Leniency, PhoneNumberMatcher  # the extra `phone`

    for text in dict.fromkeys((dialled, _ODD_GAPS.sub(lambda number: _ODD_GAP.sub("-", number[0]), dialled))):
        found = list(PhoneNumberMatcher(text, None, leniency=Leniency.POSSIBLE))
        if country:
            found += PhoneNumberMatcher(text, country, leniency=Leniency.VALID)
        for match in found:
            digits = "".join(_DIGITS.findall(match.raw_string))
            start = match.start - (text[match.start] != flat.text[match.start])  # at the second zero of 00
            yield Place(*flat.span(start, match.end), "phone", f"{DOTS} {digits[-2:]}")


def phone_problem(country: str | None) -> str | None:
    """Why phone numbers cannot be found here, in words; None when they can."""
    if importlib.util.find_spec("phonenumbers") is None:
        return 'phone numbers need one more package: pip install "rasa-tiledesk[phone]"'
    from phonenumbers import SUPPORTED_REGIONS

    if country is not None and country not in SUPPORTED_REGIONS:
        return "not a country; expected its two capital letters, in quotes, such as 'DE'"
    return None
