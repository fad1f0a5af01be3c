"""A real Tiledesk server 2.19.16 on this machine: installed by npm, with a stand-in for MongoDB.

    python -m stack.tiledesk        starts one, prints how to reach it, runs until Ctrl-C

There is no chat21 in it, so an agent's message is simulated by a REST call with the agent's login.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import uuid
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasa_tiledesk.http import Http
from stack import CHECKOUT, WORK
from stack.processes import Child, StackError, free_port, run_step, started

__all__ = ["LiveAgent", "LiveProject", "TiledeskServer", "install", "main", "tiledesk_server"]

_HERE = Path(__file__).resolve().parent
_HOME = WORK / "tiledesk"
_SERVER = _HOME / "node_modules" / "@tiledesk" / "tiledesk-server"
_MONGO_PYTHON = _HOME / "venv" / "bin" / "python"
_DONE = _HOME / "installed"
_ADMIN = "admin@tiledesk.test"


def install() -> None:
    """Install the server and the stand-in's virtual environment; nothing when that was done before.

    Raises:
        StackError: Node.js is missing or too old, or a step failed.
    """
    _check_node()
    _HOME.mkdir(parents=True, exist_ok=True)
    manifest = (_HERE / "tiledesk.package.json").read_text()
    if _DONE.exists() and _DONE.read_text() == manifest:
        return
    log = _HOME / "install.log"
    (_HOME / "package.json").write_text(manifest)
    npm = "npm install --ignore-scripts --no-audit --no-fund --legacy-peer-deps --no-package-lock --loglevel=error"
    run_step("npm install of tiledesk-server 2.19.16 (about 1 GB)", npm.split(), cwd=_HOME, log=log)
    if not _MONGO_PYTHON.exists():
        venv.create(_HOME / "venv", with_pip=True)
    pip = [str(_MONGO_PYTHON), "-m", "pip", "install", "-q", "mongomock>=4.3,<5", "pymongo>=4,<5"]
    run_step("pip install of the MongoDB stand-in", pip, cwd=_HOME, log=log)
    _DONE.write_text(manifest)


def _check_node() -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        missing = " and ".join(name for name, path in (("node", node), ("npm", npm)) if not path)
        raise StackError(f"{missing} missing: the real Tiledesk needs Node.js 18 or later with npm (nodejs.org)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 18:
        raise StackError(f"node {version} is too old: the real Tiledesk needs Node.js 18 or later (nodejs.org)")


@dataclass(frozen=True)
class LiveAgent:
    """An agent of the project.

    Attributes:
        token: signs the agent's calls.
        member_id: the id of the membership, which carries the availability.
    """

    id: str
    name: str
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    member_id: str = ""


class LiveProject:
    """A project on the real server, with the same controls as `rasa_tiledesk.testing.FakeTiledesk`.

    Attributes:
        url: the API's base.
        project_id: the project.
        owner: e-mail and password of its owner, who is its only agent at first.
        bot: id and secret of an external bot.
        project_secret: signs end users' tokens.
        default_department: the id of the department that requests go to when none is named.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = Http(read_timeout=30)
        self._owner = self._sign_up("Olive", "Owner")
        self.owner = (self._owner.email, self._owner.password)
        self.project_id = str(self._call("POST", "/projects", {"name": "rasa_tiledesk"})["_id"])
        self.project_secret = str(self._call("POST", "/{p}/keys/generate", {})["jwtSecret"])
        bot = self._call("POST", "/{p}/faq_kb", {"name": "Rasa", "type": "external", "url": url, "language": "en"})
        self.bot = (str(bot["_id"]), str(bot["secret"]))
        self.default_department = str(self._call("GET", "/{p}/departments/default")["_id"])
        (member,) = self._call("GET", "/{p}/project_users/me")
        self._members = {self._owner.id: str(member["_id"])}

    @property
    def owner_id(self) -> str:
        """The owner's id as an agent."""
        return self._owner.id

    def add_agent(self, name: str, *, available: bool = True, role: str = "agent") -> LiveAgent:
        """Invite a new person into the project."""
        agent = self._sign_up(name, "Agent")
        body = {"email": agent.email, "role": role, "user_available": available}
        self._members[agent.id] = str(self._call("POST", "/{p}/project_users/invite", body)["_id"])
        return agent

    def add_stranger(self) -> LiveAgent:
        """Add an account that can sign in and does not belong to the project."""
        return self._sign_up("Sam", "Stranger")

    def add_department(self, name: str, *, bot: bool = False) -> str:
        """Add a department to which all agents belong, with the bot answering first if asked; returns its id."""
        body = {"name": name, "routing": "assigned", **({"id_bot": self.bot[0]} if bot else {})}
        return str(self._call("POST", "/{p}/departments", body)["_id"])

    def set_available(self, agent_id: str, available: bool) -> None:
        """Say whether an agent takes requests."""
        self._call("PUT", f"/{{p}}/project_users/{self._members[agent_id]}", {"user_available": available})

    def set_open(self, is_open: bool) -> None:
        """Be within operating hours, or never."""
        hours = {} if is_open else {"operatingHours": '{"tzname":"UTC"}'}
        self._call("PUT", "/projects/{p}", {"activeOperatingHours": not is_open, **hours})

    def agent_says(
        self,
        request_id: str,
        text: str,
        *,
        agent: LiveAgent | None = None,
        attributes: Mapping[str, object] | None = None,
        **fields: object,
    ) -> dict[str, Any]:
        """Say something as an agent, the owner by default."""
        who = agent or self._owner
        body = {"text": text, "sender": who.id, "senderFullname": who.name, **fields}
        if attributes is not None:
            body["attributes"] = dict(attributes)
        return dict(self._call("POST", f"/{{p}}/requests/{request_id}/messages", body, who))

    def agent_note(self, request_id: str, text: str) -> dict[str, Any]:
        """Leave a note that only agents may see, among the messages."""
        return self.agent_says(request_id, text, attributes={"subtype": "private"})

    def close_as_agent(self, request_id: str) -> None:
        """Close a request as the owner."""
        self._call("PUT", f"/{{p}}/requests/{request_id}/close", {})

    def requests(self) -> list[dict[str, Any]]:
        """The open requests that agents see."""
        return list(self._call("GET", "/{p}/requests?limit=100")["requests"])

    def messages(self, request_id: str) -> list[dict[str, Any]]:
        """All messages of a request, as the server lists them."""
        return list(self._call("GET", f"/{{p}}/requests/{request_id}/messages"))

    def _sign_up(self, first: str, last: str) -> LiveAgent:
        number = uuid.uuid4()
        login = {"email": f"{first.lower()}.{number.hex[:12]}@example.com", "password": number.hex}
        # Two users without a phone are refused as duplicates by a fresh database (models/user.js:68-75).
        phone = f"+39{number.int % 10**10:010d}"
        person = {**login, "firstname": first, "lastname": last, "phone": phone, "disableEmail": True}
        self._open("POST", "/auth/signup", person, {})
        answer = self._open("POST", "/auth/signin", login, {})
        return LiveAgent(
            str(answer["user"]["_id"]), f"{first} {last}", login["email"], login["password"], str(answer["token"])
        )

    def _call(self, method: str, path: str, body: Any = None, who: LiveAgent | None = None) -> Any:
        headers = {"Authorization": (who or self._owner).token}
        return self._open(method, path.replace("{p}", getattr(self, "project_id", "")), body, headers)

    def _open(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        answer = self._http.call(method, self.url + path, json=body, headers=headers)
        if answer.status != 200:
            raise StackError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return json.loads(answer.body)


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
def tiledesk_server(*, work: Path = WORK / "run") -> Iterator[TiledeskServer]:
    """Run the real server on free ports until the block ends; installs it first if need be.

    Raises:
        StackError: it could not be installed or started.
    """
    install()
    mongo_port, port = free_port(), free_port()
    mongo = Child(
        "the MongoDB stand-in",
        [str(_MONGO_PYTHON), str(_HERE / "mongo_standin.py"), str(mongo_port)],
        log=work / "mongo.log",
        cwd=CHECKOUT,
    )
    with started(mongo, lambda: _listens(mongo_port), seconds=30):
        url = f"http://127.0.0.1:{port}"
        server = Child(
            "tiledesk-server",
            ["node", "bin/www"],
            log=work / "tiledesk.log",
            cwd=_SERVER,
            env={**os.environ, **_environment(mongo_port, port, url)},
        )
        with started(server, lambda: _answers(f"{url}/"), seconds=120):
            yield TiledeskServer(url, server)


def _environment(mongo_port: int, port: int, url: str) -> dict[str, str]:
    database = f"mongodb://127.0.0.1:{mongo_port}/tiledesk"
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


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return int(answer.status) == 200


def main() -> int:
    """Run one in the foreground."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with tiledesk_server() as running:
            desk = running.bootstrap()
            print(f"url: {desk.url}\nproject_id: {desk.project_id}")
            print(f"email: {desk.owner[0]}\npassword: {desk.owner[1]}")
            print(f"bot_id: {desk.bot[0]}\nbot_secret: {desk.bot[1]}\nproject_secret: {desk.project_secret}")
            print("Ctrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                stop.wait()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
