"""What only the fake Tiledesk can be made to do: calls that take effect late, and records that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rasa_tiledesk.errors import TiledeskNonsense, TiledeskServerError, TiledeskTimeout
from rasa_tiledesk.http import Http
from rasa_tiledesk.testing import FakeTiledesk, Fault
from rasa_tiledesk.tiledesk import AgentLogin, EndUser, Request, TiledeskClient

REQUEST = "support-group-p-0123456789abcdef"
POST = "POST /{project}/requests/{request}/messages"


@pytest.fixture
def desk() -> Iterator[FakeTiledesk]:
    with FakeTiledesk() as fake:
        yield fake


def client_of(desk: FakeTiledesk, *, read_timeout: float = 0.2) -> TiledeskClient:
    return TiledeskClient(
        desk.url,
        desk.project_id,
        credential=AgentLogin(*desk.owner),
        http=Http(read_timeout=read_timeout),
        sleep=lambda _: None,
    )


@pytest.fixture
def patient(desk: FakeTiledesk) -> TiledeskClient:
    return client_of(desk, read_timeout=30)


@pytest.fixture
def jane(patient: TiledeskClient) -> EndUser:
    user = patient.sign_in_anonymously(name="Jane")
    patient.open_request(REQUEST, line(user.id, "Hello"), temporary=True)
    return user


def line(sender: str, text: str) -> dict[str, object]:
    return {"sender": sender, "senderFullname": "Jane", "text": text, "channel": {"name": "rasa"}}


def texts(desk: FakeTiledesk) -> list[str]:
    return [one["text"] for one in desk.messages(REQUEST)]


class TestLateCalls:
    def test_one_takes_effect_when_the_test_says_so_though_the_caller_has_gone(
        self, desk: FakeTiledesk, jane: EndUser
    ) -> None:
        desk.fail(POST, Fault.late())
        with pytest.raises(TiledeskTimeout):
            client_of(desk).send_message(REQUEST, line(jane.id, "Late"))
        assert texts(desk) == ["Hello"]
        assert desk.let_late_calls_through() == 1
        assert texts(desk) == ["Hello", "Late"]
        assert desk.let_late_calls_through(at_least=0) == 0

    def test_they_take_effect_in_their_order_behind_what_came_meanwhile(
        self, desk: FakeTiledesk, patient: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail(POST, Fault.late(answer=504), Fault.late(answer=504), None)
        for text in ("One", "Two"):
            with pytest.raises(TiledeskServerError):
                patient.send_message(REQUEST, line(jane.id, text))
        patient.send_message(REQUEST, line(jane.id, "Three"))
        assert desk.let_late_calls_through(at_least=2) == 2
        assert texts(desk) == ["Hello", "Three", "One", "Two"]

    def test_a_caller_that_still_waits_is_answered(
        self, desk: FakeTiledesk, patient: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail(POST, Fault.late())
        with ThreadPoolExecutor(1) as thread:
            sent = thread.submit(patient.send_message, REQUEST, line(jane.id, "Late"))
            assert desk.let_late_calls_through() == 1
            assert sent.result().text == "Late"

    def test_with_a_time_one_takes_effect_by_itself(
        self, desk: FakeTiledesk, patient: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail(POST, Fault.late(0.01))
        assert patient.send_message(REQUEST, line(jane.id, "Late")).text == "Late"
        assert texts(desk) == ["Hello", "Late"]

    def test_those_that_are_left_are_dropped_when_the_desk_closes(self, jane: EndUser, desk: FakeTiledesk) -> None:
        desk.fail(POST, Fault.late(), Fault.late(60))
        with ThreadPoolExecutor(2) as threads:
            calls = [
                threads.submit(client_of(desk, read_timeout=30).send_message, REQUEST, line(jane.id, "Late"))
                for _ in range(2)
            ]
            while desk.count(POST) < 3:
                pass
            desk.close()
            assert all(call.exception() is not None for call in calls)
        assert texts(desk) == ["Hello"]


class TestUnreadableRecords:
    @pytest.mark.parametrize("field", ["_id", "sender", "recipient", "createdAt"])
    def test_a_message_without_a_needed_field_costs_itself_and_no_other(
        self, desk: FakeTiledesk, patient: TiledeskClient, jane: EndUser, field: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = {key: value for key, value in desk.messages(REQUEST)[0].items() if key != field}
        desk.add_raw_message(REQUEST, {**broken, "text": "s3cret"})
        desk.add_raw_message(REQUEST, {"createdAt": 7})
        patient.send_message(REQUEST, line(jane.id, "After it"))
        with caplog.at_level(logging.WARNING):
            assert [one.text for one in patient.messages(REQUEST)] == ["Hello", "After it"]
        assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
            "left out 2 records that cannot be read"
        ]
        assert "s3cret" not in caplog.text
        assert REQUEST not in caplog.text

    def test_what_is_no_list_at_all_is_still_nonsense(
        self, desk: FakeTiledesk, patient: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail("GET /{project}/requests/{request}/messages", *[Fault.garbage()] * 3)
        with pytest.raises(TiledeskNonsense):
            patient.messages(REQUEST)
        desk.fail("GET /{project}/requests", *[Fault.garbage()] * 3)
        with pytest.raises(TiledeskNonsense):
            patient.requests(channel="rasa")

    @pytest.mark.parametrize("last", [None, "x", {}, {"_id": "1"}, {"_id": "1", "sender": "s", "createdAt": "x"}])
    def test_a_last_message_that_cannot_be_read_is_none(self, last: object) -> None:
        data = {"request_id": REQUEST, "status": 200, "attributes": {"last_message": last}}
        assert Request.read(data).last_message is None


def test_a_close_may_leave_no_message(desk: FakeTiledesk, patient: TiledeskClient, jane: EndUser) -> None:
    desk.close_as_agent(REQUEST, message=False)
    assert patient.request(REQUEST).closed
    assert texts(desk) == ["Hello"]


@pytest.mark.parametrize(("page", "limit", "statuses"), [(-1, 10, None), (0, 0, None), (0, 101, None), (0, 10, [])])
def test_a_page_that_tiledesk_would_misread_is_refused_before_it_is_asked_for(
    desk: FakeTiledesk, patient: TiledeskClient, page: int, limit: int, statuses: list[int] | None
) -> None:
    with pytest.raises(ValueError, match="page must be"):
        patient.requests(channel="rasa", page=page, limit=limit, statuses=statuses)
    assert desk.count("GET /{project}/requests") == 0
