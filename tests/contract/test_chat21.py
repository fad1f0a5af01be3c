"""What of a request reaches the agents' chat by chat21, and what chat21 adds to Tiledesk's store.

`chat_desk` is a project with chat21, the fake's and in live runs the real one's. Only what every such project can do is
asked of it. What the fake alone can be made to do is in tests/unit/test_fake_chat21.py: the real one's chat21 has no
limiter (npm's chat21-server 0.2.21; 0.2.55 has), nobody can make it be away for one project alone, and what it delivers
late depends on the machine. That it stands still for a while is in tests/live/test_chat21_import.py.
"""

from __future__ import annotations

import pytest

from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import EndUser, Message, TiledeskClient
from tests.contract.receiver import Receiver
from tests.contract.tiledesk_calls import client_of, eventually, line, new_id, texts

TURNS = [f"turn {number}" for number in range(12)]


@pytest.fixture
def client(chat_desk: FakeTiledesk) -> TiledeskClient:
    return client_of(chat_desk)


@pytest.fixture
def jane(client: TiledeskClient) -> EndUser:
    return client.sign_in_anonymously(name="Jane")


def chat(desk: FakeTiledesk, request_id: str) -> list[str]:
    """What people and the bot said, as the owner's chat has it; without the lines of the system."""
    return [note["text"] for note in desk.agents_chat(request_id) if note["sender"] != "system"]


def keys(client: TiledeskClient, request_id: str) -> list[tuple[str, str]]:
    """The lines of the system that name somebody or something: their keys, and who joined or left."""
    labels = [one.attributes.get("messagelabel") for one in client.messages(request_id) if one.sender == "system"]
    return [(label["key"], label.get("parameters", {}).get("member_id", "")) for label in labels if label]


def imported(desk: FakeTiledesk, client: TiledeskClient, user: EndUser) -> str:
    """A request that is still TEMP, with all turns of a history."""
    request_id = new_id(desk)
    for number, text in enumerate(TURNS):
        attributes = {"clienttimestamp": 1_790_000_000_000 + number * 1000}
        sender = user.id if number % 2 == 0 else "bot_rasa"
        if number == 0:
            client.open_request(request_id, line(sender, text, attributes=attributes), temporary=True)
        else:
            client.send_message(request_id, line(sender, text, attributes=attributes))
    return request_id


def settled(client: TiledeskClient, request_id: str) -> bool:
    """Whether chat21 has come as far as one of the last few messages."""
    return eventually(lambda: any(one.status == 200 for one in spoken(client, request_id)[-3:]))


def spoken(client: TiledeskClient, request_id: str) -> list[Message]:
    return [one for one in client.messages(request_id) if one.sender != "system"]


