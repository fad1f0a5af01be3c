"""A RabbitMQ node of its own, with MQTT as chat21 needs it; any node that the machine runs is left alone."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from stack import WORK
from stack.processes import Child, StackError, free_port, listens, started

__all__ = ["RabbitMQ", "find_server", "rabbitmq"]

# Debian's command on the PATH runs only as root or as rabbitmq, and with the machine's own node's files.
_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

_PLUGINS = "[rabbitmq_mqtt, rabbitmq_web_mqtt, rabbitmq_auth_backend_oauth2].\n"
_PORTS = Template(
    """\
listeners.tcp.default = 127.0.0.1:$amqp
mqtt.listeners.tcp.default = 127.0.0.1:$mqtt
mqtt.exchange = amq.topic
web_mqtt.tcp.ip = 127.0.0.1
web_mqtt.tcp.port = $websocket
"""
)
# A password is a JSON web token, signed with a key that all servers of one chat21 share; its scopes are the rights.
_LOGINS = Template(
    """\
[
  {rabbit, [{auth_backends, [rabbit_auth_backend_oauth2]}]},
  {rabbitmq_auth_backend_oauth2, [
    {resource_server_id, <<"rabbitmq">>},
    {key_config, [
      {default_key, <<"chat21">>},
      {signing_keys, #{<<"chat21">> =>
        {map, #{<<"kty">> => <<"oct">>, <<"alg">> => <<"HS256">>, <<"k">> => <<"$key">>}}}}
    ]}
  ]}
].
"""
)


@dataclass(frozen=True)
class RabbitMQ:
    """A running node.

    Attributes:
        amqp: the port of AMQP.
        mqtt: the port of MQTT.
        websocket: the port of MQTT over websocket, at the path /ws.
        server: its process.
    """

    amqp: int
    mqtt: int
    websocket: int
    server: Child = field(repr=False)


def find_server() -> Path:
    """Where the script is that starts a node.

    Raises:
        StackError: RabbitMQ or Erlang is missing.
    """
    on_path = shutil.which("rabbitmq-server")
    script = _DEBIAN if _DEBIAN.exists() else Path(on_path) if on_path else None
    if script is None or not shutil.which("epmd"):
        raise StackError("rabbitmq-server missing: Tiledesk with chat21 needs RabbitMQ (Debian: rabbitmq-server)")
    return script


@contextlib.contextmanager
def rabbitmq(key: str) -> Iterator[RabbitMQ]:
    """Run an empty node on free ports until the block ends.

    Args:
        key: signs the tokens that it takes as passwords.

    Raises:
        StackError: RabbitMQ is missing or did not start.
    """
    script = find_server()
    log, run = WORK / "logs" / "rabbitmq.log", WORK / "run"
    run.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", dir=run) as folder, contextlib.ExitStack() as stack:
        node = Path(folder)
        amqp, mqtt, websocket, epmd = (free_port() for _ in range(4))
        encoded = base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()
        (node / "plugins").write_text(_PLUGINS)
        (node / "rabbitmq.conf").write_text(_PORTS.substitute(amqp=amqp, mqtt=mqtt, websocket=websocket))
        (node / "advanced.config").write_text(_LOGINS.substitute(key=encoded))
        # Erlang would start one in the background, and it would stay.
        names = Child("epmd", ["epmd", "-port", str(epmd), "-address", "127.0.0.1"], log=log, cwd=node)
        stack.enter_context(started(names, lambda: listens(epmd), seconds=30))
        server = Child("rabbitmq-server", [str(script)], log=log, cwd=node, env=_environment(node, amqp, epmd))
        # Not stopped but killed: it takes seconds to say good-bye, and nothing of it is kept.
        stack.callback(server.kill)
        server.wait_ready(lambda: listens(mqtt) and listens(websocket), seconds=120)
        yield RabbitMQ(amqp, mqtt, websocket, server)


def _environment(node: Path, amqp: int, epmd: int) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    return {
        **own,
        "HOME": str(node),  # of Erlang's cookie
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_NODENAME": f"rasa_tiledesk_{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(node / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(node / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(node / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(node / "mnesia"),
        "RABBITMQ_LOG_BASE": str(node / "log"),
    }
