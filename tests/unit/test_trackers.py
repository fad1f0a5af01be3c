from __future__ import annotations

import contextlib
import json
import logging
import socket
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.trackers import TrackerReader, open_reader, sql
from rasa_tiledesk.trackers.rasa_api import RasaApiReader
from rasa_tiledesk.trackers.sql import SqlReader
from tests.counting import all_readers_ended
from tests.postgres_wire import PostgresWire

PASSWORD = "p@ss:w/rd"


def reader_of(section: Mapping[str, Any]) -> TrackerReader:
    return open_reader({"type": "SQL", **section}, rasa_url=None, rasa_token=None)


def read(reader: TrackerReader, sender_id: str = "ann", seconds: float = 5) -> list[dict[str, Any]]:
    return reader.events(sender_id, deadline=Deadline(seconds))


def failure(section: Mapping[str, Any], seconds: float = 5) -> str:
    with pytest.raises(TrackerStoreError) as caught:
        read(reader_of(section), seconds=seconds)
    for secret in (PASSWORD, "p%40ss", "postgresql://", "mysql://"):
        assert secret not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "conversations #1 100%?.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        columns = "sender_id VARCHAR(255), type_name VARCHAR(255) DEFAULT 'user', action_name VARCHAR(255), data TEXT"
        database.execute(f"CREATE TABLE events (id INTEGER PRIMARY KEY, {columns})")
    say(path, {"event": "user", "text": "one"})
    return path


def say(path: Path, *events: Any) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        rows = [(event if isinstance(event, (str, bytes, type(None))) else json.dumps(event),) for event in events]
        database.executemany("INSERT INTO events (sender_id, data) VALUES ('ann', ?)", rows)


# What SQLTrackerStore.get_db_url of rasa 3.6.21 makes of the same parameters; the driver is our own extra's.
@pytest.mark.parametrize(
    ("section", "url"),
    [
        ({}, "sqlite:///rasa.db"),
        ({"db": "/var/x.db"}, "sqlite:////var/x.db"),
        ({"dialect": "postgresql", "url": "db", "db": "rasa"}, "postgresql+psycopg2://db/rasa"),
        ({"dialect": "postgresql", "url": "db:5433", "port": 5432, "db": "r"}, "postgresql+psycopg2://db:5433/r"),
        ({"dialect": "postgresql", "url": "db", "port": "5432", "db": "r"}, "postgresql+psycopg2://db:5432/r"),
        ({"dialect": "postgresql", "url": "DB.Example", "db": "r"}, "postgresql+psycopg2://db.example/r"),
        ({"dialect": "postgresql", "url": "[::1]:5432", "db": "r"}, "postgresql+psycopg2://[::1]:5432/r"),
        (
            {"dialect": "postgresql", "url": "db", "db": "r", "username": "u", "password": PASSWORD},
            "postgresql+psycopg2://u:***@db/r",
        ),
        ({"dialect": "postgresql", "url": "db", "db": "r", "login_db": "postgres"}, "postgresql+psycopg2://db/r"),
        ({"dialect": "mysql+pymysql", "url": "db", "db": "r", "login_db": "l"}, "mysql+pymysql://db/l"),
        ({"dialect": "mysql", "url": "db", "db": "r"}, "mysql+pymysql://db/r"),
        (
            {"dialect": "postgresql", "url": "db", "db": "r", "query": {"sslmode": "require"}},
            "postgresql+psycopg2://db/r?sslmode=require",
        ),
        (
            {"url": "postgresql://u:p%40ss@db:1/r", "dialect": "mysql", "port": 9, "db": "x", "login_db": "y"},
            "postgresql+psycopg2://u:***@db:1/r",
        ),
        ({"url": "sqlite:///x.db"}, "sqlite:///x.db"),
    ],
)
def test_understands_rasas_parameters(section: Mapping[str, Any], url: str) -> None:
    reader = reader_of(section)

    assert isinstance(reader, SqlReader)
    assert repr(reader._url) == url
    if "password" in section:
        assert reader._url.password == PASSWORD


