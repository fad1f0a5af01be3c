"""Who is there, how it ends, clocks and pace: a user and agents who talk by the real Tiledesk with chat21."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from rasa_tiledesk.ledger import Life
from rasa_tiledesk.responses import ENDED, STILL_WAITING, UNSENT, default_text
from rasa_tiledesk.testing import FakeRasa
from stack.agent import Message
from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent
from stack.tiledesk import LiveProject
from tests.databases import throw_away_database
from tests.live.own_actions import User, action_server, conversation, endpoints_file
from tests.live.talk import JOINED, Talk, begun, chat_of, queued
from tests.waiting import until

pytestmark = pytest.mark.live

row = pytest.mark.row  # of the table in docs/relay.md


@pytest.fixture
def waiting(tmp_path: Path, rasa: FakeRasa, chat21: Chat21Server) -> Iterator[Talk]:
    """A user who waits, since nobody is there now."""
    with queued(tmp_path, rasa, chat21, wait_limit=2) as talk:
        yield talk


class TestWhoIsThere:
    @row("the request is routed, somebody is free")
    @row("an agent's first words")
    def test_nobody_has_joined_when_a_machine_assigns_it_until_the_agent_speaks(self, talk: Talk) -> None:
        until(lambda: talk.has_line("MEMBER_JOINED_GROUP", talk.agent.id), "chat21's line")
        until(talk.is_heard)
        assert not talk.user.now(talk.handoff).joined
        talk.user_heard()
        talk.agent_says("Hello")
        talk.user_heard(JOINED, "Hello")

    @row("a second agent joins")
    @row("one of several agents leaves, or the last one")
    def test_a_second_agent_joins_speaks_and_leaves(self, talk: Talk, bea: ChatAgent) -> None:
        talk.agent_says("I ask Bea")
        talk.user_heard(JOINED, "I ask Bea")
        bea.join(talk.id)
        bea.wait_for(talk.id, lambda inbox: "I ask Bea" in chat_of(inbox))
        talk.agent_says("Bea here", who=bea)
        talk.user_heard(JOINED, "I ask Bea", "Bea here")
        bea.leave(talk.id)
        until(lambda: talk.has_line("MEMBER_LEFT_GROUP", bea.id), "that she left")
        talk.user.says("Thanks, Bea")
        talk.agent_heard("Thanks, Bea")
        talk.agent_says("She has left")
        talk.user_heard(JOINED, "I ask Bea", "Bea here", "She has left")

    def test_a_second_agent_who_joins_has_joined_when_she_speaks(self, talk: Talk, bea: ChatAgent) -> None:
        bea.join(talk.id)
        until(lambda: talk.has_line("MEMBER_JOINED_GROUP", bea.id), "chat21's line")
        until(talk.is_heard)
        talk.user_heard()
        talk.agent_says("Bea here", who=bea)
        talk.user_heard("Bea Agent has joined", "Bea here")

    def test_the_last_words_of_an_agent_who_leaves_at_once(self, talk: Talk, bea: ChatAgent) -> None:
        bea.join(talk.id)
        bea.wait_for(talk.id, lambda inbox: "turn 2" in chat_of(inbox))
        talk.agent_says("I can not help", who=bea)
        bea.leave(talk.id)
        talk.user_heard("Bea Agent has joined", "I can not help")

    @row("the request goes to another department or agent")
    def test_another_department_is_nothing_the_user_hears_of(self, talk: Talk) -> None:
        sales = talk.project.add_department(f"Sales {talk.id[-8:]}")
        talk.agent.move(talk.id, sales)
        until(lambda: talk.user.server.desk.request(talk.id).department_id == sales, "the move")
        talk.user.says("Still there?")
        talk.agent_heard("Still there?")
        until(talk.is_heard)
        talk.user_heard()
        talk.agent_says("In Sales now")
        talk.user_heard(JOINED, "In Sales now")

    @row("nobody is free")
    @row("nobody comes for `wait_limit`")
    def test_nobody_there_is_queued_then_still_waiting(self, waiting: Talk) -> None:
        waiting.user_heard(default_text(STILL_WAITING))
        until(waiting.is_heard)
        assert waiting.agent.inbox(waiting.id) == []
        waiting.user_heard(default_text(STILL_WAITING))

    @row("an agent takes the waiting request")
    def test_nobody_there_until_an_agent_takes_it(self, waiting: Talk) -> None:
        waiting.user_heard(default_text(STILL_WAITING))
        waiting.agent.join(waiting.id)
        waiting.agent.wait_for(waiting.id, lambda inbox: "turn 2" in chat_of(inbox))
        waiting.user_heard(default_text(STILL_WAITING), JOINED)


class TestTheEnd:
    @row("an agent closes the request")
    def test_a_close_is_told_and_what_the_bot_understands_in_that_second_is_answered(self, talk: Talk) -> None:
        talk.agent_says("Goodbye")
        talk.user_heard(JOINED, "Goodbye")
        talk.agent.close(talk.id)
        talk.user.says("When are you open?", intent="opening_hours")
        talk.user_heard(JOINED, "Goodbye", default_text(ENDED), "We open at nine.")
        assert not talk.user.rasa.paused(talk.user.id)

    def test_what_the_bot_does_not_understand_in_that_second_is_asked_again(self, talk: Talk) -> None:
        talk.agent.close(talk.id)
        talk.user.says("One more")
        talk.user.says("And another")
        talk.user_heard(default_text(ENDED), default_text(UNSENT))

    def test_what_was_said_just_before_the_close_is_heard_before_the_end(self, talk: Talk) -> None:
        talk.agent_says("My last word")
        until(
            lambda: "My last word" in talk.tiledesk_has(),
            "the word in Tiledesk",
        )
        talk.agent.close(talk.id)
        talk.user_heard(JOINED, "My last word", default_text(ENDED))

    def test_what_tiledesk_has_of_the_agent_only_after_the_close_is_heard_too(self, talk: Talk) -> None:
        talk.agent_says("Hello")
        talk.user_heard(JOINED, "Hello")
        talk.agent.say(talk.id, "My last word")
        talk.agent.close(talk.id)
        end = default_text(ENDED)
        until(lambda: {"My last word", end} <= set(talk.user.heard()), "the word and the end, in whatever order")
        assert sorted(talk.user.heard()) == sorted([JOINED, "Hello", "My last word", end])

    @row("an agent opens it again within a day and writes")
    def test_one_that_an_agent_opens_again_goes_on(self, talk: Talk) -> None:
        talk.agent_says("Goodbye")
        talk.agent.close(talk.id)
        end = default_text(ENDED)
        talk.user_heard(JOINED, "Goodbye", end)
        talk.agent.reopen(talk.id)
        talk.agent_says("One more thing")
        until(lambda: "One more thing" in talk.user.heard(), "the word after the end")
        assert talk.user.now(talk.handoff).life is Life.LIVE
        assert talk.user.rasa.paused(talk.user.id)
        talk.user.says("Yes?")
        talk.agent_heard("Yes?")
        print(f"\nafter a reopen the user has heard: {talk.user.heard()}")

    def test_the_user_who_goes_back_to_the_bot_closes_it(self, talk: Talk) -> None:
        talk.user.says("/back_to_bot", intent="back_to_bot")
        talk.user_heard(default_text(ENDED))
        until(lambda: talk.user.server.desk.request(talk.id).closed, "the close")


@pytest.mark.parametrize("ahead", [90, -90])
def test_whatever_rasas_clock_says_the_agents_order_is_the_order_of_speaking(
    tmp_path: Path, chat21_project: LiveProject, chat21_agent: ChatAgent, ahead: int
) -> None:
    def clock() -> float:
        return time.time() + ahead

    with FakeRasa(clock=clock) as rasa, action_server(endpoints_file(tmp_path, chat21_project, rasa)) as parts:
        user = User(rasa, parts).has_said(conversation(7, clock=clock))
        talk = Talk(user, chat21_agent, chat21_project, user.hand_over())
        spoken = [f"turn {number}" for number in range(7)]
        talk.agent.wait_for(talk.id, lambda inbox: set(spoken) <= set(chat_of(inbox)))
        for number in range(3):
            question, answer = f"question {number}", f"answer {number}"
            talk.agent_says(question)
            until(lambda: question in user.heard(), "the question")  # noqa: B023 - it is asked for at once
            user.says(answer)
            talk.agent_heard(answer)
            spoken += [question, answer]

        def in_order(messages: Sequence[Message]) -> bool:
            return [text for text in chat_of(messages) if text in spoken] == spoken

        assert in_order(talk.agent.inbox(talk.id)), chat_of(talk.agent.inbox(talk.id))
        until(lambda: in_order(talk.agent.history(talk.id)), "the same in chat21's own history")


class TestPace:
    """npm's chat21-server 0.2.21 has no limiter, so that nothing shows whether the pace is kept: FakeTiledesk's has one
    (tests/unit). What shows here is that the pace loses nothing, whoever sends."""

    def test_the_action_server_restarted_after_the_import_and_25_quick_messages(
        self, tmp_path: Path, rasa: FakeRasa, chat21_project: LiveProject, chat21_agent: ChatAgent
    ) -> None:
        endpoints = endpoints_file(tmp_path, chat21_project, rasa)
        with action_server(endpoints) as first:
            talk = begun(User(rasa, first), chat21_project, chat21_agent)
        words = [f"quick {number}" for number in range(25)]
        with action_server(endpoints) as second:
            talk.user.server = second
            begin = time.monotonic()
            for word in words:
                talk.user.says(word)
            talk.agent_heard(*words, seconds=90)
            print(f"\n25 quick messages after a restart: in the chat after {time.monotonic() - begin:.1f} s")

    def test_two_action_servers_and_50_quick_messages(
        self, tmp_path: Path, rasa: FakeRasa, chat21_project: LiveProject, chat21_agent: ChatAgent
    ) -> None:
        words = [f"quick {number}" for number in range(50)]
        with ExitStack() as stack:
            ledger = stack.enter_context(throw_away_database("postgresql"))
            endpoints = endpoints_file(tmp_path, chat21_project, rasa, ledger=ledger)
            servers = [stack.enter_context(action_server(endpoints)) for _ in range(2)]
            talk = begun(User(rasa, servers[0]), chat21_project, chat21_agent)
            begin = time.monotonic()
            for number, word in enumerate(words):
                talk.user.server = servers[number % 2]
                talk.user.says(word)
            talk.agent_heard(*words, seconds=150)
            print(f"\n50 by two servers: in the chat after {time.monotonic() - begin:.1f} s")
