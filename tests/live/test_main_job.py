"""Real Rasa, real Tiledesk: what the user saw is what the agent sees, and from then on the bot is silent."""

from __future__ import annotations

from typing import Any

import pytest

from stack.agent import Agent, Message
from stack.comparison import Turn, clicked_by_user, compare, said_by_bot, said_by_user
from stack.rasa import Bot
from tests.live.opened import request_of

pytestmark = pytest.mark.live

ASK = "I want to talk to a human"


class Conversation:
    """One user with the bot, and what that user saw."""

    def __init__(self, bot: Bot, sender: str) -> None:
        self._bot = bot
        self._sender = sender
        self._payloads: dict[str, str] = {}
        self.turns: list[Turn] = []

    def say(self, text: str) -> list[dict[str, Any]]:
        """Type something, or click the button with this title if it was shown."""
        payload = self._payloads.get(text)
        answers = self._bot.say(self._sender, payload or text)
        for answer in answers:
            self._payloads.update({button["title"]: button["payload"] for button in answer.get("buttons", ())})
        self.turns += [clicked_by_user(text) if payload else said_by_user(text), *said_by_bot(answers)]
        return answers


def opened_by(bot: Bot, sender: str, agent: Agent) -> dict[str, Any]:
    """The conversation with this user, as agents see it."""
    request_id = request_of(bot, sender)
    (request,) = [request for request in agent.requests() if request["request_id"] == request_id]
    return request


@pytest.fixture(scope="module", params=["staged", "direct"])
def maria(request: pytest.FixtureRequest, bot: Bot) -> str:
    """A user of a bot that imports this way."""
    bot.restart_actions(tiledesk={"history": {"import": request.param}})
    return f"maria-{request.param}"


@pytest.fixture(scope="module")
def handed_over(bot: Bot, agent: Agent, maria: str) -> tuple[Conversation, dict[str, Any], list[Message]]:
    """A conversation of every kind of turn, the request it became, and the request's messages."""
    conversation = Conversation(bot, maria)
    for text in (
        "Hi there",
        "I'm Maria",
        "What do you sell?",
        "Where is my order?",
        "It is A-1042",
        "maria@example.org",
        "Send it back",
        ASK,
    ):
        assert conversation.say(text), f"the bot did not answer {text!r}; see {bot.folder}"
    request = opened_by(bot, maria, agent)
    return conversation, request, turns(agent, request)


def turns(agent: Agent, request: dict[str, Any]) -> list[Message]:
    """What was said, without the line on top that tells agents who it is."""
    return [message for message in agent.messages(request["request_id"]) if message.is_turn]


HandedOver = tuple[Conversation, dict[str, Any], list[Message]]


def test_every_turn_is_there_once_in_order_and_from_the_right_sender(handed_over: HandedOver) -> None:
    conversation, request, messages = handed_over
    asked_at = [turn.words for turn in conversation.turns].index(ASK)
    rows = compare(conversation.turns, messages, user=request["lead"]["lead_id"])
    assert [row.message.text for row in rows if row.message and not row.turn] == []
    assert [row.turn.words for row in rows[: asked_at + 1] if row.turn and not row.message] == []


def test_the_kinds_of_turns_were_all_said(handed_over: HandedOver) -> None:
    words = "\n".join(turn.words for turn in handed_over[0].turns)
    for kind in ("[ Send it back ]", "[image] https://", "[custom] ", "A-1042", "maria@example.org", "👋"):
        assert kind in words


def test_names_are_those_of_the_user_and_of_one_bot(handed_over: HandedOver) -> None:
    _, request, messages = handed_over
    user = request["lead"]["lead_id"]
    assert {message.name for message in messages if message.sender == user} == {"Maria"}
    bots = {(message.sender, message.name) for message in messages if message.sender != user}
    assert len(bots) == 1
    assert all(name.strip() for _, name in bots)


def test_times_are_those_of_the_conversation(handed_over: HandedOver, bot: Bot, maria: str) -> None:
    times = [message.time for message in handed_over[2]]
    assert times == sorted(set(times))
    first_event = next(event for event in bot.tracker(maria)["events"] if event["event"] == "user")
    assert times[0] == int(first_event["timestamp"] * 1000)


def test_a_click_is_shown_as_its_title_and_the_picture_as_a_picture(handed_over: HandedOver) -> None:
    messages = handed_over[2]
    assert not [message.text for message in messages if message.text.startswith("/")]
    (picture,) = [message for message in messages if message.image]
    assert picture.raw["type"] == "image"


def test_the_user_is_told_and_the_bot_is_silent_from_then_on(handed_over: HandedOver, bot: Bot, maria: str) -> None:
    conversation = handed_over[0]
    assert "connecting you with a colleague" in conversation.turns[-1].words
    tracker = bot.tracker(maria)
    assert tracker["paused"] is True
    assert tracker["slots"]["tiledesk_handoff"]
    assert bot.say(maria, "When are you open?") == []


def test_a_human_can_be_asked_for_by_a_button_and_in_the_middle_of_a_form(bot: Bot, agent: Agent, sender: str) -> None:
    conversation = Conversation(bot, sender)
    conversation.say("Hi there")
    conversation.say("Where is my order?")
    conversation.say("Talk to a human")
    request = opened_by(bot, sender, agent)
    rows = compare(conversation.turns[:5], turns(agent, request), user=request["lead"]["lead_id"])
    assert [row for row in rows[:5] if not (row.turn and row.message)] == []
    assert bot.tracker(sender)["paused"] is True