@pytest.mark.parametrize(
    ("section", "schema"),
    [
        ({"dialect": "postgresql", "url": "db"}, "rasa"),
        ({"dialect": "postgresql+psycopg2", "url": "db"}, None),
        ({"dialect": "postgresql", "url": "db", "login_db": "postgres"}, None),
        ({"url": "postgresql+psycopg2://db/r"}, "rasa"),
        ({"db": "x.db"}, None),
    ],
)
def test_honours_the_schema_where_rasa_does(
    section: Mapping[str, Any], schema: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRESQL_SCHEMA", "rasa")
    reader = reader_of(section)

    assert isinstance(reader, SqlReader)
    assert reader._schema == schema


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"dialect": "postgres", "url": "db"}, "tracker_store.dialect: SQLAlchemy does not know it; expected"),
        ({"dialect": f"postgresql://u:{PASSWORD}@host/rasa"}, "tracker_store.dialect: SQLAlchemy does not know it"),
        ({"dialect": "mysql", "query": True}, "query keys and values text"),
        ({"dialect": "mysql", "port": "abc"}, "port must be a number"),
        ({"dialect": "mysql", "url": "db:abc"}, "port must be a number"),
        ({"db": "x.db", "query": {"timeout": 5}}, "query keys and values text"),
        ({"dialect": "sqlite", "url": "db", "password": PASSWORD}, "SQLite has a db only"),
        ({"url": f"://{PASSWORD}"}, "no database URL"),
        ({"dialect": "mysql", "password": {"source": "secrets_manager.vault"}}, "tracker_store.password must be text"),
        ({"db": ""}, "in memory"),
        ({"dialect": "mysql+cymysql", "url": "db"}, "pip install 'cymysql'"),
    ],
)
def test_says_which_key_is_wrong(section: Mapping[str, Any], why: str) -> None:
    assert why in failure(section)


@pytest.mark.parametrize(
    ("dialect", "driver", "extra"), [("postgresql", "psycopg2", "postgresql"), ("mysql", "pymysql", "mysql")]
)
def test_says_how_to_install_a_driver(dialect: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, driver, None)  # as Python does for a module that cannot be imported

    assert f"pip install 'rasa-tiledesk[{extra}]'" in failure({"dialect": dialect, "url": "db"})


def test_a_missing_file_is_an_error_and_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    why = failure({"db": "sub.db"})
    assert "could not connect: unable to open database file: sub.db, seen from" in why
    assert list(tmp_path.iterdir()) == []


def test_a_relative_file_is_relative_to_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)

    assert len(read(reader_of({"db": file.name}))) == 1


