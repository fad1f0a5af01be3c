"""The bot's own patterns, bounded in time.

A backtracking pattern can take years on a text of forty letters, and Python's own `re` cannot be interrupted. The
`regex` module can: it reads the same patterns and takes a timeout.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import regex

from rasa_tiledesk.transcript.finders import Place
from rasa_tiledesk.transcript.readings import Reading

__all__ = ["Pattern", "pattern_problem"]

logger = logging.getLogger(__name__)

PATIENCE = 0.1
IMPATIENCE = 0.01

# Where patterns with quantifiers inside quantifiers run away: much that fits, then what does not.
_PROBES = [unit * 200 + end for unit in ("a", "A", "1", "0", "a1", "a ", "1 ", "1-", "a.", " ") for end in ("!", "\n")]
_NOTHING_FOUND = ("", "a", "1", " ", "-", "aA 1-_")


class Pattern:
    """Finds what fits a regular expression.

    A text on which that takes too long is taken to fit as a whole: what could not be checked does not leave.
    """

    def __init__(self, pattern: str) -> None:
        self._compiled = regex.compile(pattern)
        self._patience = PATIENCE

    def find(self, reading: Reading) -> Iterator[Place]:
        """What fits, but dots alone and nothing at all."""
        text = reading.text
        try:
            # Concurrent: other threads, Rasa's answers among them, go on meanwhile.
            found = [match.span() for match in self._compiled.finditer(text, timeout=self._patience, concurrent=True)]
        except TimeoutError:
            logger.warning("a redaction pattern took too long on %d characters; they are withheld", len(text))
            self._patience = IMPATIENCE  # a conversation may have many such texts, and the user waits
            found = [(0, len(text))]
        for start, end in found:
            if text[start:end].strip("•"):
                yield Place(*reading.span(start, end), "pattern")


def pattern_problem(pattern: str) -> str | None:
    """Why the pattern cannot be used, in words; None when it can."""
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        return f"not a regular expression: {error.msg}"
    try:
        if any(match.start() == match.end() for text in _NOTHING_FOUND for match in compiled.finditer(text, timeout=1)):
            return "fits where nothing is; expected one that fits at least one character"
        for probe in _PROBES:
            for _ in compiled.finditer(probe, timeout=PATIENCE):
                pass
    except TimeoutError:
        return "takes too long on some texts; avoid a quantifier inside a quantifier, such as (a+)+"
    return None
