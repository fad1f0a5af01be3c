"""What the fake's chat21 can be made to do: stand still, be away, and drop what a sender says too fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import AgentLogin, EndUser, TiledeskClient

REQUEST = "support-group-p-0123456789abcdef"


@dataclass
class Clock:
    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(clock: Clock) -> Iterator[FakeTiledesk]:
    with FakeTiledesk(clock=clock, chat21=True) as fake:
        yield fake


@pytest.fixture
def client(desk: FakeTiledesk) -> TiledeskClient:
    return TiledeskClient(desk.url, desk.project_id, credential=AgentLogin(*desk.owner))


@pytest.fixture
def jane(client: TiledeskClient) -> EndUser:
    user = client.sign_in_anonymously(name="Jane")
    client.open_request(REQUEST, line(user.id, "Hello"), temporary=True)
    return user


def line(sender: str, text: str) -> dict[str, object]:
    return {"sender": sender, "senderFullname": "Jane", "text": text, "channel": {"name": "rasa"}}


def chat(desk: FakeTiledesk) -> list[str]:
    return [note["text"] for note in desk.agents_chat(REQUEST) if note["sender"] != "system"]


def statuses(desk: FakeTiledesk) -> dict[str, int]:
    return {one["text"]: one["status"] for one in desk.messages(REQUEST) if one["sender"] != "system"}


def post(client: TiledeskClient, sender: str, *texts: str) -> None:
    for text in texts:
        client.send_message(REQUEST, line(sender, text))


class TestStalling:
    def test_what_was_under_way_at_the_assignment_never_reaches_the_agent(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        with desk.chat21_stalled():
            post(client, jane.id, "Lost one", "Lost two")
            client.assign(REQUEST, desk.default_department)
            post(client, jane.id, "After it")
            assert (statuses(desk)["Lost one"], statuses(desk)["After it"]) == (150, 150)
            assert desk.agents_chat(REQUEST) == []
        assert chat(desk) == ["Hello", "After it"]
        assert statuses(desk)["Lost two"] == 200
        assert [one["text"] for one in desk.messages(REQUEST) if one["sender"] != "system"] == [
            "Hello",
            "Lost one",
            "Lost two",
            "After it",
        ]

    def test_who_is_assigned_after_it_has_all(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        with desk.chat21_stalled():
            post(client, jane.id, "One", "Two")
        client.assign(REQUEST, desk.default_department)
        assert chat(desk) == ["Hello", "One", "Two"]

    def test_an_agents_words_come_to_tiledesk_only_after_it(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        client.assign(REQUEST, desk.default_department)
        with desk.chat21_stalled():
            desk.agent_says(REQUEST, "How can I help?")
            assert "How can I help?" not in statuses(desk)
        assert statuses(desk)["How can I help?"] == 200

    def test_a_request_that_was_deleted_meanwhile_is_left_alone(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        with desk.chat21_stalled():
            post(client, jane.id, "One")
            desk.agent_says(REQUEST, "Two")
            desk.delete_request(REQUEST)
        assert desk.messages(REQUEST) == []


def test_what_is_posted_while_chat21_is_away_stays_at_0_and_never_reaches_the_agent(
    desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
) -> None:
    with desk.chat21_down():
        post(client, jane.id, "Lost")
    post(client, jane.id, "After it")
    client.assign(REQUEST, desk.default_department)
    assert chat(desk) == ["Hello", "After it"]
    assert statuses(desk)["Lost"] == 0


class TestLimiter:
    def test_thirty_of_a_sender_pass_at_once_and_then_one_every_two_seconds(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, clock: Clock
    ) -> None:
        post(client, "bot_rasa", *(str(number) for number in range(33)))
        client.assign(REQUEST, desk.default_department)
        assert chat(desk) == ["Hello", *(str(number) for number in range(30))]
        assert [statuses(desk)[str(number)] for number in (30, 31, 32)] == [150, 150, 150]
        clock.now += 2
        post(client, "bot_rasa", "Later", "Too soon")
        assert chat(desk)[-1] == "Later"
        post(client, jane.id, "Another's")
        assert chat(desk)[-1] == "Another's"

    def test_while_time_passes_a_burst_may_have_one_more(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, clock: Clock
    ) -> None:
        for number in range(35):
            clock.now += 0.001
            post(client, "bot_rasa", str(number))
        client.assign(REQUEST, desk.default_department)
        assert chat(desk) == ["Hello", *(str(number) for number in range(31))]

    def test_it_counts_over_all_requests(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        other = f"{REQUEST}0"
        client.open_request(other, line(jane.id, "Hello"), temporary=True)
        for number in range(30):
            client.send_message(other, line("bot_rasa", str(number)))
        post(client, "bot_rasa", "One too many")
        client.assign(REQUEST, desk.default_department)
        assert chat(desk) == ["Hello"]

    def test_after_a_stall_everything_passes(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        with desk.chat21_stalled():
            post(client, "bot_rasa", *(str(number) for number in range(50)))
        client.assign(REQUEST, desk.default_department)
        assert len(chat(desk)) == 51


def test_a_joining_agent_gets_the_oldest_200(desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
    with desk.chat21_stalled():
        post(client, jane.id, *(str(number) for number in range(210)))
    client.assign(REQUEST, desk.default_department)
    # Three of the 200 are lines of the system.
    assert chat(desk) == ["Hello", *(str(number) for number in range(196))]


def test_some_of_what_is_delivered_stays_at_150_for_good_but_never_three_in_a_row(
    desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
) -> None:
    post(client, jane.id, *(str(number) for number in range(24)))
    client.assign(REQUEST, desk.default_department)
    assert len(chat(desk)) == 25
    found = [statuses(desk)[text] for text in chat(desk)]
    assert found.count(150) == 3
    assert all(200 in found[start : start + 3] for start in range(23))


def test_the_controls_of_chat21_need_chat21() -> None:
    with FakeTiledesk() as desk:
        for control in (desk.chat21_stalled, desk.chat21_down, lambda: desk.agents_chat(REQUEST)):
            with pytest.raises(RuntimeError, match="chat21=True"):
                control()
