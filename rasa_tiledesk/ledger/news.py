"""Who asks Tiledesk for news of all conversations, one server at a time; and how much of it no webhook told."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.engine import Connection

from rasa_tiledesk.ledger.database import AlreadyThere, Database
from rasa_tiledesk.ledger.records import Duty, Missed, Notice
from rasa_tiledesk.ledger.rows import wake
from rasa_tiledesk.ledger.schema import handoffs, news

__all__ = ["News", "count"]

_AT_ONCE = 200


class News:
    """The turn of asking, and the handoffs of which there is news."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, project_id: str, lease: str, *, seconds: float) -> int | None:
        """Take the turn of asking, when it is time and nobody has it.

        Returns:
            Up to when the last who asked had heard, ms since 1970 by Tiledesk's clock; None when it is not time.
        """
        one = news.c.project_id == project_id
        with self._database.writing() as connection:
            now = self._database.now()
            free = and_(one, news.c.due <= now, news.c.lease_until <= now)
            taken = {"lease": lease, "lease_until": now + int(seconds * 1000)}
            if connection.execute(update(news).where(free).values(**taken)).rowcount:
                return int(connection.execute(select(news.c.heard).where(one)).scalar_one())
            if connection.execute(select(news.c.due).where(one)).first() is not None:
                return None
        with contextlib.suppress(AlreadyThere), self._database.writing() as connection:
            row: dict[str, Any] = {"due": 0, "lease_until": 0, "heard": 0, "missed": 0, "missed_in_a_row": 0}
            connection.execute(news.insert().values(project_id=project_id, **row))
        return self.claim(project_id, lease, seconds=seconds)

    def tell(self, changed: Mapping[str, str]) -> int:
        """Have those handoffs listened to whose request has changed since; how many there are.

        Args:
            changed: when, as `heard` writes it, by the request's id.
        """
        ids, told = list(changed), 0
        for begin in range(0, len(ids), _AT_ONCE):
            some = handoffs.c.request_id.in_(ids[begin : begin + _AT_ONCE])
            query = select(handoffs.c.id, handoffs.c.request_id, handoffs.c.heard).where(some)
            with self._database.reading() as connection:
                rows = connection.execute(query).all()
            new = [row.id for row in rows if row.heard != changed[row.request_id]]
            for handoff_id in new:
                with self._database.writing() as connection:
                    wake(connection, handoff_id, Duty.LISTEN, self._database.now())
            told += len(new)
        return told

    def missed(self, project_id: str) -> Missed:
        """How many words of agents no webhook announced."""
        with self._database.reading() as connection:
            row = connection.execute(select(news).where(news.c.project_id == project_id)).first()
        return Missed(row.missed, row.missed_in_a_row) if row else Missed()

    def leave(self, project_id: str, lease: str, *, heard: int, again_in: float) -> None:
        """Give the turn back, and say when somebody should ask again."""
        mine = and_(news.c.project_id == project_id, news.c.lease == lease)
        with self._database.writing() as connection:
            due = self._database.now() + int(again_in * 1000)
            values = {"lease": None, "lease_until": 0, "heard": heard, "due": due}
            connection.execute(update(news).where(mine).values(**values))


def count(connection: Connection, notice: Notice) -> None:
    """Write down whether a webhook announced words of an agent. The caller holds the handoff's row."""
    one = news.c.project_id == notice.project_id
    if notice.came:
        connection.execute(update(news).where(and_(one, news.c.missed_in_a_row > 0)).values(missed_in_a_row=0))
        return
    more = {"missed": news.c.missed + 1, "missed_in_a_row": news.c.missed_in_a_row + 1}
    connection.execute(update(news).where(one).values(**more))
