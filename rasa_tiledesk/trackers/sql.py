"""The SQL tracker store: SQLite, PostgreSQL, MySQL, MariaDB, and what else SQLAlchemy has a driver for."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.reading import (
    SAYING,
    SESSION_START,
    Attempt,
    events_among,
    in_time,
    in_words,
    require_text,
)

__all__ = ["SqlReader"]

_BATCH = 1000  # rows
_EVENTS = sa.table(
    "events",
    sa.column("id", sa.Integer),
    sa.column("sender_id", sa.String),
    sa.column("type_name", sa.String),
    sa.column("action_name", sa.String),
    sa.column("data", sa.Text),
)
_SAYS = _EVENTS.c.type_name.in_(SAYING) | ((_EVENTS.c.type_name == "action") & (_EVENTS.c.action_name == SESSION_START))
_LOGIN = "url, port, db, username and password"
_SHAPE = "port must be a number, url a host, host:port or a whole URL, query keys and values text; SQLite has a db only"
# The driver of our extra, where the dialect names none: SQLAlchemy's own choice differs between its versions.
_DRIVERS = {
    "postgresql": ("postgresql+psycopg2", "postgresql"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "mysql"),
}


class SqlReader:
    """Reads Rasa's table `events` (rasa 3.6.21, core/tracker_store.py: SQLTrackerStore).

    Each read has a connection of its own: a handoff is rare, a connection that idles between two of them would only
    go stale, and so the time it may take can be told to the driver anew.

    Args:
        url: of the database.
        postgresql_schema: where the table is, when it is not on the search path of the login.

    Raises:
        TrackerStoreError: the dialect is unknown or its driver is not installed.
    """

    def __init__(self, url: URL, *, postgresql_schema: str | None = None) -> None:
        self._extra: str | None
        name, self._extra = _DRIVERS.get(url.drivername, (url.drivername, None))
        self._url = url.set(drivername=name)
        self._schema = postgresql_schema
        self._engine(1.0)  # what is wrong with the URL or missing for it shows now, not in the first handoff

    @classmethod
    def from_endpoint(cls, section: Mapping[str, Any]) -> SqlReader:
        """The reader for a `tracker_store` section, understood as Rasa's SQLTrackerStore understands it.

        A relative SQLite file is relative to the working directory, here the action server's. The schema comes from
        the environment variable POSTGRESQL_SCHEMA, which Rasa honours under the conditions repeated here.

        Raises:
            TrackerStoreError: a key is wrong, or the driver is not installed.
        """
        require_text(section, "dialect", "url", "db", "username", "password", "login_db")
        url, login_db = section.get("url"), section.get("login_db")
        if url and "://" in str(url):  # a whole DSN: Rasa ignores every other key
            try:
                dsn = make_url(url)
            except (ArgumentError, ValueError):
                raise TrackerStoreError("tracker_store.url is no database URL that SQLAlchemy understands") from None
            return cls(dsn, postgresql_schema=_schema("postgresql" in url))
        try:
            resolved = _resolve(section)
        except (AttributeError, TypeError, ValueError, ArgumentError):
            raise TrackerStoreError(f"tracker_store: {_SHAPE}") from None
        # With login_db Rasa builds its engine a second time, and leaves the schema out.
        return cls(resolved, postgresql_schema=_schema(resolved.drivername == "postgresql" and not login_db))

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of the conversation; see `TrackerReader`. A row that holds no event is left out and counted.

        Ordered by id, as Rasa does: the column `timestamp` is a FLOAT of 24 bits in MySQL. Of the newest events only,
        no others are read.
        """
        return in_time(lambda inner: self._read(sender_id, newest, inner), deadline, check=_LOGIN)

    def close(self) -> None:
        """Nothing is kept open."""

    def _read(self, sender_id: str, newest: int | None, attempt: Attempt) -> list[dict[str, Any]]:
        seconds = attempt.remaining()
        query = sa.select(_EVENTS.c.data).where(_EVENTS.c.sender_id == sender_id, _SAYS)
        query = query.order_by(_EVENTS.c.id) if newest is None else query.order_by(_EVENTS.c.id.desc()).limit(newest)
        step, check = "could not connect", _LOGIN
        try:
            with _hung_up(self._engine(seconds), attempt) as engine, engine.connect() as connection:
                step, check = "could not read the table `events`", "db and, for PostgreSQL, POSTGRESQL_SCHEMA"
                _read_only(connection, seconds)
                result = connection.execution_options(stream_results=True).execute(query)
                events = events_among(_rows(result, attempt))
        except (SQLAlchemyError, OSError, RuntimeError) as error:
            raise TrackerStoreError(f"tracker_store: {step}: {self._words(error)} (check its {check})") from None
        return events if newest is None else events[::-1]

    def _engine(self, seconds: float) -> Engine:
        try:
            if self._url.get_backend_name() == "sqlite":
                return self._sqlite_engine(seconds)
            return sa.create_engine(self._url, poolclass=NullPool, connect_args=self._connect_args(seconds))
        except NoSuchModuleError:
            raise TrackerStoreError(
                "tracker_store.dialect: SQLAlchemy does not know it; expected one such as sqlite, postgresql or mysql"
            ) from None
        except ImportError as error:
            install = f"rasa-tiledesk[{self._extra}]" if self._extra else error.name or "its driver"
            raise TrackerStoreError(f"tracker_store: its driver is missing: pip install '{install}'") from None
        except (SQLAlchemyError, TypeError, ValueError):
            raise TrackerStoreError(f"tracker_store: {_SHAPE}") from None

    def _sqlite_engine(self, seconds: float) -> Engine:
        engine = sa.create_engine(self._url, poolclass=NullPool)
        arguments, options = engine.dialect.create_connect_args(self._url)
        file = str(arguments[0])
        if file == ":memory:":
            raise TrackerStoreError("tracker_store: a SQLite database in memory cannot be read from outside Rasa")
        options = {**options, "timeout": seconds}
        if not file.startswith("file:"):  # the mode makes a missing file an error; SQLite would create it
            file, options["uri"] = f"{Path(file).absolute().as_uri()}?mode=ro", True

        def connect() -> sqlite3.Connection:
            try:
                connection: sqlite3.Connection = sqlite3.connect(file, **options)
            except sqlite3.OperationalError as error:
                raise sqlite3.OperationalError(f"{error}: {self._url.database}, seen from {Path.cwd()}") from None
            connection.text_factory = lambda raw: raw.decode(errors="replace")  # one bad row must not hide the others
            return connection

        return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)

    def _connect_args(self, seconds: float) -> dict[str, Any]:
        driver = self._url.get_driver_name()
        whole = max(1, int(seconds))  # drivers count in seconds
        if driver in ("psycopg2", "psycopg"):
            # A server that vanishes in the middle of an answer is noticed only by keepalives.
            found = {"connect_timeout": whole, "keepalives_idle": 2, "keepalives_interval": 2, "keepalives_count": 2}
            return {**found, "options": f"-csearch_path={self._schema}"} if self._schema else found
        if driver in ("pymysql", "mysqldb"):
            return {"connect_timeout": whole, "read_timeout": whole}
        return {}

    def _words(self, error: Exception) -> str:
        """The driver's own words: those of SQLAlchemy hold the statement and its parameters."""
        return in_words(getattr(error, "orig", None) or error, self._url.password)


