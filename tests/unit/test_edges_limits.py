"""Nothing waits for ever: nobody opens, nobody comes, nobody speaks; each ends in time, and the user is told."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_tiledesk.handoff.said import KEEP_WAITING
from rasa_tiledesk.ledger import End, Life
from rasa_tiledesk.responses import AGENT_JOINED, IDLE, NO_AGENTS, STILL_WAITING, default_text
from tests.unit.conftest import World
from tests.unit.talking import ENDED, comes_to_rest, heard, live, resumed, says, users_words


def queue(world: World, **limit: Any) -> None:
    """Nobody takes requests."""
    world.settings = {"availability": {"wait_limit": limit}}
    world.tiledesk.set_available(world.tiledesk.owner_id, False)


def responses(world: World) -> list[str]:
    told = [message.get("utter_action") for message in world.rasa.delivered["callback"]]
    return [name for name in told if name is not None]


def test_a_user_in_the_queue_hears_so_once_in_time_and_then_that_somebody_came(world: World) -> None:
    queue(world, after=60)
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=54)
    assert responses(world) == []
    world.work(worker, seconds=8)
    assert responses(world) == [STILL_WAITING]
    world.work(worker, seconds=200)
    assert responses(world) == [STILL_WAITING]
    assert "buttons" not in world.rasa.delivered["callback"][0]
    mia = world.tiledesk.add_agent("Mia")
    world.tiledesk.join(handoff.request_id, mia)
    world.tiledesk.agent_says(handoff.request_id, "hello", agent=mia)
    world.work(worker, seconds=5)
    assert responses(world)[1] == AGENT_JOINED
    assert comes_to_rest(world, worker, handoff)


def test_a_request_that_a_machine_assigns_is_still_waited_for(world: World) -> None:
    world.settings = {"availability": {"wait_limit": 60}}
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=70)
    assert responses(world) == [STILL_WAITING]
    assert comes_to_rest(world, worker, handoff)


def test_who_is_offered_to_go_on_waiting_does_so_by_a_button_that_reaches_nobody(world: World) -> None:
    queue(world, after=60, then="offer")
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=70)
    stay, back = world.rasa.delivered["callback"][0]["buttons"]
    assert (stay["payload"], back["payload"]) == (KEEP_WAITING, "/back_to_bot")
    assert says(world, stay["payload"], intent="tiledesk_keep_waiting")
    says(world, "I wait")
    world.work(worker, seconds=400)
    assert users_words(world, handoff) == ["I wait"]
    assert world.now(handoff).life is Life.LIVE
    assert comes_to_rest(world, worker, handoff)


def test_who_is_offered_to_go_on_waiting_can_go_back_to_the_bot(world: World) -> None:
    queue(world, after=60, then="offer")
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=70)
    says(world, world.rasa.delivered["callback"][0]["buttons"][1]["payload"], intent="back_to_bot")
    world.work(worker, seconds=5)
    assert world.now(handoff).end is End.USER
    assert not world.rasa.paused("ann")
    assert world.desk.request(handoff.request_id).closed
    assert comes_to_rest(world, worker)


def test_a_user_to_whom_nobody_comes_is_returned_in_time(world: World) -> None:
    queue(world, after=60, then="return")
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=54)
    assert world.now(handoff).is_open
    world.work(worker, seconds=10)
    assert world.now(handoff).end is End.NOBODY_CAME
    assert responses(world) == [NO_AGENTS]
    assert not world.rasa.paused("ann")
    assert world.tiledesk.requests() == []
    assert comes_to_rest(world, worker)


@pytest.mark.parametrize("then", ["tell", "offer", "return"])
def test_who_has_somebody_is_not_told_that_nobody_came(world: World, then: str) -> None:
    world.settings = {"availability": {"wait_limit": {"after": 60, "then": then}}}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=100)
    assert heard(world) == ["hello"]
    assert world.now(handoff).life is Life.LIVE
    assert comes_to_rest(world, worker, handoff)


def test_silence_on_both_sides_warns_the_user_then_closes(world: World) -> None:
    world.settings = {"relay": {"idle_limit": 300}}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=235)
    assert heard(world) == ["hello"]
    world.work(worker, seconds=10)
    assert heard(world) == ["hello", default_text(IDLE)]
    assert world.now(handoff).is_open
    world.work(worker, seconds=65)
    assert world.now(handoff).end is End.SILENCE
    assert heard(world) == ["hello", default_text(IDLE), ENDED]
    assert resumed(world) == 1
    assert world.tiledesk.requests() == []
    assert comes_to_rest(world, worker)


@pytest.mark.parametrize("who", ["user", "agent"])
def test_who_speaks_after_the_warning_is_not_cut_off(world: World, who: str) -> None:
    world.settings = {"relay": {"idle_limit": 300}}
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=250)
    assert heard(world) == [default_text(IDLE)]
    if who == "user":
        says(world, "I am here")
    else:
        world.tiledesk.agent_says(handoff.request_id, "so am I")
    world.work(worker, seconds=200)
    assert world.now(handoff).is_open
    world.work(worker, seconds=120)
    assert heard(world).count(default_text(IDLE)) == 2  # warned again
    assert world.now(handoff).end is End.SILENCE
    world.work(worker, seconds=60)
    assert world.is_at_rest()


def test_who_writes_in_the_moment_of_the_close_by_silence_is_told_that_the_user_has_gone_on(world: World) -> None:
    world.settings = {"relay": {"idle_limit": 120}}
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=110)
    world.ledger.handoffs.end(handoff.id, End.SILENCE)
    world.tiledesk.agent_says(handoff.request_id, "wait!")
    world.work(worker, seconds=60)
    assert any("did not reach the user" in text for text in users_words(world, handoff))
    assert "wait!" not in heard(world)
    assert world.is_at_rest()


def test_a_conversation_without_limits_ends_some_day(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    for _ in range(4):
        world.clock.seconds += 24 * 3600
        world.work(worker, seconds=90)
    assert world.now(handoff).end is End.SILENCE
    assert heard(world)[-1] == ENDED
    assert world.is_at_rest()
