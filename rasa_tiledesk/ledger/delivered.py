"""What has reached users: for clients that wait for it, and for programs that count."""

from __future__ import annotations

from sqlalchemy import and_, func, select

from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.ledger.records import Duty, Stage
from rasa_tiledesk.ledger.rows import digest
from rasa_tiledesk.ledger.schema import handoffs, steps

__all__ = ["Delivered"]


class Delivered:
    """What has reached users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, sender_id: str) -> int:
        """How many steps towards the user are done, over all handoffs of the sender."""
        theirs = and_(steps.c.handoff_id == handoffs.c.id, handoffs.c.sender_key == digest(sender_id))
        came = and_(theirs, steps.c.lane == Duty.TO_USER.value, steps.c.stage == Stage.DONE.value)
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(steps, handoffs).where(came)).scalar_one())

    def is_last(self, sender_id: str, mark: str) -> bool:
        """Whether nothing has been brought to the user behind this message, named by handoff and key."""
        handoff_id, _, key = mark.partition("/")
        newest = (
            select(handoffs.c.id)
            .where(handoffs.c.sender_key == digest(sender_id))
            .order_by(handoffs.c.created.desc(), handoffs.c.id)
            .limit(1)
        )
        with self._database.reading() as connection:
            if connection.execute(newest).scalar() != handoff_id:
                return False
            mine = and_(steps.c.handoff_id == handoff_id, steps.c.lane == Duty.TO_USER.value)
            done = and_(mine, steps.c.stage == Stage.DONE.value)
            last = select(steps.c.key).where(done).order_by(steps.c.position.desc()).limit(1)
            return connection.execute(last).scalar() == key
