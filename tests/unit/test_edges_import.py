"""Around the import: an action that dies, a bot that is not paused, a Tiledesk that stays away."""

from __future__ import annotations

import pytest

from rasa_tiledesk.ledger import Life
from rasa_tiledesk.testing import Fault
from tests.unit.conftest import World
from tests.unit.talking import LIST, asks, comes_to_rest, resumed


def responses(world: World) -> list[str]:
    """What the user was told in the bot's words."""
    return [message["utter_action"] for message in world.rasa.delivered["callback"]]


def test_the_bot_is_paused_and_the_user_told_when_the_action_died_before_it_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise SystemExit

    world.rasa.says("ann", "a human please")
    monkeypatch.setattr(world.ledger.handoffs, "confirm", dies)
    with pytest.raises(SystemExit):
        world.ask(world.rasa.events("ann"))
    handoff = world.ledger.handoffs.open_of("ann")
    assert handoff is not None
    worker = world.worker()
    world.work(worker, seconds=60)
    assert responses(world) == ["utter_tiledesk_connecting"]
    added = [event for event in world.rasa.events("ann") if event["event"] in ("pause", "slot")]
    assert [event["event"] for event in added] == ["pause", "slot"]
    assert added[1]["value"] == handoff.id
    assert len(world.tiledesk.requests()) == 1
    assert comes_to_rest(world, worker, handoff)


def test_the_bot_is_paused_when_the_actions_answer_was_lost(world: World) -> None:
    world.rasa.says("ann", "a human please")
    handoff = world.ask(world.rasa.events("ann")).handoff
    worker = world.worker()
    world.work(worker, seconds=5)
    assert not world.rasa.paused("ann")
    world.work(worker, seconds=20)
    assert world.rasa.paused("ann")
    assert responses(world) == ["utter_tiledesk_connecting"]
    assert handoff is not None
    assert comes_to_rest(world, worker, handoff)


def test_a_bot_that_is_paused_is_left_alone(world: World) -> None:
    worker = world.worker()
    handoff = asks(world)
    world.work(worker, seconds=400)
    assert sum(event["event"] == "pause" for event in world.rasa.events("ann")) == 1
    assert responses(world) == []
    assert comes_to_rest(world, worker, handoff)


def test_what_cannot_be_imported_in_time_is_given_up_and_the_user_told(world: World) -> None:
    world.settings = {"availability": {"give_up": 100}}
    worker = world.worker()
    handoff = asks(world)
    world.tiledesk.faults = lambda call: Fault("answer", status=503)
    world.work(worker, seconds=98)
    assert world.now(handoff).life is Life.OPEN
    world.work(worker, seconds=5)
    assert world.now(handoff).life is Life.FAILED
    assert "could not reach my colleagues" in world.rasa.delivered["callback"][0]["text"]
    assert world.rasa.events("ann")[-1]["name"] == "action_listen"
    assert resumed(world) == 1
    world.tiledesk.faults = None
    world.work(worker, seconds=120)
    assert world.tiledesk.requests() == []
    assert world.is_at_rest()


def test_nobody_listens_to_a_request_that_agents_do_not_see_yet(world: World) -> None:
    world.ledger.lanes.per_minute = 2  # so that the import takes its time
    worker = world.worker()
    handoff = asks(world)
    world.work(worker, seconds=30)
    assert world.now(handoff).life is Life.OPEN
    assert world.tiledesk.count(LIST) == 0
    world.work(worker, seconds=90)
    assert world.now(handoff).life is Life.LIVE
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert world.rasa.delivered["callback"][-1]["text"] == "hello"
    assert comes_to_rest(world, worker, handoff)
