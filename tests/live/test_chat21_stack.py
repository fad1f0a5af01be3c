"""What this project relies on, seen on the real Tiledesk with chat21: each test is a fact about those two."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import pytest

from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from rasa_tiledesk.tiledesk.model import CLOSED
from stack.agent import Agent, Message
from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent, chat_agent
from stack.processes import StackError
from stack.rabbitmq import find_server
from stack.tiledesk import LiveProject

pytestmark = pytest.mark.live

_T = TypeVar("_T")

START = 1_700_000_000_000  # milliseconds
SENT, DELIVERED = 150, 200  # a message's status: chat21 took it; it reached who takes part


class Conversation:
    """A request of a new end user, opened as a handoff opens it: TEMP, with the user's first words."""

    def __init__(self, project: LiveProject, first: str = "a human, please") -> None:
        self.project = project
        login = AgentLogin(*project.owner)
        self.client = TiledeskClient(url=project.url, project_id=project.project_id, credential=login)
        self.user = self.client.sign_in_anonymously(name="Ann")
        self.id = f"support-group-{project.project_id}-{uuid.uuid4().hex}"
        opened = self.client.open_request(self.id, self._message(first, at=0), temporary=True)
        assert opened.request is not None
        self.department = opened.request.department_id

    def post(self, text: str, *, at: int) -> None:
        self.client.send_message(self.id, self._message(text, at=at))

    def assign(self) -> None:
        self.client.assign(self.id, self.department)

    def messages(self) -> list[dict[str, Any]]:
        return self.project.messages(self.id)

    def message(self, text: str) -> dict[str, Any]:
        """The message with this text in Tiledesk's store, as soon as it is there."""
        return until(lambda: next((each for each in self.messages() if each["text"] == text), None))

    def notices(self) -> list[tuple[str, str]]:
        """Tiledesk's own lines: what happened, and to whom."""
        return [notice(message.get("attributes")) for message in self.messages() if message["sender"] == "system"]

    def _message(self, text: str, *, at: int) -> dict[str, object]:
        return {
            "sender": self.user.id,
            "senderFullname": "Ann",
            "text": text,
            "channel": {"name": "rasa"},
            "attributes": {"clienttimestamp": START + at},
        }


def notice(attributes: Any) -> tuple[str, str]:
    label = (attributes or {}).get("messagelabel") or {}
    return label.get("key", ""), (label.get("parameters") or {}).get("member_id", "")


def texts(messages: Iterable[Message], *, of: str = "line") -> list[str]:
    return [message.text for message in messages if message.text.startswith(of)]


def until(look: Callable[[], _T | None], *, seconds: float = 20) -> _T:
    """What `look` sees, as soon as it is something."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not seen within {seconds:.0f} s"
        time.sleep(0.05)
    return seen


@pytest.fixture
def owner(chat21_agent: ChatAgent) -> ChatAgent:
    return chat21_agent


@pytest.fixture
def talk(chat21_project: LiveProject) -> Conversation:
    return Conversation(chat21_project)


@pytest.fixture
def live(talk: Conversation, owner: ChatAgent) -> Conversation:
    """A conversation that the owner has in the chat."""
    talk.assign()
    owner.wait_for(talk.id, lambda inbox: texts(inbox, of="a human"))
    return talk


def test_a_missing_rabbitmq_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackError, match=r"^rabbitmq-server missing: .* \(Debian: rabbitmq-server\)$"):
        find_server()


# Before the assignment


def test_what_is_posted_while_temp_reaches_nobody_until_the_assignment(talk: Conversation, owner: ChatAgent) -> None:
    talk.post("line 1", at=1)
    until(lambda: talk.message("line 1")["status"] >= SENT)
    assert owner.inbox(talk.id) == []
    talk.assign()
    owner.wait_for(talk.id, lambda inbox: texts(inbox) == ["line 1"])


def test_the_agent_gets_what_was_posted_while_temp_in_the_order_of_clienttimestamp(
    talk: Conversation, owner: ChatAgent
) -> None:
    for at in (3, 1, 5, 2, 4):
        talk.post(f"line {at}", at=at)
    until(lambda: talk.message("line 4")["status"] == DELIVERED)
    talk.assign()
    inbox = owner.wait_for(talk.id, lambda inbox: len(texts(inbox)) == 5)
    assert texts(inbox) == [f"line {at}" for at in range(1, 6)]
    assert [message.time - START for message in inbox if message.text.startswith("line")] == [1, 2, 3, 4, 5]
    until(lambda: texts(owner.history(talk.id)) == texts(inbox))  # which chat21 writes down after the delivery


def test_there_is_no_limit_of_messages_a_minute_in_this_chat21(talk: Conversation, owner: ChatAgent) -> None:
    """npm's chat21-server 0.2.21 has none; 0.2.55 with Redis drops what exceeds 31 of one sender."""
    lines = [f"line {number}" for number in range(45)]
    for at, line in enumerate(lines, start=1):
        talk.post(line, at=at)
    until(lambda: talk.message(lines[-1])["status"] >= SENT)
    talk.assign()
    talk.post("the end", at=100)
    inbox = owner.wait_for(talk.id, lambda inbox: texts(inbox, of="the end"))
    assert sorted(texts(inbox)) == sorted(lines)


