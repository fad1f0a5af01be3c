"""Where a text holds a card number, an IBAN, an e-mail address or a phone number, and what stays visible of it.

People write numbers with spaces, dashes and invisible characters between, and in the digits of their own script. So the
finders look at a copy of the same length in which every digit is 0-9, every dash a minus and every space a blank.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from stdnum import iban as iban_numbers
from stdnum import luhn

__all__ = ["DOTS", "Place", "cards", "emails", "ibans", "phone_problem", "phones"]

DOTS = "••••"

_INVISIBLE = "\u2060"
_GAP = rf"[\s\-._{_INVISIBLE}]{{0,3}}"
_DIGIT_RUN = re.compile(rf"(?<![0-9])[0-9](?:{_GAP}[0-9]){{12,}}")
_DIGITS = re.compile(r"[0-9]+")
_IBAN_HEAD = re.compile(rf"(?:(?<![A-Z0-9])|(?<=IBAN))[A-Z]{_GAP}[A-Z]{_GAP}[0-9]{_GAP}[0-9]", re.IGNORECASE)
_IBAN_MORE = re.compile(rf"{_GAP}([A-Z0-9])", re.IGNORECASE)
_LOCAL = rf"\w.+'!~*^{_INVISIBLE}\-"
# The look behind lets a word be tried once, not once a letter: the time stays proportional to the text.
_EMAIL = re.compile(rf"(?<![{_LOCAL}])[{_LOCAL}]+ ?(?:@|%40) ?(?:[\w{_INVISIBLE}-]+\.)+[^\W\d_][\w{_INVISIBLE}-]+")
_SOME_DIGITS = re.compile(r"(?:[0-9][^0-9]{0,3}){7}")
_DIALLED = re.compile(r"(?<![0-9+])00(?=[\s\-.(]{0,2}[1-9])")


class Place(NamedTuple):
    """What was found: from `start` to before `end`, of a kind, to be replaced by what is `shown`."""

    start: int
    end: int
    kind: str
    shown: str = DOTS


def cards(text: str) -> Iterator[Place]:
    """Card numbers: 13 to 19 digits with a right Luhn digit, from the beginning to the end of groups of digits."""
    flat = text.translate(_FLAT)
    for run in _DIGIT_RUN.finditer(flat):
        groups = list(_DIGITS.finditer(flat, run.start(), run.end()))
        for first, begin in enumerate(groups):
            number = ""
            for group in groups[first : first + 19]:
                number += group[0]
                if len(number) > 19:
                    break
                if len(number) >= 13 and luhn.is_valid(number):
                    yield Place(begin.start(), group.end(), "card", f"{DOTS} {number[-4:]}")


def ibans(text: str) -> Iterator[Place]:
    """IBANs: of the length and form of their country, with the right check digits."""
    flat = text.translate(_FLAT)
    for head in _IBAN_HEAD.finditer(flat):
        number = "".join(char for char in head[0].upper() if char.isalnum())
        end = head.end()
        while len(number) < 34:
            more = _IBAN_MORE.match(flat, end)
            if more is None:
                break
            number, end = number + more[1].upper(), more.end()
            if len(number) >= 15 and iban_numbers.is_valid(number, check_country=False):
                yield Place(head.start(), end, "iban", f"{number[:2]}•• {DOTS} {number[-4:]}")


def emails(text: str) -> Iterator[Place]:
    """E-mail addresses, also as they stand in links."""
    for found in _EMAIL.finditer(text.translate(_FLAT)):
        yield Place(found.start(), found.end(), "email", "•••@•••")


def phones(text: str, country: str | None = None) -> Iterator[Place]:
    """Phone numbers: written internationally, with + or 00; of a country, also as they are written there."""
    flat = text.translate(_FLAT)
    if not _SOME_DIGITS.search(flat):
        return
    dialled = _DIALLED.sub(" +", flat)
    from phonenumbers import Leniency, PhoneNumberMatcher  # the extra `phone`

    found = list(PhoneNumberMatcher(dialled, None, leniency=Leniency.POSSIBLE))
    if country:
        found += PhoneNumberMatcher(dialled, country, leniency=Leniency.VALID)
    for match in found:
        digits = "".join(_DIGITS.findall(match.raw_string))
        start = match.start - (dialled[match.start] != flat[match.start])  # at the second zero of 00
        yield Place(start, match.end, "phone", f"{DOTS} {digits[-2:]}")


def phone_problem(country: str | None) -> str | None:
    """Why phone numbers cannot be found here, in words; None when they can."""
    if importlib.util.find_spec("phonenumbers") is None:
        return 'phone numbers need one more package: pip install "rasa-tiledesk[phone]"'
    from phonenumbers import SUPPORTED_REGIONS

    if country is not None and country not in SUPPORTED_REGIONS:
        return "not a country; expected its two capital letters, in quotes, such as 'DE'"
    return None


class _Flat(dict[int, str]):
    """For str.translate: each character → one that the patterns above know. Fills itself."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        same = unicodedata.normalize("NFKC", char)
        if category == "Nd":
            same = str(unicodedata.decimal(char))
        elif category == "Cf":
            same = _INVISIBLE
        elif category == "Pd" or char == "\u2212":
            same = "-"
        self[code] = same if len(same) == 1 else char
        return self[code]


_FLAT = _Flat()
