"""How requests are opened, created and assigned: each test runs against the fake and the real server."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from rasa_tiledesk.errors import (
    TiledeskForbidden,
    TiledeskNotFound,
    TiledeskServerError,
)
from rasa_tiledesk.http import NoAnswer
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import (
    ASSIGNED,
    TEMP,
    UNASSIGNED,
    EndUser,
    TiledeskClient,
)
from tests.contract.tiledesk_calls import (
    UNKNOWN,
    client_of,
    eventually,
    every_credential,
    line,
    new_id,
    opened,
    raw,
    silence,
    texts,
)


class TestOpening:
    def test_a_temporary_request_is_seen_by_agents_only_once_assigned(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        assert desk.requests() == []
        assert client.assign(request_id, desk.default_department).status == ASSIGNED
        assert [request["request_id"] for request in desk.requests()] == [request_id]

    def test_a_request_that_is_not_temporary_is_routed_at_once(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request = client.request(opened(desk, client, jane, temporary=False))
        assert (request.status, request.participant_agents) == (ASSIGNED, (desk.owner_id,))

    def test_the_request_has_the_first_messages_attributes_until_they_are_set_to_null(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id, own = new_id(desk), {"subtype": "info", "clienttimestamp": 1, "rasa": {"key": "k"}}
        client.open_request(request_id, line(jane.id, "One", attributes=own), temporary=True)
        assert own.items() <= client.request(request_id).attributes.items()
        client.set_attributes(request_id, {**dict.fromkeys(own), "rasa_email": "a@b.c"})
        kept = {name: value for name, value in client.request(request_id).attributes.items() if name in own}
        assert kept == dict.fromkeys(own)
        assert client.request(request_id).attributes["rasa_email"] == "a@b.c"
        assert own.items() <= client.messages(request_id)[0].attributes.items()

    def test_what_the_agents_see_is_kept(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id, sales = new_id(desk), desk.add_department("Sales")
        first = line(jane.id, "One", attributes={"clienttimestamp": 1, "rasa": {"key": "k"}})
        client.open_request(
            request_id,
            first,
            temporary=True,
            department_id=sales,
            language="it",
            source_page="https://example.com/shop",
            subject="Shoes",
        )
        stored = raw(desk, "GET", f"/{{p}}/requests/{request_id}")[1]
        assert [stored[key] for key in ("first_text", "language", "sourcePage", "subject")] == [
            "One",
            "it",
            "https://example.com/shop",
            "Shoes",
        ]
        assert client.request(request_id).department_id == sales
        assert client.messages(request_id)[0].attributes == {"clienttimestamp": 1, "rasa": {"key": "k"}}

    def test_opening_again_adds_the_message(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        client.open_request(request_id, line(jane.id, "Again"), temporary=True)
        assert texts(client, request_id) == ["Hello", "Again"]

    @every_credential
    def test_an_unknown_sender_cannot_open(self, desk: FakeTiledesk, kind: str) -> None:
        client = client_of(desk, kind)
        with pytest.raises(TiledeskForbidden, match="Project_user not found") as caught:
            client.open_request(new_id(desk), line("somebody-unknown"), temporary=True)
        assert "somebody-unknown" not in str(caught.value)

    def test_an_unknown_department_cannot_be_opened_in(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        for department in (UNKNOWN, "Sales"):
            request_id = new_id(desk)
            with pytest.raises(TiledeskServerError):
                client.open_request(request_id, line(jane.id), temporary=True, department_id=department)
            with pytest.raises(TiledeskNotFound):
                client.request(request_id)

    def test_a_first_message_without_text_is_refused(self, desk: FakeTiledesk, jane: EndUser) -> None:
        path = f"/{{p}}/requests/{new_id(desk)}/messages"
        assert raw(desk, "POST", path, {"sender": jane.id}) == (422, {"errors": ["text field is required"]})

    def test_a_bot_that_opens_without_a_sender_hears_nothing(self, desk: FakeTiledesk) -> None:
        bot_id, secret = desk.bot
        token = jwt.encode({"_id": bot_id, "sub": "bot", "aud": f"https://tiledesk.com/bots/{bot_id}"}, secret)
        with pytest.raises(NoAnswer):
            raw(
                desk,
                "POST",
                f"/{{p}}/requests/{new_id(desk)}/messages",
                {"text": "x"},
                token=f"JWT {token}",
                wait=silence(desk),
            )

    def test_twelve_characters_are_taken_for_an_agents_id(self, desk: FakeTiledesk) -> None:
        claims = {"_id": "abcdefghijkl", "sub": "userexternal", "aud": f"https://x/projects/{desk.project_id}"}
        token = f"JWT {jwt.encode(claims, desk.project_secret)}"
        assert raw(desk, "POST", "/auth/signinWithCustomToken", {}, token=token)[0] == 200
        path = f"/{{p}}/requests/{new_id(desk)}/messages"
        assert raw(desk, "POST", path, {"sender": "abcdefghijkl", "text": "x"})[0] == 403


class TestCreating:
    def create(self, desk: FakeTiledesk, client: TiledeskClient, user: EndUser, **fields: Any) -> str:
        request_id = fields.pop("request_id", new_id(desk))
        client.create_request(request_id=request_id, sender=user.id, sender_name="Jane", first_text="Hello", **fields)
        return str(request_id)

    def test_a_created_request_is_the_users_and_routed(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request = client.request(self.create(desk, client, jane, attributes={"a": 1}))
        assert (request.status, request.requester_id, request.requester_name) == (ASSIGNED, jane.id, "Jane")
        assert (request.channel, request.attributes["a"]) == ("rasa", 1)

    def test_it_has_no_message_not_even_of_its_assignment(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = self.create(desk, client, jane)
        client.send_message(request_id, line(jane.id, "One"))
        assert texts(client, request_id) == ["One"]

    def test_the_same_id_twice_is_a_server_error(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = self.create(desk, client, jane)
        with pytest.raises(TiledeskServerError, match="Unable to create request"):
            self.create(desk, client, jane, request_id=request_id)

    def test_an_unknown_sender_cannot_create(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        with pytest.raises(TiledeskForbidden, match="Project_user not found"):
            self.create(desk, client, EndUser("somebody-unknown", ""))

    def test_no_first_text_is_refused(self, desk: FakeTiledesk, jane: EndUser) -> None:
        status, body = raw(desk, "POST", "/{p}/requests", {"sender": jane.id})
        assert status == 422
        assert [(problem["param"], problem["msg"]) for problem in body["errors"]] == [("first_text", "Invalid value")]

    def test_a_bot_cannot_create(self, desk: FakeTiledesk, jane: EndUser) -> None:
        bot_id, secret = desk.bot
        token = jwt.encode({"_id": bot_id, "sub": "bot", "aud": f"https://tiledesk.com/bots/{bot_id}"}, secret)
        body = {"sender": jane.id, "first_text": "x"}
        assert raw(desk, "POST", "/{p}/requests", body, token=f"JWT {token}")[0] == 500
        with pytest.raises(TiledeskForbidden, match="import: staged"):
            self.create(desk, client_of(desk, "bot"), jane)


class TestAssigning:
    def test_with_nobody_available_it_waits_and_can_be_assigned_later(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.set_available(desk.owner_id, False)
        request_id = opened(desk, client, jane)
        waiting = client.assign(request_id, desk.default_department)
        assert (waiting.status, waiting.participants) == (UNASSIGNED, ())
        desk.set_available(desk.owner_id, True)
        assert client.assign(request_id, desk.default_department).status == ASSIGNED

    def test_outside_operating_hours_it_waits(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        desk.set_open(False)
        assert client.assign(opened(desk, client, jane), desk.default_department).status == UNASSIGNED

    def test_again_changes_nothing(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        first = client.assign(request_id, desk.default_department)
        again = client.assign(request_id, desk.add_department("Sales"))
        assert (again.status, again.department_id, again.participants) == (
            ASSIGNED,
            first.department_id,
            first.participants,
        )
        assert again.requester_id == jane.id

    def test_the_department_is_the_one_given(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        sales = desk.add_department("Sales")
        assert client.assign(opened(desk, client, jane), sales).department_id == sales

    def test_a_departments_bot_answers_first_only_if_asked(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        department = desk.add_department("With bot", bot=True)
        people = client.assign(opened(desk, client, jane), department)
        bots = client.assign(opened(desk, client, jane), department, to_bot=True)
        assert (people.participant_agents, people.participants) == ((desk.owner_id,), (desk.owner_id,))
        assert (bots.participant_agents, bots.participants) == ((), (f"bot_{desk.bot[0]}",))

    def test_an_unknown_department_is_a_server_error_that_names_the_key(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        with pytest.raises(TiledeskServerError, match=r"tiledesk\.department"):
            client.assign(opened(desk, client, jane), UNKNOWN)

    def test_an_unknown_request_is_not_found(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        for call in (client.request, client.close, lambda one: client.assign(one, desk.default_department)):
            with pytest.raises(TiledeskNotFound):
                call(new_id(desk))
        with pytest.raises(TiledeskNotFound):
            client.set_attributes(new_id(desk), {"a": 1})
        with pytest.raises(TiledeskNotFound):
            client.set_first_text(new_id(desk), "x")

    def test_the_first_text_can_be_changed_before_and_is_what_the_agent_is_told(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        client.set_first_text(request_id, "A human, please")
        assert client.request(request_id).status == TEMP
        client.assign(request_id, desk.default_department)
        assert desk.requests()[0]["first_text"] == "A human, please"
        assert eventually(lambda: texts(client, request_id)[-1].endswith(": A human, please"))

    def test_a_tag_set_twice_is_one_tag_and_needs_no_queue(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        for _ in range(2):
            client.set_tag(request_id, "shop-bot")
        client.assign(request_id, desk.default_department)
        assert [tag["tag"] for tag in desk.requests()[0]["tags"]] == ["shop-bot"]
