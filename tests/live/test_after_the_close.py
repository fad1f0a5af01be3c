"""What the user writes just after an agent has closed is answered by the bot, or asked for again: every word of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stack.rasa import Bot
from stack.tiledesk import LiveProject
from tests.live.opened import request_of
from tests.live.test_relay import ASK, ENDED, CallbackLine, shown, until, webhooks_at

pytestmark = pytest.mark.live

DELAYS = (0.0, 0.1, 0.5, 1.0, 2.0)  # seconds after the close
EACH = 10
QUESTION, ANSWER, AGAIN = "When are you open?", "Monday to Saturday", "say it again"
AT_ONCE = 10  # users who write after a close
ASKING = 3  # users who ask at once: on a busy machine Tiledesk takes seconds to open a request


@pytest.fixture(params=["poll", "webhook"])
def receiving(request: pytest.FixtureRequest, bot: Bot) -> Iterator[Bot]:
    """The example bot, hearing of the close in this way."""
    poll: dict[str, Any] = {"relay": {"receive": "poll", "public_url": None}, "history": {"import": "staged"}}
    bot.restart_actions(tiledesk=poll if request.param == "poll" else webhooks_at(bot.actions_url))
    yield bot
    bot.restart_actions()


def _handed_over(bot: Bot, users: list[str]) -> dict[str, str]:
    """The request of each, once all are assigned."""

    def ask(user: str) -> None:
        for _ in range(3):  # who is told that nobody could be reached asks again
            bot.tell(user, ASK)
            if bot.tracker(user)["paused"]:
                return

    with ThreadPoolExecutor(ASKING) as pool:
        list(pool.map(ask, users))
    return {user: request_of(bot, user, seconds=180) for user in users}


def _writes_after_the_close(bot: Bot, project: LiveProject, user: str, request_id: str, delay: float) -> str | None:
    """What became of the word: answered, asked again, or None."""
    line = CallbackLine(bot, user)
    seen = len(line.messages())
    project.close_as_agent(request_id)
    time.sleep(delay)
    line.tell(QUESTION)

    def after() -> list[str]:
        return [shown(message) for message in line.messages()[seen:]]

    def outcome() -> str | None:
        told = [text for text in after() if ANSWER in text or AGAIN in text]
        return None if not told else "answered" if ANSWER in told[0] else "asked again"

    until(lambda: outcome() and any(ENDED in text for text in after()), f"an answer to {user}", 60)
    assert sum(ANSWER in text or AGAIN in text for text in after()) == 1
    return outcome()


def test_every_word_after_the_close_is_answered_or_asked_for_again(receiving: Bot, project: LiveProject) -> None:
    users = {uuid.uuid4().hex[:12]: delay for delay in DELAYS for _ in range(EACH)}
    requests = _handed_over(receiving, list(users))

    def one(user: str) -> tuple[float, str | None]:
        return users[user], _writes_after_the_close(receiving, project, user, requests[user], users[user])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(one, users))
    assert [delay for delay, became in outcomes if became is None] == []
    assert len(outcomes) == len(DELAYS) * EACH
