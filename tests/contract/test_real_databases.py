"""What a real database does when it cannot be read: told in time, with the key to check and without the password."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.sql import SqlReader
from tests.databases import MYSQL, POSTGRESQL, own_database

pytestmark = pytest.mark.live

LOCKS = {"postgresql": "LOCK TABLE events IN ACCESS EXCLUSIVE MODE", "mysql": "LOCK TABLES events WRITE"}
TABLE = """CREATE TABLE events (
    id INTEGER PRIMARY KEY, sender_id VARCHAR(255), type_name VARCHAR(255), action_name VARCHAR(255), data TEXT
)"""


@pytest.fixture(params=[POSTGRESQL, MYSQL], ids=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> Iterator[sa.engine.URL]:
    with own_database(request.param) as database:
        yield database


@contextlib.contextmanager
def connected(url: sa.engine.URL) -> Iterator[sa.engine.Connection]:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def failure(url: sa.engine.URL, *, seconds: float = 5) -> str:
    with pytest.raises(TrackerStoreError) as caught:
        SqlReader(url).events("ann", deadline=Deadline(seconds))
    return str(caught.value)


def test_a_missing_table_is_told(url: sa.engine.URL) -> None:
    why = failure(url)
    assert "could not read the table `events`" in why
    assert "exist" in why


def test_a_missing_database_is_told(url: sa.engine.URL) -> None:
    why = failure(url.set(database=f"none_{uuid4().hex}"))
    assert "could not connect" in why
    assert "nknown database" in why or "does not exist" in why


def test_a_refused_login_is_told_without_the_password(url: sa.engine.URL) -> None:
    why = failure(url.set(username=f"nobody_{uuid4().hex[:8]}", password="p@ss:w/rd"))
    assert "could not connect" in why
    assert "check its url, port, db, username and password" in why
    assert "p@ss" not in why


def test_a_locked_table_is_not_waited_for(url: sa.engine.URL) -> None:
    with connected(url) as database:
        database.execute(sa.text(TABLE))
    engine = sa.create_engine(url)
    with engine.connect() as holder:
        holder.execute(sa.text(LOCKS[url.get_backend_name()]))
        assert "could not read the table `events`" in failure(url, seconds=2)
    engine.dispose()


def test_a_conversation_of_100_000_events_is_read(url: sa.engine.URL) -> None:
    with connected(url) as database:
        database.execute(sa.text(TABLE))
        for first in range(0, 100_000, 10_000):
            events = [f'{{"event": "bot", "timestamp": {n}.5, "text": "{n}"}}' for n in range(first, first + 10_000)]
            rows = ", ".join(f"({n}, 'ann', 'bot', '{event}')" for n, event in enumerate(events, start=first))
            database.exec_driver_sql(f"INSERT INTO events (id, sender_id, type_name, data) VALUES {rows}")

    found = SqlReader(url).events("ann", deadline=Deadline(10))
    assert [event["text"] for event in found] == [str(n) for n in range(100_000)]
