"""Whatever is wrong with Tiledesk, the user hears it in words, the log names the cause, and the bot goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stack.agent import Agent
from stack.processes import free_port
from stack.rasa import Bot

pytestmark = pytest.mark.live

SORRY = "Sorry, I could not reach my colleagues just now. Please try again in a few minutes."


@dataclass(frozen=True)
class Case:
    """Something wrong, and the words by which the log line on this handoff names its cause and the key to fix."""

    log: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    tiledesk: dict[str, Any] = field(default_factory=dict)


CASES = {
    "wrong password": Case(log=("401", "tiledesk.password"), env={"TILEDESK_PASSWORD": "not-it"}),
    "unknown project": Case(log=("tiledesk.project_id",), env={"TILEDESK_PROJECT_ID": "5e2c35c8f0dbc10017bb3aac"}),
    "unknown department": Case(log=("Nowhere", "tiledesk.department"), tiledesk={"department": "Nowhere"}),
}


@contextlib.contextmanager
def server(*, answers: bool) -> Iterator[str]:
    """A server that answers every call with 500, or takes calls and never answers."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if answers:
                self.send_error(500)
            else:
                over.wait(60)

        do_GET = do_PUT = do_PATCH = do_POST  # noqa: N815  (the base class's names)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Stay silent."""

    broken = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    broken.daemon_threads = True
    thread = threading.Thread(target=broken.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{broken.server_port}"
    finally:
        over.set()
        broken.shutdown()
        broken.server_close()


@pytest.fixture(autouse=True)
def repaired(bot: Bot) -> Iterator[None]:
    """Leave the bot as other tests expect it."""
    yield
    bot.restart_actions()


def assert_told_and_goes_on(bot: Bot, sender: str, case: Case) -> None:
    bot.restart_actions(env=case.env, tiledesk=case.tiledesk)
    begin_of_log = bot.actions_log.stat().st_size
    assert bot.say(sender, "Hi there")

    answers = bot.say(sender, "I want to talk to a human")

    assert [answer.get("text") for answer in answers] == [SORRY]
    log = bot.actions_log.read_bytes()[begin_of_log:].decode()
    (cause,) = [line for line in log.splitlines() if "no handoff: " in line]
    assert [words for words in case.log if words not in cause] == [], cause
    assert "not-it" not in log
    assert bot.tracker(sender)["paused"] is False
    assert [answer["text"] for answer in bot.say(sender, "When are you open?")] == [
        "Our shop is open Monday to Saturday, 9:00 to 18:00."
    ]


@pytest.mark.parametrize("name", CASES)
def test_refused(bot: Bot, agent: Agent, sender: str, name: str) -> None:
    before = {request["request_id"] for request in agent.requests()}
    assert_told_and_goes_on(bot, sender, CASES[name])
    assert {request["request_id"] for request in agent.requests()} == before, "something half-made is left for agents"


def test_stopped(bot: Bot, sender: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert_told_and_goes_on(bot, sender, Case(log=("refused", "tiledesk.url"), env={"TILEDESK_URL": url}))


def test_answers_500(bot: Bot, sender: str) -> None:
    with server(answers=True) as url:
        assert_told_and_goes_on(bot, sender, Case(log=("500", "tiledesk.url"), env={"TILEDESK_URL": url}))


def test_never_answers(bot: Bot, sender: str) -> None:
    with server(answers=False) as url:
        assert_told_and_goes_on(bot, sender, Case(log=("no answer", "tiledesk.url"), env={"TILEDESK_URL": url}))


def test_the_next_ask_works_after_the_repair(bot: Bot, sender: str) -> None:
    assert_told_and_goes_on(bot, sender, CASES["wrong password"])
    bot.restart_actions()
    assert bot.say(sender, "I want to talk to a human")
    assert bot.tracker(sender)["paused"] is True
