"""The background threads of an action server: they do what the ledger says is due, and take over what others left.

Recovery needs nothing of its own: at start and ever after, what is due and leased to nobody is done. An action or a
worker that was killed leaves a lease that runs out, and the next worker, here or on another machine, goes on.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from rasa_tiledesk.errors import LedgerError, RasaApiError, RasaTiledeskError, TiledeskRateLimited
from rasa_tiledesk.handoff.carry import LEASE_SECONDS, Carrier, LeaseLost
from rasa_tiledesk.handoff.ledger import Handoff, Ledger, State

__all__ = ["Worker", "backoff"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SHORT_BACKOFF, LONG_BACKOFF = 8.0, 60.0
PERSISTENT = 30  # after so many attempts in a row it is no hiccup: someone is waiting, but nobody is at work on it
ANSWERED_SECONDS = 12.0  # by then an action has answered, or never will
KEEP_SECONDS = 120.0  # how long the history that an action brought is kept in memory for a worker here
LOOK_SECONDS = 300.0  # how often to see in Rasa whether the bot is still paused


def backoff(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt: doubling from 1 to 8, then 60; between half and the whole of it."""
    longest = SHORT_BACKOFF if attempts < PERSISTENT else LONG_BACKOFF
    return float(min(longest, 2.0 ** min(attempts, 10)) * (0.5 + jitter / 2))


class Worker:
    """Carries handoffs on, in `threads` threads.

    Args:
        carrier: does the work of one handoff.
        ledger: where the work is found.
        name: who holds the leases; unique among all processes that share the ledger.
        give_up_after: seconds after the ask when a handoff that could not be opened or imported is given up, and the
            user told.
        threads: how many handoffs at once.
        jitter: a random number from 0 to 1.
    """

    def __init__(
        self,
        carrier: Carrier,
        ledger: Ledger,
        *,
        name: str,
        give_up_after: float,
        threads: int = 8,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._carrier = carrier
        self._ledger = ledger
        self._relay = carrier.relay
        self._looked: dict[str, float] = {}
        self._name = name
        self._give_up_after = give_up_after
        self._jitter = jitter
        self._events: dict[str, tuple[float, Sequence[Mapping[str, Any]]]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(f"{name}/{number}",), name=f"tiledesk-{number}", daemon=True)
            for number in range(threads)
        ]

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

    def hand_on(self, handoff_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """There is work on this handoff; its history is at hand."""
        now = self._ledger.now() / 1000
        for other, (since, _) in list(self._events.items()):
            if now - since > KEEP_SECONDS:  # another server has taken it; it reads the tracker store if it must
                self._events.pop(other, None)
        self._events[handoff_id] = (now, events)
        self._wake.set()

    def wake(self) -> None:
        """There is work in the ledger."""
        self._wake.set()

    def run_once(self, lease: str | None = None) -> bool:
        """Claim one handoff that is due and do its work. False when nothing was due.

        Raises:
            LedgerError: the ledger failed; the work stays due.
        """
        lease = lease or self._name
        handoff = self._ledger.claim(lease, seconds=LEASE_SECONDS)
        if handoff is None:
            return False
        try:
            self._run(handoff, lease)
        finally:
            self._ledger.release(handoff.id, lease)
        return True

    def _run(self, handoff: Handoff, lease: str) -> None:
        try:
            wait = self._carrier.run(handoff, lease, self._events.get(handoff.id, (0, None))[1])
        except LeaseLost:
            self._events.pop(handoff.id, None)
        except LedgerError:
            raise
        except RasaTiledeskError as error:
            self._failed(handoff, error)
        except Exception as error:  # a bug here must not stop the other handoffs
            logger.exception("handoff %s: unexpected %s", handoff.id, type(error).__name__)
            self._failed(handoff, error)
        else:
            self._events.pop(handoff.id, None)
            if wait is None:
                self._ledger.done(handoff.id, again_in=self._look_at_rasa(self._ledger.handoff(handoff.id)))
            else:
                self._ledger.due_in(handoff.id, wait)

    def _look_at_rasa(self, handoff: Handoff) -> float | None:
        """See in Rasa, from time to time, whether the bot is paused and whether a message was missed.

        Returns:
            Seconds until the next look.
        """
        if handoff.state is not State.LIVE:
            self._looked.pop(handoff.id, None)
            return None
        now = self._ledger.now() / 1000
        due = max(self._looked.get(handoff.id, 0.0), handoff.created / 1000 + ANSWERED_SECONDS)
        if now < due:  # at first: until then the action may still be running, and its answer be on its way
            return due - now
        wait = LOOK_SECONDS
        try:
            self._relay.look_at_rasa(handoff)
        except RasaApiError as error:
            logger.error("handoff %s: Rasa could not be asked whether the bot is paused: %s", handoff.id, error)
            wait = LOOK_SECONDS / 10
        except LedgerError:
            raise
        except Exception as error:  # as in `_run`
            logger.exception("handoff %s: unexpected %s", handoff.id, type(error).__name__)
        self._looked = {other: at for other, at in self._looked.items() if at > now - LOOK_SECONDS}
        self._looked[handoff.id] = now + wait
        return wait

    def _failed(self, handoff: Handoff, error: Exception) -> None:
        words = str(error) if isinstance(error, RasaTiledeskError) else type(error).__name__
        now = self._ledger.handoff(handoff.id)
        age = (self._ledger.now() - now.created) / 1000
        if now.state in (State.ASKED, State.IMPORTING) and age > self._give_up_after:
            self._give_up(now, words)
            return
        wait = backoff(now.attempts, self._jitter())
        if isinstance(error, TiledeskRateLimited) and error.retry_after is not None:
            wait = max(wait, min(error.retry_after, 600.0))
        logger.warning("handoff %s: attempt %d failed, next in %.0f s: %s", now.id, now.attempts + 1, wait, words)
        self._ledger.postpone(now.id, seconds=wait, error=words)

    def _give_up(self, handoff: Handoff, words: str) -> None:
        logger.error("handoff %s given up after %d attempts: %s", handoff.id, handoff.attempts + 1, words)
        self._events.pop(handoff.id, None)
        self._relay.give_up(handoff)
        self._ledger.move(handoff, State.FAILING, note=words, due_in=0)

    def _work(self, lease: str) -> None:
        while not self._stopping.is_set():
            try:
                busy = self.run_once(lease)
            except LedgerError as error:
                logger.error("the ledger failed: %s", error)
                busy = False
                self._stopping.wait(POLL_SECONDS * 5)
            except Exception as error:  # a thread that ends would leave its work to nobody
                logger.exception("unexpected %s", type(error).__name__)
                busy = False
                self._stopping.wait(POLL_SECONDS * 5)
            if not busy:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
