"""What agents say, on fakes with real sockets: it reaches the user once, in order, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_tiledesk.testing import Fault
from tests.unit.conftest import World
from tests.unit.talking import SEND, comes_to_rest, heard, live, says, users_words


def test_an_agents_words_reach_the_user_once_and_in_order(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    for number in range(5):
        world.tiledesk.agent_says(handoff.request_id, f"answer {number}")
    world.work(worker, seconds=10)
    assert heard(world) == [f"answer {number}" for number in range(5)]
    in_tracker = [event for event in world.rasa.events("ann") if event.get("text") == "answer 0"]
    assert in_tracker[0]["metadata"]["tiledesk_agent"]
    assert comes_to_rest(world, worker, handoff)


def test_that_an_agent_has_joined_is_said_once_before_their_first_words(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=10)
    assert world.rasa.delivered["callback"] == []  # a machine has assigned it; nobody has come
    for text in ("hello", "again"):
        world.tiledesk.agent_says(handoff.request_id, text)
        world.work(worker, seconds=5)
    said = [message["text"] for message in world.rasa.delivered["callback"]]
    assert said == ["A colleague has joined the conversation.", "hello", "again"]


@pytest.mark.parametrize(
    "message",
    [
        {"attributes": {"subtype": "private"}},
        {"attributes": {"subtype": "info"}},
        {"attributes": {"subtype": "info/support"}},
        {"attributes": {"subtype": "of next year"}},
        {"attributes": {"rasa": {"key": "x"}}},
        {"sender": "system"},
        {"sender": "bot_5e2c35c8f0dbc10017bb3aac"},
        {"sender": "somebody"},
        {"text": "  "},
    ],
)
def test_what_is_not_an_agents_word_to_the_user_never_reaches_them(world: World, message: dict[str, Any]) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    fields = {"text": "secret", **message}
    text = fields.pop("text")
    if fields.get("sender"):
        world.desk.send_message(handoff.request_id, {"sender": fields["sender"], "senderFullname": "X", "text": text})
    else:
        world.tiledesk.agent_says(handoff.request_id, text, **fields)
    world.tiledesk.agent_note(handoff.request_id, "a note")
    world.work(worker, seconds=10)
    assert world.rasa.delivered["callback"] == []


def test_images_files_and_buttons_come_along(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    say = world.tiledesk.agent_says
    say(handoff.request_id, "i.png", type="image", metadata={"src": "https://x.y/i.png", "name": "i.png"})
    say(handoff.request_id, "the form", type="file", metadata={"src": "https://x.y/a.pdf", "type": "application/pdf"})
    say(handoff.request_id, "Yes?", attributes={"attachment": {"buttons": [{"type": "text", "value": "Yes"}]}})
    world.work(worker, seconds=5)
    _joined, image, file, buttons = world.rasa.delivered["callback"]
    assert image["image"] == "https://x.y/i.png"
    assert file["text"] == "the form\nhttps://x.y/a.pdf"
    assert buttons["buttons"] == [{"title": "Yes", "payload": "Yes"}]


def test_an_agents_buttons_never_run_as_the_bots_intents(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    buttons = [
        {"type": "action", "value": "Pay", "action": '/transfer_money{"to": "me"}'},
        {"type": "text", "value": "/transfer_money"},
        {"type": "url", "value": "The shop", "link": "https://x.y/shop"},
    ]
    world.tiledesk.agent_says(handoff.request_id, "Choose:", attributes={"attachment": {"buttons": buttons}})
    world.work(worker, seconds=5)
    said = world.rasa.delivered["callback"][-1]
    assert said["text"] == "Choose:\nThe shop: https://x.y/shop"
    assert [button["title"] for button in said["buttons"]] == ["Pay", "/transfer_money"]
    assert not any(button["payload"].startswith("/") for button in said["buttons"])


@pytest.mark.parametrize("fault", ["lost", "reset", "hang", 500])
def test_an_answer_of_rasa_that_is_lost_doubles_nothing(world: World, fault: str | int) -> None:
    world.read_timeout = 0.5 if fault == "hang" else 5.0
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=3)
    for number in range(3):
        world.tiledesk.agent_says(handoff.request_id, f"answer {number}")
    world.rasa.fail_next(fault)
    world.work(worker, seconds=40)
    assert heard(world) == ["hello", "answer 0", "answer 1", "answer 2"]
    assert comes_to_rest(world, worker, handoff)


def test_what_rasa_can_never_deliver_is_told_to_the_agent_and_keeps_nothing_else_back(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=3)
    world.rasa.refusing.add("callback")
    world.tiledesk.agent_says(handoff.request_id, "refused")
    world.work(worker, seconds=400)
    world.rasa.refusing.clear()
    world.tiledesk.agent_says(handoff.request_id, "fine")
    world.work(worker, seconds=60)
    assert heard(world) == ["hello", "fine"]
    assert any("could not be delivered" in text for text in users_words(world, handoff))
    assert comes_to_rest(world, worker, handoff)


def test_a_channel_that_cannot_be_written_to_is_told_to_the_agent_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker, channel="rest")
    for text in ("one", "two"):
        world.tiledesk.agent_says(handoff.request_id, text)
    world.work(worker, seconds=30)
    told = [text for text in users_words(world, handoff) if "cannot be written to" in text]
    assert len(told) == 1
    assert "'rest'" in told[0]
    assert {"one", "two"} <= {event.get("text") for event in world.rasa.events("ann")}
    assert comes_to_rest(world, worker, handoff)


def test_a_direct_handoff_is_listened_to_as_well(world: World) -> None:
    world.settings = {"history": {"import": "direct"}}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    assert comes_to_rest(world, worker, handoff)


def test_a_hint_is_heeded_at_once_and_a_wrong_one_changes_nothing(world: World) -> None:
    world.settings = {"relay": {"receive": "webhook", "public_url": "https://bot.example.com"}}
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=5)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    assert world.ledger.handoffs.hint(handoff.request_id)
    assert not world.ledger.handoffs.hint("support-group-unknown")
    world.work(worker, seconds=0)
    assert heard(world) == ["hello"]
    world.tiledesk.agent_says(handoff.request_id, "lost webhook")
    world.work(worker, seconds=10)
    assert heard(world) == ["hello", "lost webhook"]
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("role", ["owner", "agent"])
def test_agents_are_heard_whatever_our_login_is_shown(world: World, role: str) -> None:
    if role == "agent":
        mia = world.tiledesk.add_agent("Mia")
        world.tiledesk.owner = (mia.email, mia.password)
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=10)
    assert len(heard(world)) == 2


@pytest.mark.parametrize("record", [{}, {"_id": 7, "text": None, "createdAt": "yesterday"}, {"attributes": "x"}])
def test_one_malformed_message_does_not_deafen_the_handoff(world: World, record: dict[str, Any]) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.add_raw_message(handoff.request_id, record)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=10)
    assert heard(world) == ["hello"]
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("fault", [Fault.answer(403), Fault.answer(503), Fault.hang()], ids=lambda fault: fault.kind)
def test_agents_are_heard_while_nothing_can_be_posted(world: World, fault: Fault) -> None:
    world.read_timeout = 0.3 if fault.kind == "hang" else 5.0
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.faults = lambda call: fault if call.route == SEND else None
    says(world, "help")
    world.work(worker, seconds=5)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    assert users_words(world, handoff) == []
    world.tiledesk.faults = None
    world.work(worker, seconds=60)
    assert users_words(world, handoff) == ["help"]
    assert comes_to_rest(world, worker, handoff)


def test_agents_are_heard_while_the_users_words_are_paced(world: World) -> None:
    world.ledger.lanes.per_minute = 4
    worker = world.worker()
    handoff = live(world, worker)
    for number in range(8):
        says(world, f"word {number}")
    world.work(worker, seconds=3)
    assert len(users_words(world, handoff)) < 8
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert len(users_words(world, handoff)) < 8
    assert heard(world) == ["hello"]
    world.work(worker, seconds=150)
    assert users_words(world, handoff) == [f"word {number}" for number in range(8)]
    assert comes_to_rest(world, worker, handoff)


def test_what_is_in_the_ledger_for_the_user_does_not_wait_for_tiledesk(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.rasa.fail_next(503, 503, 503, 503)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=2)
    assert heard(world) == []
    with world.tiledesk.away():
        world.work(worker, seconds=40)
        assert heard(world) == ["hello"]
    assert comes_to_rest(world, worker, handoff)


def test_a_slow_channel_doubles_at_most_once_then_it_is_written_down_and_the_agent_told(world: World) -> None:
    world.read_timeout = 0.2
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    with world.rasa.hold_channel():
        world.work(worker, seconds=90)
    said = [message["text"] for message in world.rasa.delivered["callback"]]
    assert said == ["A colleague has joined the conversation."] * 2 + ["hello"] * 2
    in_tracker = [event["text"] for event in world.rasa.events("ann") if event["event"] == "bot"]
    assert in_tracker.count("hello") == 1
    told = [text for text in users_words(world, handoff) if "not certain" in text]
    assert len(told) == 1
    world.tiledesk.agent_says(handoff.request_id, "still there?")
    world.work(worker, seconds=10)
    assert heard(world)[-1] == "still there?"
    assert comes_to_rest(world, worker, handoff)


def test_one_transient_500_of_rasa_drops_nothing_though_another_was_seen_an_hour_ago(world: World) -> None:
    first, second = world.worker(name="first"), world.worker(name="second")
    handoff = live(world, first)
    for worker, text in ((first, "one"), (second, "two"), (first, "three"), (second, "four")):
        world.rasa.fail_next(500)
        world.tiledesk.agent_says(handoff.request_id, text)
        world.work(worker, seconds=30)
        world.clock.seconds += 3600
    assert heard(world) == ["one", "two", "three", "four"]
    assert comes_to_rest(world, first, handoff)
