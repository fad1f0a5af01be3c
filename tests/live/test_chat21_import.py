"""The import into the real Tiledesk with chat21: what the agent's chat has of it, and how soon."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from rasa_tiledesk.ledger import Handoff, Life
from rasa_tiledesk.runtime import Runtime
from rasa_tiledesk.testing import FakeRasa
from stack.agent import Message
from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent
from stack.tiledesk import LiveProject
from tests.live.own_actions import User, conversation, key_of, ours
from tests.waiting import until

pytestmark = pytest.mark.live

BURST = 24  # messages of one sender that are imported as they are
RUNS = 3  # of which one has to be quick enough: what else the machine does meanwhile makes either of the two slower


@pytest.fixture
def user(rasa: FakeRasa, server: Runtime) -> User:
    return User(rasa, server)


def is_complete(messages: Sequence[Message], turns: int) -> bool:
    """Whether every turn is there once and in the chat's order: as a message of its own, or in the summary."""
    mine = ours(messages)
    summary = [message for message in mine if str(key_of(message)).startswith("summary/")]
    native = [message.text for message in mine[len(summary) :]]
    first = turns - len(native)
    folded = "".join(f"{message.text}\n" for message in summary)
    return (
        mine[: len(summary)] == summary
        and native == [f"turn {number}" for number in range(first, turns)]
        and [folded.count(f": turn {number}\n") for number in range(first)] == [1] * first
    )


def arrives(agent: ChatAgent, handoff: Handoff, turns: int) -> list[Message]:
    """What the agent's chat has of the history, when it has all of it: by MQTT, and as it is opened anew."""
    agent.wait_for(
        handoff.request_id,
        lambda inbox: len(ours(inbox)) >= min(turns, 2) and ours(inbox)[-1].text == f"turn {turns - 1}",
    )
    inbox = agent.inbox(handoff.request_id)
    assert is_complete(inbox, turns), [message.text[:60] for message in ours(inbox)]
    until(lambda: is_complete(agent.history(handoff.request_id), turns), "chat21's own history")
    return ours(inbox)


@dataclass(frozen=True)
class Bare:
    """What posting takes without us: a request of its own, one message after the other."""

    project: LiveProject
    server: Runtime

    def seconds(self, messages: Sequence[Message]) -> float:
        """How long it takes to post messages of these texts."""
        desk = self.server.desk
        user = desk.sign_in_anonymously(name="Bare")
        request_id = f"support-group-{self.project.project_id}-{uuid.uuid4().hex}"
        begin = time.monotonic()
        for number, message in enumerate(messages):
            body = {"sender": user.id, "senderFullname": "Bare", "text": message.text, "channel": {"name": "rasa"}}
            if number == 0:
                desk.open_request(request_id, body, temporary=True)
            else:
                desk.send_message(request_id, body)
        return time.monotonic() - begin


def everything(messages: Sequence[Message]) -> list[Message]:
    """Our messages, with the line that opens the request."""
    return [message for message in messages if key_of(message) is not None]


@pytest.mark.parametrize(("turns", "lines_of_bot"), [(7, 1), (40, 1), (120, 1), (120, 3)])
def test_the_agent_has_every_turn_once_and_as_soon_as_posting_takes(
    chat21_project: LiveProject,
    rasa: FakeRasa,
    server: Runtime,
    chat21_agent: ChatAgent,
    turns: int,
    lines_of_bot: int,
) -> None:
    for _ in range(RUNS):
        user = User(rasa, server).has_said(conversation(turns, lines_of_bot=lines_of_bot))
        begin = time.monotonic()
        handoff = user.hand_over()
        taken = time.monotonic() - begin
        inbox = arrives(chat21_agent, handoff, turns)
        said = [message.sender for message in inbox if not str(key_of(message)).startswith("summary/")]
        assert max(said.count(sender) for sender in said) <= BURST
        posts = everything(chat21_agent.inbox(handoff.request_id))
        bare = Bare(chat21_project, server).seconds(posts)
        print(f"\n{turns} turns, {len(posts)} messages: ask to assigned {taken:.2f} s, the bare posts {bare:.2f} s")
        if taken <= 1.5 * bare + 1:
            return
    pytest.fail(f"in none of {RUNS} runs was it assigned within 1.5 times the bare posts and a second")


def test_five_handoffs_at_once(rasa: FakeRasa, server: Runtime, chat21_agent: ChatAgent) -> None:
    users = [User(rasa, server).has_said(conversation(30 + number)) for number in range(5)]
    begin = time.monotonic()
    with ThreadPoolExecutor(max_workers=5) as pool:
        handoffs = list(pool.map(partial(User.hand_over, seconds=180), users))
    print(f"\nfive at once: the last is assigned after {time.monotonic() - begin:.2f} s")
    for number, handoff in enumerate(handoffs):
        arrives(chat21_agent, handoff, 30 + number)


def test_chat21_server_stopped_for_four_seconds_in_mid_import_loses_nothing(
    chat21: Chat21Server, chat21_project: LiveProject, user: User, chat21_agent: ChatAgent
) -> None:
    user.has_said(conversation(40))
    handoff = user.ask().handoff
    assert handoff is not None
    until(lambda: len(chat21_project.messages(handoff.request_id)) > 8, "the middle of the import")
    with chat21.stopped():
        assert user.now(handoff).life is Life.OPEN
        threading.Event().wait(4)  # chat21 stands still for so long: the fault itself, not a wait for something
    user.assigned(handoff)
    arrives(chat21_agent, handoff, 40)


def test_chat21_server_stopped_for_three_seconds_in_mid_conversation_loses_nothing(
    chat21: Chat21Server, user: User, chat21_agent: ChatAgent
) -> None:
    user.has_said(conversation(7))
    handoff = user.hand_over()
    arrives(chat21_agent, handoff, 7)
    said = [f"user {number}" for number in range(10)]
    for text in said[:3]:
        user.says(text)
    with chat21.stopped():
        for text in said[3:7]:
            user.says(text)
        chat21_agent.say(handoff.request_id, "agent while it stood still")
        threading.Event().wait(3)
    for text in said[7:]:
        user.says(text)

    def live(messages: Sequence[Message]) -> list[str]:
        return [message.text for message in sorted(messages, key=lambda one: one.time) if message.text in said]

    inbox = chat21_agent.wait_for(handoff.request_id, lambda inbox: len(live(inbox)) >= len(said))
    assert sorted(live(inbox)) == sorted(said)
    print(f"\nin the agent's order: {live(inbox)}")
    until(lambda: "agent while it stood still" in user.heard(), "the agent's words")
