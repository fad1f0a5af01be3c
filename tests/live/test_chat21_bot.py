"""The real bot on real Rasa with the real Tiledesk and chat21: the whole way, as a user and an agent have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack.chat_agent import ChatAgent
from stack.rasa import Bot, rasa_bot
from stack.tiledesk import LiveProject
from tests.live.opened import request_of
from tests.waiting import until

pytestmark = pytest.mark.live

ASK = "I want to talk to a human"
CONNECTING, QUEUED = "One moment, I am connecting you", "All my colleagues are busy right now. You are in the queue"
JOINED, WAITING, ENDED = "A colleague has joined", "Nobody has been free yet", "My colleague has left"


@pytest.fixture(scope="module")
def ada(chat21_project: LiveProject) -> Iterator[Bot]:
    """The example bot of the project with chat21."""
    email, password = chat21_project.owner
    env = {
        "TILEDESK_URL": chat21_project.url,
        "TILEDESK_PROJECT_ID": chat21_project.project_id,
        "TILEDESK_EMAIL": email,
        "TILEDESK_PASSWORD": password,
    }
    with rasa_bot(env=env) as bot:
        yield bot


def heard(bot: Bot, sender: str) -> list[str]:
    return [str(message.get("text")) for message in bot.callbacks.messages(sender)]


def hears(bot: Bot, sender: str, *beginnings: str) -> None:
    """The user has heard lines that begin so since the greeting, and nothing else."""
    until(lambda: len(heard(bot, sender)) > len(beginnings), str(beginnings), seconds=60)
    lines = heard(bot, sender)[1:]
    assert len(lines) == len(beginnings), lines
    assert [line for line, begin in zip(lines, beginnings) if not line.startswith(begin)] == []


def test_from_the_ask_to_the_close(ada: Bot, chat21_project: LiveProject, chat21_agent: ChatAgent, sender: str) -> None:
    ada.tell(sender, "Hi there")
    ada.tell(sender, ASK)
    hears(ada, sender, CONNECTING)
    request = request_of(ada, sender)
    inbox = chat21_agent.wait_for(request, lambda inbox: ASK in [message.text for message in inbox])
    assert [
        message.text for message in sorted(inbox, key=lambda one: one.time) if message.text in ("Hi there", ASK)
    ] == [
        "Hi there",
        ASK,
    ]
    chat21_agent.say_privately(request, "a note")
    chat21_agent.say(request, "How can I help?")
    hears(ada, sender, CONNECTING, JOINED, "How can I help?")
    ada.tell(sender, "My lamp is broken")
    chat21_agent.wait_for(request, lambda inbox: "My lamp is broken" in [message.text for message in inbox])
    chat21_agent.close(request)
    hears(ada, sender, CONNECTING, JOINED, "How can I help?", ENDED)
    assert ada.tracker(sender)["paused"] is False


def test_nobody_is_there(ada: Bot, chat21_project: LiveProject, chat21_agent: ChatAgent, sender: str) -> None:
    ada.restart_actions(tiledesk={"availability": {"nobody": "queue", "wait_limit": 2}})
    chat21_project.set_available(chat21_project.owner_id, False)
    try:
        ada.tell(sender, "Hi there")
        ada.tell(sender, ASK)
        hears(ada, sender, QUEUED, WAITING)
        request = request_of(ada, sender)
        chat21_agent.join(request)
        chat21_agent.say(request, "Now I am here")
        hears(ada, sender, QUEUED, WAITING, JOINED, "Now I am here")
    finally:
        chat21_project.set_available(chat21_project.owner_id, True)
        ada.restart_actions()