def test_a_file_without_the_table_is_told(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()

    assert "could not read the table `events`: no such table: events" in failure({"db": str(tmp_path / "empty.db")})


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database " * 100)

    assert "file is not a database" in failure({"db": str(tmp_path / "text.db")})


@pytest.mark.parametrize("left_open", [True, False])
def test_a_write_ahead_log_is_read(file: Path, left_open: bool) -> None:
    with contextlib.closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("""INSERT INTO events (sender_id, data) VALUES ('ann', '{"event": "bot"}')""")
        writer.commit()
        if left_open:
            assert len(read(reader_of({"db": str(file)}))) == 2
    assert len(read(reader_of({"db": str(file)}))) == 2


def test_reads_while_rasa_writes(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(read(reader_of({"db": str(file)}))) == 1


def test_waits_for_a_lock_no_longer_than_it_may(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert "database is locked" in failure({"db": str(file)}, seconds=0.4)


def test_never_writes(file: Path) -> None:
    file.chmod(0o444)
    before = file.read_bytes()
    read(reader_of({"db": str(file)}))

    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_leaves_garbage_out_and_counts_it(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    say(
        file,
        "{broken secret words",
        None,
        "[1]",
        '"text"',
        b"\xff\xfe",
        {"event": "bot"},
        "1e999",
        '{"event": "user", "text": "\\ud800"}',
        "[" * 100_000,
        '{"event": "user"',
        '"text": "two rows that only together are an object"}',
    )

    assert [event["event"] for event in read(reader_of({"db": str(file)}))] == ["user", "bot", "user"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "9 rows" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where somebody takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_a_silent_server_is_not_waited_for(dialect: str, silent_port: int) -> None:
    section = {"dialect": dialect, "url": "127.0.0.1", "port": silent_port, "username": "u", "password": PASSWORD}

    assert "check its url, port, db, username and password" in failure(section, seconds=2)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_a_server_that_is_down_is_told(dialect: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        section = {"dialect": dialect, "url": "127.0.0.1", "port": port, "username": "u", "password": PASSWORD}
        why = failure(section)
    assert "could not connect" in why
    assert "refused" in why


def postgres(port: int) -> dict[str, Any]:
    return {"dialect": "postgresql", "url": "127.0.0.1", "port": port, "username": "u", "password": PASSWORD, "db": "r"}


def test_postgresql_is_only_read_and_gives_up_by_itself() -> None:
    said = {"event": "user", "text": "one"}
    with PostgresWire([json.dumps(said)]) as server:
        assert read(reader_of(postgres(server.port)), seconds=3) == [said]
    asked = [question.partition(" FOR ")[0] for question in server.asked]
    begin = next(place for place, question in enumerate(asked) if question.startswith("DECLARE"))
    *_, opened, only_read, limit = asked[:begin]
    assert opened.startswith("BEGIN")
    assert only_read == "SET TRANSACTION READ ONLY"
    name, _, milliseconds = limit.partition(" = ")
    assert name == "SET LOCAL statement_timeout"
    assert 0 < int(milliseconds) <= 3_000
    assert "'ann'" in server.asked[begin]


@pytest.mark.parametrize("silent_at", ["select pg_catalog.version()", "SET TRANSACTION", "DECLARE", "FETCH"])
def test_postgresql_that_falls_silent_is_given_up_and_leaves_no_thread_behind(silent_at: str) -> None:
    with PostgresWire(silent_at=silent_at) as server:
        assert "no answer within 0.4 s" in failure(postgres(server.port), seconds=0.4)
        assert server.asked[-1].startswith(silent_at)
        assert all_readers_ended()


def test_mysql_is_only_read() -> None:
    class Connection:
        dialect = mysql.dialect()
        asked: ClassVar[list[str]] = []

        def exec_driver_sql(self, question: str) -> None:
            self.asked.append(question)

    sql._read_only(cast(sa.engine.Connection, Connection()), 3)
    assert Connection.asked == ["START TRANSACTION READ ONLY"]


@pytest.mark.parametrize(
    ("dialect", "seconds", "limits"),
    [
        ("postgresql", 2.7, {"connect_timeout": 2}),
        ("postgresql", 0.2, {"connect_timeout": 1}),
        ("mysql", 2.7, {"connect_timeout": 2, "read_timeout": 2}),
        ("sqlite", 2.7, {}),
    ],
)
def test_drivers_are_told_how_long_they_may_take(dialect: str, seconds: float, limits: dict[str, int]) -> None:
    reader = reader_of({"dialect": dialect, "url": "x", "db": "r"} if dialect != "sqlite" else {"db": "r"})
    assert isinstance(reader, SqlReader)
    told = reader._connect_args(seconds)
    assert {name: value for name, value in told.items() if not name.startswith("keepalives")} == limits


@pytest.mark.parametrize(
    "section", [None, {}, {"type": "InMemory"}, {"store_type": "my_bot.store.Store"}, {"type": "json.JSONDecoder"}]
)
def test_reads_other_stores_through_rasa(section: dict[str, Any] | None) -> None:
    reader = open_reader(section, rasa_url="http://127.0.0.1:5005", rasa_token=None)

    assert isinstance(reader, RasaApiReader)
    with pytest.raises(TrackerStoreError, match=r"set relay\.rasa_url"):
        open_reader(section, rasa_url=None, rasa_token=None)


@pytest.mark.parametrize("kind", ["SQL", "sql", "Sql"])
@pytest.mark.parametrize("key", ["type", "store_type"])
def test_takes_both_names_of_the_type_in_any_case(file: Path, kind: str, key: str) -> None:
    assert len(read(open_reader({key: kind, "db": str(file)}, rasa_url=None, rasa_token=None))) == 1


@pytest.mark.parametrize(
    ("fault", "why"), [("hang", "no answer"), ("reset", "connection broke"), (500, "answered 500")]
)
def test_tells_why_rasa_could_not_be_read(fault: int | str, why: str) -> None:
    with FakeRasa() as rasa:
        reader = open_reader(None, rasa_url=rasa.url, rasa_token=None)
        rasa.fail_next(fault)
        with pytest.raises(TrackerStoreError, match=why):
            read(reader, seconds=0.5)
        reader.close()


def test_an_error_that_no_driver_worded_is_told_in_its_own_words() -> None:
    reader = reader_of({"dialect": "postgresql", "url": "x", "db": "r", "password": PASSWORD})
    assert isinstance(reader, SqlReader)
    assert reader._words(OSError(f"no way to {PASSWORD}@x")) == "no way to ***@x"
    assert reader._words(RuntimeError()) == "RuntimeError"
