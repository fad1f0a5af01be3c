"""Tracker stores of a test's own that are no SQL: Redis in all its shapes, MongoDB's stand-in, DynamoDB by moto.

Each gives the `tracker_store` section that names it and the environment that Rasa needs for it. A server that is not
there is a failure; TEST_REDIS_URL says where Redis is.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from moto.server import ThreadedMotoServer

from stack.mongo import mongo_standin
from stack.processes import Child, free_port, started

__all__ = ["Section", "dynamo", "mongo", "redis_cluster", "redis_keys", "redis_sentinel", "redis_server", "redis_tls"]

Section = dict[str, Any]

REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


@contextlib.contextmanager
def redis_keys() -> Iterator[Section]:
    """Keys of a prefix of their own in the machine's Redis; deleted afterwards."""
    url, prefix = urlsplit(REDIS), f"test{uuid.uuid4().hex[:12]}"
    client = redis.Redis.from_url(REDIS)
    client.ping()
    try:
        where = {"url": url.hostname, "port": url.port, "db": int(url.path.strip("/") or 0)}
        yield {"type": "redis", **where, "key_prefix": prefix}
    finally:
        for key in client.scan_iter(f"{prefix}:*"):
            client.delete(key)
        client.close()


@contextlib.contextmanager
def redis_server(folder: Path, *options: str, port: int | None = None) -> Iterator[int]:
    """A Redis server of its own, in memory only; gives its port, which takes TLS when `port` names another."""
    own = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    listen = [] if port else ["--port", str(own)]
    command = ["redis-server", *listen, "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    child = Child("redis-server", command, log=folder / "redis.log", cwd=folder)
    with started(child, lambda: "eady to accept" in (folder / "redis.log").read_text(), seconds=20):
        yield own


@contextlib.contextmanager
def redis_tls(folder: Path) -> Iterator[Section]:
    """A server that takes TLS only, asks for a certificate of the client's and for a user's login, with db 3."""
    folder.mkdir(parents=True, exist_ok=True)
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    key, certificate, port = str(folder / "key.pem"), str(folder / "certificate.pem"), free_port()
    tls = ["--port", "0", "--tls-port", str(port), "--tls-key-file", key, "--tls-cert-file", certificate]
    user = ["--user", *["rasa", "on", ">p@ss:w/rd", "~foo:*", "+@all"], "--user", "default", "off"]
    with redis_server(folder, *tls, "--tls-ca-cert-file", certificate, *user, port=port):
        where = {"type": "redis", "url": "127.0.0.1", "port": port, "db": 3, "key_prefix": "foo"}
        login = {"username": "rasa", "password": "p@ss:w/rd", "use_ssl": True}
        yield {**where, **login, "ssl_keyfile": key, "ssl_certfile": certificate, "ssl_ca_certs": certificate}


@contextlib.contextmanager
def redis_cluster(folder: Path, *, nodes: int = 1) -> Iterator[list[int]]:
    """The ports of a cluster's nodes, its slots shared evenly among them. Of one node, Rasa 3.6.21 can write it."""
    with contextlib.ExitStack() as stack:
        ports, buses = [], [str(free_port()) for _ in range(nodes)]
        for number, bus in enumerate(buses):
            options = ["--cluster-enabled", "yes", "--cluster-port", bus]
            ports.append(stack.enter_context(redis_server(folder / str(number), *options)))
        clients: list[Any] = [redis.Redis("127.0.0.1", port) for port in ports]
        share = 16384 // nodes
        for number, client in enumerate(clients):
            last = 16383 if number == nodes - 1 else (number + 1) * share - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", str(number * share), str(last))
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", str(ports[0]), buses[0])
        end = time.monotonic() + 30
        while not all(_is_whole(client, nodes) for client in clients):
            assert time.monotonic() < end, "the cluster did not come up"
            time.sleep(0.1)
        for client in clients:
            client.close()
        yield ports


@contextlib.contextmanager
def redis_sentinel(folder: Path) -> Iterator[Section]:
    """A server and a sentinel that watches it under the name `shop`. Rasa 3.6.21 writes to the server itself."""
    with redis_server(folder / "master") as master:
        port, watching = free_port(), folder / "sentinel"
        watching.mkdir(parents=True)
        file = watching / "sentinel.conf"
        file.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {master} 1\n")
        child = Child("sentinel", ["redis-server", str(file), "--sentinel"], log=watching / "log", cwd=watching)
        with started(child, lambda: "+monitor" in (watching / "log").read_text(), seconds=20):
            where = {"type": "redis", "url": "127.0.0.1", "port": master, "deployment_mode": "sentinel"}
            yield {**where, "endpoints": [f"127.0.0.1:{port}"], "sentinel_service": "shop"}


@contextlib.contextmanager
def mongo() -> Iterator[Section]:
    """A collection of another name than Rasa's in MongoDB's stand-in."""
    with mongo_standin() as url:
        yield {"type": "mongod", "url": url, "db": "shop", "collection": "talks"}


@contextlib.contextmanager
def dynamo() -> Iterator[tuple[Section, dict[str, str]]]:
    """A table in moto's server; and the environment that leads boto3 there."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    login = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    try:
        section = {"type": "dynamo", "region": "eu-central-1", "table_name": f"states_{uuid.uuid4().hex[:8]}"}
        yield section, {**login, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "NO_PROXY": "127.0.0.1"}
    finally:
        server.stop()


def _is_whole(client: Any, nodes: int) -> bool:
    told = str(client.execute_command("CLUSTER", "INFO"))
    return "ok" in told.partition("cluster_state")[2][:6] and f"{nodes}" in told.partition("cluster_known_nodes")[2][:6]
