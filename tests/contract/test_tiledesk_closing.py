"""What agents do in a request, and how it ends: each test runs against the fake and the real server."""

from __future__ import annotations

import base64

import pytest

from rasa_tiledesk.errors import (
    TiledeskNotFound,
)
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import (
    ASSIGNED,
    CLOSED,
    UNASSIGNED,
    AgentLogin,
    EndUser,
    TiledeskClient,
)
from tests.contract.tiledesk_calls import (
    client_of,
    eventually,
    line,
    new_id,
    opened,
    raw,
    texts,
)


class TestAgentsAndClosing:
    def test_agents_speak_on_channel_chat21_and_notes_are_marked(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.agent_says(request_id, "How can I help?")
        desk.agent_note(request_id, "He is angry")
        said, note = client.messages(request_id)[-2:]
        assert (said.sender, said.channel, said.text) == (desk.owner_id, "chat21", "How can I help?")
        assert (note.text, note.attributes["subtype"]) == ("He is angry", "private")

    def test_being_assigned_and_closed_are_messages_of_the_system(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        client.assign(request_id, desk.default_department)
        client.close(request_id)
        assert eventually(lambda: len(client.messages(request_id)) == 3)
        _, assigned, closed = client.messages(request_id)
        assert (assigned.sender, closed.sender) == ("system", "system")
        assert (assigned.attributes["subtype"], closed.attributes["subtype"]) == ("info", "info/support")
        keys = [one.attributes["messagelabel"]["key"] for one in (assigned, closed)]
        assert keys == ["TOUCHING_OPERATOR", "CHAT_CLOSED"]

    def test_an_agent_who_takes_no_part_can_close(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        agent = desk.add_agent("Alice", available=False)
        request_id = opened(desk, client, jane, temporary=False)
        token = "Basic " + base64.b64encode(f"{agent.email}:{agent.password}".encode()).decode()
        status, body = raw(desk, "PUT", f"/{{p}}/requests/{request_id}/close", {}, token=token)
        assert (status, body["error"]) == (403, "You must be among the participants to close a conversation.")
        other = client_of(desk, credential=AgentLogin(agent.email, agent.password))
        other.close(request_id)
        assert (client.request(request_id).status, client.request(request_id).closed_by) == (CLOSED, agent.id)

    def test_closing_twice_tells_everybody_twice(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        client.close(request_id)
        client.close(request_id)
        assert eventually(lambda: texts(client, request_id).count("Chat closed") == 2)

    def test_a_request_that_an_agent_closed_is_closed(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.close_as_agent(request_id)
        request = client.request(request_id)
        assert (request.closed, request.closed_by, request.requester_id) == (True, desk.owner_id, jane.id)
        assert desk.requests() == []

    def test_what_agents_read_in_their_list_can_be_changed_before_they_see_it(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = new_id(desk)
        client.open_request(request_id, line(jane.id, "The bot hands over"), temporary=True)
        client.set_first_text(request_id, "My parcel is lost")
        client.assign(request_id, desk.default_department)
        assert [request["first_text"] for request in desk.requests()] == ["My parcel is lost"]
        with pytest.raises(TiledeskNotFound):
            client.set_first_text(new_id(desk), "x")

    def test_attributes_are_merged(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        client.set_attributes(request_id, {"a": {"x": 1}, "b": 1})
        client.set_attributes(request_id, {"a": {"y": 2}})
        attributes = client.request(request_id).attributes
        assert (attributes["a"], attributes["b"]) == ({"y": 2}, 1)

    def test_closing_again_changes_nothing_of_who_closed_it_and_when(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        agent = desk.add_agent("Alice", available=False)
        request_id = opened(desk, client, jane)
        client.close(request_id)
        first = client.request(request_id)
        client_of(desk, credential=AgentLogin(agent.email, agent.password)).close(request_id)
        again = client.request(request_id)
        assert (again.closed_by, again.closed_at, again.updated_at) == (
            first.closed_by,
            first.closed_at,
            first.updated_at,
        )


class TestReopening:
    def test_an_agent_opens_a_request_again_with_those_who_took_part(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        client.close(request_id)
        desk.reopen_as_agent(request_id)
        request = client.request(request_id)
        assert (request.status, request.participant_agents) == (ASSIGNED, (desk.owner_id,))
        assert (request.closed_by, bool(request.closed_at)) == (desk.owner_id, True)
        assert [one["request_id"] for one in desk.requests()] == [request_id]
        assert eventually(lambda: texts(client, request_id)[-2:] == ["Chat closed", "Chat reopened"])
        line_of_it = client.messages(request_id)[-1]
        assert (line_of_it.sender, line_of_it.attributes["subtype"]) == ("system", "info/support")
        assert line_of_it.attributes["messagelabel"]["key"] == "CHAT_REOPENED"

    def test_one_in_which_nobody_took_part_waits(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        client.close(request_id)
        desk.reopen_as_agent(request_id)
        assert client.request(request_id).status == UNASSIGNED

    def test_an_open_one_is_left_as_it_is(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.reopen_as_agent(request_id)
        assert client.request(request_id).status == ASSIGNED
        assert "Chat reopened" not in texts(client, request_id)

    def test_an_unknown_one_is_a_server_error(self, desk: FakeTiledesk) -> None:
        status, body = raw(desk, "PUT", f"/{{p}}/requests/{new_id(desk)}/reopen", {})
        assert (status, body["error"]) == (500, "Error reopening request")

    def test_a_message_to_a_closed_one_is_stored_and_opens_nothing(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        client.close(request_id)
        desk.agent_says(request_id, "One thing more")
        assert "One thing more" in texts(client, request_id)
        assert client.request(request_id).closed

    def test_an_agent_who_joins_a_closed_one_opens_it_without_saying_so(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        alice = desk.add_agent("Alice", available=False)
        request_id = opened(desk, client, jane, temporary=False)
        client.close(request_id)
        desk.join(request_id, alice)
        assert client.request(request_id).status == ASSIGNED
        assert "Chat reopened" not in texts(client, request_id)


class TestTakingPart:
    def test_an_agent_who_joins_is_told_and_takes_part(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        alice = desk.add_agent("Alice", available=False)
        request_id = opened(desk, client, jane, temporary=False)
        assert texts(client, request_id) == ["Hello"]  # who was given it at once is told of nothing
        desk.join(request_id, alice)
        assert client.request(request_id).participant_agents == (desk.owner_id, alice.id)
        assert eventually(lambda: len(client.messages(request_id)) == 2)
        told = client.messages(request_id)[-1]
        assert told.text == "A new support request has been assigned to you: Hello"
        assert told.attributes["updateconversationfor"] == [alice.id]

    def test_it_waits_again_when_the_last_agent_has_left(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        alice = desk.add_agent("Alice", available=False)
        request_id = opened(desk, client, jane, temporary=False)
        desk.join(request_id, alice)
        desk.leave(request_id)
        request = client.request(request_id)
        assert (request.status, request.participant_agents) == (ASSIGNED, (alice.id,))
        desk.leave(request_id, alice)
        request = client.request(request_id)
        assert (request.status, request.participants) == (UNASSIGNED, ())

    def test_the_bot_goes_when_an_agent_joins(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        client.assign(request_id, desk.add_department("With bot", bot=True), to_bot=True)
        alice = desk.add_agent("Alice", available=False)
        desk.join(request_id, alice)
        assert eventually(lambda: client.request(request_id).participants == (alice.id,))


class TestDeleting:
    def test_nothing_is_left_of_it(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.delete_request(request_id)
        with pytest.raises(TiledeskNotFound):
            client.request(request_id)
        assert eventually(lambda: client.messages(request_id) == [])
        assert (client.requests(channel="rasa"), desk.requests()) == ([], [])
        with pytest.raises(TiledeskNotFound):
            client.close(request_id)

    def test_what_is_posted_to_it_next_opens_a_new_one(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.delete_request(request_id)
        assert eventually(lambda: client.messages(request_id) == [])
        again = client.send_message(request_id, line(jane.id, "Still there?"))
        assert again.request is not None
        assert again.request.status == ASSIGNED
        assert "Hello" not in texts(client, request_id)

    def test_only_the_owner_may(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        admin = desk.add_agent("Ada", role="admin", available=False)
        request_id = opened(desk, client, jane)
        token = "Basic " + base64.b64encode(f"{admin.email}:{admin.password}".encode()).decode()
        status, body = raw(desk, "DELETE", f"/{{p}}/requests/{request_id}", token=token)
        assert (status, body["msg"]) == (403, "Unauthorized.")
