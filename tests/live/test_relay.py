"""Real Rasa by callback and socketio, real Tiledesk: both sides type at once and hear each other once, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from stack.rasa import Bot
from stack.tiledesk import LiveProject
from stack.web_chat import web_chat
from tests.live.opened import request_of
from tests.live.proxy import shuffling_proxy

pytestmark = pytest.mark.live

ASK = "I want to talk to a human"
TURNS = 20  # of each side

JOINED = "A colleague has joined"  # in the words of the example bot
ENDED = "has left the conversation"


@pytest.fixture(scope="module")
def chatting(bot: Bot) -> Iterator[Bot]:
    """The example bot, receiving by webhooks."""
    bot.restart_actions(tiledesk=webhooks_at(bot.actions_url))
    yield bot
    bot.restart_actions()


def webhooks_at(url: str) -> dict[str, Any]:
    return {"relay": {"receive": "webhook", "public_url": url}, "history": {"import": "staged"}}


def until(happened: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.05)


class Line(Protocol):
    """The user's end of a channel."""

    def tell(self, text: str) -> None:
        """Say something; returns when Rasa has dealt with it."""

    def messages(self) -> list[dict[str, Any]]:
        """What the channel has brought the user."""


@dataclass
class CallbackLine:
    """The callback channel: Rasa posts to the website's backend."""

    bot: Bot
    sender: str

    def tell(self, text: str) -> None:
        self.bot.tell(self.sender, text)

    def messages(self) -> list[dict[str, Any]]:
        return self.bot.callbacks.messages(self.sender)


def shown(message: dict[str, Any]) -> str:
    """A message's text, or its image's address."""
    attachment = message.get("attachment") or {}  # socketio's way to bring an image
    return str(message.get("text") or message.get("image") or attachment["payload"]["src"])


class Chat:
    """One user and one agent."""

    def __init__(self, bot: Bot, project: LiveProject, sender: str, line: Line | None = None) -> None:
        self.bot, self.project, self.sender = bot, project, sender
        self.line = line or CallbackLine(bot, sender)
        self.round = 0  # the next handoff's history holds what was said in the one before

    def hand_over(self) -> str:
        """Ask for a human; the id of the request, once an agent has it and has been heard to have joined."""
        self.round += 1
        self.line.tell(ASK)
        request_id = request_of(self.bot, self.sender)
        self.project.agent_says(request_id, f"hello {self.round}")  # by that a colleague has joined
        until(lambda: self.user_saw()[-1] == f"hello {self.round}", "the agent's hello")
        assert JOINED in self.user_saw()[-2]
        return request_id

    def user_saw(self) -> list[str]:
        """Everything that reached the user."""
        return [shown(message) for message in self.line.messages()]

    def agent_saw(self, request_id: str) -> list[str]:
        """What the user said, as the agents' server lists it."""
        return [m["text"] for m in self.project.messages(request_id) if m["text"].startswith(f"user {self.round}.")]

    def both_talk(self, request_id: str, *, middle: Callable[[], None] = lambda: None) -> None:
        """Both sides type at once; `middle` happens half way."""
        half = threading.Barrier(2)

        def agent() -> None:
            for number in range(TURNS):
                if number == TURNS // 2:
                    half.wait()
                if number == 3:
                    self.project.agent_note(request_id, "a private note")
                self.project.agent_says(request_id, f"agent {self.round}.{number}")

        typing = threading.Thread(target=agent)
        typing.start()
        for number in range(TURNS):
            if number == TURNS // 2:
                middle()
                half.wait()
            self.line.tell(f"user {self.round}.{number}")
        typing.join()

    def words(self, who: str) -> list[str]:
        """What one side says in this handoff."""
        return [f"{who} {self.round}.{number}" for number in range(TURNS)]

    def check(self, request_id: str, seen_before: int) -> None:
        """Each side has all of the other's words, once, in order; the user has nothing else."""
        users, agents = self.words("user"), self.words("agent")
        until(lambda: len(self.agent_saw(request_id)) >= TURNS, "the user's words")
        until(lambda: len(self.user_saw()) >= seen_before + TURNS, "the agent's words", 120)
        assert self.agent_saw(request_id) == users
        assert self.user_saw()[seen_before:] == agents

    def whole_handoff(self, *, middle: Callable[[], None] = lambda: None) -> None:
        """From the ask to the close; both sides type at once, and `middle` happens half way."""
        request_id = self.hand_over()
        seen = len(self.user_saw())
        self.both_talk(request_id, middle=middle)
        self.check(request_id, seen)
        self.close(request_id)

    def close(self, request_id: str) -> None:
        """The agent closes; the bot is back, and answers the next thing said and nothing that was said before."""
        self.project.close_as_agent(request_id)
        until(lambda: ENDED in self.user_saw()[-1], "the news that it has ended")
        seen = len(self.user_saw())
        self.line.tell("When are you open?")
        until(lambda: len(self.user_saw()) > seen, "the bot's answer")
        assert len(self.user_saw()) == seen + 1
        assert self.bot.tracker(self.sender)["slots"]["tiledesk_handoff"] is None


