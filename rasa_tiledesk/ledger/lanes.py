"""Who works on what: duties are claimed, held by a lease while steps are taken, and left until they are due again.

Every transaction takes the handoff's row first, so that no two wait for each other in a circle.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.elements import ColumnElement

from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.ledger.life import answer_returned, come_to, rest
from rasa_tiledesk.ledger.records import Duty, Handoff, Kind, Outcome, Stage, Step, Work
from rasa_tiledesk.ledger.rows import UNFINISHED, add_steps, handoff_of, lane_steps, lock, step_of, wake
from rasa_tiledesk.ledger.schema import duties, handoffs, steps

__all__ = ["Ended", "Held", "Lanes", "LeaseLost"]

Ended = tuple[Step, Outcome]
"""A step that is over, and what came of it."""

MINUTE = 60_000


class LeaseLost(Exception):
    """Another worker has taken over; stop without touching anything."""


@dataclass(frozen=True)
class Held:
    """The handoff as it is now, under the caller's lease.

    Attributes:
        now: the database's time, ms since 1970.
        wait: the step was not marked: its speaker may go on in so many seconds.
        gone: the step was not marked: it is over, the handoff has ended meanwhile.
    """

    handoff: Handoff
    now: int
    wait: float = 0.0
    gone: bool = False


class Lanes:
    """The duties of all handoffs, and the steps of their lanes.

    Args:
        database: where they are.
        per_minute: so many messages of one speaker may be sent within a minute; more would be dropped by chat21.
    """

    def __init__(self, database: Database, *, per_minute: int = 28) -> None:
        self._database = database
        self.per_minute = per_minute

    def claim(
        self, lease: str, *, seconds: float, handoff_id: str | None = None, duty: Duty | None = None
    ) -> Work | None:
        """Lease the duty that has been due longest and that nobody holds; None when there is none.

        Args:
            lease: who asks; unique among all threads of all servers.
            seconds: how long nobody else may have it, unless it is held longer or left.
            handoff_id: only of this handoff.
            duty: only this one.
        """
        now = self._database.now()
        free = and_(duties.c.due.isnot(None), duties.c.due <= now, duties.c.lease_until <= now)
        if handoff_id is not None:
            free = and_(free, duties.c.handoff_id == handoff_id)
        if duty is not None:
            free = and_(free, duties.c.duty == duty.value)
        oldest = select(duties).where(free).order_by(duties.c.due)
        taken = {"lease": lease, "lease_until": now + int(seconds * 1000)}
        if self._database.kind == "postgresql":
            with self._database.writing() as connection:
                row = connection.execute(oldest.limit(1).with_for_update(skip_locked=True)).first()
                if row is None:
                    return None
                connection.execute(update(duties).where(_is(row)).values(**taken))
                return self._work(connection, row, lease)
        with self._database.reading() as connection:
            # Several, since other servers reach for the same ones.
            candidates = connection.execute(oldest.limit(16)).all()
        for row in candidates:
            with self._database.writing() as connection:
                if connection.execute(update(duties).where(and_(_is(row), free)).values(**taken)).rowcount:
                    return self._work(connection, row, lease)
        return None

    def _work(self, connection: Connection, row: Row[Any], lease: str) -> Work:
        found = connection.execute(
            select(handoffs, self._database.now().label("the_time")).where(handoffs.c.id == row.handoff_id)
        ).one()
        return Work(
            handoff_of(found), Duty(row.duty), lease, row.woken, row.attempts, int(found.the_time), int(row.hinted)
        )

    def unfinished(self, handoff_id: str, lane: Duty) -> list[Step]:
        """The steps that are neither over nor refused, in order."""
        return self._steps(and_(lane_steps(handoff_id, lane), UNFINISHED))

    def all_steps(self, handoff_id: str, lane: Duty) -> list[Step]:
        """All steps of a lane, in order."""
        return self._steps(lane_steps(handoff_id, lane))

    def returned(self, handoff_id: str) -> list[Step]:
        """The user's words that reached nobody and are not dealt with yet, in order."""
        mine = lane_steps(handoff_id, Duty.TO_AGENTS)
        return self._steps(and_(mine, steps.c.stage == Stage.RETURNED.value, steps.c.body != "{}"))

    def _steps(self, condition: ColumnElement[bool]) -> list[Step]:
        with self._database.reading() as connection:
            rows = connection.execute(select(steps).where(condition).order_by(steps.c.position)).all()
        return [step_of(row) for row in rows]

    def advance(self, work: Work, *, seconds: float, ended: Sequence[Ended] = (), send: Step | None = None) -> Held:
        """Write down what is over and what is sent next, and hold the lease for so many seconds more.

        Raises:
            LeaseLost: another has taken over; nothing was written.
        """
        with self._holding(work) as (connection, handoff, now):
            self._write(connection, handoff, work.duty, ended)
            wait, gone = 0.0, False
            if send is not None and send.speaker:
                wait = self.pace(connection, handoff, send.speaker, now)
            if send is not None and not wait:
                marked = {"stage": Stage.SENT.value, "sent": now, "tries": steps.c.tries + 1, "why": None}
                one = _one(work, send) & UNFINISHED
                gone = not connection.execute(update(steps).where(one).values(**marked)).rowcount
            until = self._database.now() + int(seconds * 1000)
            connection.execute(update(duties).where(_held(work)).values(lease_until=until))
            if ended:  # something has moved: what failed before is over
                connection.execute(update(duties).where(_held(work)).values(attempts=0, last_error=None))
            handoff = self._as_written(connection, handoff) if ended else handoff
        return Held(handoff, now, wait, gone)

    def leave(
        self,
        work: Work,
        *,
        ended: Sequence[Ended] = (),
        again_in: float | None = None,
        error: str | None = None,
        unsent: Step | None = None,
        unknown: Step | None = None,
        refused: tuple[Step, str] | None = None,
    ) -> None:
        """Give the lease back, and say when the duty is due again.

        Args:
            work: what was claimed.
            ended: what is over.
            again_in: seconds; None for never, unless there are steps that nobody has taken.
            error: why it failed; counts as an attempt.
            unsent: was marked as sent, and provably was not.
            unknown: may have been sent as late as now: a call may have waited for its turn.
            refused: was refused in the other side's own words, and which.

        Raises:
            LeaseLost: another has taken over; nothing was written.
        """
        with self._holding(work) as (connection, handoff, now):
            self._write(connection, handoff, work.duty, ended)
            if unsent is not None:
                back = {"stage": Stage.WAITING.value, "tries": steps.c.tries - 1}
                connection.execute(update(steps).where(_one(work, unsent)).values(**back))
            if unknown is not None:
                connection.execute(update(steps).where(_one(work, unknown)).values(sent=now))
            if refused is not None:
                step, why = refused
                begun = self._refusing_since(connection, work, step) or now
                # By its own value alone: MySQL sets one column after the other, and reads what it has set.
                since = case((steps.c.refused_since == 0, begun), else_=steps.c.refused_since)
                counted = {"refusals": steps.c.refusals + 1, "refused_since": since, "why": why}
                connection.execute(update(steps).where(_one(work, step)).values(**counted))
            due: Any = now if again_in is None else now + int(again_in * 1000)
            if error is None:
                if again_in is None:
                    left = select(steps.c.position).where(lane_steps(handoff.id, work.duty) & UNFINISHED).exists()
                    due = case((left, now), else_=None)
                due = case((duties.c.woken != work.woken, now), else_=due)
            connection.execute(
                update(duties)
                .where(_held(work))
                .values(
                    due=due,
                    lease=None,
                    lease_until=0,
                    attempts=0 if error is None else duties.c.attempts + 1,
                    last_error=error,
                )
            )
            rest(connection, self._as_written(connection, handoff) if ended else handoff)

    def pace(self, connection: Connection, handoff: Handoff, speaker: str, now: int) -> float:
        """Seconds until the speaker may say one more thing; 0.0 for now.

        Counted over all handoffs of the requester, since chat21 counts by sender id; the bot has one per handoff.
        """
        mine: Any = steps.c.handoff_id == handoff.id
        if speaker == "user" and handoff.requester_id is not None:
            theirs = select(handoffs.c.id).where(handoffs.c.requester_id == handoff.requester_id)
            mine = steps.c.handoff_id.in_(theirs)
        lately = and_(
            mine, steps.c.lane == Duty.TO_AGENTS.value, steps.c.speaker == speaker, steps.c.sent > now - MINUTE
        )
        sent = connection.execute(select(func.count(), func.min(steps.c.sent)).where(lately)).one()
        return 0.0 if sent[0] < self.per_minute else max(0.1, (sent[1] + MINUTE - now) / 1000)

    def _write(self, connection: Connection, handoff: Handoff, lane: Duty, ended: Sequence[Ended]) -> None:
        now = self._database.now()
        for step, outcome in ended:
            values: dict[str, Any] = {"stage": outcome.stage.value, "why": outcome.why, "refusals": 0}
            if outcome.stage is not Stage.RETURNED:
                values["body"] = "{}"
            one = lane_steps(handoff.id, lane) & (steps.c.position == step.position)
            connection.execute(update(steps).where(one).values(**values))
            if outcome.settles:
                those = lane_steps(handoff.id, Duty.TO_AGENTS) & steps.c.key.in_(list(outcome.settles))
                connection.execute(update(steps).where(those).values(body="{}"))
            if outcome.facts:
                facts = json.dumps({**handoff.facts, **outcome.facts})
                connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(facts=facts))
            if outcome.life is not None:
                come_to(connection, handoff, outcome.life, now)
            for other, new in ((Duty.TO_AGENTS, outcome.to_agents), (Duty.TO_USER, outcome.to_user)):
                if add_steps(connection, handoff.id, other, new) and other is not lane:
                    wake(connection, handoff.id, other, now)
            if outcome.listen:
                wake(connection, handoff.id, Duty.LISTEN, now)
            if not handoff.is_open and (step.kind is Kind.GIVE_BACK or outcome.stage is Stage.RETURNED):
                answer_returned(connection, handoff, now)

    def _refusing_since(self, connection: Connection, work: Work, step: Step) -> int | None:
        """Since when the other side has refused what came before: it is not the step, and has been borne already."""
        before = and_(lane_steps(work.handoff.id, work.duty), steps.c.position < step.position)
        query = select(steps.c.stage, steps.c.refused_since).where(before).order_by(steps.c.position.desc()).limit(1)
        last = connection.execute(query).first()
        return None if last is None or last.stage != Stage.REFUSED.value else int(last.refused_since)

    def _as_written(self, connection: Connection, handoff: Handoff) -> Handoff:
        return handoff_of(connection.execute(select(handoffs).where(handoffs.c.id == handoff.id)).one())

    @contextlib.contextmanager
    def _holding(self, work: Work) -> Iterator[tuple[Connection, Handoff, int]]:
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.id == work.handoff.id)
            held = select(self._database.now()).where(_held(work)).select_from(duties)
            now = connection.execute(held).scalar()
            if handoff is None or now is None:
                raise LeaseLost
            yield connection, handoff, int(now)


def _is(row: Row[Any]) -> ColumnElement[bool]:
    return and_(duties.c.handoff_id == row.handoff_id, duties.c.duty == row.duty)


def _held(work: Work) -> ColumnElement[bool]:
    mine = and_(duties.c.handoff_id == work.handoff.id, duties.c.duty == work.duty.value)
    return and_(mine, duties.c.lease == work.lease)


def _one(work: Work, step: Step) -> ColumnElement[bool]:
    return and_(lane_steps(work.handoff.id, work.duty), steps.c.position == step.position)
