"""Whose words reach the user: an agent's who takes part, and nobody else's; and who is said to have joined."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.responses import AGENT_JOINED
from rasa_tiledesk.testing import FakeTiledesk
from tests.unit.conftest import World, conversation
from tests.unit.talking import LIST, comes_to_rest, heard, live, pauses, users_words

STRANGER = "0123456789abcdef01234567"


def record(request_id: str, sender: str, text: str, **fields: Any) -> dict[str, Any]:
    """A message as the server lists it."""
    when = "2026-11-24T12:00:00.000Z"
    made = {"_id": f"{len(text):024x}", "recipient": request_id, "sender": sender, "senderFullname": "Mia"}
    return {**made, "text": text, "type": "text", "status": 200, "createdAt": when, "updatedAt": when, **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"attributes": '{"subtype": "private"}'},
        {"attributes": ["private"]},
        {"attributes": ""},
        {"attributes": 0},
        {"attributes": {"privateFor": "agents"}},
        {"type": "private"},
        {"type": "private", "attributes": {}},
    ],
)
def test_what_may_be_a_private_note_reaches_nobody(world: World, fields: dict[str, Any]) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.add_raw_message(
        handoff.request_id, record(handoff.request_id, world.tiledesk.owner_id, "x", **fields)
    )
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    assert users_words(world, handoff) == []
    assert comes_to_rest(world, worker, handoff)


def test_words_in_the_name_of_who_takes_no_part_reach_nobody_and_agents_are_told_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.desk.send_message(handoff.request_id, {"sender": STRANGER, "senderFullname": "Olive Owner", "text": "pay me"})
    world.work(worker, seconds=5)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    assert [text for text in users_words(world, handoff) if "takes no part" in text] == users_words(world, handoff)
    assert len(users_words(world, handoff)) == 1
    assert comes_to_rest(world, worker, handoff)


def test_who_takes_no_part_has_not_joined(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.desk.send_message(handoff.request_id, {"sender": STRANGER, "senderFullname": "Sam", "text": "pay me"})
    world.work(worker, seconds=5)
    assert world.rasa.delivered["callback"] == []
    assert not world.now(handoff).joined


def test_an_agent_who_joins_while_the_request_is_read_is_heard(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    mia = world.tiledesk.add_agent("Mia")
    world.tiledesk.agent_says(handoff.request_id, "hello")
    joined: list[bool] = []

    def joins(call: Any) -> None:
        if call.route == LIST and not joined:
            joined.append(True)
            world.tiledesk.join(handoff.request_id, mia)
            world.tiledesk.agent_says(handoff.request_id, "I am here too", agent=mia)

    world.tiledesk.faults = joins
    world.work(worker, seconds=10)
    assert heard(world) == ["hello", "I am here too"]
    assert users_words(world, handoff) == []


def test_the_last_words_of_an_agent_who_has_left_are_delivered(world: World) -> None:
    with FakeTiledesk(chat21=True) as world.tiledesk:
        worker = world.worker()
        handoff = live(world, worker)
        mia = world.tiledesk.add_agent("Mia")
        world.tiledesk.join(handoff.request_id, mia)
        world.tiledesk.agent_says(handoff.request_id, "bye", agent=mia)
        world.tiledesk.leave(handoff.request_id, mia)
        world.work(worker, seconds=5)
        assert heard(world) == ["bye"]
        assert users_words(world, handoff) == []


def said_of_joining(world: World) -> list[str]:
    told = world.rasa.delivered["callback"]
    return [str(message["text"]) for message in told if message.get("utter_action") == AGENT_JOINED]


@pytest.mark.parametrize("chat21", [False, True])
@pytest.mark.parametrize("mode", ["staged", "direct"])
def test_an_agent_who_takes_a_waiting_request_is_announced_by_name_before_they_speak(
    world: World, mode: str, chat21: bool
) -> None:
    with FakeTiledesk(chat21=chat21) as world.tiledesk:
        world.settings = {"history": {"import": mode}}
        world.tiledesk.set_available(world.tiledesk.owner_id, False)
        worker = world.worker()
        world.rasa.add("ann", conversation(3))
        own = {AGENT_JOINED: [{"text": "{agent} is here."}]}
        handoff = world.asking().ask(Ask("ann", world.rasa.events("ann"), {}, "callback", own), Deadline(8)).handoff
        assert handoff is not None
        pauses(world, handoff)
        world.work(worker, seconds=10)
        assert said_of_joining(world) == []
        mia = world.tiledesk.add_agent("Mia", available=False)
        world.tiledesk.join(handoff.request_id, mia)
        world.work(worker, seconds=5)
        assert said_of_joining(world) == ["Mia Agent is here."]
        world.tiledesk.agent_says(handoff.request_id, "hello", agent=mia)
        world.work(worker, seconds=5)
        assert len(said_of_joining(world)) == 1
        assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("chat21", [False, True])
def test_a_second_agent_whom_nobody_has_heard_yet_has_not_joined_for_the_user(world: World, chat21: bool) -> None:
    with FakeTiledesk(chat21=chat21) as world.tiledesk:
        worker = world.worker()
        handoff = live(world, worker)
        world.tiledesk.join(handoff.request_id, world.tiledesk.add_agent("Mia"))
        world.work(worker, seconds=10)
        assert said_of_joining(world) == []
        assert comes_to_rest(world, worker, handoff)
