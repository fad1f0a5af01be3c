"""The project behind the requests, and its webhooks: each test runs against the fake and the real server."""

from __future__ import annotations

import jwt
import pytest

from rasa_tiledesk.errors import (
    TiledeskNotFound,
    TiledeskServerError,
)
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import (
    ASSIGNED,
    CLOSED,
    TEMP,
    EndUser,
    TiledeskClient,
)
from tests.contract.receiver import Receiver
from tests.contract.tiledesk_calls import (
    UNKNOWN,
    client_of,
    opened,
    raw,
)


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

    def test_an_event_of_our_own_arrives_where_its_name_is_subscribed_to(
        self, client: TiledeskClient, receiver: Receiver
    ) -> None:
        subscription = client.subscribe("event.emit.a-trial", receiver.url)
        client.set_secret(subscription.id, SECRET)
        client.emit("another")
        client.emit("a-trial")
        (hook,) = receiver.take(1)
        assert hook.headers["x-hook-secret"] == SECRET
        assert hook.body["payload"]["name"] == "a-trial"
        assert (hook.body["hook"]["_id"], hook.body["hook"]["event"]) == (subscription.id, "event.emit.a-trial")
        assert jwt.decode(hook.body["token"], SECRET, ["HS256"], options={"verify_aud": False})

    def test_an_event_needs_a_name(self, desk: FakeTiledesk) -> None:
        assert raw(desk, "POST", "/{p}/events", {"name": ""})[0] == 422

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
