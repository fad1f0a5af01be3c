"""What Redis, MongoDB's stand-in and moto's DynamoDB do when they cannot be read; see test_real_databases.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers import open_reader
from tests import stores

pytestmark = pytest.mark.live

SAID = {"event": "user", "timestamp": 1.5, "text": "one"}


def read(section: Mapping[str, Any], sender_id: str = "ann") -> list[dict[str, Any]]:
    return open_reader(section, rasa_url=None, rasa_token=None).events(sender_id, deadline=Deadline(20))


def failure(section: Mapping[str, Any]) -> str:
    with pytest.raises(TrackerStoreError) as caught:
        read(section)
    assert "p@ss" not in str(caught.value)
    return str(caught.value)


def test_redis_tells_a_refused_login(tmp_path: Path) -> None:
    with stores.redis_tls(tmp_path) as section:
        assert "invalid username-password pair" in failure({**section, "password": "p@ss"})
        assert "could not read Redis" in failure({**section, "username": None, "password": None})
        assert "could not read Redis" in failure({**section, "use_ssl": False})
        assert "certificate" in failure({key: value for key, value in section.items() if key != "ssl_ca_certs"})
        assert "could not read Redis" in failure({**section, "ssl_keyfile": str(tmp_path / "none.pem")})
        assert read(section) == []


def test_redis_tells_a_key_of_another_type_and_a_value_that_is_no_conversation() -> None:
    with stores.redis_keys() as section:
        client = redis.Redis(section["url"], section["port"], section["db"])
        client.rpush(f"{section['key_prefix']}:tracker:ann", "x")
        assert "WRONGTYPE" in failure(section)
        client.delete(f"{section['key_prefix']}:tracker:ann")
        client.set(f"{section['key_prefix']}:tracker:ann", b"\x80\x04pickle")
        assert "no conversation" in failure(section)
        client.close()


def test_a_cluster_of_several_nodes_is_read_from_any(tmp_path: Path) -> None:
    with stores.redis_cluster(tmp_path, nodes=2) as ports:
        section = {"type": "redis", "deployment_mode": "cluster", "endpoints": [f"127.0.0.1:{ports[0]}"]}
        clients = [redis.Redis("127.0.0.1", port) for port in ports]
        found = set()
        for number in range(20):
            for node, client in enumerate(clients):
                try:
                    client.set(f"tracker:user-{number}", json.dumps({"events": [SAID]}))
                    found.add(node)
                except redis.ResponseError:  # MOVED: the other's
                    pass
            assert read(section, f"user-{number}") == [SAID]
        assert found == {0, 1}


def test_sentinels_that_do_not_know_the_service_are_told(tmp_path: Path) -> None:
    with stores.redis_sentinel(tmp_path) as section:
        assert "No master found" in failure({**section, "sentinel_service": "other"})


def test_mongodb_tells_a_missing_collection_and_a_login_it_cannot_take() -> None:
    with stores.mongo() as section:
        assert "no collection 'talks' in the database 'shop'" in failure(section)
        assert "tracker_store" in failure({**section, "username": "u", "password": "p@ss"})


def test_mongodb_finds_what_old_rasa_kept_under_a_number_and_leaves_it_so() -> None:
    import pymongo

    with stores.mongo() as section:
        client: Any = pymongo.MongoClient(section["url"])
        talks = client["shop"]["talks"]
        talks.insert_one({"sender_id": 4930, "events": [SAID, None, {"event": "later"}]})
        assert read(section, "4930") == [SAID]
        assert talks.find_one({"sender_id": 4930}) is not None
        assert read(section, "9" * 30) == []
        talks.insert_one({"sender_id": "new"})
        assert read(section, "new") == []
        client.close()


def test_dynamodb_tells_a_missing_table_and_missing_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with stores.dynamo() as (section, env):
        monkeypatch.setenv("AWS_ENDPOINT_URL", env["AWS_ENDPOINT_URL"])
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        assert "Unable to locate credentials" in failure(section)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert "ResourceNotFoundException" in failure(section)