# Message status


def test_a_message_that_was_delivered_has_status_200(live: Conversation, owner: ChatAgent) -> None:
    live.post("line 1", at=1)
    owner.wait_for(live.id, lambda inbox: texts(inbox))
    until(lambda: live.message("line 1")["status"] == DELIVERED)


def test_while_chat21_server_is_stopped_nothing_is_delivered_and_nothing_is_lost(
    chat21: Chat21Server, live: Conversation, owner: ChatAgent
) -> None:
    with chat21.stopped():
        for at in range(1, 11):
            live.post(f"line {at}", at=at)
        until(lambda: live.message("line 10")["status"] == SENT)
        assert texts(owner.inbox(live.id)) == []
    inbox = owner.wait_for(live.id, lambda inbox: len(texts(inbox)) == 10)
    in_the_chat = sorted(inbox, key=lambda message: message.time)  # a heap of them arrives in any order
    assert texts(in_the_chat) == [f"line {at}" for at in range(1, 11)]
    until(lambda: live.message("line 10")["status"] == DELIVERED)


def test_a_body_over_100_kilobytes_never_reaches_the_agent(live: Conversation, owner: ChatAgent) -> None:
    """chat21-http takes JSON of 102,400 bytes at most (body-parser's default); Tiledesk answers 200 all the same."""
    live.post("fits " + "x" * 90_000, at=1)
    live.post("too long " + "x" * 110_000, at=2)
    live.post("line 3", at=3)
    inbox = owner.wait_for(live.id, lambda inbox: texts(inbox))
    assert len(texts(inbox, of="fits")) == 1
    assert texts(inbox, of="too long") == []
    assert texts(owner.history(live.id), of="too long") == []
    assert any(message["text"].startswith("too long") for message in live.messages())


# Tiledesk's own lines


def test_at_the_opening_the_system_and_the_end_user_join(talk: Conversation) -> None:
    until(lambda: len(talk.notices()) >= 3)
    assert sorted(talk.notices()) == sorted(
        [("GROUP_CREATED", ""), ("MEMBER_JOINED_GROUP", "system"), ("MEMBER_JOINED_GROUP", talk.user.id)]
    )


def test_at_the_assignment_an_operator_is_touched_and_the_agent_joins(live: Conversation, owner: ChatAgent) -> None:
    until(lambda: ("MEMBER_JOINED_GROUP", owner.id) in live.notices())
    assert "TOUCHING_OPERATOR" in [key for key, _ in live.notices()]
    assert re.fullmatch("[0-9a-f]{24}", owner.id)


# What agents do


def test_an_agents_words_are_in_tiledesk_with_the_channel_chat21(live: Conversation, owner: ChatAgent) -> None:
    owner.say(live.id, "line 1")
    message = live.message("line 1")
    assert message["channel"]["name"] == "chat21"
    assert message["sender"] == owner.id
    assert message["senderFullname"] == owner.name
    assert live.client.request(live.id).channel == "rasa"


def test_a_private_note_carries_its_subtype(live: Conversation, owner: ChatAgent) -> None:
    owner.say_privately(live.id, "line 1")
    assert live.message("line 1")["attributes"]["subtype"] == "private"


def test_images_and_files_carry_their_links(live: Conversation, owner: ChatAgent) -> None:
    owner.send_image(live.id, "/api/images?path=a.png", text="line 1")
    owner.send_file(live.id, "/api/files?path=b.pdf", name="b.pdf")
    image, file = live.message("line 1"), live.message("[b.pdf](/api/files?path=b.pdf)")
    assert (image["type"], image["metadata"]["src"]) == ("image", "/api/images?path=a.png")
    assert (file["type"], file["metadata"]["src"]) == ("file", "/api/files?path=b.pdf")


