"""The session expires in the middle of a handoff: the bot stays quiet, all words get through, the bot comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stack.rasa import FORGETFUL, Bot, rasa_bot
from stack.tiledesk import LiveProject
from tests.live.test_relay import Chat, until, webhooks_at

pytestmark = pytest.mark.live

LONGER = 4.0  # seconds; than a session of this bot


@pytest.fixture(scope="module")
def forgetful(working: dict[str, str]) -> Iterator[Bot]:
    """The example bot, whose sessions expire after three seconds."""
    with rasa_bot(env=working, domain=FORGETFUL) as bot:
        bot.restart_actions(tiledesk=webhooks_at(bot.actions_url))
        yield bot


def sessions(bot: Bot, sender: str) -> int:
    return sum(event["event"] == "session_started" for event in bot.tracker(sender)["events"])


def agent_hears(chat: Chat, request_id: str, count: int) -> None:
    until(lambda: len(chat.agent_saw(request_id)) >= count, "the user's words")


def user_hears(chat: Chat, count: int) -> None:
    until(lambda: len(chat.user_saw()) >= count, f"message {count} to the user")


def test_the_session_expires_in_the_middle(forgetful: Bot, project: LiveProject, sender: str) -> None:
    chat = Chat(forgetful, project, sender)
    forgetful.tell(sender, "Hi there")
    user_hears(chat, 1)
    request_id = chat.hand_over()
    handoff = forgetful.tracker(sender)["slots"]["tiledesk_handoff"]
    start = len(chat.user_saw())
    for number in range(3):
        before = sessions(forgetful, sender)
        time.sleep(LONGER)
        forgetful.tell(sender, f"user 1.{number}")
        tracker = forgetful.tracker(sender)
        assert sessions(forgetful, sender) == before + 1
        assert tracker["paused"]
        assert tracker["slots"]["tiledesk_handoff"] == handoff
        agent_hears(chat, request_id, number + 1)
        project.agent_says(request_id, f"agent 1.{number}")
        user_hears(chat, start + number + 1)
    time.sleep(LONGER)  # the agent speaks first, in a session that is over and not followed by another yet
    project.agent_says(request_id, "agent 1.3")
    user_hears(chat, start + 4)
    assert chat.agent_saw(request_id) == [f"user 1.{number}" for number in range(3)]
    assert chat.user_saw()[start:] == [f"agent 1.{number}" for number in range(4)]
    chat.close(request_id)


def test_the_user_is_back_in_a_session_that_expired_after_the_close(
    forgetful: Bot, project: LiveProject, sender: str
) -> None:
    chat = Chat(forgetful, project, sender)
    forgetful.tell(sender, "Hi there")
    user_hears(chat, 1)
    for _ in range(2):  # a second handoff works in a new session, too
        request_id = chat.hand_over()
        time.sleep(LONGER)
        chat.close(request_id)
        time.sleep(LONGER)
        seen = len(chat.user_saw())
        forgetful.tell(sender, "When are you open?")
        user_hears(chat, seen + 1)
        assert not forgetful.tracker(sender)["paused"]