class TestHistory:
    def test_what_is_said_before_the_assignment_reaches_the_agent_then_each_once_in_order(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        assert settled(client, request_id)
        assert chat(chat_desk, request_id) == []
        client.assign(request_id, chat_desk.default_department)
        assert eventually(lambda: chat(chat_desk, request_id) == TURNS)

    def test_the_chat_sorts_by_the_clients_time_whatever_the_order_of_posting(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = new_id(chat_desk)
        for number in (2, 1, 3):
            attributes = {"clienttimestamp": 1_790_000_000_000 + number}
            client.open_request(request_id, line(jane.id, str(number), attributes=attributes), temporary=True)
        assert settled(client, request_id)
        client.assign(request_id, chat_desk.default_department)
        assert eventually(lambda: chat(chat_desk, request_id) == ["1", "2", "3"])

    def test_every_message_is_at_0_when_posted_and_one_of_the_last_three_comes_to_200(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        assert client.send_message(request_id, line(jane.id, "Last")).status == 0
        assert settled(client, request_id)
        assert eventually(lambda: {one.status for one in spoken(client, request_id)} <= {150, 200})

    def test_one_that_says_it_is_delivered_is_stored_and_never_in_the_chat(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        client.send_message(request_id, line(jane.id, "Delivered, it says", status=200))
        client.send_message(request_id, line(jane.id, "After it"))
        assert settled(client, request_id)
        client.assign(request_id, chat_desk.default_department)
        assert eventually(lambda: chat(chat_desk, request_id) == [*TURNS, "After it"])
        assert "Delivered, it says" in texts(client, request_id)

    def test_a_message_of_more_than_100_kilobytes_is_stored_and_never_in_the_chat(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        too_long = client.send_message(request_id, line(jane.id, "😀" * 30_000))
        client.send_message(request_id, line(jane.id, "x" * 90_000))
        assert settled(client, request_id)
        client.assign(request_id, chat_desk.default_department)
        assert eventually(lambda: chat(chat_desk, request_id) == [*TURNS, "x" * 90_000])
        assert [one.status for one in client.messages(request_id) if one.id == too_long.id] == [150]

    def test_who_joins_gets_what_was_said_before(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        alice = chat_desk.add_agent("Alice", available=False)
        request_id = imported(chat_desk, client, jane)
        assert settled(client, request_id)
        client.assign(request_id, chat_desk.default_department)
        chat_desk.join(request_id, alice)

        def hers() -> list[str]:
            return [note["text"] for note in chat_desk.agents_chat(request_id, alice) if note["sender"] != "system"]

        assert eventually(lambda: hers() == TURNS)


class TestLive:
    def test_what_the_user_says_after_the_assignment_follows(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        assert settled(client, request_id)
        client.assign(request_id, chat_desk.default_department)
        client.send_message(request_id, line(jane.id, "Are you there?"))
        assert eventually(lambda: chat(chat_desk, request_id) == [*TURNS, "Are you there?"])

    def test_an_agents_words_come_once_with_status_200_on_channel_chat21(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, receiver: Receiver
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        assert settled(client, request_id)
        client.assign(request_id, chat_desk.default_department)
        client.subscribe("message.create", receiver.url)
        chat_desk.agent_says(request_id, "How can I help?")
        assert eventually(lambda: spoken(client, request_id)[-1].text == "How can I help?")
        said = spoken(client, request_id)[-1]
        assert (said.sender, said.channel, said.status) == (chat_desk.owner_id, "chat21", 200)
        assert eventually(lambda: chat(chat_desk, request_id)[-1] == "How can I help?")
        # The real one may tell of the lines about the assignment first.
        hooks = (receiver.take(1)[0].body["payload"] for _ in range(20))
        hook = next(payload for payload in hooks if payload["sender"] != "system")
        assert (hook["text"], hook["status"], hook["request"]["channel"]["name"]) == ("How can I help?", 200, "rasa")
        assert client.request(request_id).last_message == said

    def test_a_note_is_in_the_chat_and_marked_private(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        client.assign(request_id, chat_desk.default_department)
        chat_desk.agent_note(request_id, "He is angry")
        assert eventually(lambda: spoken(client, request_id)[-1].attributes.get("subtype") == "private")


class TestLinesOfTheSystem:
    def test_a_new_group_the_system_and_the_user_are_told_of_at_the_opening(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        joined = "MEMBER_JOINED_GROUP"
        wanted = {("GROUP_CREATED", ""), (joined, "system"), (joined, jane.id)}
        assert eventually(lambda: set(keys(client, request_id)) == wanted)
        first = next(one for one in client.messages(request_id) if one.sender == "system")
        assert (first.channel, first.attributes["subtype"]) == ("chat21", "info")

    def test_the_agent_is_named_at_the_assignment_though_nobody_has_done_anything(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        client.assign(request_id, chat_desk.default_department)
        assert eventually(lambda: ("MEMBER_JOINED_GROUP", chat_desk.owner_id) in keys(client, request_id))
        assert eventually(lambda: ("TOUCHING_OPERATOR", "") in keys(client, request_id))
        label = next(
            one.attributes["messagelabel"]
            for one in client.messages(request_id)
            if one.attributes.get("messagelabel", {}).get("parameters", {}).get("member_id") == chat_desk.owner_id
        )
        assert "Olive" in label["parameters"]["fullname"]

    def test_leaving_closing_and_reopening_are_told(
        self, chat_desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = imported(chat_desk, client, jane)
        client.assign(request_id, chat_desk.default_department)
        chat_desk.leave(request_id)
        assert eventually(lambda: ("MEMBER_LEFT_GROUP", chat_desk.owner_id) in keys(client, request_id))
        client.close(request_id)
        assert eventually(lambda: ("CHAT_CLOSED", "") in keys(client, request_id))
        chat_desk.reopen_as_agent(request_id)
        assert eventually(lambda: ("CHAT_REOPENED", "") in keys(client, request_id))
