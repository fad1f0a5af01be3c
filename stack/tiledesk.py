"""A real Tiledesk server 2.19.16 on this machine: installed by npm, with a stand-in for MongoDB.

    python -m stack.tiledesk            starts one, prints how to reach it, runs until Ctrl-C
    python -m stack.tiledesk --chat21   the same with chat21 (`stack.chat21`)

Without chat21 an agent's message is simulated by a REST call with the agent's login.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import stack.mongo
from stack import WORK
from stack.mongo import mongo_standin
from stack.node import environment, npm_install
from stack.processes import Child, StackError, answers, free_port, started
from stack.project import LiveAgent, LiveProject

__all__ = ["LiveAgent", "LiveProject", "TiledeskServer", "install", "main", "start", "tiledesk_server"]

_MANIFEST = Path(__file__).with_name("tiledesk.package.json")
_ADMIN = "admin@tiledesk.test"


def install() -> Path:
    """Install the server and the stand-in for MongoDB; nothing when that was done before.

    Returns:
        The server's folder.

    Raises:
        StackError: Node.js is missing or too old, or a step failed.
    """
    modules = npm_install("tiledesk", _MANIFEST, "npm install of tiledesk-server 2.19.16 (about 1 GB)")
    stack.mongo.install()
    return modules / "@tiledesk" / "tiledesk-server"


@dataclass(frozen=True)
class TiledeskServer:
    """A running server.

    Attributes:
        url: the API's base.
        server: its process; the tests may kill it.
    """

    url: str
    server: Child

    def bootstrap(self) -> LiveProject:
        """Make a new project with its owner, bot and secret."""
        return LiveProject(self.url)


@contextlib.contextmanager
def tiledesk_server() -> Iterator[TiledeskServer]:
    """Run the real server on free ports until the block ends; installs it first if need be.

    Raises:
        StackError: it could not be installed or started.
    """
    install()
    with mongo_standin() as mongo:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with started(start(port, mongo), lambda: answers(f"{url}/"), seconds=120) as server:
            yield TiledeskServer(url, server)


def start(port: int, mongo: str, settings: Mapping[str, str] | None = None) -> Child:
    """Start the installed server, and do not wait until it answers.

    Args:
        port: where it listens.
        mongo: the database server's URL.
        settings: more of its environment.
    """
    return Child(
        "tiledesk-server",
        ["node", "bin/www"],
        log=WORK / "logs" / "tiledesk.log",
        cwd=install(),
        env=environment({**_settings(f"{mongo}/tiledesk", port), **(settings or {})}),
    )


def _settings(database: str, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    return {
        "PORT": str(port),
        "DATABASE_URI": database,
        "DATABASE_LOG_URI": database,
        "MONGODB_URI": database,
        "MONGOOSE_UNIFIED_TOPOLOGY": "true",
        "RESTHOOK_ENABLED": "true",  # off by default: no webhook is ever sent
        "QUOTES_ENABLED": "false",  # on, creating a request hangs without Redis
        "EMAIL_ENABLED": "false",
        "GLOBAL_SECRET": uuid.uuid4().hex,
        # As real installations do. Unset, the server takes every bot for this account, which lacks an e-mail too.
        "ADMIN_EMAIL": _ADMIN,
        "ADMIN_PASSWORD": uuid.uuid4().hex,
        "API_URL": url,
        "EMAIL_BASEURL": url,
        "LOG_LEVEL": "error",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m stack.tiledesk")
    parser.add_argument("--chat21", action="store_true", help="with the engine of the agents' chat")
    with_chat21 = parser.parse_args(arguments).chat21
    from stack.chat21 import Chat21Server, chat21_server  # which imports this module

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with chat21_server() if with_chat21 else tiledesk_server() as running:
            desk = running.bootstrap()
            print(f"url: {desk.url}\nproject_id: {desk.project_id}")
            print(f"email: {desk.owner[0]}\npassword: {desk.owner[1]}")
            print(f"bot_id: {desk.bot[0]}\nbot_secret: {desk.bot[1]}\nproject_secret: {desk.project_secret}")
            if isinstance(running, Chat21Server):
                print(f"chat21: {running.chat21_url}")
                print(f"mqtt: mqtt://127.0.0.1:{running.mqtt_port} and {running.websocket_url}")
            print("Ctrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                stop.wait()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
