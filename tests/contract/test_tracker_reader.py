"""What every reader of a tracker store must do: one suite for all of them.

The stores of the unit runs are written by the test in Rasa's format (written_stores.py); those of the live runs
(`live`) by the real rasa 3.6.21, on SQLite, on real databases (tests/databases.py) and on real Redis, a stand-in for
MongoDB and moto's DynamoDB (tests/stores.py).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Protocol
from uuid import uuid4

import pytest
import sqlalchemy as sa

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.testing.conversations import load
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.trackers import TrackerReader, open_reader
from rasa_tiledesk.transcript import Redactor, Rule, read_turns
from tests import stores
from tests.contract.written_stores import DynamoStore, MongoStore, RedisStore
from tests.databases import MYSQL, POSTGRESQL, own_database
from tests.rasa_python import rasa_python

SCHEMA = """
CREATE TABLE events (
    id INTEGER NOT NULL, sender_id VARCHAR(255) NOT NULL, type_name VARCHAR(255) NOT NULL, timestamp FLOAT,
    intent_name VARCHAR(255), action_name VARCHAR(255), data TEXT, PRIMARY KEY (id)
);
CREATE INDEX ix_events_sender_id ON events (sender_id);
"""


class Store(Protocol):
    """A tracker store that somebody writes and our reader reads."""

    def open(self) -> TrackerReader: ...

    def write(self, conversations: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Add to the conversations; gives what the store then holds of each."""


