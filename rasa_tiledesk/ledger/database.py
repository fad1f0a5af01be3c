"""The database of a ledger: connections that never wait for ever, transactions, and the one clock that counts.

SQLite, PostgreSQL, MySQL and MariaDB with one source, by SQLAlchemy Core.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

from sqlalchemy import BigInteger, create_engine, event, func, literal, literal_column, select, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.elements import ColumnElement

from rasa_tiledesk.errors import LedgerError

__all__ = ["AlreadyThere", "Database"]

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
LOCK_SECONDS = 5
POOL_SECONDS = 5

# The database's clock in ms, for each kind that has one of its own.
_NOW = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    "mariadb": "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
}

_ALONE = 7_436_271  # any number: the name of the lock under which the tables are made


class AlreadyThere(LedgerError):
    """What is unique is there already."""


class Database:
    """Connections to one database; safe to share between threads.

    Args:
        url: any SQLAlchemy URL; ``sqlite://`` keeps it in memory, for tests.
        clock: seconds since 1970, for tests. By default the database's own clock, so that servers whose clocks differ
            agree on what is due and who holds what; SQLite's is this machine's.

    Every method raises LedgerError when the database cannot be reached, does not answer in time, or refuses.
    """

    def __init__(self, url: str | URL, *, clock: Callable[[], float] | None = None) -> None:
        with explained():
            self._engine = _engine(url)
        self.kind = self._engine.dialect.name
        self._clock = time.time if clock is None and self.kind == "sqlite" else clock
        # SQLite has one writer at a time, and who finds it busy sleeps: threads take turns here instead.
        # In memory it has one connection too, so that readers take turns with it.
        sqlite, memory = self.kind == "sqlite", isinstance(self._engine.pool, StaticPool)
        self._write_turn = threading.RLock() if sqlite else contextlib.nullcontext()
        self._read_turn = self._write_turn if memory else contextlib.nullcontext()

    def now(self) -> ColumnElement[int]:
        """The time in ms since 1970, as an expression for a statement."""
        if self._clock is not None:
            return literal(int(self._clock() * 1000), BigInteger)
        return literal_column(_NOW.get(self.kind, "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)"), BigInteger)

    def time(self) -> int:
        """The time in ms since 1970."""
        if self._clock is not None:
            return int(self._clock() * 1000)
        with self.reading() as connection:
            return int(connection.execute(select(self.now())).scalar_one())

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction."""
        with self._write_turn, explained(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with; waits for no writer."""
        reading = self._engine.execution_options(rasa_tiledesk_reads=True)
        with self._read_turn, explained(), reading.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """A transaction that no other server's such transaction runs beside."""
        with self._named_lock(), self.writing() as connection:
            if self.kind == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_ALONE)))
            yield connection

    @contextlib.contextmanager
    def _named_lock(self) -> Iterator[None]:
        """MySQL's lock is a connection's, not a transaction's: it must be held until that is committed."""
        if self.kind not in ("mysql", "mariadb"):
            yield
            return
        with self.writing() as connection:
            if not connection.execute(text(f"SELECT GET_LOCK('rasa_tiledesk', {LOCK_SECONDS})")).scalar():
                raise LedgerError("tiledesk.ledger: another server is making its tables; try again")
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK('rasa_tiledesk')"))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _engine(url: str | URL) -> Engine:
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend != "sqlite":
        engine = create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=24,
            pool_timeout=POOL_SECONDS,
            pool_recycle=1800,
            connect_args=_LIMITS.get(parsed.get_driver_name(), {}),
            # MySQL would show a transaction what was there before it got the lock that it waited for.
            isolation_level="READ COMMITTED",
        )
        if backend in ("mysql", "mariadb"):
            event.listen(engine, "connect", _limit_mysql)
        return engine
    if not parsed.database or parsed.database == ":memory:":
        return create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False})
    engine = create_engine(parsed, connect_args={"timeout": STATEMENT_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


_POSTGRESQL = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c lock_timeout={LOCK_SECONDS * 1000}"
    " -c idle_in_transaction_session_timeout=60000",
}
_LIMITS: dict[str, dict[str, Any]] = {
    "psycopg2": _POSTGRESQL,
    "psycopg": _POSTGRESQL,
    "pymysql": {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": STATEMENT_SECONDS,
        "write_timeout": STATEMENT_SECONDS,
    },
}


def _limit_mysql(connection: Any, _record: Any) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred; see _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")
    # Safe when a process is killed. A power cut may take the last moments back, which the next look at Tiledesk and at
    # Rasa's tracker makes good; syncing every message to the disk would cost more than sending it.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA busy_timeout={STATEMENT_SECONDS * 1000}")


def _begin_sqlite(connection: Connection) -> None:
    # Deferred transactions that read and then write fail at once with "database is locked"; these wait their turn.
    reads = connection.get_execution_options().get("rasa_tiledesk_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """What SQLAlchemy raises, in our words: the driver's hold the statement's parameters, which are people's words."""
    try:
        yield
    except NoSuchModuleError:
        raise LedgerError("tiledesk.ledger: SQLAlchemy knows no such database") from None
    except ImportError as error:
        raise LedgerError(
            f"tiledesk.ledger: the database driver {error.name} is not installed; "
            "pip install 'rasa-tiledesk[postgresql]' or 'rasa-tiledesk[mysql]'"
        ) from None
    except PoolTimeout:
        raise LedgerError(f"tiledesk.ledger: all connections are in use for {POOL_SECONDS} s") from None
    except IntegrityError:
        raise AlreadyThere("tiledesk.ledger: the database has it already") from None
    except DBAPIError as error:
        raise LedgerError(f"tiledesk.ledger: the database failed: {type(error.orig).__name__}") from None
    except SQLAlchemyError as error:
        raise LedgerError(f"tiledesk.ledger: {type(error).__name__}") from None
