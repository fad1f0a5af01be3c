"""When a ledger's work is due, so that tests whose clock stands leap there; and what is left when it should be none."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import text

from rasa_tiledesk.ledger import Ledger

__all__ = ["left_over", "next_moment"]

# Up to where a conversation was heard, should an agent open its request again: no words.
_NO_WORDS = {"last_key", "last_at", "channel"}


def next_moment(ledger: Ledger, *, news: bool = False) -> float:
    """When a duty is due next, or news are to be asked for, and nobody holds it; infinite for never."""
    tables = ["tiledesk_duty", *["tiledesk_news"] * news]
    free = "SELECT CASE WHEN due > lease_until THEN due ELSE lease_until END AS free, due FROM"
    either = " UNION ALL ".join(f"{free} {table}" for table in tables)
    with ledger._database.reading() as connection:
        query = text(f"SELECT MIN(free) FROM ({either}) AS either WHERE due IS NOT NULL")
        moment = connection.execute(query).scalar()
    return float("inf") if moment is None else float(moment) / 1000


def left_over(ledger: Ledger) -> Iterator[str]:
    """What is due, and what texts and facts are left: nothing of either is to stay when all handoffs are over."""
    with ledger._database.reading() as connection:
        for query, what in (
            ("SELECT duty, last_error FROM tiledesk_duty WHERE due IS NOT NULL", "due"),
            ("SELECT lane, kind, stage FROM tiledesk_step WHERE body <> '{}'", "a text is left"),
        ):
            yield from (f"{what}: {tuple(row)}" for row in connection.execute(text(query)))
        for life, facts in connection.execute(text("SELECT life, facts FROM tiledesk_handoff")):
            known = sorted(json.loads(facts).keys() - _NO_WORDS)
            if known:
                yield f"facts are left: {life}, {', '.join(known)}"
