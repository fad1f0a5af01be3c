"""With chat21 behind Tiledesk, as real installations have it: what agents' screens really show, and who has come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rasa_tiledesk.responses import AGENT_JOINED
from rasa_tiledesk.testing import FakeTiledesk
from tests.unit.conftest import World, conversation
from tests.unit.talking import ENDED, asks, comes_to_rest, heard, live, says


@pytest.fixture
def chat(world: World) -> Iterator[World]:
    with FakeTiledesk(chat21=True) as world.tiledesk:
        yield world


def shown(world: World, request_id: str) -> list[str]:
    """What of the conversation the agent's chat shows, in its order."""
    ours = [one for one in world.tiledesk.agents_chat(request_id) if "rasa" in (one["attributes"] or {})]
    return [one["text"] for one in ours if one["attributes"]["rasa"]["key"] != "opening"]


@pytest.mark.parametrize("turns", [1, 5, 40])
def test_the_agents_chat_shows_the_whole_history_and_all_that_follows_in_order(chat: World, turns: int) -> None:
    worker = chat.worker()
    chat.rasa.add("ann", conversation(turns))
    handoff = asks(chat)
    chat.work(worker, seconds=10)
    said = [f"turn {number}" for number in range(turns)]
    assert shown(chat, handoff.request_id) == said
    says(chat, "hello?")
    chat.tiledesk.agent_says(handoff.request_id, "hello!")
    chat.work(worker, seconds=5)
    says(chat, "thanks")
    assert shown(chat, handoff.request_id) == [*said, "hello?", "thanks"]
    assert heard(chat) == ["hello!"]
    assert comes_to_rest(chat, worker, handoff)


def test_a_machines_assignment_is_no_colleague_who_has_joined(chat: World) -> None:
    worker = chat.worker()
    handoff = live(chat, worker)
    chat.work(worker, seconds=20)
    assert chat.rasa.delivered["callback"] == []
    chat.tiledesk.agent_says(handoff.request_id, "hello")
    chat.work(worker, seconds=5)
    assert [message.get("utter_action") for message in chat.rasa.delivered["callback"]] == [AGENT_JOINED, None]
    assert comes_to_rest(chat, worker, handoff)


def test_an_agent_who_takes_a_request_that_nobody_had_has_joined(chat: World) -> None:
    chat.tiledesk.set_available(chat.tiledesk.owner_id, False)
    worker = chat.worker()
    handoff = live(chat, worker)
    mia = chat.tiledesk.add_agent("Mia", available=False)
    chat.tiledesk.join(handoff.request_id, mia)
    chat.work(worker, seconds=5)
    assert [message.get("utter_action") for message in chat.rasa.delivered["callback"]] == [AGENT_JOINED]
    assert comes_to_rest(chat, worker, handoff)


@pytest.mark.parametrize("mode", ["staged", "direct"])
def test_nothing_of_the_opening_line_is_left_on_the_request(chat: World, mode: str) -> None:
    chat.settings = {"history": {"import": mode}}
    worker = chat.worker()
    handoff = live(chat, worker)
    (request,) = chat.tiledesk.requests()
    left = {name for name, value in request["attributes"].items() if value is not None}
    assert "rasa_channel" in left
    assert not {"subtype", "clienttimestamp", "rasa"} & left
    assert comes_to_rest(chat, worker, handoff)


def test_a_chat_engine_that_stands_still_is_waited_for_and_not_for_ever(chat: World) -> None:
    worker = chat.worker()
    with chat.tiledesk.chat21_stalled():
        handoff = asks(chat)
        chat.work(worker, seconds=10)
        assert chat.tiledesk.requests() == []
        chat.work(worker, seconds=30)
        assert len(chat.tiledesk.requests()) == 1
    assert comes_to_rest(chat, worker, handoff)


def test_one_sender_never_loses_a_word_to_the_chat_engines_limit(chat: World) -> None:
    chat.ledger.lanes.per_minute = 28
    chat.tiledesk._desk.store.clock = chat.clock  # the limit counts by it
    worker = chat.worker()
    handoff = live(chat, worker)
    for number in range(40):
        says(chat, f"word {number}")
    chat.work(worker, seconds=150)
    assert shown(chat, handoff.request_id)[3:] == [f"word {number}" for number in range(40)]
    assert comes_to_rest(chat, worker, handoff)
    assert heard(chat) == [ENDED]
