"""A real action server, with the rasa-sdk that is installed here, between FakeRasa and FakeTiledesk."""

from __future__ import annotations

import copy
import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
import requests

from rasa_tiledesk.handoff.to_user.inbox import token_of
from rasa_tiledesk.handoff.to_user.webhooks import comes
from rasa_tiledesk.ledger import End, Ledger, Life, Notice
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from stack import CHECKOUT
from stack.processes import Child, free_port, started
from tests.waiting import until

CLIENT_SECRET = "a-secret-of-the-website"


@dataclass
class Server:
    """A running server and the world around it."""

    url: str
    child: Child
    tiledesk: FakeTiledesk
    rasa: FakeRasa
    ledger: Ledger

    def hand_over(self, sender: str, *, channel: str = "callback") -> str:
        """Hand a conversation over as Rasa asks for it; the id of its request, once agents see it."""
        self.rasa.says(sender, "a human please", channel=channel)
        before = {request["request_id"] for request in self.tiledesk.requests()}
        events = self.rasa.events(sender)
        tracker = {"sender_id": sender, "slots": {}, "events": events, "latest_message": {}, "active_loop": {}}
        call = {"next_action": "action_tiledesk_handoff", "sender_id": sender, "tracker": tracker, "domain": {}}
        answer = requests.post(f"{self.url}/webhook", json=call, timeout=10)
        assert [event["event"] for event in answer.json()["events"]] == ["slot", "pause", "action"]
        self.rasa.add(sender, [{**event, "timestamp": time.time()} for event in answer.json()["events"]])
        until(lambda: len(self.tiledesk.requests()) > len(before))
        return next(str(r["request_id"]) for r in self.tiledesk.requests() if r["request_id"] not in before)

    def secret(self) -> str:
        """A secret that Tiledesk's webhooks carry."""
        until(lambda: len(self.ledger.hooks.all()) == 2)
        return next(iter(self.ledger.hooks.all().values()))

    def texts(self, sender: str) -> list[str]:
        """What the user got."""
        return [m["text"] for m in self.rasa.delivered["callback"] if m["recipient_id"] == sender]


@pytest.fixture
def sender() -> str:
    return f"user-{uuid.uuid4().hex}"


