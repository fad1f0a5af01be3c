"""What one list of all requests tells of their news: each test runs against the fake and the real server."""

from __future__ import annotations

from typing import Callable

import pytest

from rasa_tiledesk.errors import TiledeskServerError
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import ASSIGNED, CLOSED, TEMP, UNASSIGNED, AgentLogin, EndUser, TiledeskClient
from tests.contract.tiledesk_calls import client_of, eventually, line, new_id, opened, raw


def listed(client: TiledeskClient, *statuses: int) -> list[str]:
    return [one.request_id for one in client.requests(channel="rasa", statuses=statuses or None)]


def changes(desk: FakeTiledesk, client: TiledeskClient, request_id: str) -> list[Callable[[], object]]:
    return [
        lambda: client.send_message(request_id, line("somebody", "A word")),
        lambda: desk.agent_says(request_id, "An answer"),
        lambda: desk.agent_note(request_id, "A note"),
        lambda: client.set_first_text(request_id, "Shoes"),
        lambda: client.set_attributes(request_id, {"a": 1}),
        lambda: client.assign(request_id, desk.default_department),
        lambda: client.close(request_id),
        lambda: desk.reopen_as_agent(request_id),
    ]


class TestOrder:
    def test_those_that_changed_last_come_first(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        one, two, three = (opened(desk, client, jane) for _ in range(3))
        assert listed(client) == [three, two, one]
        client.set_attributes(one, {"a": 1})
        assert listed(client) == [one, three, two]

    def test_every_message_note_assignment_close_and_reopening_is_a_change(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id, other = opened(desk, client, jane), opened(desk, client, jane)
        for change in changes(desk, client, request_id):
            client.set_attributes(other, {"b": 1})
            assert eventually(lambda: listed(client)[0] == other)
            before = client.request(request_id).updated_at
            change()
            assert eventually(lambda: listed(client)[0] == request_id)
            assert client.request(request_id).updated_at > before

    def test_many_at_once_and_lines_of_the_system_are_none(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        before = client.request(request_id)
        client.send_messages(request_id, [line(jane.id, "One"), line(jane.id, "Two")])
        after = client.request(request_id)
        assert (after.updated_at, after.last_message) == (before.updated_at, None)

    def test_pages_begin_with_0_and_have_the_length_asked_for(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        made = [opened(desk, client, jane) for _ in range(5)]
        pages = [client.requests(channel="rasa", page=page, limit=2) for page in range(4)]
        assert [len(page) for page in pages] == [2, 2, 1, 0]
        assert [one.request_id for page in pages for one in page] == made[::-1]

    def test_a_limit_above_100_becomes_40(self, desk: FakeTiledesk) -> None:
        assert raw(desk, "GET", "/{p}/requests?limit=101")[1]["perPage"] == 40
        assert raw(desk, "GET", "/{p}/requests?limit=100&no_count=true")[1] == {
            "perPage": 100,
            "count": 0,
            "requests": [],
        }


class TestContent:
    def test_it_tells_the_last_word_who_said_it_and_where_it_came_from(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.agent_says(request_id, "How can I help?", attributes={"x": 1})
        assert eventually(lambda: client.requests(channel="rasa")[0].last_message is not None)
        (request,) = client.requests(channel="rasa")
        said = request.last_message
        assert said is not None
        assert (said.text, said.sender, said.attributes["x"], said.channel) == (
            "How can I help?",
            desk.owner_id,
            1,
            "chat21",
        )
        assert said == next(one for one in client.messages(request_id) if one.text == "How can I help?")
        assert (request.first_text, request.status, request.closed) == ("Hello", ASSIGNED, False)
        assert (request.requester_id, request.requester_name) == (jane.id, "Jane")
        assert request.participant_agents == (desk.owner_id,)

    def test_a_private_note_is_a_last_word_too(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane, temporary=False)
        desk.agent_note(request_id, "He is angry")

        def subtype() -> object:
            said = client.requests(channel="rasa")[0].last_message
            return said and said.attributes["subtype"]

        assert eventually(lambda: subtype() == "private")

    def test_statuses_choose_and_by_default_all_are_there_temporary_and_closed_ones_too(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        temp, assigned, closed = (opened(desk, client, jane) for _ in range(3))
        client.assign(assigned, desk.default_department)
        client.close(closed)
        desk.set_available(desk.owner_id, False)
        waiting = opened(desk, client, jane, temporary=False)
        assert set(listed(client)) == {temp, assigned, closed, waiting}
        assert set(listed(client, UNASSIGNED, ASSIGNED)) == {waiting, assigned}
        assert listed(client, TEMP) == [temp]
        assert listed(client, CLOSED) == [closed]

    def test_another_channels_requests_are_not_in_it(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        client.open_request(new_id(desk), line(jane.id, channel={"name": "widget"}), temporary=True)
        request_id = opened(desk, client, jane)
        assert listed(client) == [request_id]


class TestWhoSeesWhat:
    def test_an_admin_sees_all(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        admin = desk.add_agent("Ada", role="admin", available=False)
        request_id = opened(desk, client, jane)
        assert listed(client_of(desk, credential=AgentLogin(admin.email, admin.password))) == [request_id]

    def test_an_agent_sees_those_that_were_opened_or_assigned_since_it_was_invited_or_that_it_takes_part_in(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        assigned, joined, _ = (opened(desk, client, jane) for _ in range(3))
        alice = desk.add_agent("Alice", available=False)
        as_alice = client_of(desk, credential=AgentLogin(alice.email, alice.password))
        assert listed(as_alice) == []
        client.assign(assigned, desk.default_department)
        desk.join(joined, alice)
        later = opened(desk, client, jane)
        assert set(listed(as_alice)) == {assigned, joined, later}
        assert len(listed(client)) == 4

    def test_a_bot_is_shown_none(self, desk: FakeTiledesk) -> None:
        with pytest.raises(TiledeskServerError):
            client_of(desk, "bot").requests(channel="rasa")
