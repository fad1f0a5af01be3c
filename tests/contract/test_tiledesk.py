"""What the client and the fake take for granted about Tiledesk: each test runs against the fake and the real server."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any, Callable

import jwt
import pytest
import requests

from rasa_tiledesk.errors import (
    TiledeskForbidden,
    TiledeskNotFound,
    TiledeskServerError,
    TiledeskTooLarge,
    TiledeskUnauthorized,
)
from rasa_tiledesk.http import Http, NoAnswer
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import (
    ASSIGNED,
    CLOSED,
    TEMP,
    UNASSIGNED,
    AgentLogin,
    BasicLogin,
    BotCredential,
    Credential,
    EndUser,
    TiledeskClient,
)
from tests.contract.receiver import Receiver

UNKNOWN = "5e2c35c8f0dbc10017bb3aac"

CREDENTIALS: dict[str, Callable[[FakeTiledesk], Credential]] = {
    "login": lambda desk: AgentLogin(*desk.owner),
    "basic": lambda desk: BasicLogin(*desk.owner),
    "bot": lambda desk: BotCredential(*desk.bot),
}
every_credential = pytest.mark.parametrize("kind", CREDENTIALS)


def client_of(desk: FakeTiledesk, kind: str = "login", **other: Any) -> TiledeskClient:
    return TiledeskClient(
        other.get("url", desk.url),
        other.get("project_id", desk.project_id),
        credential=other.get("credential") or CREDENTIALS[kind](desk),
        sleep=lambda _: None,
    )


@pytest.fixture
def client(desk: FakeTiledesk) -> TiledeskClient:
    return client_of(desk)


@pytest.fixture
def jane(client: TiledeskClient) -> EndUser:
    return client.sign_in_anonymously(name="Jane")


def new_id(desk: FakeTiledesk) -> str:
    return f"support-group-{desk.project_id}-{uuid.uuid4().hex}"


def line(sender: str, text: str = "Hello", **fields: object) -> dict[str, object]:
    return {"sender": sender, "senderFullname": "Jane", "text": text, "channel": {"name": "rasa"}, **fields}


def opened(desk: FakeTiledesk, client: TiledeskClient, user: EndUser, *, temporary: bool = True) -> str:
    request_id = new_id(desk)
    client.open_request(request_id, line(user.id), temporary=temporary)
    return request_id


def owner_token(desk: FakeTiledesk) -> str:
    email, password = desk.owner
    return "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()


def raw(
    desk: FakeTiledesk, method: str, path: str, body: object = None, *, token: str | None = "owner", wait: float = 10.0
) -> tuple[int, Any]:
    """A call as it is, without the client: the status, and the JSON or the text."""
    headers = {"Authorization": owner_token(desk) if token == "owner" else token} if token else {}
    path = path.replace("{p}", desk.project_id)
    answer = Http().call(method, desk.url + path, json=body, headers=headers, read_timeout=wait)
    try:
        return answer.status, json.loads(answer.body)
    except ValueError:
        return answer.status, answer.body.decode()


def silence(desk: FakeTiledesk) -> float:
    """Seconds after which no answer will come."""
    return 0.15 if isinstance(desk, FakeTiledesk) else 1.0


def texts(client: TiledeskClient, request_id: str) -> list[str]:
    return [message.text for message in client.messages(request_id)]


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

    def test_it_has_no_message_but_that_of_its_assignment(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = self.create(desk, client, jane)
        client.send_message(request_id, line(jane.id, "One"))
        assert [text for text in texts(client, request_id) if "assigned to you" not in text] == ["One"]

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


class TestMessages:
    def test_many_lose_their_order_and_share_a_time(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        wanted = [f"m{number:02d}" for number in range(20)]
        listed = []
        for _ in range(6):
            request_id = opened(desk, client, jane)
            stored = client.send_messages(request_id, [line(jane.id, text) for text in wanted])
            assert [message.text for message in stored] == wanted
            messages = client.messages(request_id)[1:]
            assert sorted(message.text for message in messages) == wanted
            assert len({message.created_at for message in messages}) < len(wanted)
            listed.append([message.text for message in messages])
        assert any(order != wanted for order in listed)

    def test_many_need_a_request(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        with pytest.raises(TiledeskNotFound, match="Request doesn't exist"):
            client.send_messages(new_id(desk), [line(jane.id)])

    def test_one_bad_item_fails_the_call_and_the_others_are_stored(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        with pytest.raises(TiledeskServerError, match="Error inserting multiple messages"):
            client.send_messages(request_id, [line(jane.id, "a"), line(jane.id, "b", status="x"), line(jane.id, "c")])
        assert sorted(texts(client, request_id)) == ["Hello", "a", "c"]

    def test_the_same_message_twice_is_stored_twice(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        first = client.send_message(request_id, line(jane.id, "Same", _id=UNKNOWN, createdAt="2020-01-01T00:00:00Z"))
        second = client.send_message(request_id, line(jane.id, "Same", _id=UNKNOWN))
        assert texts(client, request_id) == ["Hello", "Same", "Same"]
        assert first.id != second.id
        assert first.created_at.year > 2020

    def test_any_sender_may_speak_in_a_request_that_exists(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        message = client.send_message(request_id, line("bot_rasa", senderFullname="Rasa"))
        assert (message.sender, message.sender_name, message.channel) == ("bot_rasa", "Rasa", "rasa")

    def test_everything_comes_back_as_it_was(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        metadata = {"src": "https://example.com/a.png", "width": 1, "height": 2, "type": "image/png"}
        attributes = {"clienttimestamp": 1665584701710, "rasa": {"key": "k", "list": [1, None, "ü€😀"]}}
        sent = client.send_message(
            request_id, line(jane.id, "ü€😀\n\ttwo", type="image", metadata=metadata, attributes=attributes)
        )
        (_, found) = client.messages(request_id)
        for message in (sent, found):
            assert (message.text, message.type) == ("ü€😀\n\ttwo", "image")
            assert (message.metadata, message.attributes) == (metadata, attributes)
        assert found.id == sent.id

    def test_an_unknown_request_has_no_messages(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        assert client.messages(new_id(desk)) == []

    def test_the_answer_says_whether_the_request_is_closed(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        client.close(request_id)
        late = client.send_message(request_id, line(jane.id, "Too late"))
        assert late.request is not None
        assert late.request.closed
        assert "Too late" in texts(client, request_id)

    @pytest.mark.parametrize(
        "body",
        [
            {"text": 7},
            {"text": ["x"]},
            {"text": "x", "type": "file", "metadata": {"src": "y"}},
            {"text": "x {{a", "attributes": {"templateProcessor": True}},
        ],
    )
    def test_some_messages_are_never_answered(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, body: dict[str, object]
    ) -> None:
        request_id = opened(desk, client, jane)
        with pytest.raises(NoAnswer) as caught:
            raw(desk, "POST", f"/{{p}}/requests/{request_id}/messages", body, wait=silence(desk))
        assert caught.value.timed_out
        assert texts(client, request_id) == ["Hello"]

    @pytest.mark.parametrize("body", [{"a": 1}, [None], [{"text": 7}]])
    def test_some_batches_are_never_answered(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, body: object
    ) -> None:
        request_id = opened(desk, client, jane)
        with pytest.raises(NoAnswer):
            raw(desk, "POST", f"/{{p}}/requests/{request_id}/messages/multi", body, wait=silence(desk))

    def test_what_stands_before_a_null_item_is_stored(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        with pytest.raises(NoAnswer):
            raw(
                desk,
                "POST",
                f"/{{p}}/requests/{request_id}/messages/multi",
                [{"text": "a"}, None, {}],
                wait=silence(desk),
            )
        assert texts(client, request_id) == ["Hello", "a"]

    @pytest.mark.parametrize(
        "fields", [{"status": "x"}, {"channel": "rasa"}, {"attributes": {"a.b": 1}}, {"attributes": {"$a": 1}}]
    )
    def test_some_are_answered_500(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, fields: dict[str, object]
    ) -> None:
        request_id = opened(desk, client, jane)
        status, body = raw(desk, "POST", f"/{{p}}/requests/{request_id}/messages", {"text": "x", **fields})
        assert (status, body["msg"]) == (500, "Error creating message")
        assert texts(client, request_id) == ["Hello"]

    def test_a_body_may_have_512000_bytes(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        message = line(jane.id, "")
        room = 512_000 - len(json.dumps(message))
        assert len(client.send_message(request_id, {**message, "text": "x" * room}).text) == room
        with pytest.raises(TiledeskTooLarge, match="too large"):
            client.send_message(request_id, {**message, "text": "x" * (room + 1)})

    def test_many_long_ones_are_split(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        wanted = [f"{number}" + "x" * 170_000 for number in range(6)]
        assert [
            one.text for one in client.send_messages(request_id, [line(jane.id, text) for text in wanted])
        ] == wanted
        assert sorted(texts(client, request_id)[1:]) == wanted

    def test_broken_json_is_a_500(self, desk: FakeTiledesk) -> None:
        answer = requests.post(
            f"{desk.url}/{desk.project_id}/requests",
            data=b'{"text":',
            headers={"Content-Type": "application/json", "Authorization": owner_token(desk)},
            timeout=10,
        )
        assert (answer.status_code, answer.json()) == (500, {"err": "error"})

    def test_a_label_replaces_the_whole_text(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        request_id = opened(desk, client, jane)
        replaced = client.send_message(request_id, line(jane.id, "I said ${LABEL_FIRST_MSG} twice"))
        kept = client.send_message(request_id, line(jane.id, "It costs ${PRICE}"))
        assert (replaced.text, kept.text) == (
            "Describe shortly your problem, you will be contacted by an agent.",
            "It costs ${PRICE}",
        )

    def test_a_text_can_close_the_request_once_it_is_delivered(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        request_id = opened(desk, client, jane)
        client.send_message(request_id, line(jane.id, "please \\close"))
        assert not client.request(request_id).closed
        client.send_message(request_id, line(jane.id, "please \\close", status=200))
        assert eventually(lambda: client.request(request_id).closed)


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


class TestDesk:
    def test_departments_are_found_by_name_by_id_and_by_default(
        self, desk: FakeTiledesk, client: TiledeskClient
    ) -> None:
        sales, robots = desk.add_department("Sales"), desk.add_department("Robots", bot=True)
        assert client.department("Sales").id == client.department(sales).id == sales
        assert client.department(None).id == desk.default_department
        assert (client.department(None).default, client.department("Sales").default) == (True, False)
        assert (client.department("Sales").bot_id, client.department(robots).bot_id) == (None, desk.bot[0])

    def test_an_unknown_department_lists_those_there_are(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        desk.add_department("Sales")
        with pytest.raises(TiledeskNotFound, match=r"'Slaes'.*Default Department, Sales.*tiledesk\.department"):
            client.department("Slaes")

    def test_availability_follows_agents_and_hours(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        alice = desk.add_agent("Alice")

        def available() -> set[tuple[str, str]]:
            return {(agent.id, agent.name) for agent in client.available_agents(desk.default_department)}

        assert available() == {(desk.owner_id, "Olive Owner"), (alice.id, "Alice Agent")}
        desk.set_available(alice.id, False)
        assert available() == {(desk.owner_id, "Olive Owner")}
        assert client.is_open()
        desk.set_open(False)
        assert (client.is_open(), available()) == (False, set())
        desk.set_open(True)
        assert client.is_open()

    def test_the_hours_of_an_unknown_project_name_the_key(self, desk: FakeTiledesk) -> None:
        client = client_of(desk, project_id=UNKNOWN)
        for ask in (client.is_open, lambda: client.available_agents(UNKNOWN)):
            with pytest.raises(TiledeskNotFound, match=r"tiledesk\.project_id"):
                ask()

    def test_the_hours_of_what_is_no_project_id_are_a_server_error(self, desk: FakeTiledesk) -> None:
        with pytest.raises(TiledeskServerError, match="Error getting object"):
            client_of(desk, project_id="my-project").is_open()


SECRET = "the secret of a webhook, 32 bytes or more"


class TestWebhooks:
    def test_they_are_listed_without_their_secrets(
        self, desk: FakeTiledesk, client: TiledeskClient, receiver: Receiver
    ) -> None:
        one = client.subscribe("message.create", receiver.url)
        other = client.subscribe("request.close", receiver.url)
        client.set_secret(one.id, "hush")
        assert {hook.id for hook in client.subscriptions()} == {one.id, other.id}
        assert all("secret" not in hook for hook in raw(desk, "GET", "/{p}/subscriptions")[1])

    def test_subscribing_again_gives_the_one_there_is(self, client: TiledeskClient, receiver: Receiver) -> None:
        client.subscribe("message.create", f"{receiver.url}/first")
        one = client.subscribe("message.create", receiver.url)
        assert client.subscribe("message.create", receiver.url) == one
        assert len(client.subscriptions()) == 2

    def test_a_repeat_is_answered_with_the_events_first(self, desk: FakeTiledesk, receiver: Receiver) -> None:
        for target in ("/first", "/second"):
            raw(desk, "POST", "/{p}/subscriptions", {"event": "message.create", "target": receiver.url + target})
        body = {"event": "message.create", "target": f"{receiver.url}/second"}
        assert raw(desk, "POST", "/{p}/subscriptions", body)[1]["target"] == f"{receiver.url}/first"

    def test_unsubscribing_twice_is_no_error(self, client: TiledeskClient, receiver: Receiver) -> None:
        hook = client.subscribe("message.create", receiver.url)
        client.unsubscribe(hook.id)
        client.unsubscribe(hook.id)
        assert client.subscriptions() == []

    def test_an_event_and_a_target_are_needed(self, desk: FakeTiledesk) -> None:
        assert raw(desk, "POST", "/{p}/subscriptions", {"event": "message.create"})[0] == 500

    def test_messages_arrive_with_secret_token_and_request(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, receiver: Receiver
    ) -> None:
        subscription = client.subscribe("message.create.request.channel.rasa", receiver.url)
        client.set_secret(subscription.id, SECRET)
        request_id = opened(desk, client, jane)
        said = desk.agent_says(request_id, "Hello Jane")
        hooks = {hook.body["payload"]["text"]: hook for hook in receiver.take(2)}
        hook = hooks["Hello Jane"]
        payload = hook.body["payload"]
        assert hook.headers["x-hook-secret"] == SECRET
        claims = jwt.decode(hook.body["token"], SECRET, ["HS256"], options={"verify_aud": False})
        assert (claims["_id"], claims["sub"]) == (subscription.id, "subscription")
        assert hook.body["hook"]["event"] == "message.create.request.channel.rasa"
        assert "secret" not in hook.body["hook"]
        assert (payload["_id"], payload["recipient"], payload["sender"]) == (said["_id"], request_id, desk.owner_id)
        assert (payload["request"]["status"], payload["request"]["lead"]["lead_id"]) == (TEMP, jane.id)

    def test_a_close_arrives_with_who_closed_and_all_messages(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, receiver: Receiver
    ) -> None:
        client.subscribe("request.close", receiver.url)
        request_id = opened(desk, client, jane)
        client.close(request_id)
        (hook,) = receiver.take(1)
        payload = hook.body["payload"]
        assert (payload["request_id"], payload["status"], payload["closed_by"]) == (request_id, CLOSED, desk.owner_id)
        assert payload["messages"][0]["text"] == "Hello"

    def test_opening_and_assigning_tell_create_and_update(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, receiver: Receiver
    ) -> None:
        client.subscribe("request.create", receiver.url)
        client.subscribe("request.update", receiver.url)
        request_id = opened(desk, client, jane)
        (created,) = receiver.take(1)
        client.assign(request_id, desk.default_department)
        (updated,) = receiver.take(1)
        statuses = [(one.body["hook"]["event"], one.body["payload"]["status"]) for one in (created, updated)]
        assert statuses == [("request.create", TEMP), ("request.update", ASSIGNED)]


def eventually(probe: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether the probe says yes in time; the real server does some things after it has answered."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if probe():
            return True
        time.sleep(0.02)
    return probe()