@pytest.fixture(scope="module", params=["action server", "two Sanic workers", "serve"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tmp_path = tmp_path_factory.mktemp("server")
    with FakeTiledesk() as tiledesk, FakeRasa() as rasa:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
        (tmp_path / "endpoints.yml").write_text(
            f"tiledesk:\n  url: {tiledesk.url}\n  project_id: '{tiledesk.project_id}'\n  email: {tiledesk.owner[0]}\n"
            f"  password: '{tiledesk.owner[1]}'\n  ledger: {ledger}\n"
            # Not in braces: rasa-sdk reads the file too, and its YAML parser refuses a URL there on some versions.
            f"  relay:\n    rasa_url: {rasa.url}\n    public_url: {url}\n    client_secret: {CLIENT_SECRET}\n"
        )
        module = ["rasa_tiledesk.cli.main", "serve"] if request.param == "serve" else ["rasa_sdk"]
        actions = [] if request.param == "serve" else ["--actions", "rasa_tiledesk.actions"]
        command = [sys.executable, "-m", *module, *actions, "--port", str(port)]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        if request.param == "two Sanic workers":
            env["ACTION_SERVER_SANIC_WORKERS"] = "2"
        child = Child(request.param, command, log=tmp_path / "log", cwd=tmp_path, env=env)
        with started(child, lambda: answers(f"{url}/tiledesk/health"), seconds=60):
            yield Server(url, child, tiledesk, rasa, Ledger(ledger))


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize("server", ["action server", "two Sanic workers"], indirect=True)
def test_a_handoff_from_the_ask_to_the_end_by_webhooks(server: Server, sender: str) -> None:
    server.secret()
    request_id = server.hand_over(sender)
    server.tiledesk.agent_says(request_id, "I am Olive")
    server.tiledesk.agent_note(request_id, "a difficult one")
    server.tiledesk.agent_says(request_id, "how can I help?")
    until(lambda: "how can I help?" in server.texts(sender))
    server.tiledesk.close_as_agent(request_id)
    until(lambda: len(server.texts(sender)) == 4)
    assert server.texts(sender)[:3] == ["A colleague has joined the conversation.", "I am Olive", "how can I help?"]
    assert "has ended" in server.texts(sender)[3]
    until(lambda: [one.life for one in server.ledger.handoffs.of_sender(sender)] == [Life.OVER])


def test_health_and_metrics_answer(server: Server) -> None:
    assert requests.get(f"{server.url}/tiledesk/health", timeout=5).json()["status"] == "ok"
    assert 'tiledesk_handoffs{state="live"} ' in requests.get(f"{server.url}/tiledesk/metrics", timeout=5).text


def test_a_webhook_that_is_asked_for_as_a_trial_comes_and_leaves_nothing(server: Server) -> None:
    server.secret()
    login = AgentLogin(*server.tiledesk.owner)
    desk = TiledeskClient(server.tiledesk.url, server.tiledesk.project_id, credential=login)
    before, secrets = desk.subscriptions(), server.ledger.hooks.all()
    assert comes(desk, server.ledger, server.url)
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert not comes(desk, server.ledger, nowhere, wait=lambda seconds: None)
    assert (desk.subscriptions(), server.ledger.hooks.all()) == (before, secrets)


@pytest.mark.parametrize("server", ["action server"], indirect=True)
def test_messages_that_no_webhook_told_of_are_in_health_and_metrics(server: Server, sender: str) -> None:
    url = f"{server.url}/tiledesk"
    server.secret()
    assert "webhooks" not in requests.get(f"{url}/health", timeout=5).json()
    project = server.tiledesk.project_id
    server.hand_over(sender)
    (handoff,) = server.ledger.handoffs.of_sender(sender)
    before = server.ledger.news.missed(project).in_all
    for _ in range(5):
        notice = Notice(project, came=False)
        server.ledger.handoffs.heard(handoff, [], heard="t", joined=False, spoke=True, end=None, notice=notice)
    told = requests.get(f"{url}/health", timeout=5).json()
    assert (told["status"], told["webhooks"]) == ("ok", "none told of the last 5 messages of agents")
    metrics = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
    assert f"tiledesk_webhooks_missed_total {before + 5}" in metrics
    notice = Notice(project, came=True)
    server.ledger.handoffs.heard(handoff, [], heard="t", joined=False, spoke=True, end=None, notice=notice)
    server.ledger.handoffs.end(handoff.id, End.USER)
    until(lambda: server.texts(sender))


def payload(server: Server, **changes: Any) -> dict[str, Any]:
    return {"payload": {"recipient": "support-group-x", "id_project": server.tiledesk.project_id, **changes}}


def test_bad_webhooks_are_refused_or_ignored_and_nothing_of_them_is_logged(server: Server) -> None:
    secret, hook = server.secret(), f"{server.url}/tiledesk/webhook"

    def post(headers: dict[str, Any], **body: Any) -> int:
        return requests.post(hook, headers=headers, timeout=10, **body).status_code

    before = copy.deepcopy(server.rasa.delivered)
    good = {"x-hook-secret": secret}
    assert post({}, json=payload(server)) == 401
    assert post({"x-hook-secret": "hush-wrong"}, json=payload(server)) == 401
    assert post({"x-hook-secret": "hüsh".encode()}, json=payload(server)) == 401
    assert post({"x-hook-secret": ""}, json=payload(server)) == 401
    assert post(good, data="hush, not JSON") == 400
    assert post(good, json=["hush"]) == 400
    assert post(good, json={"payload": {"recipient": 5, "id_project": None}}) == 400
    assert post(good, data="[" * 100_000) == 400
    assert post(good, json={**payload(server), "token": "hush"}) == 401
    assert post(good, json={**payload(server), "token": jwt.encode({"_id": "x"}, "hush" * 8, "HS256")}) == 401
    assert post(good, json={**payload(server), "token": 5}) == 401
    assert post(good, json=payload(server)) == 200
    assert post(good, json=payload(server, id_project="5e2c35c8f0dbc10017bb3aac")) == 200
    assert server.rasa.delivered == before
    log = server.child.log.read_text()
    assert "hush" not in log
    assert secret not in log


def test_a_body_that_is_too_large_is_refused_without_being_kept(server: Server) -> None:
    secret = server.secret()

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    try:
        status = requests.post(
            f"{server.url}/tiledesk/webhook", headers={"x-hook-secret": secret}, data=endless(), timeout=20
        ).status_code
    except requests.ConnectionError:  # the answer is given before all is sent, and the connection closed
        return
    assert status == 413


def test_a_client_fetches_its_own_messages_and_no_others(server: Server, sender: str) -> None:
    sender = f"{sender}/1"
    server.rasa.says(sender, "hello", channel="rest")
    url = f"{server.url}/tiledesk/conversations/{sender}/messages"
    mark = {"tiledesk_message": "h/1", "tiledesk_agent": "Olive"}
    server.rasa.add(sender, [{"event": "bot", "text": "hi", "timestamp": 5.0, "data": {}, "metadata": mark}])
    own = {"Authorization": f"Bearer {token_of(CLIENT_SECRET, sender)}"}
    others = {"Authorization": f"Bearer {token_of(CLIENT_SECRET, 'bob')}"}
    assert requests.get(url, timeout=5).status_code == 401
    assert requests.get(url, headers=others, timeout=5).status_code == 401
    (message,) = requests.get(url, headers=own, timeout=5).json()["messages"]
    assert message == {"id": "h/1", "timestamp": 5.0, "text": "hi"}
    assert requests.get(f"{url}?after=h/1", headers=own, timeout=5).json() == {"messages": []}
    for wait in ("x", "nan", "-inf"):
        assert requests.get(f"{url}?wait={wait}", headers=own, timeout=5).status_code == 400


@pytest.mark.parametrize("server", ["action server"], indirect=True)
def test_thirty_clients_that_wait_keep_no_other_call_waiting_read_no_tracker_and_get_the_next_message(
    server: Server, sender: str
) -> None:
    request_id = server.hand_over(sender, channel="rest")
    url = f"{server.url}/tiledesk/conversations/{sender}/messages"
    own = {"Authorization": f"Bearer {token_of(CLIENT_SECRET, sender)}"}
    server.tiledesk.agent_says(request_id, "hello")
    until(lambda: len(requests.get(url, headers=own, timeout=5).json()["messages"]) == 2, "the first words")
    joined, hello = requests.get(url, headers=own, timeout=5).json()["messages"]
    assert (joined["text"], hello["text"]) == ("A colleague has joined the conversation.", "hello")
    # Nothing new is known without Rasa.
    reads = server.rasa.requests.count(("GET", f"/conversations/{sender}/tracker"))
    for _ in range(10):
        assert requests.get(f"{url}?after={hello['id']}", headers=own, timeout=5).json() == {"messages": []}

    def wait(_: int) -> list[str]:
        answer = requests.get(f"{url}?wait=25&after={hello['id']}", headers=own, timeout=30)
        return [message["text"] for message in answer.json()["messages"]]

    with ThreadPoolExecutor(30) as pool:
        waiting = [pool.submit(wait, number) for number in range(30)]
        for _ in range(20):
            assert requests.get(f"{server.url}/tiledesk/health", timeout=20).status_code == 200
        assert not any(one.done() for one in waiting)
        # One look of the handoff's own, at whether the bot is paused, may have come between.
        assert server.rasa.requests.count(("GET", f"/conversations/{sender}/tracker")) <= reads + 1
        server.tiledesk.agent_says(request_id, "hi")
        assert [one.result() for one in waiting] == [["hi"]] * 30