@contextlib.contextmanager
def _hung_up(engine: Engine, attempt: Attempt) -> Iterator[Engine]:
    """Shuts the socket of each connection when the read is given up: psycopg2 would wait for an answer for ever."""
    with contextlib.ExitStack() as lines:

        def connected(connection: Any, _record: object) -> None:
            if hasattr(connection, "fileno"):  # psycopg2's and psycopg's
                line = lines.enter_context(socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM))
                attempt.ends_by(lambda: line.shutdown(socket.SHUT_RDWR))

        sa.event.listen(engine, "connect", connected, insert=True)  # before SQLAlchemy itself asks the server
        yield engine


def _schema(honoured: bool) -> str | None:
    return os.environ.get("POSTGRESQL_SCHEMA") or None if honoured else None


def _resolve(section: Mapping[str, Any]) -> URL:
    """The URL that rasa 3.6.21 would build (core/tracker_store.py, SQLTrackerStore.get_db_url)."""
    host = section.get("url") or None
    port = section.get("port")
    if host:
        parsed = urlsplit(f"scheme://{host}")
        port = parsed.port or port
        host = parsed.hostname or host
    dialect = str(section.get("dialect") or "sqlite")
    database = section.get("db", "rasa.db")
    if section.get("login_db") and dialect.partition("+")[0] != "postgresql":
        database = section["login_db"]  # meant for PostgreSQL; elsewhere Rasa warns, and stays in it
    password = section.get("password")
    return URL.create(
        dialect,
        username=section.get("username"),
        password=None if password is None else str(password),
        host=host,
        port=None if port is None else int(port),
        database=database,
        query=section.get("query") or {},
    )


def _read_only(connection: Connection, seconds: float) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {math.ceil(seconds * 1000)}")
    elif connection.dialect.name in ("mysql", "mariadb"):
        connection.exec_driver_sql("START TRANSACTION READ ONLY")


def _rows(result: sa.engine.Result[Any], deadline: Deadline) -> Iterator[Any]:
    """What each row holds, None when that is no JSON."""
    for rows in result.partitions(_BATCH):
        if deadline.expired():
            raise TrackerStoreError("tracker_store: the conversation came too slowly")
        texts = [row[0] for row in rows]
        try:
            # In one go, so that the parser keeps each key of the objects once, not once an event.
            found = json.loads(f"[{','.join(texts)}]")
        except (TypeError, ValueError, RecursionError):
            found = []
        yield from found if len(found) == len(texts) else map(_parsed, texts)


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
