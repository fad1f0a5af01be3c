"""Who has news? One call names all conversations of the project that have changed, however many there are.

`GET /{project}/requests`, newest change first (tiledesk-server 2.19.16, seen on 2026-11-24). Owners and admins see all
of the project there, agents a part, bots nothing: with those, each conversation is asked for by itself.
"""

from __future__ import annotations

import logging
import time
from typing import Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskError, TiledeskForbidden
from rasa_tiledesk.ledger import Ledger
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["Newsroom"]

logger = logging.getLogger(__name__)

SECONDS = 20.0
LEASE_SECONDS = 30.0
ASK_AGAIN_SECONDS = 600.0  # a login's role may change
PAGE = 100
PAGES = 50  # of one turn; the rest is read at the next
# A change may become visible after a later one: two are written at once, and take different times.
OVERLAP_MS = 5_000


class Newsroom:
    """Asks for news of all conversations, in turn with other servers.

    Args:
        desk: Tiledesk.
        ledger: whose turn it is, and who is listened to.
        name: who asks.
        interval: seconds between two turns.
        clock: seconds.
    """

    def __init__(
        self,
        desk: TiledeskClient,
        ledger: Ledger,
        *,
        name: str,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._ledger = ledger
        self._lease = f"{name}/news"
        self._interval = interval
        self._clock = clock
        self._sees_all: bool | None = None
        self._looked_at = float("-inf")

    def sees_all(self) -> bool:
        """Whether our login is shown all conversations of the project.

        Raises:
            TiledeskError: it cannot be asked.
        """
        if self._sees_all is None or self._clock() - self._looked_at > ASK_AGAIN_SECONDS:
            try:
                self._desk.within(Deadline(SECONDS)).subscriptions()  # as far as these an owner and an admin may go
                self._sees_all = True
            except TiledeskForbidden:
                self._sees_all = False
            self._looked_at = self._clock()
        return self._sees_all

    def run_once(self) -> bool:
        """Ask, when it is our turn; whether there was news of a conversation of ours.

        Raises:
            LedgerError: the ledger failed.
        """
        project = self._desk.project_id
        heard = self._ledger.news.claim(project, self._lease, seconds=LEASE_SECONDS)
        if heard is None:
            return False
        newest, told, again = heard, 0, self._interval
        try:
            if self.sees_all():
                newest, told = self._read(heard)
        except TiledeskError as error:
            logger.warning("news could not be read: %s", error)
            again = max(again, self._interval * 2)
        self._ledger.news.leave(project, self._lease, heard=newest, again_in=again)
        return told > 0

    def _read(self, heard: int) -> tuple[int, int]:
        """(up to when it has been heard now, of how many conversations of ours there is news)."""
        desk, newest = self._desk.within(Deadline(SECONDS)), heard
        changed: dict[str, str] = {}
        for page in range(PAGES):
            found = desk.requests(channel="rasa", page=page, limit=PAGE)
            for request in found:
                changed.setdefault(request.request_id, request.updated_at.isoformat())
                newest = max(newest, int(request.updated_at.timestamp() * 1000))
            # At the first turn of all, one page: what is older is found when each is listened to by itself.
            if len(found) < PAGE or not heard or found[-1].updated_at.timestamp() * 1000 < heard - OVERLAP_MS:
                break
        return newest, self._ledger.news.tell(changed)
