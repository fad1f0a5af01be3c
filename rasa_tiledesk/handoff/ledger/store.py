"""The ledger on SQLAlchemy Core: SQLite, PostgreSQL, MySQL and MariaDB with one source.

Every method is one transaction and safe to call from any thread or process. What must hold however many action
servers share the database, the database enforces: one open handoff a sender, one holder of a lease, one row a key.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable

from sqlalchemy import BigInteger, and_, case, create_engine, event, func, literal, select, update
from sqlalchemy.engine import Connection, Engine, Row, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.ledger.records import OPEN, TRANSITIONS, Carried, Direction, Handoff, State
from rasa_tiledesk.handoff.ledger.schema import VERSION, carried, handoffs, history, hook_secrets, migrate

__all__ = ["Ledger"]

_BUSY_TIMEOUT = 10.0

# What went wrong is over once something went well, but the reason why a handoff failed stays.
_unless_failed = case(
    (handoffs.c.state.in_([State.FAILING.value, State.FAILED.value]), handoffs.c.last_error), else_=None
)


class Ledger:
    """The record of handoffs.

    Args:
        url: any SQLAlchemy URL; ``sqlite://`` keeps it in memory, for tests.
        clock: seconds since 1970.

    Every method raises LedgerError when the database cannot be reached or refuses.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        with _explained():
            self._engine = _engine(url)
            # SQLite has one writer at a time, and who finds it busy sleeps: threads take turns here instead.
            # In memory it has one connection too, so that readers take turns with it.
            sqlite, memory = self._engine.dialect.name == "sqlite", isinstance(self._engine.pool, StaticPool)
            self._write_turn = threading.RLock() if sqlite else contextlib.nullcontext()
            self._read_turn = self._write_turn if memory else contextlib.nullcontext()
            with self._engine.begin() as connection:
                found = migrate(connection)
        if found > VERSION:
            raise LedgerError(
                f"the ledger's schema is version {found}, newer than this rasa-tiledesk knows ({VERSION})"
            )

    def now(self) -> int:
        """Ms since 1970 by the ledger's clock."""
        return int(self._clock() * 1000)

    # -- handoffs -------------------------------------------------------------------------------------------------

    def begin(
        self,
        handoff_id: str,
        sender_id: str,
        request_id: str,
        context: Mapping[str, Any],
        messages: Sequence[tuple[int, str, Mapping[str, Any]]],
        *,
        lease: str,
        seconds: float,
    ) -> tuple[Handoff, bool]:
        """Write down the ask and what is to be carried, leased to the caller, unless the sender has an open handoff.

        Args:
            handoff_id: a new one, 32 hexadecimal digits.
            sender_id: Rasa's.
            request_id: a new one, not guessable.
            context: what later steps need.
            messages: (position, key, body) of what is to be carried.
            lease: who holds it.
            seconds: for how long.

        Returns:
            The open handoff, and whether it is new.
        """
        now = self.now()
        row = {
            "id": handoff_id,
            "sender_id": sender_id,
            "sender_key": _digest(sender_id),
            "open_for": _digest(sender_id),
            "request_id": request_id,
            "state": State.ASKED.value,
            "context": json.dumps(context),
            "created": now,
            "updated": now,
            "due": now,
            "listen": 0,
            "attempts": 0,
            "lease": lease,
            "lease_until": now + int(seconds * 1000),
        }
        try:
            with self._transaction() as connection:
                connection.execute(handoffs.insert().values(**row))
                if messages:
                    rows = [_carried_row(handoff_id, Direction.TO_TILEDESK, *message) for message in messages]
                    connection.execute(carried.insert(), rows)
                self._note(connection, handoff_id, State.ASKED, None)
        except LedgerError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            running = self.open_handoff(sender_id)
            if running is None:  # it was closed between the two statements
                return self.begin(handoff_id, sender_id, request_id, context, messages, lease=lease, seconds=seconds)
            return running, False
        return self.handoff(handoff_id), True

    def handoff(self, handoff_id: str) -> Handoff:
        """The handoff of that id."""
        found = self._select(handoffs.c.id == handoff_id)
        if not found:
            raise LedgerError("no such handoff")
        return found[0]

    def open_handoff(self, sender_id: str) -> Handoff | None:
        """The sender's open handoff, if there is one."""
        return next(iter(self._select(handoffs.c.open_for == _digest(sender_id))), None)

    def of_sender(self, sender_id: str) -> list[Handoff]:
        """All handoffs of a sender, oldest first."""
        return self._select(handoffs.c.sender_key == _digest(sender_id))

    def in_state(self, *states: State) -> list[Handoff]:
        """All handoffs in one of the states, oldest first."""
        return self._select(handoffs.c.state.in_([state.value for state in states]))

    def counts(self) -> dict[State, int]:
        """How many handoffs are in each state."""
        with self._reading() as connection:
            rows = connection.execute(select(handoffs.c.state, func.count()).group_by(handoffs.c.state)).all()
        return {State(state): int(count) for state, count in rows}

    def move(self, handoff: Handoff, state: State, *, note: str | None = None, due_in: float | None = None) -> Handoff:
        """Move to another state; a move that another process made first is not made twice.

        Args:
            handoff: as last read.
            state: where to.
            note: why, for the history; no texts, secrets or ids.
            due_in: seconds until a worker should look at it; None when nothing is left to do.
        """
        if state not in TRANSITIONS[handoff.state]:
            raise LedgerError(f"a handoff cannot go from {handoff.state.value} to {state.value}")
        values: dict[str, Any] = {
            "state": state.value,
            "updated": self.now(),
            "due": None if due_in is None else self.now() + int(due_in * 1000),
            "attempts": 0,
            "last_error": note if state in (State.FAILING, State.FAILED) else None,
        }
        if state not in OPEN:
            values["open_for"] = None
        with self._transaction() as connection:
            moved = connection.execute(
                update(handoffs)
                .where(and_(handoffs.c.id == handoff.id, handoffs.c.state == handoff.state.value))
                .values(**values)
            ).rowcount
            if moved:
                self._note(connection, handoff.id, state, note)
        return self.handoff(handoff.id)

    def remember(self, handoff: Handoff, *, requester_id: str | None = None, **context: Any) -> Handoff:
        """Write down the requester's id, or add to the context; what others have added to it meanwhile stays.

        An `ending` in the context makes the handoff due.
        """
        one, now = handoffs.c.id == handoff.id, self.now()
        with self._transaction() as connection:
            connection.execute(update(handoffs).where(one).values(updated=now))  # locks the row before it is read
            values: dict[str, Any] = {} if requester_id is None else {"requester_id": requester_id}
            if context:
                there = json.loads(connection.execute(select(handoffs.c.context).where(one)).scalar_one())
                values["context"] = json.dumps({**there, **context})
            if context.get("ending"):
                values["due"] = now
            if values:
                connection.execute(update(handoffs).where(one).values(**values))
        return self.handoff(handoff.id)

    def history(self, handoff_id: str) -> list[tuple[int, State, str | None]]:
        """(ms since 1970, state, note) of every move, oldest first."""
        query = select(history.c.at, history.c.state, history.c.note).where(history.c.handoff_id == handoff_id)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(history.c.id)).all()
        return [(int(at), State(state), note) for at, state, note in rows]

    # -- work -----------------------------------------------------------------------------------------------------

    def claim(self, lease: str, *, seconds: float) -> Handoff | None:
        """Lease the handoff that has been due longest and that nobody holds; None when there is none."""
        now = self.now()
        free = and_(handoffs.c.due.isnot(None), handoffs.c.due <= now, handoffs.c.lease_until <= now)
        with self._reading() as connection:
            # Several, since other servers reach for the same ones.
            found = connection.execute(select(handoffs.c.id).where(free).order_by(handoffs.c.due).limit(16))
            candidates = found.scalars().all()
        for candidate in candidates:
            if self._take(and_(handoffs.c.id == candidate, free), lease, seconds):
                return self.handoff(candidate)
        return None

    def _take(self, condition: Any, lease: str, seconds: float) -> bool:
        until = self.now() + int(seconds * 1000)
        with self._transaction() as connection:
            taken = connection.execute(update(handoffs).where(condition).values(lease=lease, lease_until=until))
            return bool(taken.rowcount)

    def advance(
        self, handoff_id: str, lease: str, *, seconds: float, arrived: Iterable[str] = (), attempt: Iterable[str] = ()
    ) -> bool:
        """Hold the lease longer, note what has arrived (its text is forgotten) and what is sent next.

        Returns:
            False when the lease was lost: the caller must stop, another has taken over.
        """
        mine = and_(handoffs.c.id == handoff_id, handoffs.c.lease == lease)
        with self._transaction() as connection:
            until = self.now() + int(seconds * 1000)
            if not connection.execute(update(handoffs).where(mine).values(lease_until=until)).rowcount:
                return False
            for keys, values in ((arrived, {"arrived": True, "body": "{}"}), (attempt, {"attempted": True})):
                for some in _batches(keys):
                    those = and_(carried.c.handoff_id == handoff_id, carried.c.key.in_(some))
                    connection.execute(update(carried).where(those).values(**values))
        return True

    def release(self, handoff_id: str, lease: str) -> None:
        """Give the lease back."""
        with self._transaction() as connection:
            connection.execute(
                update(handoffs)
                .where(and_(handoffs.c.id == handoff_id, handoffs.c.lease == lease))
                .values(lease=None, lease_until=0)
            )

    def postpone(self, handoff_id: str, *, seconds: float, error: str) -> None:
        """Try again later: one more failed attempt."""
        with self._transaction() as connection:
            connection.execute(
                update(handoffs)
                .where(handoffs.c.id == handoff_id)
                .values(
                    due=self.now() + int(seconds * 1000),
                    attempts=handoffs.c.attempts + 1,
                    last_error=error,
                    updated=self.now(),
                )
            )

    def due_in(self, handoff_id: str, seconds: float) -> None:
        """Look at it again in so many seconds; what failed before is over."""
        with self._transaction() as connection:
            connection.execute(
                update(handoffs)
                .where(handoffs.c.id == handoff_id)
                .values(due=self.now() + int(seconds * 1000), attempts=0, last_error=_unless_failed)
            )

    def done(self, handoff_id: str, *, again_in: float | None = None) -> None:
        """Nothing is left to do now, but to listen while it is live; unless a message was queued meanwhile.

        Args:
            handoff_id: whose work is done.
            again_in: seconds after which a live handoff is taken up again, even if there is nothing to listen to yet.
        """
        live = handoffs.c.state == State.LIVE.value
        cases: list[tuple[Any, Any]] = [(live, handoffs.c.listen)]
        if again_in is not None:
            until = self.now() + int(again_in * 1000)
            cases.insert(0, (and_(live, handoffs.c.listen > until), literal(until, BigInteger)))
        with self._transaction() as connection:
            connection.execute(
                update(handoffs)
                .where(and_(handoffs.c.id == handoff_id, ~_pending(handoff_id)))
                .values(due=case(*cases, else_=None), attempts=0, last_error=_unless_failed)
            )

    # -- messages -------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        handoff_id: str,
        messages: Sequence[tuple[str, Mapping[str, Any]]],
        direction: Direction = Direction.TO_TILEDESK,
    ) -> int:
        """Queue (key, body) messages behind all that are there; one whose key is there already is not queued again.

        Returns:
            How many were new.
        """
        mine = and_(carried.c.handoff_id == handoff_id, carried.c.direction == direction.value)
        with self._transaction() as connection:
            # The row's lock puts writers of one handoff in line, and its due time wakes a worker.
            connection.execute(
                update(handoffs).where(handoffs.c.id == handoff_id).values(due=self.now(), updated=self.now())
            )
            last = connection.execute(select(func.max(carried.c.position)).where(mine)).scalar() or 0
            placed = [(last + place, key, body) for place, (key, body) in enumerate(messages, start=1)]
            return self._insert(connection, handoff_id, direction, placed)

    def insert(self, handoff_id: str, messages: Sequence[tuple[int, str, Mapping[str, Any]]]) -> int:
        """Write down (position, key, body) messages to Tiledesk; one whose key is there is not written again."""
        with self._transaction() as connection:
            connection.execute(update(handoffs).where(handoffs.c.id == handoff_id).values(due=self.now()))
            return self._insert(connection, handoff_id, Direction.TO_TILEDESK, messages)

    def _insert(
        self,
        connection: Connection,
        handoff_id: str,
        direction: Direction,
        messages: Sequence[tuple[int, str, Mapping[str, Any]]],
    ) -> int:
        mine = and_(carried.c.handoff_id == handoff_id, carried.c.direction == direction.value)
        known = set(connection.execute(select(carried.c.key).where(mine)).scalars().all())
        new = {key: (place, body) for place, key, body in messages if key not in known}
        if new:
            rows = [_carried_row(handoff_id, direction, place, key, body) for key, (place, body) in new.items()]
            connection.execute(carried.insert(), rows)
        return len(new)

    def say(
        self,
        sender_id: str,
        key: str,
        before: str | None,
        words: Callable[[Handoff, bool], Sequence[tuple[str, Mapping[str, Any]]]],
        *,
        lease: str,
        seconds: float,
    ) -> tuple[Handoff | None, str | None]:
        """Queue what the user says now; when nothing else is on its way, lease the handoff to send it at once.

        Args:
            sender_id: whose handoff.
            key: of what is said.
            before: the key of what the user had said before it.
            words: makes the (key, body) messages for the handoff, told whether `before` is in the ledger; those whose
                key is there already are not queued again.
            lease: who would send the first of them.
            seconds: for how long.

        Returns:
            The open handoff, if any; and the key of the message that the caller, holding the lease, is to send, if any.
        """
        now = self.now()
        with self._transaction() as connection:
            # The row's lock puts writers of one handoff in line; SQLite has one writer anyway.
            its = select(handoffs).where(handoffs.c.open_for == _digest(sender_id)).with_for_update()
            row = connection.execute(its).first()
            if row is None:
                return None, None
            handoff = _handoff(row)
            mine = and_(carried.c.handoff_id == handoff.id, carried.c.direction == Direction.TO_TILEDESK.value)
            last, waiting, known, known_before = connection.execute(
                select(
                    func.max(carried.c.position),
                    func.sum(case((carried.c.arrived.is_(False), 1), else_=0)),
                    func.sum(case((carried.c.key == key, 1), else_=0)),
                    func.sum(case((carried.c.key == before, 1), else_=0)),
                ).where(mine)
            ).one()
            if known:
                return handoff, None
            new = dict(words(handoff, bool(known_before)))
            if len(new) > 1:
                those = and_(mine, carried.c.key.in_(list(new)))
                for there in connection.execute(select(carried.c.key).where(those)).scalars():
                    del new[there]
            at_once = handoff.state is State.LIVE and not waiting and row.lease_until <= now
            values: dict[str, Any] = {"updated": now, "due": now}
            if at_once:
                until = now + int(seconds * 1000)
                values.update(lease=lease, lease_until=until)
                if len(new) == 1:
                    # What it was due for stays due; if the caller dies, a worker looks when the lease has run out.
                    values["due"] = until if row.due is None else min(row.due, until)
            connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(**values))
            rows = [
                _carried_row(handoff.id, Direction.TO_TILEDESK, int(last or 0) + place, one, body)
                for place, (one, body) in enumerate(new.items(), start=1)
            ]
            rows[0]["attempted"] = at_once
            connection.execute(carried.insert(), rows)
        return handoff, str(rows[0]["key"]) if at_once else None

    def said(self, handoff_id: str, lease: str, key: str) -> None:
        """What `say` gave to send has arrived: forget its text, give the lease back."""
        with self._transaction() as connection:
            those = and_(
                carried.c.handoff_id == handoff_id,
                carried.c.direction == Direction.TO_TILEDESK.value,
                carried.c.key == key,
            )
            connection.execute(update(carried).where(those).values(arrived=True, body="{}"))
            mine = and_(handoffs.c.id == handoff_id, handoffs.c.lease == lease)
            connection.execute(update(handoffs).where(mine).values(lease=None, lease_until=0, attempts=0))

    def pending(self, handoff_id: str, direction: Direction = Direction.TO_TILEDESK) -> list[Carried]:
        """The messages that have not arrived, in order."""
        return self._carried(
            and_(
                carried.c.handoff_id == handoff_id,
                carried.c.direction == direction.value,
                carried.c.arrived.is_(False),
            )
        )

    def messages(self, handoff_id: str, direction: Direction = Direction.TO_TILEDESK) -> list[Carried]:
        """All messages of a handoff that go one way, in order."""
        return self._carried(and_(carried.c.handoff_id == handoff_id, carried.c.direction == direction.value))

    def delivered(self, sender_id: str) -> int:
        """How many messages have ever reached the user."""
        theirs = and_(carried.c.handoff_id == handoffs.c.id, handoffs.c.sender_key == _digest(sender_id))
        came = and_(theirs, carried.c.direction == Direction.TO_USER.value, carried.c.arrived.is_(True))
        with self._reading() as connection:
            return int(connection.execute(select(func.count()).select_from(carried, handoffs).where(came)).scalar_one())

    # -- listening ------------------------------------------------------------------------------------------------

    def hint(self, request_id: str) -> bool:
        """Something has happened in the request: listen now. False when it is no open handoff's."""
        now = self.now()
        ours = and_(handoffs.c.request_id == request_id, handoffs.c.open_for.isnot(None))
        with self._transaction() as connection:
            return bool(connection.execute(update(handoffs).where(ours).values(listen=now, due=now)).rowcount)

    def listened(self, handoff: Handoff, *, next_in: float) -> None:
        """What there was is in the ledger; listen again in so many seconds, unless a hint came meanwhile."""
        unchanged = and_(handoffs.c.id == handoff.id, handoffs.c.listen == handoff.listen)
        with self._transaction() as connection:
            connection.execute(update(handoffs).where(unchanged).values(listen=self.now() + int(next_in * 1000)))

    def hook_secrets(self) -> dict[str, str]:
        """The secrets of our webhooks, by the subscription's id."""
        with self._reading() as connection:
            rows = connection.execute(select(hook_secrets)).all()
        return {row.subscription_id: row.secret for row in rows}

    def keep_hook(self, subscription_id: str, event: str, target: str, secret: str) -> str:
        """Write down a webhook's secret, unless it has one; the secret it has, whoever wrote it down first."""
        row = {"subscription_id": subscription_id, "event": event, "target": target, "secret": secret}
        there = self.hook_secrets().get(subscription_id)
        if there is not None:
            return there
        try:
            with self._transaction() as connection:
                connection.execute(hook_secrets.insert().values(**row))
        except LedgerError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            return self.keep_hook(subscription_id, event, target, secret)
        return secret

    def forget_hook(self, subscription_id: str) -> None:
        """The webhook is gone: its secret opens nothing any more."""
        with self._transaction() as connection:
            connection.execute(hook_secrets.delete().where(hook_secrets.c.subscription_id == subscription_id))

    # -- the end --------------------------------------------------------------------------------------------------

    def forget_texts(self, handoff_id: str) -> None:
        """Drop the texts of what will never be sent: the handoff failed."""
        those = and_(carried.c.handoff_id == handoff_id, carried.c.direction == Direction.TO_TILEDESK.value)
        with self._transaction() as connection:
            connection.execute(update(carried).where(those).values(body="{}", arrived=True))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    # -- inside ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._write_turn, _explained(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        reading = self._engine.execution_options(rasa_tiledesk_reads=True)
        with self._read_turn, _explained(), reading.connect() as connection:
            yield connection

    def _note(self, connection: Connection, handoff_id: str, state: State, note: str | None) -> None:
        connection.execute(history.insert().values(handoff_id=handoff_id, at=self.now(), state=state.value, note=note))

    def _select(self, condition: Any) -> list[Handoff]:
        query = select(handoffs).where(condition).order_by(handoffs.c.created, handoffs.c.id)
        with self._reading() as connection:
            return [_handoff(row) for row in connection.execute(query).all()]

    def _carried(self, condition: Any) -> list[Carried]:
        query = select(carried).where(condition).order_by(carried.c.position)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [
            Carried(row.position, row.key, json.loads(row.body), bool(row.attempted), bool(row.arrived)) for row in rows
        ]


