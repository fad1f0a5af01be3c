"""The readers of Redis, MongoDB, DynamoDB and of a bot's own store, as far as no server is needed."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers import TrackerReader, open_reader
from rasa_tiledesk.trackers.custom import CustomReader
from rasa_tiledesk.trackers.rasa_api import RasaApiReader
from rasa_tiledesk.trackers.reading import in_time
from rasa_tiledesk.trackers.redis_store import RedisReader
from tests.contract.written_stores import DynamoStore, MongoStore, RedisStore
from tests.counting import all_readers_ended
from tests.unit.sockets import read as heard
from tests.unit.sockets import server

PASSWORD = "p@ss:w/rd"
VAULT = {"source": "secrets_manager.vault", "secret_key": "k"}
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": PASSWORD}


def opened(section: Mapping[str, Any]) -> TrackerReader:
    return open_reader(section, rasa_url="http://127.0.0.1:5005", rasa_token=None)


def failure(section: Mapping[str, Any], seconds: float = 3) -> str:
    with pytest.raises(TrackerStoreError) as caught:
        opened(section).events("ann", deadline=Deadline(seconds))
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"type": "redis", "port": "abc"}, "tracker_store.port must be a number"),
        ({"type": "redis", "db": "x"}, "tracker_store.db must be a number"),
        ({"type": "redis", "db": float("inf")}, "tracker_store.db must be a number"),
        ({"type": "redis", "url": "redis://cache"}, "tracker_store.url must be a host"),
        ({"type": "redis", "password": VAULT}, "tracker_store.password must be text"),
        ({"type": "redis", "deployment_mode": "ring"}, "one of standard, cluster, sentinel"),
        ({"type": "redis", "deployment_mode": "sentinel"}, "tracker_store.endpoints must list the sentinels"),
        ({"type": "redis", "deployment_mode": "cluster", "endpoints": ["a:b"]}, "list of host:port"),
        ({"type": "redis", "deployment_mode": "cluster", "endpoints": 5}, "list of host:port"),
        ({"type": "mongod", "url": f"mongodb://u:{PASSWORD}@host"}, "percent-encoded"),
        ({"type": "mongod", "url": "host:port"}, "tracker_store.url is no MongoDB URL"),
        ({"type": "mongod", "username": VAULT}, "tracker_store.username must be text"),
        ({"type": "dynamo", "table_name": ["a"]}, "tracker_store.table_name must be text"),
    ],
)
def test_says_which_key_is_wrong(section: Mapping[str, Any], why: str) -> None:
    assert why in failure(section)


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [("redis", "redis", "redis"), ("mongod", "pymongo", "mongodb"), ("dynamo", "boto3", "dynamodb")],
)
def test_says_how_to_install_a_driver(kind: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python does for a module that cannot be imported

    assert f"pip install 'rasa-tiledesk[{extra}]'" in failure({"type": kind})


@pytest.mark.parametrize(
    ("prefix", "key"),
    [(None, "tracker:"), ("", "tracker:"), ("shop", "shop:tracker:"), ("my-shop", "tracker:"), (5, "tracker:")],
)
def test_understands_rasas_key_prefix(prefix: object, key: str) -> None:
    reader = opened({"type": "redis", "key_prefix": prefix})

    assert isinstance(reader, RedisReader)
    assert reader._prefix == key


@pytest.mark.parametrize(
    ("kind", "variable"),
    [("SQL", "RDS_SQL_DB_AWS_IAM_ENABLED"), ("redis", "ELASTICACHE_REDIS_AWS_IAM_ENABLED")],
)
def test_says_what_works_instead_of_iam(kind: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IAM_CLOUD_PROVIDER", "aws")
    monkeypatch.setenv(variable, "true")

    assert "username and password of a login that may read" in failure({"type": kind})


@pytest.fixture(params=["redis", "redis-cluster", "redis-sentinel", "mongod", "dynamo"])
def at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The section of a store at a port."""

    def section(port: int) -> dict[str, Any]:
        kind, _, mode = request.param.partition("-")
        if kind == "dynamo":
            for name, value in {**AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
                monkeypatch.setenv(name, value)
            return {"type": "dynamo"}
        login = {"username": "u", "password": PASSWORD}
        if kind == "mongod":
            return {"type": "mongod", "url": f"mongodb://127.0.0.1:{port}", **login}
        pro = {"deployment_mode": mode, "endpoints": [f"127.0.0.1:{port}"]} if mode else {}
        return {"type": "redis", "url": "127.0.0.1", "port": port, **login, **pro}

    return section


def test_a_server_that_is_down_is_told_in_time(at: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        section = at(closed.getsockname()[1])
        assert "(check its" in failure(section)


def test_a_silent_server_is_not_waited_for(at: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        section = at(listener.getsockname()[1])
        assert "(check its" in failure(section, seconds=1)


def test_a_server_that_talks_nonsense_is_told_in_time(at: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=talk_nonsense, args=(listener,), daemon=True).start()
        assert "(check its" in failure(at(listener.getsockname()[1]))


def talk_nonsense(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 4\r\n\r\n\x00\xff\r\n")
            time.sleep(0.1)


def test_a_read_that_never_ends_is_given_up() -> None:
    over = threading.Event()
    with pytest.raises(TrackerStoreError, match=r"no answer within 0\.2 s \(check its url\)"):
        in_time(lambda deadline: over.wait(), Deadline(0.2), check="url")
    over.set()


@pytest.mark.parametrize("at", ["redis", "redis-sentinel", "mongod"], indirect=True)
def test_a_server_that_never_comes_to_an_end_leaves_no_thread_behind(at: Any) -> None:
    """A byte now and then, for ever: each begins a socket's timeout anew."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=talk_for_ever, args=(listener,), daemon=True).start()
        assert "(check its" in failure(at(listener.getsockname()[1]), seconds=0.5)
        assert all_readers_ended()


def talk_for_ever(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=trickle, args=(listener.accept()[0],), daemon=True).start()


def trickle(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"$100000\r\n" if connection.recv(100)[:1] == b"*" else b"\x00\xff\x00\x00")
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)


@pytest.fixture
def held() -> Any:
    """Let Redis hold this."""

    def hold(value: Any) -> TrackerReader:
        store = RedisStore()
        if value is not None:
            store.put("ann", value if isinstance(value, bytes) else json.dumps(value).encode())
        return store.open()

    return hold


@pytest.mark.parametrize(
    "value",
    [
        *(b"\x80\x04pickle", b"", "text", 5, [1], {"name": "ann"}, {"events": None}),
        b'{"events": ' + b"[" * 200_000,
        b'{"events": [' + b"9" * 5_000 + b"}",
    ],
)
def test_a_value_of_redis_that_is_no_conversation_is_told(held: Any, value: Any) -> None:
    with pytest.raises(TrackerStoreError, match=r"no conversation \(check key_prefix\)"):
        held(value).events("ann", deadline=Deadline(10))


def test_leaves_garbage_out_and_counts_it(held: Any, caplog: pytest.LogCaptureFixture) -> None:
    said = {"event": "user", "text": "one"}
    reader = held({"events": [said, None, "secret words", ["x"], {"event": ["user"]}, {}]})

    assert reader.events("ann", deadline=Deadline(3)) == [said]
    assert "3 rows" in caplog.text
    assert "secret" not in caplog.text


def test_a_byte_that_is_no_utf_8_does_not_hide_the_rest(held: Any) -> None:
    (event,) = held(b'{"events": [{"event": "user", "text": "a\xffb"}]}').events("ann", deadline=Deadline(3))
    assert event["text"] == "a\ufffdb"


@pytest.fixture
def dynamo(monkeypatch: pytest.MonkeyPatch) -> DynamoStore:
    return DynamoStore(monkeypatch)


def test_dynamos_numbers_are_as_the_other_stores_hold_them(dynamo: DynamoStore) -> None:
    event = {
        "event": {"S": "bot"},
        "timestamp": {"N": "1795371246"},
        "text": {"NULL": True},
        "data": {"M": {"page": {"N": "3"}, "price": {"N": "2.500000000"}, "big": {"N": "1E+30"}, "on": {"BOOL": True}}},
        "list": {"L": [{"S": "a"}, {"N": "-4.0"}]},
    }
    dynamo.put("ann", {"L": [{"M": event}]})
    (found,) = dynamo.open().events("ann", deadline=Deadline(10))

    assert found == {
        "event": "bot",
        "timestamp": 1795371246.0,
        "text": None,
        "data": {"page": 3, "price": 2.5, "big": 1e30, "on": True},
        "list": ["a", -4],
    }
    assert [type(found["timestamp"]), type(found["data"]["page"])] == [float, int]


def test_what_rasa_pro_appended_twice_is_given_once(dynamo: DynamoStore) -> None:
    one, two = ({"M": {"event": {"S": "user"}, "timestamp": {"N": time}}} for time in ("1.5", "2.5"))
    dynamo.put("ann", {"L": [one, two, one, two]})
    dynamo.put("bob", None)

    assert [event["timestamp"] for event in dynamo.open().events("ann", deadline=Deadline(10))] == [1.5, 2.5]
    assert dynamo.open().events("bob", deadline=Deadline(10)) == []


@pytest.mark.parametrize("events", [{"S": "text"}, {"N": "5"}, {"M": {}}, {"NULL": True}, {"BOOL": True}])
def test_an_item_of_dynamo_that_is_no_conversation_is_told(events: Any, dynamo: DynamoStore) -> None:
    dynamo.put("ann", events)
    with pytest.raises(TrackerStoreError, match=r"no conversation \(check its table_name\)"):
        dynamo.open().events("ann", deadline=Deadline(10))


def test_mongodb_tells_a_missing_collection() -> None:
    store = MongoStore()
    with pytest.raises(TrackerStoreError, match=r"no collection '\w+' in the database 'rasa' \(check its db and coll"):
        store.open().events("ann", deadline=Deadline(10))


OWN = """
class Store:
    def __init__(self, host, domain, event_broker, **more):
        self.said = [{"event": "user", "text": host}, "garbage", {"event": "bot", "text": str(more)}]
        if "broken" in more:
            raise KeyError("secret words")

    def events(self, sender_id, *, deadline):
        if sender_id == "raise":
            raise RuntimeError("secret words")
        return self.said

class Other:
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "shop_store.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("shop_store", None)


@pytest.mark.usefixtures("own")
def test_reads_through_the_bots_own_class() -> None:
    reader = opened({"type": "shop_store.Store", "url": "here", "shelf": 4})

    assert isinstance(reader, CustomReader)
    found = reader.events("ann", deadline=Deadline(3))
    assert [event["text"] for event in found] == ["here", "{'shelf': 4}"]
    assert reader.events("ann", deadline=Deadline(3), newest=1) == found[1:]
    reader.close()


@pytest.mark.usefixtures("own")
def test_tells_what_the_bots_own_class_did() -> None:
    with pytest.raises(
        TrackerStoreError, match=r"RuntimeError while it was read \(check its type, shop_store\.Store\)"
    ) as caught:
        opened({"type": "shop_store.Store"}).events("raise", deadline=Deadline(3))
    assert "secret" not in str(caught.value)
    with pytest.raises(TrackerStoreError, match="could not be made: KeyError"):
        opened({"type": "shop_store.Store", "broken": True})


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("shop_store.Other", "no method `events"),
        ("shop_store.Nothing", "cannot be imported here: AttributeError"),
        ("nowhere.Store", "cannot be imported here: ModuleNotFoundError"),
        ("mongodb", "cannot be imported here: ValueError"),
    ],
)
def test_another_class_is_read_through_rasa_and_why(path: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert isinstance(opened({"type": path}), RasaApiReader)
    assert why in caplog.text
    with pytest.raises(TrackerStoreError, match=r"set relay\.rasa_url"):
        open_reader({"type": path}, rasa_url=None, rasa_token=None)


def test_what_stands_for_a_class_by_mistake_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    section = {"type": f"postgresql://u:{PASSWORD}@host/rasa"}
    with caplog.at_level(logging.INFO):
        assert isinstance(opened(section), RasaApiReader)
    assert "tracker_store.type: which cannot be imported here: ValueError" in caplog.text
    assert PASSWORD not in caplog.text
    assert "set relay.rasa_url" in failure_without_rasa(section)


def failure_without_rasa(section: Mapping[str, Any]) -> str:
    with pytest.raises(TrackerStoreError) as caught:
        open_reader(section, rasa_url=None, rasa_token=None)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_drivers_are_imported_for_their_own_store_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("redis", "pymongo", "boto3"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))

    assert opened({"type": "SQL", "db": str(tmp_path / "x.db")})
    assert opened({})


def test_dynamo_is_asked_for_what_was_saved_a_moment_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(heard(connection))
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"Items": []}')

    with server(answer) as url:
        for name, value in {**AWS, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        assert opened({"type": "dynamo"}).events("ann", deadline=Deadline(5)) == []
    question = json.loads(asked[0].partition(b"\r\n\r\n")[2])
    assert question["ConsistentRead"] is True
    assert question["TableName"] == "states"