class SqliteStore:
    def __init__(self, folder: Path) -> None:
        self._file = folder / "rasa.db"
        with contextlib.closing(sqlite3.connect(self._file)) as database:
            database.executescript(SCHEMA)

    def open(self) -> TrackerReader:
        return open_reader({"type": "SQL", "db": str(self._file)}, rasa_url=None, rasa_token=None)

    def write(self, conversations: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        insert = "INSERT INTO events (sender_id, type_name, timestamp, action_name, data) VALUES (?, ?, ?, ?, ?)"
        with contextlib.closing(sqlite3.connect(self._file)) as database, database:
            for sender_id, events in conversations.items():
                rows = [
                    (sender_id, event["event"], event["timestamp"], event.get("name"), json.dumps(event))
                    for event in events
                ]
                database.executemany(insert, rows)
        return {sender_id: list(events) for sender_id, events in conversations.items()}


class FakeRasaStore:
    def __init__(self, rasa: FakeRasa) -> None:
        self._rasa = rasa

    def open(self) -> TrackerReader:
        return open_reader(None, rasa_url=self._rasa.url, rasa_token="t&k n")

    def write(self, conversations: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        for sender_id, events in conversations.items():
            self._rasa.add(sender_id, events)
        return {sender_id: self._rasa.events(sender_id) for sender_id in conversations}


class RealStore:
    """Written by the real Rasa's own tracker store."""

    def __init__(self, section: Mapping[str, Any], *, env: Mapping[str, str] | None = None) -> None:
        self._section = dict(section)
        self._env = {**(env or {}), "SQLALCHEMY_SILENCE_UBER_WARNING": "1"}

    def open(self) -> TrackerReader:
        return open_reader(self._section, rasa_url=None, rasa_token=None)

    def write(self, conversations: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        job = {
            "environment": {**os.environ, **self._env},
            "tracker_store": self._section,
            "conversations": conversations,
        }
        rasa = _rasa()
        assert rasa.stdin
        assert rasa.stdout
        rasa.stdin.write(json.dumps(job).encode() + b"\n")
        rasa.stdin.flush()
        answer = json.loads(rasa.stdout.readline() or '{"error": "it has ended"}')
        assert "error" not in answer, answer["error"]
        held: dict[str, list[dict[str, Any]]] = answer["held"]
        return held


@functools.lru_cache
def _rasa() -> subprocess.Popen[bytes]:
    """Rasa's side, for all tests of this run."""
    script = Path(__file__).with_name("written_by_rasa.py")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([rasa_python(), str(script)], **pipes)
    atexit.register(process.kill)
    return process


def section_of(url: sa.engine.URL, dialect: str) -> dict[str, Any]:
    keys = {"url": url.host, "port": url.port, "username": url.username, "password": url.password, "db": url.database}
    return {"type": "SQL", "dialect": dialect, **keys}


@contextlib.contextmanager
def fake_rasa(_folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with FakeRasa(token="t&k n") as rasa:
        yield FakeRasaStore(rasa)


@contextlib.contextmanager
def postgresql(_folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with own_database(POSTGRESQL) as url:
        yield RealStore(section_of(url, "postgresql"))


@contextlib.contextmanager
def postgresql_schema(_folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with own_database(POSTGRESQL) as url:
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as database:
            database.execute(sa.text("CREATE SCHEMA rasa"))
        engine.dispose()
        patch.setenv("POSTGRESQL_SCHEMA", "rasa")
        yield RealStore(section_of(url, "postgresql"), env={"POSTGRESQL_SCHEMA": "rasa"})


@contextlib.contextmanager
def postgresql_dsn(_folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with own_database(POSTGRESQL) as url:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        yield RealStore({"type": "SQL", "url": dsn})


@contextlib.contextmanager
def mysql(_folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with own_database(MYSQL) as url:
        yield RealStore(section_of(url, "mysql+pymysql"))


@contextlib.contextmanager
def redis(_folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with stores.redis_keys() as section:
        yield RealStore(section)


@contextlib.contextmanager
def redis_tls(folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with stores.redis_tls(folder) as section:
        yield RealStore(section)


@contextlib.contextmanager
def redis_cluster(folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with stores.redis_cluster(folder) as (port,):
        pro = {"deployment_mode": "cluster", "endpoints": [f"127.0.0.1:{port}"]}
        yield RealStore({"type": "redis", "url": "127.0.0.1", "port": port, **pro})


@contextlib.contextmanager
def redis_sentinel(folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with stores.redis_sentinel(folder) as section:
        yield RealStore(section)


@contextlib.contextmanager
def mongo(_folder: Path, _patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with stores.mongo() as section:
        yield RealStore(section)


@contextlib.contextmanager
def dynamo(_folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Store]:
    with stores.dynamo() as (section, env):
        for name, value in env.items():
            patch.setenv(name, value)
        yield RealStore(section)


STORES: dict[str, Callable[[Path, pytest.MonkeyPatch], contextlib.AbstractContextManager[Store]]] = {
    "sqlite": lambda folder, _: contextlib.nullcontext(SqliteStore(folder)),
    "rasa_api": fake_rasa,
    "redis": lambda *_: contextlib.nullcontext(RedisStore()),
    "mongo": lambda *_: contextlib.nullcontext(MongoStore()),
    "dynamo": lambda _, patch: contextlib.nullcontext(DynamoStore(patch)),
    "rasa-sqlite": lambda folder, _: contextlib.nullcontext(
        RealStore({"type": "SQL", "dialect": "sqlite", "db": str(folder / "rasa.db")})
    ),
    "rasa-postgresql": postgresql,
    "rasa-postgresql-schema": postgresql_schema,
    "rasa-postgresql-dsn": postgresql_dsn,
    "rasa-mysql": mysql,
    "rasa-redis": redis,
    "rasa-redis-tls": redis_tls,
    "rasa-redis-cluster": redis_cluster,
    "rasa-redis-sentinel": redis_sentinel,
    "rasa-mongo": mongo,
    "rasa-dynamo": dynamo,
}


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.live) if name.startswith("rasa-") else name for name in STORES]
)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with STORES[request.param](tmp_path, monkeypatch) as opened:
        yield opened


@pytest.fixture
def reader(store: Store) -> Iterator[TrackerReader]:
    opened = store.open()
    yield opened
    opened.close()


def telling(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that a transcript is made of."""
    types = {"user", "bot", "agent", "slot", "reset_slots", "entities", "session_started", "restart"}
    return [each for each in events if each["event"] in types or each.get("name") == "action_session_start"]


def read(reader: TrackerReader, sender_id: str) -> list[dict[str, Any]]:
    return reader.events(sender_id, deadline=Deadline(10))


def user(text: str, timestamp: float) -> dict[str, Any]:
    """A user event with every key that Rasa writes."""
    told = {"text": text, "message_id": uuid4().hex, "metadata": {}}
    parsed = {"intent": {"name": "inform", "confidence": 1.0}, "entities": [], **told}
    event = {"event": "user", "timestamp": timestamp, "metadata": {"model_id": "m"}, "parse_data": parsed}
    return {**event, "text": text, "input_channel": "rest", "message_id": told["message_id"]}


def test_gives_every_event_of_all_sessions_in_order(store: Store, reader: TrackerReader) -> None:
    held = store.write({"ann": load("shop")})

    assert held["ann"] == load("shop")
    assert read(reader, "ann") == telling(held["ann"])
    assert read_turns(read(reader, "ann")) == read_turns(held["ann"])


def test_what_an_earlier_session_recognised_is_known_and_does_not_leave(store: Store, reader: TrackerReader) -> None:
    """Entities stand in what was parsed of the user's words, and in events of their own, which policies write."""
    parsed = {**user("it is C01X00T47", 1.5)}
    parsed["parse_data"]["entities"] = [{"entity": "passport", "value": "C01X00T47", "start": 6, "end": 15}]
    found = {"event": "entities", "timestamp": 2.5, "entities": [{"entity": "passport", "value": "L22Y11"}]}
    begins = {"event": "session_started", "timestamp": 90_000.5}
    store.write({"ann": [parsed, found, begins, user("c01x-00t47 and l22 y11", 90_001.5)]})

    events = read(reader, "ann")
    remove = Redactor([Rule("entity", "passport")], events)
    assert [remove.turn(turn).text for turn in read_turns(events)] == ["it is ••••", "•••• and ••••"]


def test_gives_nothing_of_an_unknown_sender(store: Store, reader: TrackerReader) -> None:
    store.write({"ann": load("shop")})

    assert read(reader, "bob") == []


def test_keeps_senders_apart(store: Store, reader: TrackerReader) -> None:
    hers, his = user("hers", 1.5), user("his", 2.5)
    store.write({"ann": [hers], "ann2": [his], "an_": [his], "%": [his]} if reads_any_id(store) else {"ann": [hers]})

    assert [event["text"] for event in read(reader, "ann") if event["event"] == "user"] == ["hers"]


@pytest.mark.parametrize("sender_id", ["whatsapp:+49(30)1", "U01/C02_1712.5", "ann@mail.example"])
def test_takes_the_sender_ids_of_rasas_channels(store: Store, reader: TrackerReader, sender_id: str) -> None:
    held = store.write({sender_id: [user("hello", 1.5)]})

    assert read(reader, sender_id) == telling(held[sender_id])


def test_takes_any_sender_id(store: Store, reader: TrackerReader) -> None:
    odd = "Zoë O'Brien \"; DROP TABLE events;-- ?#%"
    if not reads_any_id(store):
        with pytest.raises(TrackerStoreError, match="cannot name this sender id"):
            read(reader, odd)
        return
    held = store.write({odd: [user("hello", 1.5)]})

    assert read(reader, odd) == telling(held[odd])


def test_gives_the_newest_only_when_asked(store: Store, reader: TrackerReader) -> None:
    held = telling(store.write({"ann": load("shop")})["ann"])

    for newest in (0, 1, 7, len(held), 1000):
        assert reader.events("ann", deadline=Deadline(10), newest=newest) == held[max(0, len(held) - newest) :]
    assert reader.events("bob", deadline=Deadline(10), newest=7) == []


def test_keeps_texts_and_times_exactly(store: Store, reader: TrackerReader) -> None:
    texts = ["", "👩🏽‍💻 \u202eright\u202c\tto\nleft \\u0000", "x" * 20_000, '{"a": "b"}', "\\close ${USER} %s :name"]
    times = [1795371246.7552056, 1795371246.7552058, 1795371246.7552059, 1795371246.76, 1795371247.0]
    said = [user(text, timestamp) for text, timestamp in zip(texts, times)]
    store.write({"ann": said})

    events = [event for event in read(reader, "ann") if event["event"] == "user"]
    assert [event["text"] for event in events] == texts
    assert [event["timestamp"] for event in events] == times


def test_sees_what_was_said_since_it_read_last(store: Store, reader: TrackerReader) -> None:
    store.write({"ann": [user("one", 1.5)]})
    first = read(reader, "ann")
    store.write({"ann": [user("two", 2.5)]})

    second = read(reader, "ann")
    assert second[: len(first)] == first
    assert [event["text"] for event in second if event["event"] == "user"] == ["one", "two"]


def test_is_shared_between_threads(store: Store, reader: TrackerReader) -> None:
    held = store.write({name: [user(name, 1.5)] for name in ("ann", "bob", "eve")})

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda name: (name, read(reader, name)), ["ann", "bob", "eve"] * 8))
    assert all(events == telling(held[name]) for name, events in found)


def test_refuses_to_begin_when_no_time_is_left(store: Store, reader: TrackerReader) -> None:
    store.write({"ann": [user("one", 1.5)]})

    with pytest.raises(TrackerStoreError, match="no time left"):
        reader.events("ann", deadline=Deadline(0))


def reads_any_id(store: Store) -> bool:
    """Rasa's HTTP API does not decode paths, so some ids cannot be named over it."""
    return not isinstance(store, FakeRasaStore)