def _handoff(row: Row[Any]) -> Handoff:
    return Handoff(
        id=row.id,
        sender_id=row.sender_id,
        request_id=row.request_id,
        state=State(row.state),
        created=row.created,
        updated=row.updated,
        context=json.loads(row.context),
        requester_id=row.requester_id,
        listen=row.listen,
        attempts=row.attempts,
        last_error=row.last_error,
    )


def _carried_row(
    handoff_id: str, direction: Direction, position: int, key: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "handoff_id": handoff_id,
        "direction": direction.value,
        "position": position,
        "key": key,
        "body": json.dumps(body),
        "attempted": False,
        "arrived": False,
    }


def _pending(handoff_id: str) -> Any:
    """Whether there is a message of the handoff, either way, that has not arrived."""
    waiting = and_(carried.c.handoff_id == handoff_id, carried.c.arrived.is_(False))
    return select(carried.c.position).where(waiting).exists()


def _batches(keys: Iterable[str], size: int = 500) -> Iterator[list[str]]:
    everything = list(keys)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]


def _digest(sender_id: str) -> str:
    return hashlib.sha256(sender_id.encode("utf-8", "surrogatepass")).hexdigest()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, pool_size=8, max_overflow=8, pool_recycle=1800)
    if not parsed.database or parsed.database == ":memory:":
        return create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False})
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred; see _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")
    # Safe when a process is killed. A power cut may take the last moments back, which the next look at Tiledesk and at
    # Rasa's tracker makes good; syncing every message to the disk would cost more than sending it.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA busy_timeout={int(_BUSY_TIMEOUT * 1000)}")


def _begin_sqlite(connection: Connection) -> None:
    # Deferred transactions that read and then write fail at once with "database is locked"; these wait their turn.
    reads = connection.get_execution_options().get("rasa_tiledesk_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except NoSuchModuleError as error:
        raise LedgerError(f"tiledesk.ledger: SQLAlchemy knows no such database: {error}") from error
    except ImportError as error:
        raise LedgerError(
            f"tiledesk.ledger: the database driver {error.name} is not installed; "
            "pip install 'rasa-tiledesk[postgresql]' or 'rasa-tiledesk[mysql]'"
        ) from error
    except DBAPIError as error:
        # The driver's words may hold the statement's parameters, which are people's words: its class says enough.
        raise LedgerError(f"tiledesk.ledger: the database failed: {type(error.orig).__name__}") from error
    except SQLAlchemyError as error:
        raise LedgerError(f"tiledesk.ledger: {type(error).__name__}") from error
