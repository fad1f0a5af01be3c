"""The Redis tracker store: one server, and Rasa Pro's cluster and sentinel."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.reading import (
    Attempt,
    driver,
    events_among,
    in_time,
    in_words,
    newest_of,
    require_text,
    whole_number,
)

__all__ = ["RedisReader"]

_CHECK = "url, port, db, username, password, use_ssl and ssl files"
_MODES = ("standard", "cluster", "sentinel")
_Node = tuple[str, int]


class RedisReader:
    """Reads the key that Rasa keeps a conversation under (rasa 3.6.21, core/tracker_store.py: RedisTrackerStore).

    The value is one JSON text with all events, so the newest events cost what all of them cost.

    Each read has a connection of its own, as the SQL reader's and for the same reasons.

    Args:
        section: the `tracker_store` section, understood as Rasa understands it. `deployment_mode`, `endpoints` and
            `sentinel_service` are Rasa Pro's (3.14).

    Raises:
        TrackerStoreError: a key is wrong, or the driver is not installed.
    """

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._redis = driver("redis", extra="redis")
        require_text(section, "url", "username", "password", "key_prefix", "sentinel_service")
        self._host = str(section.get("url") or "localhost")
        if "://" in self._host:
            raise TrackerStoreError("tracker_store.url must be a host, as Rasa takes it; port, db and login have keys")
        self._port = whole_number(section, "port", 6379)
        self._db = whole_number(section, "db", 0)
        self._password = section.get("password")
        self._login = {"username": section.get("username"), "password": self._password}
        self._tls = _tls(section)
        self._prefix = _prefix(section.get("key_prefix"))
        self._mode = str(section.get("deployment_mode") or "standard")
        if self._mode not in _MODES:
            raise TrackerStoreError(f"tracker_store.deployment_mode must be one of {', '.join(_MODES)}")
        self._nodes = _nodes(section.get("endpoints") or [])
        self._service = str(section.get("sentinel_service") or "mymaster")
        if self._mode == "sentinel" and not self._nodes:
            raise TrackerStoreError("tracker_store.endpoints must list the sentinels, each as host:port")

    @classmethod
    def from_endpoint(cls, section: Mapping[str, Any]) -> RedisReader:
        """The reader for a `tracker_store` section."""
        return cls(section)

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of the conversation; see `TrackerReader`."""
        check = f"endpoints and sentinel_service, {_CHECK}" if self._mode != "standard" else _CHECK
        stored = in_time(lambda attempt: self._get(sender_id, attempt, check), deadline, check=check)
        if stored is None:
            return []
        try:
            # A byte that is no UTF-8 must not hide the rest.
            found = json.loads(stored.decode(errors="replace"))["events"]
            items = list(found)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise TrackerStoreError("tracker_store: what Redis holds is no conversation (check key_prefix)") from None
        return newest_of(events_among(items), newest)

    def close(self) -> None:
        """Nothing is kept open."""

    def _get(self, sender_id: str, attempt: Attempt, check: str) -> bytes | None:
        key = self._prefix + sender_id
        errors = self._redis.exceptions
        try:
            with contextlib.closing(self._client(attempt)) as client:
                stored: bytes | None = client.get(key.encode("utf-8", "surrogatepass"))
                return stored
        except (errors.RedisError, errors.RedisClusterException, OSError, ValueError) as error:
            words = in_words(error, self._password)
            raise TrackerStoreError(f"tracker_store: could not read Redis: {words} (check its {check})") from None

    def _client(self, attempt: Attempt) -> Any:
        seconds = attempt.remaining()
        # One attempt: drivers since redis 6 repeat it three times, each with the whole timeout.
        retry = self._redis.retry.Retry(self._redis.backoff.NoBackoff(), 0)
        how = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": retry}
        if int(self._redis.__version__.partition(".")[0]) >= 5:
            how["protocol"] = 2  # which every server speaks; drivers of today begin with a command that Redis 5 lacks
        if self._mode == "cluster":
            cluster = driver("redis.cluster", extra="redis")
            nodes = [cluster.ClusterNode(*node) for node in self._nodes or [(self._host, self._port)]]
            whole = cluster.RedisCluster(startup_nodes=nodes, **self._login, **self._tls, **how)
            attempt.ends_by(whole.disconnect_connection_pools)
            return whole
        if self._mode == "sentinel":
            # As in Rasa Pro, login and TLS are the master's; the sentinels are asked without.
            sentinel = driver("redis.sentinel", extra="redis").Sentinel
            known = sentinel(self._nodes, sentinel_kwargs=how, **self._login, **self._tls, **how)
            client = known.master_for(self._service, db=self._db)
            asked = [client, *known.sentinels]
        else:
            client = self._redis.Redis(self._host, self._port, self._db, **self._login, **self._tls, **how)
            asked = [client]
        for each in asked:
            attempt.ends_by(each.connection_pool.disconnect)
        return client


def _prefix(value: object) -> str:
    # Rasa leaves out a prefix that is not alphanumeric, with a warning.
    return f"{value}:tracker:" if isinstance(value, str) and value.isalnum() else "tracker:"


def _tls(section: Mapping[str, Any]) -> dict[str, Any]:
    if not section.get("use_ssl"):  # as in Rasa, the text "false" is true
        return {}
    files = {key: section.get(key) for key in ("ssl_keyfile", "ssl_certfile", "ssl_ca_certs")}
    return {"ssl": True, **{key: str(file) for key, file in files.items() if file}}


def _nodes(endpoints: object) -> list[_Node]:
    if not isinstance(endpoints, list):
        raise TrackerStoreError("tracker_store.endpoints must be a list of host:port")
    return [_node(each) for each in endpoints]


def _node(endpoint: object) -> _Node:
    host, _, port = str(endpoint).rpartition(":")
    if not host or not port.isdecimal():
        raise TrackerStoreError("tracker_store.endpoints must be a list of host:port")
    return host, int(port)
