"""The background threads of an action server: they do what the ledger says is due, and take over what others left.

Recovery needs nothing of its own: at start and ever after, what is due and leased to nobody is done. An action or a
worker that was killed leaves a lease that runs out, and the next worker, here or on another machine, goes on.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping
from typing import Any, Callable, Protocol

from rasa_tiledesk.errors import LedgerError, RasaTiledeskError
from rasa_tiledesk.handoff.failure import backoff, words_of
from rasa_tiledesk.handoff.lane import LEASE_SECONDS
from rasa_tiledesk.handoff.to_user.news import Newsroom
from rasa_tiledesk.ledger import Duty, LeaseLost, Ledger, Work

__all__ = ["Runs", "Worker"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


class Runs(Protocol):
    """Does one duty of a handoff, and gives its lease back."""

    def run(self, work: Work) -> Any:
        """Do what can be done now.

        Raises:
            LeaseLost: another has taken over.
        """


class Worker:
    """Carries handoffs on, each kind of duty in a thread of its own, and all of them in `threads` more.

    A Tiledesk or a Rasa that hangs holds as many threads as it is asked from. What the other side can do goes on.

    Args:
        ledger: where the work is found.
        duties: who does which.
        newsroom: asks Tiledesk for news of all conversations.
        name: who holds the leases; unique among all processes that share the ledger.
        threads: how many do whatever has been due longest.
        jitter: a random number from 0 to 1.
    """

    def __init__(
        self,
        ledger: Ledger,
        duties: Mapping[Duty, Runs],
        newsroom: Newsroom,
        *,
        name: str,
        threads: int = 4,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._duties = duties
        self._newsroom = newsroom
        self._name = name
        self._jitter = jitter
        self._wake = threading.Event()
        self._stopping = threading.Event()
        kinds: list[Duty | None] = [*duties, *[None] * threads]
        self._threads = [
            threading.Thread(target=self._work, args=(f"{name}/{number}", kind), name=f"tiledesk-{number}", daemon=True)
            for number, kind in enumerate(kinds)
        ]
        self._threads.append(threading.Thread(target=self._ask_for_news, name="tiledesk-news", daemon=True))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, seconds: float = 10.0) -> None:
        """Finish what is being sent, and stop. What is left stays in the ledger."""
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(seconds)

    def wake(self) -> None:
        """There is work in the ledger."""
        self._wake.set()

    def run_once(self, lease: str | None = None, *, duty: Duty | None = None) -> bool:
        """Claim one duty that is due, of any kind or of this one, and do it. False when nothing was due.

        Raises:
            LedgerError: the ledger failed; the work stays due.
        """
        work = self._ledger.lanes.claim(lease or self._name, seconds=LEASE_SECONDS, duty=duty)
        if work is None:
            return False
        self._do(work)
        return True

    def ask_for_news(self) -> bool:
        """Ask Tiledesk for news, when it is our turn; whether there was any.

        Raises:
            LedgerError: the ledger failed.
        """
        return self._newsroom.run_once()

    def _do(self, work: Work) -> None:
        try:
            self._duties[work.duty].run(work)
        except LeaseLost:
            logger.warning("handoff %s: another has taken over", work.handoff.id)
        except LedgerError:
            raise
        except Exception as error:
            self._failed(work, error)

    def _failed(self, work: Work, error: Exception) -> None:
        again = backoff(work.attempts, self._jitter())
        words = words_of(error)
        if isinstance(error, RasaTiledeskError):
            logger.warning("handoff %s: %s failed, next in %.0f s: %s", work.handoff.id, work.duty.value, again, words)
        else:  # a bug here must not stop the other handoffs
            logger.exception("handoff %s: unexpected %s", work.handoff.id, words)
        try:
            self._ledger.lanes.leave(work, again_in=again, error=words)
        except LeaseLost:
            logger.warning("handoff %s: another has taken over", work.handoff.id)

    def _work(self, lease: str, duty: Duty | None) -> None:
        while not self._stopping.is_set():
            if not self._try(lambda: self.run_once(lease, duty=duty)):
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()

    def _ask_for_news(self) -> None:
        while not self._stopping.is_set():
            if self._try(self.ask_for_news):
                self._wake.set()
            self._stopping.wait(POLL_SECONDS)

    def _try(self, do: Callable[[], bool]) -> bool:
        try:
            return do()
        except LedgerError as error:
            logger.error("the ledger failed: %s", error)
        except Exception as error:  # a thread that ends would leave its work to nobody
            logger.exception("unexpected %s", type(error).__name__)
        self._stopping.wait(POLL_SECONDS * 5)
        return False
