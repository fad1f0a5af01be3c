"""Redis, MongoDB and DynamoDB as far as they run anywhere: written in Rasa's format, read over their own protocols.

fakeredis, mongomock behind MongoDB's wire protocol (stack/mongo_standin.py) and moto: servers on free ports of this
process, one of each for all tests. What Rasa itself writes into the real ones is read in the live runs.
"""

from __future__ import annotations

import functools
import json
import threading
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import boto3  # type: ignore[import-untyped]
import pymongo
import pytest
import redis
from boto3.dynamodb.types import TypeSerializer  # type: ignore[import-untyped]
from fakeredis import TcpFakeServer
from moto.server import ThreadedMotoServer

from rasa_tiledesk.trackers import TrackerReader, open_reader
from stack import mongo_standin

__all__ = ["DynamoStore", "MongoStore", "RedisStore"]

Conversations = Mapping[str, list[dict[str, Any]]]


class RedisStore:
    """Keys of a prefix of their own (rasa 3.6.21, core/tracker_store.py: RedisTrackerStore.save)."""

    def __init__(self) -> None:
        prefix = f"test{uuid.uuid4().hex}"
        self.section = {"type": "redis", "url": "127.0.0.1", "port": _redis(), "key_prefix": prefix}
        self._key = f"{prefix}:tracker:"
        self._held: dict[str, list[dict[str, Any]]] = {}

    def open(self) -> TrackerReader:
        return open_reader(self.section, rasa_url=None, rasa_token=None)

    def write(self, conversations: Conversations) -> dict[str, list[dict[str, Any]]]:
        for sender_id, events in conversations.items():
            held = self._held.setdefault(sender_id, [])
            held += events
            self.put(sender_id, json.dumps({"name": sender_id, "events": held}).encode())
        return {sender_id: list(self._held[sender_id]) for sender_id in conversations}

    def put(self, sender_id: str, value: bytes) -> None:
        """Any bytes, instead of a conversation."""
        with redis.Redis("127.0.0.1", _redis()) as client:
            client.set(self._key + sender_id, value)


class MongoStore:
    """A collection of its own (MongoTrackerStore.save)."""

    def __init__(self) -> None:
        self.section = {"type": "mongod", "url": f"mongodb://127.0.0.1:{_mongo()}", "collection": uuid.uuid4().hex}

    def open(self) -> TrackerReader:
        return open_reader(self.section, rasa_url=None, rasa_token=None)

    def write(self, conversations: Conversations) -> dict[str, list[dict[str, Any]]]:
        client: Any = pymongo.MongoClient(self.section["url"])
        talks = client["rasa"][self.section["collection"]]
        held = {}
        for sender_id, events in conversations.items():
            change = {"$push": {"events": {"$each": events}}, "$set": {"sender_id": sender_id}}
            talks.update_one({"sender_id": sender_id}, change, upsert=True)
            held[sender_id] = list(talks.find_one({"sender_id": sender_id})["events"])
        client.close()
        return held


class DynamoStore:
    """A table of its own (DynamoTrackerStore.save, and core/utils.py: replace_floats_with_decimals)."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        login = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "NO_PROXY": "127.0.0.1"}
        for name, value in {**login, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_dynamo()}"}.items():
            patch.setenv(name, value)
        self._table = f"states_{uuid.uuid4().hex}"
        self.section = {"type": "dynamo", "region": "eu-central-1", "table_name": self._table}
        self._held: dict[str, list[dict[str, Any]]] = {}
        key = {"AttributeName": "sender_id"}
        self._client().create_table(
            TableName=self._table,
            KeySchema=[{**key, "KeyType": "HASH"}],
            AttributeDefinitions=[{**key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def open(self) -> TrackerReader:
        return open_reader(self.section, rasa_url=None, rasa_token=None)

    def write(self, conversations: Conversations) -> dict[str, list[dict[str, Any]]]:
        for sender_id, events in conversations.items():
            held = self._held.setdefault(sender_id, [])
            held += events
            typed = TypeSerializer().serialize(json.loads(json.dumps(held), parse_float=_nine_digits))
            self.put(sender_id, typed)
        return {sender_id: list(self._held[sender_id]) for sender_id in conversations}

    def put(self, sender_id: str, events: Mapping[str, Any] | None) -> None:
        """Any value of DynamoDB's, instead of a list of events; None for an item without one."""
        item = {"sender_id": {"S": sender_id}, **({"events": events} if events else {})}
        self._client().put_item(TableName=self._table, Item=item)

    def _client(self) -> Any:
        return boto3.session.Session().client("dynamodb", region_name="eu-central-1")


def _nine_digits(number: str) -> Decimal:
    return round(Decimal(float(number)), 9)


@functools.lru_cache
def _redis() -> int:
    server = TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


@functools.lru_cache
def _mongo() -> int:
    server = mongo_standin._Server(("127.0.0.1", 0), mongo_standin._Connection)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


@functools.lru_cache
def _dynamo() -> int:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    return int(server.get_host_and_port()[1])