@pytest.fixture
def line(request: pytest.FixtureRequest, chatting: Bot, sender: str) -> Iterator[Line]:
    """The user's channel: callback, unless a test asks for socketio."""
    if getattr(request, "param", "callback") == "socketio":
        with web_chat(chatting.url, sender) as page:
            yield page
    else:
        yield CallbackLine(chatting, sender)


@pytest.fixture
def chat(chatting: Bot, project: LiveProject, sender: str, line: Line) -> Chat:
    made = Chat(chatting, project, sender, line)
    line.tell("Hi there")
    until(lambda: made.user_saw(), "the bot's greeting")
    return made


by_socketio = pytest.mark.parametrize("line", ["socketio"], indirect=True)
by_both = pytest.mark.parametrize("line", ["callback", "socketio"], indirect=True)


@by_both
def test_a_chat_of_both_sides_then_a_close_then_a_second_handoff(chat: Chat) -> None:
    for _ in range(2):
        request_id = chat.hand_over()
        seen = len(chat.user_saw())
        chat.both_talk(request_id)
        chat.check(request_id, seen)
        picture = {"src": "https://example.com/i.png", "type": "image/png", "name": "i.png"}
        chat.project.agent_says(request_id, "i.png", type="image", metadata=picture)
        link = f"see https://example.com/{chat.round}"
        chat.project.agent_says(request_id, link)
        until(lambda: chat.user_saw()[-1] == link, "the link")  # noqa: B023 - it is asked for at once
        assert chat.user_saw()[-2] == picture["src"]
        chat.close(request_id)
    assert not any("private" in text for text in chat.user_saw())


@by_socketio
def test_the_action_server_killed_and_restarted_in_the_middle(chat: Chat) -> None:
    request_id = chat.hand_over()
    seen = len(chat.user_saw())

    def middle() -> None:
        chat.bot.kill_actions()
        chat.project.agent_says(request_id, "agent while it was down")
        chat.line.tell("user 1.while it was down")
        chat.bot.restart_actions(tiledesk=webhooks_at(chat.bot.actions_url))

    chat.both_talk(request_id, middle=middle)
    # Up to 30 s of these are the lease of the killed server running out.
    until(lambda: len(chat.agent_saw(request_id)) >= TURNS + 1, "the user's words", 120)
    until(lambda: len(chat.user_saw()) >= seen + TURNS + 1, "the agent's words", 120)
    said, heard = chat.agent_saw(request_id), chat.user_saw()[seen:]
    users, half = chat.words("user"), TURNS // 2
    assert said == [*users[:half], "user 1.while it was down", *users[half:]]
    assert sorted(heard) == sorted([*chat.words("agent"), "agent while it was down"])
    assert [text for text in heard if "while" not in text] == chat.words("agent")
    chat.close(request_id)


def test_rasa_restarted_in_the_middle(chat: Chat) -> None:
    chat.whole_handoff(middle=chat.bot.restart_rasa)


@by_socketio
def test_webhooks_that_come_twice_late_and_in_any_order(chat: Chat) -> None:
    with shuffling_proxy(chat.bot.actions_url) as url:
        chat.bot.restart_actions(tiledesk=webhooks_at(url))
        chat.whole_handoff()
    chat.bot.restart_actions(tiledesk=webhooks_at(chat.bot.actions_url))


def test_polling_needs_no_public_address(chat: Chat) -> None:
    chat.bot.restart_actions(tiledesk={"relay": {"receive": "poll", "public_url": None}})
    chat.whole_handoff()
    chat.bot.restart_actions(tiledesk=webhooks_at(chat.bot.actions_url))


def test_an_action_server_of_two_sanic_workers(chat: Chat) -> None:
    chat.bot.restart_actions(tiledesk=webhooks_at(chat.bot.actions_url), env={"ACTION_SERVER_SANIC_WORKERS": "2"})
    chat.whole_handoff()
    chat.bot.restart_actions(tiledesk=webhooks_at(chat.bot.actions_url))


def test_the_user_goes_back_to_the_bot(chat: Chat) -> None:
    request_id = chat.hand_over()
    chat.line.tell("/back_to_bot")
    until(lambda: ENDED in chat.user_saw()[-1], "the news that it has ended")
    # The user is given back first: a Tiledesk that is away must not keep them waiting.
    until(lambda: request_id not in {r["request_id"] for r in chat.project.requests()}, "the end of the request")
