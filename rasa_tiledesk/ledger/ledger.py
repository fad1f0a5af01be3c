"""The ledger: everything that must survive, in one database that all action servers share."""

from __future__ import annotations

from typing import Callable

from sqlalchemy.engine import URL

from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.ledger.delivered import Delivered
from rasa_tiledesk.ledger.handoffs import Handoffs
from rasa_tiledesk.ledger.hooks import HookSecrets
from rasa_tiledesk.ledger.lanes import Lanes
from rasa_tiledesk.ledger.migration import migrate
from rasa_tiledesk.ledger.news import News
from rasa_tiledesk.ledger.words import Words

__all__ = ["Ledger"]


class Ledger:
    """The record of handoffs; every method of its parts is one transaction, safe in any thread and process.

    What must hold however many action servers share the database, the database enforces: one open handoff a sender,
    one holder of a lease, one row a key.

    Args:
        url: any SQLAlchemy URL; ``sqlite://`` keeps it in memory, for tests. Or a database that is connected already.
        clock: seconds since 1970, for tests; see `Database`.
        per_minute: see `Lanes`.

    Attributes:
        handoffs: begun, found, ended, forgotten.
        lanes: their duties and steps.
        words: what users say.
        news: who asks Tiledesk for it.
        delivered: what has reached users.
        hooks: secrets.

    Raises:
        LedgerError: the database cannot be reached, refuses, or is of a newer version of this package.
    """

    def __init__(
        self, url: str | URL | Database, *, clock: Callable[[], float] | None = None, per_minute: int = 28
    ) -> None:
        self._database = url if isinstance(url, Database) else Database(url, clock=clock)
        migrate(self._database)
        self.handoffs = Handoffs(self._database)
        self.lanes = Lanes(self._database, per_minute=per_minute)
        self.words = Words(self._database, self.lanes)
        self.news = News(self._database)
        self.delivered = Delivered(self._database)
        self.hooks = HookSecrets(self._database)

    def now(self) -> int:
        """Ms since 1970 by the database's clock."""
        return self._database.time()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
