"""A real Tiledesk server with chat21, the engine of the agents' chat: what every Tiledesk in production is.

    python -m stack.chat21      starts one, prints how to reach it, runs until Ctrl-C

Beside the Tiledesk server: chat21-server 0.2.21 and chat21-http-server 0.2.40, the newest that npm has, and RabbitMQ.
No Redis: this chat21-server has neither the cache nor the limit of 30 messages a minute that 0.2.55 and later have
with it (observer.js:468-474 there).
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import requests

import stack.tiledesk
from stack import WORK
from stack.mongo import mongo_standin
from stack.node import environment, npm_install
from stack.processes import Child, answers, free_port
from stack.rabbitmq import RabbitMQ, find_server, rabbitmq
from stack.tiledesk import TiledeskServer

__all__ = ["APP", "Chat21Server", "chat21_server", "install"]

APP = "tilechat"
"""The name of Tiledesk's application in chat21, part of every topic and path."""

_MANIFEST = Path(__file__).with_name("chat21.package.json")
_ADMIN = "100-APIADMIN"
_NOBODY = "nobody"
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Chat21Server(TiledeskServer):
    """A running Tiledesk server with chat21.

    Attributes:
        chat21_url: the base of chat21's REST API.
        mqtt_port: of 127.0.0.1, where agents' chats listen and write.
        websocket_url: the same by websocket, as browsers do.
        engine: the process of chat21-server, which brings each message to all who take part.
        rest: the process of chat21-http-server, to which Tiledesk posts each message.
    """

    chat21_url: str
    mqtt_port: int
    websocket_url: str
    engine: Child = field(repr=False)
    rest: Child = field(repr=False)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let chat21-server do nothing until the block ends; then it goes on with what has piled up in RabbitMQ."""
        with self.engine.frozen():
            yield


def install() -> Path:
    """Install all of it that npm has; nothing when that was done before.

    Returns:
        The folder of chat21's servers.

    Raises:
        StackError: RabbitMQ or Node.js is missing, or a step failed.
    """
    find_server()
    stack.tiledesk.install()
    return npm_install("chat21", _MANIFEST, "npm install of chat21 (150 MB)") / "@chat21"


@contextlib.contextmanager
def chat21_server() -> Iterator[Chat21Server]:
    """Run all of it on free ports until the block ends; installs it first if need be.

    Raises:
        StackError: it could not be installed or started.
    """
    folder = install()
    key = secrets.token_hex(32)
    port, rest_port = free_port(), free_port()
    url, rest_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{rest_port}"
    admin = _token(key, _ADMIN, role="admin")
    settings = {
        "CHAT21_ENABLED": "true",
        "CHAT21_ENGINE": "mqtt",
        "CHAT21_URL": rest_url,
        "CHAT21_APPID": APP,
        "CHAT21_JWT_SECRET": key,
        "CHAT21_ADMIN_TOKEN": admin,
    }
    with contextlib.ExitStack() as running:
        mongo = running.enter_context(mongo_standin())
        tiledesk = stack.tiledesk.start(port, mongo, settings)  # gets ready while RabbitMQ does
        running.callback(tiledesk.stop)
        rabbit = running.enter_context(rabbitmq(key))
        common = {"LOG_LEVEL": "error", "MONGODB_URI": f"{mongo}/chat21"}
        rest = Child(
            "chat21-http-server",
            ["node", "bin/www.js"],
            log=WORK / "logs" / "chat21-http.log",
            cwd=folder / "chat21-http-server",
            env=environment(
                {
                    **common,
                    "PORT": str(rest_port),
                    "JWT_KEY": key,
                    "RABBITMQ_URI": _amqp(rabbit, admin),
                    "CONTACTS_LOOKUP_ENDPOINT": f"{url}/users_util",
                    "PUSH_ENABLED": "false",
                }
            ),
        )
        running.callback(rest.stop)
        engine = Child(
            "chat21-server",
            ["node", "chatservermq.js"],
            log=WORK / "logs" / "chat21.log",
            cwd=folder / "chat21-server",
            env=environment(
                {
                    **common,
                    "APP_ID": APP,
                    "RABBITMQ_URI": _amqp(rabbit, _token(key, "01-OBSERVER", role="user")),
                    "WEBHOOK_ENABLED": "true",
                    "WEBHOOK_ENDPOINTS": f"{url}/chat21/requests",
                    "WEBHOOK_EVENTS": "message-sent,message-delivered,conversation-unarchived",
                }
            ),
        )
        running.callback(engine.stop)
        chat21_url, websocket_url = f"{rest_url}/api/{APP}", f"ws://127.0.0.1:{rabbit.websocket}/ws"
        rest.wait_ready(lambda: answers(f"{rest_url}/"), seconds=60)
        engine.wait_ready(lambda: _delivers(chat21_url, admin), seconds=60)
        tiledesk.wait_ready(lambda: answers(f"{url}/"), seconds=120)
        yield Chat21Server(url, tiledesk, chat21_url, rabbit.mqtt, websocket_url, engine, rest)


def _delivers(chat21_url: str, token: str) -> bool:
    """Whether a message arrives: what is posted before chat21-server has made its queues is lost."""
    body = {"sender_fullname": "Stack", "recipient_id": _NOBODY, "recipient_fullname": _NOBODY, "text": "ready?"}
    headers = {"Authorization": token}
    with requests.Session() as http:
        http.trust_env = False  # no proxy reaches this computer
        http.post(f"{chat21_url}/messages", json=body, headers=headers, timeout=5)
        path = f"{chat21_url}/{_ADMIN}/conversations/{_NOBODY}/messages"
        answer = http.get(path, headers=headers, timeout=5)
    return answer.status_code == 200 and bool(answer.json()["result"])


def _amqp(rabbit: RabbitMQ, token: str) -> str:
    return f"amqp://ignored:{token}@127.0.0.1:{rabbit.amqp}?heartbeat=60"


def _token(key: str, who: str, *, role: str) -> str:
    """What one of the servers shows to RabbitMQ and to the other: it may do everything."""
    now = int(time.time())
    claims = {
        "jti": uuid.uuid4().hex,
        "sub": who,
        "user_id": who,
        "client_id": who,
        "app_id": APP,
        "aud": ["rabbitmq", who],
        "iat": now,
        "exp": now + _YEAR,
        "scope": [f"rabbitmq.{verb}:*/*/*" for verb in ("read", "write", "configure")],
        "tiledesk_api_roles": role,
    }
    return jwt.encode(claims, key, algorithm="HS256")


if __name__ == "__main__":
    sys.exit(stack.tiledesk.main(["--chat21"]))
