"""Handoffs: written down at the ask, found again, ended, and forgotten when they are old."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.ledger.database import AlreadyThere, Database
from rasa_tiledesk.ledger.life import HUSH_KEY, end_in, note, open_again_in
from rasa_tiledesk.ledger.news import count
from rasa_tiledesk.ledger.records import (
    OPEN_LIVES,
    PAST_LIVES,
    Duty,
    End,
    Handoff,
    Kind,
    Life,
    NewStep,
    Notice,
    Stage,
    Work,
)
from rasa_tiledesk.ledger.rows import add_steps, digest, handoff_of, insert_handoff, lane_steps, lock, wake
from rasa_tiledesk.ledger.schema import duties, handoffs, history, steps

__all__ = ["Handoffs"]

_DAY = 24 * 3600 * 1000
_MANY, _RECOUNT_SECONDS = 10_000, 60.0


class Handoffs:
    """The handoffs of all senders.

    Args:
        database: where they are.
        clock: seconds, for how old a count may be.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._past: dict[Life, int] = {}
        self._past_counted_at = float("-inf")

    def begin(
        self,
        handoff_id: str,
        sender_id: str,
        request_id: str,
        facts: Mapping[str, Any],
        to_agents: Sequence[NewStep],
        *,
        asked_by: str,
        lease: str,
        seconds: float,
    ) -> tuple[Handoff, Work | None]:
        """Write down the ask and what is to be carried, unless the sender has an open handoff.

        Args:
            handoff_id: a new one, 32 hexadecimal digits.
            sender_id: Rasa's.
            request_id: a new one, not guessable.
            facts: what later steps need.
            to_agents: the steps with which it begins.
            asked_by: the ask; see `confirm` and `take_back`.
            lease: who holds its lane to the agents.
            seconds: for how long. If nothing is heard of the caller for so long, others go on, and tell the user.

        Returns:
            The open handoff, and the work on its lane to the agents when it is new.
        """
        now = self._database.now()
        until = now + int(seconds * 1000)
        row = {
            "id": handoff_id,
            "sender_id": sender_id,
            "request_id": request_id,
            "life": Life.ASKED.value,
            "facts": json.dumps(facts),
            "created": now,
            "spoke": now,
            "asked_by": asked_by,
        }
        due: dict[Duty, Any] = {Duty.TO_AGENTS: now, Duty.TO_USER: until, Duty.CARE: until}
        try:
            with self._database.writing() as connection:
                made = insert_handoff(connection, row, due=due, lease=lease, until=until)
                add_steps(connection, handoff_id, Duty.TO_AGENTS, to_agents)
                add_steps(connection, handoff_id, Duty.TO_USER, [NewStep(HUSH_KEY, Kind.HUSH)])
                note(connection, handoff_id, now, Life.ASKED)
        except AlreadyThere:
            running = self.promise(sender_id, asked_by)
            if running is not None:
                return running, None
            return self.begin(  # it ended between the two statements
                handoff_id, sender_id, request_id, facts, to_agents, asked_by=asked_by, lease=lease, seconds=seconds
            )
        return made, Work(made, Duty.TO_AGENTS, lease, 0, 0, made.created)

    def promise(self, sender_id: str, asked_by: str) -> Handoff | None:
        """The sender's open handoff, promised to the user by this ask too: an earlier one cannot take it back."""
        with self._database.writing() as connection:
            running = lock(connection, handoffs.c.open_for == digest(sender_id))
            if running is not None:
                one = handoffs.c.id == running.id
                connection.execute(update(handoffs).where(one).values(asked_by=asked_by))
                self._told(connection, running)
        return running

    def confirm(self, handoff_id: str) -> Handoff:
        """The action tells the user itself that they are being connected, and pauses the bot."""
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.id == handoff_id)
            if handoff is None:
                raise LedgerError("no such handoff")
            if handoff.is_open:
                self._told(connection, handoff)
        return handoff

    def _told(self, connection: Any, handoff: Handoff) -> None:
        hush = and_(lane_steps(handoff.id, Duty.TO_USER), steps.c.key == HUSH_KEY)
        connection.execute(update(steps).where(hush).values(stage=Stage.DONE.value))
        wake(connection, handoff.id, Duty.TO_AGENTS, self._database.now())

    def take_back(self, handoff_id: str, asked_by: str, *, end: End = End.TOO_LATE, words: str | None = None) -> bool:
        """End a handoff of which the user was told that it had failed, unless a later ask has promised it to them."""
        with self._database.writing() as connection:
            mine = and_(handoffs.c.id == handoff_id, handoffs.c.asked_by == asked_by)
            handoff = lock(connection, mine)
            now = self._database.now()
            return handoff is not None and end_in(connection, handoff, end, now, words=words)

    def end(self, handoff_id: str, end: End, *, words: str | None = None, seen: Handoff | None = None) -> bool:
        """End a handoff; False when it has ended already.

        Args:
            handoff_id: whose.
            end: why.
            words: for the history, by default the end's own; no texts, secrets or ids.
            seen: as whom it is ended: not when it has gone on, somebody has joined or spoken since.
        """
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.id == handoff_id)
            if handoff is None or (seen is not None and _moments(handoff) != _moments(seen)):
                return False
            return end_in(connection, handoff, end, self._database.now(), words=words)

    def heard(
        self,
        handoff: Handoff,
        to_user: Sequence[NewStep],
        *,
        heard: str | None,
        joined: bool,
        spoke: bool,
        end: End | None,
        opened_again: bool = False,
        just_closed: bool = False,
        to_agents: Sequence[NewStep] = (),
        too_late: Sequence[NewStep] = (),
        notice: Notice | None = None,
    ) -> Handoff:
        """Write down at once all that was heard of the agents: their words, that one joined, that it is over.

        Args:
            handoff: whose.
            to_user: steps for the user, in order.
            heard: the request's `updatedAt` up to which it was read.
            joined: an agent has spoken or has taken it.
            spoke: there are new words.
            end: what ended it, when it is over.
            opened_again: the request of a handoff that is over is open again: it is taken up, unless the sender has a
                newer one.
            just_closed: it has only just ended: what was said before that may be found only now, and is delivered.
            to_agents: what agents are told of their words.
            too_late: what they are told instead when the handoff is over and stays so.
            notice: whether a webhook announced the new words, where there are webhooks.
        """
        now = self._database.now()
        with self._database.writing() as connection:
            current = lock(connection, handoffs.c.id == handoff.id)
            if current is None:
                return handoff
            live = current.is_open or (opened_again and open_again_in(connection, current, now)) or just_closed
            values: dict[str, Any] = {"heard": heard}
            if joined:
                values["joined"] = True
            if spoke:
                values["spoke"] = now
            connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(**values))
            for lane, new in (
                (Duty.TO_USER, to_user if live else ()),
                (Duty.TO_AGENTS, to_agents if live else too_late),
            ):
                if add_steps(connection, handoff.id, lane, new):
                    wake(connection, handoff.id, lane, now)
            if end is not None:
                end_in(connection, current, end, now)
            if notice is not None:
                count(connection, notice)
            return handoff_of(connection.execute(select(handoffs).where(handoffs.c.id == handoff.id)).one())

    def remember(self, handoff_id: str, *, requester_id: str) -> None:
        """Write down who the end user is to Tiledesk."""
        with self._database.writing() as connection:
            one = handoffs.c.id == handoff_id
            connection.execute(update(handoffs).where(one).values(requester_id=requester_id))

    def tell(self, handoff_id: str, to_user: Sequence[NewStep]) -> bool:
        """Have the user told something, each once; False when the handoff has ended."""
        with self._database.writing() as connection:
            handoff = lock(connection, handoffs.c.id == handoff_id)
            if handoff is None or not handoff.is_open:
                return False
            if add_steps(connection, handoff_id, Duty.TO_USER, to_user):
                wake(connection, handoff_id, Duty.TO_USER, self._database.now())
        return True

    def looked(self, handoff_id: str, to_user: Sequence[NewStep] = ()) -> None:
        """Rasa was looked at, and these steps for the user follow from it; none when the handoff has ended."""
        with self._database.writing() as connection:
            one = handoffs.c.id == handoff_id
            connection.execute(update(handoffs).where(one).values(looked=self._database.now()))
        if to_user:
            self.tell(handoff_id, to_user)

    def hint(self, request_id: str) -> bool:
        """A webhook says that there is something to hear in the request: listen now. False when it is not ours."""
        with self._database.writing() as connection:
            found = connection.execute(select(handoffs.c.id).where(handoffs.c.request_id == request_id)).scalar()
            if found is not None:
                wake(connection, found, Duty.LISTEN, self._database.now(), hinted=True)
        return found is not None

    def get(self, handoff_id: str) -> Handoff:
        """The handoff of that id.

        Raises:
            LedgerError: there is none.
        """
        found = self._select(handoffs.c.id == handoff_id)
        if not found:
            raise LedgerError("no such handoff")
        return found[0]

    def open_of(self, sender_id: str) -> Handoff | None:
        """The sender's open handoff, if there is one."""
        return next(iter(self._select(handoffs.c.open_for == digest(sender_id))), None)

    def of_sender(self, sender_id: str) -> list[Handoff]:
        """All handoffs of a sender, oldest first."""
        return self._select(handoffs.c.sender_key == digest(sender_id))

    def in_life(self, *lives: Life, newest: int | None = None) -> list[Handoff]:
        """The handoffs in one of these states, or so many of them that were begun last; oldest first."""
        if newest is None:
            return self._select(handoffs.c.life.in_([life.value for life in lives]))
        last = select(handoffs).order_by(handoffs.c.created.desc(), handoffs.c.id.desc()).limit(newest)
        with self._database.reading() as connection:  # each by the index: together they would have to be sorted
            each = [connection.execute(last.where(handoffs.c.life == life.value)).all() for life in lives]
        found = [handoff_of(row) for rows in each for row in rows]
        return sorted(found, key=lambda one: (one.created, one.id))[-newest:]

    def counts(self) -> dict[Life, int]:
        """How many handoffs are in each state.

        Where many are past, how many is as of a minute ago at most: a database counts a million of them for 100 ms.
        """
        many = sum(self._past.values()) >= _MANY
        if not many or self._clock() - self._past_counted_at > _RECOUNT_SECONDS:
            self._past, self._past_counted_at = self._count(PAST_LIVES), self._clock()
        return {**self._count(OPEN_LIVES), **self._past}

    def _count(self, lives: frozenset[Life]) -> dict[Life, int]:
        theirs = handoffs.c.life.in_([life.value for life in lives])
        query = select(handoffs.c.life, func.count()).where(theirs).group_by(handoffs.c.life)
        with self._database.reading() as connection:
            return {Life(life): int(count) for life, count in connection.execute(query).all()}

    def troubles(self, handoff_id: str) -> dict[Duty, tuple[int, str | None]]:
        """(failed attempts in a row, the last failure in words) of each duty that has failed."""
        mine = and_(duties.c.handoff_id == handoff_id, duties.c.attempts > 0)
        query = select(duties.c.duty, duties.c.attempts, duties.c.last_error).where(mine)
        with self._database.reading() as connection:
            return {Duty(duty): (int(tries), error) for duty, tries, error in connection.execute(query).all()}

    def due_now(self, handoff_id: str) -> None:
        """Take everything up at once, without the pause that failed attempts have earned."""
        with self._database.writing() as connection:
            mine = and_(duties.c.handoff_id == handoff_id, duties.c.due.isnot(None))
            connection.execute(update(duties).where(mine).values(due=self._database.now()))

    def history(self, handoff_id: str) -> list[tuple[int, Life, str | None]]:
        """(ms since 1970, life, note) of every move, oldest first."""
        query = select(history.c.at, history.c.life, history.c.note).where(history.c.handoff_id == handoff_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(history.c.id)).all()
        return [(int(at), Life(life), words) for at, life, words in rows]

    def forget(self, *, days: int, most: int = 500) -> int:
        """Delete handoffs that ended more than so many days ago, a few at a time; how many were deleted."""
        with self._database.writing() as connection:
            old = handoffs.c.ended < self._database.now() - days * _DAY
            ids = list(connection.execute(select(handoffs.c.id).where(old).limit(most)).scalars())
            for table in (steps, duties, history):
                connection.execute(delete(table).where(table.c.handoff_id.in_(ids)))
            connection.execute(delete(handoffs).where(handoffs.c.id.in_(ids)))
        return len(ids)

    def _select(self, condition: ColumnElement[bool]) -> list[Handoff]:
        query = select(handoffs).where(condition).order_by(handoffs.c.created, handoffs.c.id)
        with self._database.reading() as connection:
            return [handoff_of(row) for row in connection.execute(query).all()]


def _moments(handoff: Handoff) -> tuple[Life, int, bool]:
    return handoff.life, handoff.spoke, handoff.joined
