"""What a handoff needs of Tiledesk and Rasa, looked at when the action server starts and from time to time after."""

from __future__ import annotations

import logging
from typing import Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaTiledeskError
from rasa_tiledesk.runtime import Runtime

__all__ = ["Upkeep"]

logger = logging.getLogger(__name__)

CHECK_SECONDS = 10.0
AGAIN_SECONDS = 600.0
SOON_SECONDS = 60.0


class Upkeep:
    """Checks credential, department and Rasa, mends the webhooks, forgets old handoffs; says what it finds on change.

    Args:
        begin: the parts of this process, at work; asked again when the ledger, say, cannot be reached yet.
        wait: waits so many seconds, and says whether it is time to stop.
    """

    def __init__(self, begin: Callable[[], Runtime], wait: Callable[[float], bool]) -> None:
        self._begin = begin
        self._wait = wait
        self._said: str | None = None

    def run(self) -> None:
        """Until it is time to stop."""
        while True:
            well = self._look()
            if self._wait(AGAIN_SECONDS if well else SOON_SECONDS):
                return

    def _look(self) -> bool:
        try:
            parts = self._begin()
            desk = parts.desk.within(Deadline(CHECK_SECONDS))
            desk.check_credential()
            department = desk.department(parts.endpoints.tiledesk.department)
            if parts.hooks:
                parts.hooks.mend()
            parts.rasa.check(deadline=Deadline(CHECK_SECONDS))
            parts.ledger.handoffs.forget(days=parts.endpoints.tiledesk.ledger_keep_days)
        except RasaTiledeskError as error:
            words = str(error)
            gap = "\n" if "\n" in words else " "
            self._say(logging.ERROR, f"no handoff will work until this is mended:{gap}{words}")
            return False
        except Exception as error:  # a thread that ends would look no more
            logger.exception("unexpected %s", type(error).__name__)
            return False
        self._say(logging.INFO, f"ready to hand over to department {department.name}")
        return True

    def _say(self, level: int, words: str) -> None:
        if words != self._said:
            logger.log(level, "%s", words)
        self._said = words
