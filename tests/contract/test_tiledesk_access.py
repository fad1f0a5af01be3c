"""Who may call Tiledesk, and who its end users are: each test runs against the fake and the real server."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from rasa_tiledesk.errors import (
    TiledeskForbidden,
    TiledeskNotFound,
    TiledeskUnauthorized,
)
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import (
    TEMP,
    AgentLogin,
    BasicLogin,
    BotCredential,
    EndUser,
    TiledeskClient,
)
from tests.contract.tiledesk_calls import (
    UNKNOWN,
    client_of,
    every_credential,
    line,
    new_id,
    opened,
    raw,
    texts,
)


class TestCredentials:
    @every_credential
    def test_a_right_one_passes_the_check(self, desk: FakeTiledesk, kind: str) -> None:
        client_of(desk, kind).check_credential()

    @every_credential
    def test_each_opens_reads_imports_assigns_and_closes(self, desk: FakeTiledesk, kind: str) -> None:
        client, request_id = client_of(desk, kind), new_id(desk)
        user = client.sign_in_anonymously(name="Jane")
        first = client.open_request(request_id, line(user.id, "One"), temporary=True)
        client.send_message(request_id, line("bot_rasa", "Two"))
        client.send_messages(request_id, [line(user.id, "Three")])
        client.set_attributes(request_id, {"rasa_sender": "x"})
        assert first.request is not None
        assert (first.request.requester_id, first.request.status) == (user.id, TEMP)
        assert texts(client, request_id) == ["One", "Two", "Three"]
        assert client.assign(request_id, desk.default_department).participants == (desk.owner_id,)
        client.close(request_id)
        request = client.request(request_id)
        assert request.closed
        assert request.attributes["rasa_sender"] == "x"
        assert request.closed_at
        assert request.closed_by in (desk.owner_id, desk.bot[0])

    @pytest.mark.parametrize("login", [AgentLogin, BasicLogin])
    def test_a_wrong_password_names_the_keys(self, desk: FakeTiledesk, login: Any) -> None:
        with pytest.raises(TiledeskUnauthorized, match=r"tiledesk\.email and tiledesk\.password") as caught:
            client_of(desk, credential=login(desk.owner[0], "wrong-password")).check_credential()
        assert "wrong-password" not in str(caught.value)

    def test_an_unknown_or_malformed_email_is_unauthorized(self, desk: FakeTiledesk) -> None:
        for email in ("nobody@example.com", "nobody"):
            with pytest.raises(TiledeskUnauthorized, match=r"tiledesk\.email"):
                client_of(desk, credential=AgentLogin(email, "x")).check_credential()

    def test_a_wrong_bot_secret_names_the_keys(self, desk: FakeTiledesk) -> None:
        for bot_id in (desk.bot[0], UNKNOWN):
            with pytest.raises(TiledeskUnauthorized, match=r"tiledesk\.bot_secret"):
                client_of(desk, credential=BotCredential(bot_id, "wrong" * 10)).check_credential()

    @pytest.mark.parametrize("login", [AgentLogin, BasicLogin])
    def test_an_account_of_no_member_is_forbidden(self, desk: FakeTiledesk, login: Any) -> None:
        stranger = desk.add_stranger()
        with pytest.raises(TiledeskForbidden, match=r"tiledesk\.project_id"):
            client_of(desk, credential=login(stranger.email, stranger.password)).check_credential()

    def test_an_agent_passes_the_check_and_may_not_subscribe(self, desk: FakeTiledesk) -> None:
        agent = desk.add_agent("Alice")
        client = client_of(desk, credential=AgentLogin(agent.email, agent.password))
        client.check_credential()
        with pytest.raises(TiledeskForbidden, match="admin"):
            client.subscriptions()

    def test_a_bot_may_not_subscribe(self, desk: FakeTiledesk) -> None:
        with pytest.raises(TiledeskForbidden, match="admin"):
            client_of(desk, "bot").subscribe("request.close", "http://127.0.0.1:9/")

    @every_credential
    def test_an_unknown_project_names_the_key(self, desk: FakeTiledesk, kind: str) -> None:
        for project in (UNKNOWN, "my-project"):
            with pytest.raises(TiledeskNotFound, match=r"tiledesk\.project_id"):
                client_of(desk, kind, project_id=project).check_credential()

    def test_a_url_with_a_wrong_path_names_the_key(self, desk: FakeTiledesk) -> None:
        with pytest.raises(TiledeskNotFound, match=r"tiledesk\.url"):
            client_of(desk, "basic", url=f"{desk.url}/api").check_credential()

    def test_a_bearer_token_and_no_token_are_refused_as_plain_text(self, desk: FakeTiledesk, jane: EndUser) -> None:
        for token in (jane.token.replace("JWT", "Bearer"), None, "JWT x.y.z"):
            assert raw(desk, "GET", "/{p}/requests/x", token=token) == (401, "Unauthorized")

    def test_an_end_user_may_not_read_requests(self, desk: FakeTiledesk, jane: EndUser) -> None:
        status, body = raw(desk, "GET", "/{p}/requests/x", token=jane.token)
        assert (status, body["msg"]) == (403, "you dont have the required role.")


class TestEndUsers:
    def test_every_anonymous_sign_in_is_another_user(self, client: TiledeskClient) -> None:
        assert client.sign_in_anonymously(name="Jane").id != client.sign_in_anonymously(name="Jane").id

    def test_without_a_name_the_user_is_called_guest(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        request_id = opened(desk, client, client.sign_in_anonymously(name=None))
        assert client.request(request_id).requester_name.startswith("guest#")

    def test_the_requester_has_the_name_given_at_sign_in(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = new_id(desk)
        message = client.open_request(request_id, line(jane.id, senderFullname="Somebody"), temporary=True)
        request = client.request(request_id)
        assert (request.requester_id, request.requester_name, message.sender_name) == (jane.id, "Jane", "Jane")

    @every_credential
    def test_the_contact_has_no_email_or_phone_of_ours(self, desk: FakeTiledesk, kind: str) -> None:
        client = client_of(desk, kind)
        request_id = opened(desk, client, client.sign_in_anonymously(name="Jane"))
        contact = raw(desk, "GET", f"/{{p}}/requests/{request_id}")[1]["lead"]
        assert not contact.get("email")
        assert not contact.get("phone")

    def test_tiledesk_alone_would_give_the_contact_the_agents_email(
        self, desk: FakeTiledesk, client: TiledeskClient
    ) -> None:
        body = {"id_project": desk.project_id, "firstname": "Jane"}
        user = raw(desk, "POST", "/auth/signinAnonymously", body, token=None)[1]["user"]
        request_id = new_id(desk)
        client.open_request(request_id, line(user["_id"]), temporary=True)
        assert raw(desk, "GET", f"/{{p}}/requests/{request_id}")[1]["lead"]["email"] == desk.owner[0]

    def test_the_contact_can_be_changed(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        client.set_contact(client.request(request_id).contact_id, email="jane@example.com", attributes={"vip": True})
        contact = raw(desk, "GET", f"/{{p}}/requests/{request_id}")[1]["lead"]
        assert (contact["email"], contact["fullname"], contact["attributes"]) == (
            "jane@example.com",
            "Jane",
            {"vip": True},
        )

    def test_a_signed_user_keeps_id_and_contact(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        user_id = f"rasa-{uuid.uuid4().hex}"
        contacts = set()
        for _ in range(2):
            user = client.sign_in_signed(user_id, project_secret=desk.project_secret, name="Jane")
            request_id = opened(desk, client, user)
            assert client.request(request_id).requester_id == user_id
            contacts.add(client.request(request_id).contact_id)
        assert len(contacts) == 1

    def test_a_wrong_project_secret_names_the_key(self, client: TiledeskClient) -> None:
        with pytest.raises(TiledeskUnauthorized, match="project_secret"):
            client.sign_in_signed("rasa-1234567890", project_secret="wrong" * 10, name="Jane")

    def test_an_unknown_project_is_accepted_by_the_anonymous_sign_in(self, desk: FakeTiledesk) -> None:
        assert raw(desk, "POST", "/auth/signinAnonymously", {"id_project": UNKNOWN}, token=None)[0] == 200
        assert raw(desk, "POST", "/auth/signinAnonymously", {"id_project": "x"}, token=None)[0] == 500
        assert raw(desk, "POST", "/auth/signinAnonymously", {}, token=None)[0] == 422
