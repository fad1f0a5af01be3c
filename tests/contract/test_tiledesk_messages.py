"""What Tiledesk makes of messages: each test runs against the fake and the real server."""

from __future__ import annotations

import json

import pytest
import requests

from rasa_tiledesk.errors import (
    TiledeskNotFound,
    TiledeskServerError,
    TiledeskTooLarge,
)
from rasa_tiledesk.http import NoAnswer
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import (
    EndUser,
    TiledeskClient,
)
from tests.contract.tiledesk_calls import (
    UNKNOWN,
    eventually,
    line,
    new_id,
    opened,
    owner_token,
    raw,
    silence,
    texts,
)


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
