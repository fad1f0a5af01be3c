"""How a step is taken, whatever it does: the protocol of both lanes, once.

    WAITING ── mark as sent (by the database's clock) ── do ──▶ DONE
       ▲                                                 │
       │  nothing was sent: again after a backoff ◀──────┤
       │                                                 │
       │  outcome unknown: look on the other side ◀──────┤  until it shows, or has settled: then do again
       │                                                 │
       └─ refused in its own words: again, counted ◀─────┘  after its patience: what stands in its place

A process that dies anywhere leaves a step that is WAITING, or SENT and looked for by the next. What is SENT may be on
its way long after the caller has gone: a server stores what it has received. So before it is sent again, `settle`
seconds must have passed since it was marked.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Callable, Optional, Protocol

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import LedgerError, RasaTiledeskError
from rasa_tiledesk.handoff.failure import NotBegun, again, backoff, cause_of, is_refused, nothing_was_done, words_of
from rasa_tiledesk.ledger import Duty, End, Ended, Handoff, Kind, LeaseLost, Ledger, Outcome, Stage, Step, Work

__all__ = ["Lane", "Patience", "Wait", "Way", "is_word"]

logger = logging.getLogger(__name__)

LEASE_SECONDS = 40.0  # longer than any one step may take; so long a killed server is waited for
STEP_SECONDS = 25.0  # for one step where the caller gives no deadline
HANDED_SECONDS = 5.0  # what an action leaves is woken when it has told the user; or, if it died, after so long
CLOSING_SECONDS = 2.0  # after a word that reached nobody: whoever listens ends the handoff meanwhile


class Wait(Exception):
    """Nothing was done, and nothing is wrong: go on in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


Do = Callable[[Handoff, Step, Deadline], Outcome]
Look = Callable[[Handoff, Step, Deadline], Optional[Outcome]]