def test_closing_leaves_a_line_of_the_system(live: Conversation, owner: ChatAgent) -> None:
    owner.close(live.id)
    until(lambda: "CHAT_CLOSED" in [key for key, _ in live.notices()])
    closed = live.client.request(live.id)
    assert (closed.status, closed.closed_by) == (CLOSED, owner.id)


def test_a_reopened_conversation_is_assigned_again_and_takes_words_of_both_sides(
    live: Conversation, owner: ChatAgent
) -> None:
    owner.close(live.id)
    until(lambda: "CHAT_CLOSED" in [key for key, _ in live.notices()])
    owner.reopen(live.id)
    until(lambda: "CHAT_REOPENED" in [key for key, _ in live.notices()])
    assert not live.client.request(live.id).closed
    owner.say(live.id, "line 1")
    live.message("line 1")
    live.post("line 2", at=2)
    owner.wait_for(live.id, lambda inbox: "line 2" in texts(inbox))
    until(lambda: live.client.request(live.id).status == 200)


def test_a_colleague_who_joins_gets_all_of_it_and_leaves_again(
    chat21: Chat21Server, chat21_project: LiveProject, live: Conversation, owner: ChatAgent
) -> None:
    live.post("line 1", at=1)
    owner.wait_for(live.id, lambda inbox: texts(inbox))
    bea = chat21_project.add_agent("Bea", available=False)
    with chat_agent(chat21, chat21_project.project_id, bea.email, bea.password) as colleague:
        colleague.join(live.id)
        colleague.wait_for(live.id, lambda inbox: texts(inbox))
        until(lambda: ("MEMBER_JOINED_GROUP", bea.id) in live.notices())
        colleague.leave(live.id)
        until(lambda: ("MEMBER_LEFT_GROUP", bea.id) in live.notices())
    assert live.client.request(live.id).participant_agents == (owner.id,)


def test_another_department_is_another_assignment(
    chat21_project: LiveProject, live: Conversation, owner: ChatAgent
) -> None:
    sales = chat21_project.add_department("Sales")
    owner.move(live.id, sales)
    until(lambda: live.client.request(live.id).department_id == sales)


# One call for all conversations


@pytest.fixture
def alone(chat21: Chat21Server) -> Iterator[tuple[LiveProject, ChatAgent]]:
    """A project without other conversations, and its owner."""
    project = chat21.bootstrap()
    with chat_agent(chat21, project.project_id, *project.owner) as owner:
        yield project, owner


def test_one_call_lists_all_conversations_by_their_last_news(alone: tuple[LiveProject, ChatAgent]) -> None:
    project, owner = alone
    first, second, third = (Conversation(project) for _ in range(3))
    for each in (first, second, third):
        each.assign()
        owner.wait_for(each.id, lambda inbox: texts(inbox, of="a human"))

    def listed() -> list[dict[str, Any]]:
        return owner.listed(channel="rasa", status="all", sort="updatedAt", direction="-1", limit="100")

    def newest(request_id: str, text: str) -> Any:
        found = listed()[0]
        last = found["attributes"].get("last_message") or {}
        return found["request_id"] == request_id and last.get("text") == text and last

    first.post("line 1", at=1)
    assert until(lambda: newest(first.id, "line 1"))["sender"] == first.user.id
    owner.say(second.id, "line 2")
    assert until(lambda: newest(second.id, "line 2"))["sender"] == owner.id
    owner.say_privately(first.id, "line 3")
    assert until(lambda: newest(first.id, "line 3"))["attributes"]["subtype"] == "private"
    owner.close(third.id)
    until(lambda: listed()[0]["request_id"] == third.id)
    assert [(found["request_id"], found["status"]) for found in listed()] == [
        (third.id, CLOSED),
        (first.id, 200),
        (second.id, 200),
    ]


def test_an_agent_is_listed_only_the_conversations_that_were_offered_to_him(
    alone: tuple[LiveProject, ChatAgent],
) -> None:
    """routes/request.js:1246-1262: of which the snapshot's agents or the participants name him."""
    project, owner = alone
    talk = Conversation(project)
    talk.assign()
    bea = project.add_agent("Bea")
    colleague = Agent(project.url, project.project_id, bea.email, bea.password)
    assert [found["request_id"] for found in owner.listed(status="all")] == [talk.id]
    assert colleague.listed(status="all") == []
    colleague.join(talk.id)
    assert [found["request_id"] for found in colleague.listed(status="all")] == [talk.id]
