"""Databases of a test's own on the machine's servers; TEST_POSTGRESQL_URL and TEST_MYSQL_URL say where those are."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.ledger.schema import metadata, versions

__all__ = ["DURABLE", "MYSQL", "POSTGRESQL", "SERVERS", "empty", "ledger_url", "own_database", "throw_away_database"]

# What a ledger may live in: `params` of a fixture that asks `ledger_url`.
SERVERS = [pytest.param("postgresql", marks=pytest.mark.live), pytest.param("mariadb", marks=pytest.mark.live)]
DURABLE = ["sqlite", *SERVERS]

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg2://postgres@127.0.0.1:5432/postgres")
MYSQL = os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test")


@contextlib.contextmanager
def own_database(admin: str) -> Iterator[sa.engine.URL]:
    """A new database on the server of that URL; dropped afterwards. A server that is not there is a failure."""
    url, name = sa.engine.make_url(admin), f"rasa_tiledesk_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as server:
        server.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name)
    finally:
        with engine.connect() as server:
            force = " WITH (FORCE)" if url.get_backend_name() == "postgresql" else ""
            server.execute(sa.text(f"DROP DATABASE {name}{force}"))


@contextlib.contextmanager
def throw_away_database(kind: str) -> Iterator[str]:
    """The URL of a new database, ``postgresql`` or ``mariadb``."""
    with own_database({"postgresql": POSTGRESQL, "mariadb": MYSQL}[kind]) as url:
        yield url.render_as_string(hide_password=False)


@contextlib.contextmanager
def ledger_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a new ledger's database: ``memory``, ``sqlite``, ``postgresql`` or ``mariadb``."""
    if kind == "memory":
        yield "sqlite://"
    elif kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
    else:
        with throw_away_database(kind) as url:
            yield url


def empty(database: Database) -> None:
    """Make its ledger a new one: another database would have to learn all statements anew, which takes longer."""
    with database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not versions:
                connection.execute(table.delete())
