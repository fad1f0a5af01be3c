"""What the user says while a human has the conversation, written down with what follows, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.engine import Connection

from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.ledger.lanes import Lanes
from rasa_tiledesk.ledger.life import answer_returned, end_in, note
from rasa_tiledesk.ledger.records import Duty, End, Handoff, Life, NewStep, Stage, Step, Work
from rasa_tiledesk.ledger.rows import (
    UNFINISHED,
    add_steps,
    digest,
    insert_handoff,
    lane_steps,
    lock,
    step_of,
    wake,
)
from rasa_tiledesk.ledger.schema import duties, handoffs, steps

__all__ = ["Said", "Taken", "Words", "WordsOf"]


@dataclass(frozen=True)
class Said:
    """What was said, as steps for the agents, and whether it ends the handoff.

    Attributes:
        steps: in order; those whose key is there already are not written again.
        end: what ends the handoff by it.
        last: the key of the words that end it.
        after: what was said after that, for the bot to answer.
    """

    steps: Sequence[NewStep] = ()
    end: End | None = None
    last: str | None = None
    after: Sequence[NewStep] = ()


WordsOf = Callable[[Handoff, bool], Said]
"""Makes the steps for a handoff, told whether what was said before is in the ledger."""


@dataclass(frozen=True)
class Taken:
    """What became of the user's words.

    Attributes:
        handoff: the handoff they were written down for; None when the sender never had one.
        at_once: the step that the caller, who holds the lane, sends now.
        work: the lane.
    """

    handoff: Handoff | None
    at_once: Step | None = None
    work: Work | None = field(default=None, repr=False)


class Words:
    """Takes the user's words."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def say(
        self, sender_id: str, key: str, before: str | None, words: WordsOf, *, lease: str | None, seconds: float
    ) -> Taken:
        """Write down what the user says now; when nothing else is on its way, hold the lane to send it at once.

        Words that come when the handoff is over and the bot is not back yet are written down as returned.

        Args:
            sender_id: whose handoff.
            key: of what is said.
            before: the key of what the user had said before it.
            words: what it is, for the handoff that there is.
            lease: who would send the first of them; None for not now.
            seconds: for how long.
        """
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.open_for == digest(sender_id))
            if handoff is None:
                return Taken(self._too_late(connection, sender_id, key, words))
            mine = lane_steps(handoff.id, Duty.TO_AGENTS)
            waiting, known, known_before = connection.execute(
                select(
                    func.sum(case((UNFINISHED, 1), else_=0)),
                    func.sum(case((steps.c.key == key, 1), else_=0)),
                    func.sum(case((steps.c.key == before, 1), else_=0)),
                ).where(mine)
            ).one()
            if known:
                return Taken(handoff)
            said = words(handoff, bool(known_before))
            now = self._database.now()
            new = add_steps(connection, handoff.id, Duty.TO_AGENTS, said.steps)
            connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(spoke=now))
            work, first = None, None
            if lease is not None and new and not waiting and handoff.life is Life.LIVE:
                work = self._hold(connection, handoff, lease, seconds)
            if work is not None:
                first = self._mark(connection, work, new[0])
            if first is None and new:
                wake(connection, handoff.id, Duty.TO_AGENTS, now)
            self._end(connection, handoff, said)
        return Taken(handoff, first, work if first else None)

    def _end(self, connection: Connection, handoff: Handoff, said: Said) -> None:
        if said.end is None:
            return
        end_in(connection, handoff, said.end, self._database.now(), last=said.last)
        if said.after:
            self._return(connection, handoff.id, said.after)
            answer_returned(connection, replace(handoff, life=Life.OVER, end=said.end), self._database.now())

    def _hold(self, connection: Connection, handoff: Handoff, lease: str, seconds: float) -> Work | None:
        now = self._database.now()
        lane = and_(duties.c.handoff_id == handoff.id, duties.c.duty == Duty.TO_AGENTS.value)
        free = and_(lane, duties.c.lease_until <= now, duties.c.attempts == 0)
        until = now + int(seconds * 1000)
        # If the caller dies, a worker looks when the lease has run out.
        held = update(duties).where(free).values(lease=lease, lease_until=until, due=until)
        if not connection.execute(held).rowcount:
            return None
        woken, time = connection.execute(select(duties.c.woken, now).where(lane)).one()
        return Work(handoff, Duty.TO_AGENTS, lease, int(woken), 0, int(time))

    def _mark(self, connection: Connection, work: Work, key: str) -> Step | None:
        one = and_(lane_steps(work.handoff.id, Duty.TO_AGENTS), steps.c.key == key)
        wait = self._lanes.pace(connection, work.handoff, "user", work.now)
        if wait:
            lane = and_(duties.c.handoff_id == work.handoff.id, duties.c.duty == Duty.TO_AGENTS.value)
            connection.execute(update(duties).where(lane).values(lease=None, lease_until=0))
            return None
        connection.execute(update(steps).where(one).values(stage=Stage.SENT.value, sent=work.now, tries=1))
        return step_of(connection.execute(select(steps).where(one)).one())

    def _too_late(self, connection: Connection, sender_id: str, key: str, words: WordsOf) -> Handoff | None:
        """There is no open handoff: what is said while the bot is not back yet is to be answered when it is."""
        theirs = select(handoffs.c.id).where(handoffs.c.sender_key == digest(sender_id))
        newest = connection.execute(theirs.order_by(handoffs.c.created.desc(), handoffs.c.id).limit(1)).scalar()
        if newest is None:
            return None
        handoff = lock(connection, handoffs.c.id == newest)
        assert handoff is not None  # noqa: S101 - its row was just seen
        if handoff.is_open:
            return handoff
        known = lane_steps(handoff.id, Duty.TO_AGENTS) & (steps.c.key == key)
        if not connection.execute(select(steps.c.key).where(known)).first():
            self._return(connection, handoff.id, words(handoff, True).steps)
            answer_returned(connection, handoff, self._database.now())
        return handoff

    def _return(self, connection: Connection, handoff_id: str, new: Sequence[NewStep]) -> None:
        added = add_steps(connection, handoff_id, Duty.TO_AGENTS, new)
        mine = lane_steps(handoff_id, Duty.TO_AGENTS) & steps.c.key.in_(added)
        connection.execute(update(steps).where(mine).values(stage=Stage.RETURNED.value))

    def found(self, handoff_id: str, said: Said) -> int:
        """Write down what was found in Rasa's tracker and had reached no action; how many messages were new."""
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.id == handoff_id)
            if handoff is None or not handoff.is_open:
                return 0
            now = self._database.now()
            new = add_steps(connection, handoff.id, Duty.TO_AGENTS, said.steps)
            if new:
                connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(spoke=now))
                wake(connection, handoff.id, Duty.TO_AGENTS, now)
            self._end(connection, handoff, said)
        return len(new)

    def missed(self, handoff_id: str, new: Sequence[NewStep]) -> None:
        """Write down words that had reached no action when the handoff ended: nobody has answered them."""
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.id == handoff_id)
            if handoff is not None and not handoff.is_open:
                self._return(connection, handoff_id, new)

    def strand(self, sender_id: str, request_id: str, words: WordsOf) -> None:
        """The bot is paused for a handoff that the ledger does not know any more: give the user back.

        Args:
            sender_id: Rasa's.
            request_id: a new one, since it needs one; nothing is at Tiledesk.
            words: what the user has said.
        """
        now = self._database.now()
        row: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "sender_id": sender_id,
            "request_id": request_id,
            "life": Life.LIVE.value,
            "created": now,
            "spoke": now,
        }
        with self._database.writing() as connection:
            made = insert_handoff(connection, row)
            note(connection, made.id, now, Life.LIVE)
            end_in(connection, made, End.LOST, now)
            ended = replace(made, life=Life.OVER, end=End.LOST)
            self._return(connection, made.id, words(ended, True).steps)
            answer_returned(connection, ended, now)