class Way(Protocol):
    """How one kind of step is done, and how to see that it has happened; nothing else."""

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Do it.

        Raises:
            Wait: not yet.
            NotBegun: it was not sent.
            RasaTiledeskError: as the client says it.
            ValueError: the other side can never take it.
        """

    @property
    def happened(self) -> Look | None:
        """What came of it when it has happened, None when it does not show.

        There is no such look where doing it twice does what doing it once does.
        """

    @property
    def instead(self) -> Do | None:
        """What stands in its place when the other side never takes it; nothing where it is tried for ever."""


@dataclass(frozen=True)
class Patience:
    """How long a lane waits for the other side.

    Attributes:
        settle: seconds after which a call that was sent cannot take effect any more.
        refusals: so many of them in a row,
        seconds: over at least so many, mean that the step itself is the cause.
    """

    settle: float
    refusals: int
    seconds: float


@dataclass(frozen=True)
class Lane:
    """One direction: takes the steps of a handoff in order, until one has to wait.

    Attributes:
        duty: which.
        ledger: where the steps are.
        ways: how each kind is done.
        patience: with the other side.
        jitter: a random number from 0 to 1.
    """

    duty: Duty
    ledger: Ledger
    ways: Mapping[Kind, Way]
    patience: Patience
    jitter: Callable[[], float] = random.random

    def run(
        self, work: Work, *, deadline: Deadline | None = None, only: Collection[Kind] | None = None
    ) -> Exception | None:
        """Take the steps in order until one has to wait, and give the lease back.

        Args:
            work: the lane, as claimed.
            deadline: how long all of it may take; by default each step has its own.
            only: take steps of these kinds, and leave the lane to others at the first that is none.

        Returns:
            What kept it from going on, when something failed.

        Raises:
            LeaseLost: another has taken over.
            LedgerError: the ledger failed; what is due stays due.
        """
        ended: list[Ended] = []
        steps = self.ledger.lanes.unfinished(work.handoff.id, self.duty)
        for place, step in enumerate(steps, start=1):
            if only is not None and step.kind not in only:
                self.ledger.lanes.leave(work, ended=ended, again_in=HANDED_SECONDS)
                return None
            limit = deadline or Deadline(STEP_SECONDS)
            try:
                closes = any(later.kind is Kind.CLOSE for later in steps[place:])
                outcome = self._take(work, step, ended, limit, closes=closes)
            except (LeaseLost, LedgerError):
                raise
            except Wait as wait:
                self.ledger.lanes.leave(work, ended=ended, unsent=step, again_in=wait.seconds)
                return None
            except Exception as error:
                return self._failed(work, step, ended, error, limit)
            if outcome is None:
                return None
            ended.append((step, outcome))
            unread = outcome.stage is Stage.RETURNED and outcome.listen
            if unread or (outcome.to_agents and self.duty is Duty.TO_AGENTS):  # what follows may go before the next
                self.ledger.lanes.leave(work, ended=ended, again_in=CLOSING_SECONDS if unread else 0.0)
                return None
        self.ledger.lanes.leave(work, ended=ended)
        return None

    def send_marked(self, work: Work, step: Step, deadline: Deadline) -> Exception | None:
        """Do a step that was marked as sent when it was written down, and give the lease back.

        Returns:
            What failed; a worker goes on.
        """
        try:
            try:
                outcome = self.ways[step.kind].do(work.handoff, step, deadline)
            except Exception as error:
                return self._failed(work, step, [], error, deadline)
            self.ledger.lanes.leave(work, ended=[(step, outcome)])
        except LeaseLost:
            logger.warning("handoff %s: another has taken over", work.handoff.id)
        return None

    def _take(self, work: Work, step: Step, ended: list[Ended], deadline: Deadline, *, closes: bool) -> Outcome | None:
        """Take one step, behind which the request is closed or not; None when the lane was left, to go on later."""
        way, handoff = self.ways[step.kind], work.handoff
        if step.stage is Stage.SENT and way.happened is not None:
            held = self.ledger.lanes.advance(work, seconds=LEASE_SECONDS, ended=ended)
            ended.clear()
            handoff = held.handoff
            try:
                outcome = way.happened(handoff, step, deadline)
            except LedgerError:
                raise
            except (RasaTiledeskError, NotBegun) as error:  # which says nothing of the step: it stays sent
                self.ledger.lanes.leave(
                    work, again_in=again(error, work.attempts, self.jitter()), error=words_of(cause_of(error))
                )
                return None
            if outcome is not None:
                return outcome
            unsettled = step.sent / 1000 + self.patience.settle - held.now / 1000
            if step.why is None and unsettled > 0:  # what was refused was answered: nothing is on its way
                wait = min(unsettled, backoff(work.attempts, self.jitter()))
                self.ledger.lanes.leave(work, again_in=wait, error="the outcome of a call is not known yet")
                return None
        # Nothing of it is on its way now: it was never sent, has not happened, or is done twice without harm.
        if self.duty is Duty.TO_AGENTS and _is_in_vain(handoff, step, closes=closes):
            return Outcome(Stage.RETURNED if is_word(step) else Stage.DONE)
        held = self.ledger.lanes.advance(work, seconds=LEASE_SECONDS, ended=ended, send=step)
        ended.clear()
        if held.wait or held.gone:
            self.ledger.lanes.leave(work, again_in=held.wait)
            return None
        return way.do(held.handoff, replace(step, tries=step.tries + 1, sent=held.now), deadline)

    def _failed(
        self, work: Work, step: Step, ended: list[Ended], error: Exception, deadline: Deadline
    ) -> Exception | None:
        cause, pause = cause_of(error), again(error, work.attempts, self.jitter())
        words = words_of(cause)
        if not isinstance(cause, (RasaTiledeskError, ValueError)):  # a bug here must not stop the other handoffs
            logger.exception("handoff %s: unexpected %s", work.handoff.id, words, exc_info=cause)
        else:
            logger.warning("handoff %s: %s failed, next in %.0f s: %s", work.handoff.id, step.kind.value, pause, words)
        lanes = self.ledger.lanes
        if isinstance(error, NotBegun) or nothing_was_done(cause):
            lanes.leave(work, ended=ended, unsent=step, again_in=pause, error=words)
        elif is_refused(cause):
            since = step.refused_since or work.now
            patient = step.refusals + 1 < self.patience.refusals or work.now - since < self.patience.seconds * 1000
            instead = self.ways[step.kind].instead
            if instead is None or (patient and not isinstance(cause, ValueError)):
                lanes.leave(work, ended=ended, refused=(step, words), again_in=pause, error=words)
            else:
                return self._replace(work, step, ended, cause, instead, deadline)
        else:
            outcome = self._look(work, step, deadline)
            if outcome is None:
                unknown = step if self.ways[step.kind].happened is not None else None
                lanes.leave(work, ended=ended, unknown=unknown, again_in=pause, error=words)
            else:  # only its answer was lost
                lanes.leave(work, ended=[*ended, (step, outcome)])
                return None
        return cause

    def _look(self, work: Work, step: Step, deadline: Deadline) -> Outcome | None:
        happened = self.ways[step.kind].happened
        if happened is None:
            return None
        try:
            return happened(work.handoff, step, deadline)
        except (RasaTiledeskError, NotBegun):
            return None

    def _replace(
        self, work: Work, step: Step, ended: list[Ended], cause: Exception, instead: Do, deadline: Deadline
    ) -> Exception | None:
        logger.error("handoff %s: a step (%s) is left out: %s", work.handoff.id, step.kind.value, words_of(cause))
        try:
            outcome = instead(work.handoff, step, deadline)
        except (LeaseLost, LedgerError):
            raise
        except Exception as error:
            pause = again(error, work.attempts, self.jitter())
            self.ledger.lanes.leave(work, ended=ended, again_in=pause, error=words_of(error))
            return error
        self.ledger.lanes.leave(work, ended=[*ended, (step, outcome)])
        return None


def is_word(step: Step) -> bool:
    """Whether it is something that the user said after the ask, and that wants an answer."""
    return "said" in step.body


def _is_in_vain(handoff: Handoff, step: Step, *, closes: bool) -> bool:
    """Whether nobody would read it, or it would open a request that is no more."""
    if handoff.is_open or handoff.reaches_agents or step.kind is Kind.CLOSE:
        return False
    if is_word(step) or handoff.end in (End.DELETED, End.LOST):
        return True
    # Of what was given up nothing goes out before its close; behind it agents are told of what reached nobody.
    return closes and handoff.end is not End.AGENT
