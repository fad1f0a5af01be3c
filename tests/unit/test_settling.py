"""How long what may be on its way is waited for is counted from when the caller has let go of it."""

from __future__ import annotations

import pytest

from rasa_tiledesk.handoff.to_agents import PATIENCE
from rasa_tiledesk.ledger import Life
from rasa_tiledesk.testing import Call, Fault
from tests.unit.conftest import World, conversation

POSTED = "POST /{project}/requests/{request}/messages"
LISTED = "GET /{project}/requests/{request}/messages"


def test_a_call_that_waited_for_its_turn_settles_from_its_end(world: World) -> None:
    handoff = world.ask(conversation(2)).handoff
    assert handoff
    before = world.tiledesk.count(POSTED)

    def slow_then_lost(call: Call) -> Fault | None:
        if call.route != POSTED or call.number > before + 1:
            return None
        world.clock.seconds += 20  # in a queue, say, and only then on its way
        return Fault.late()

    world.read_timeout = 0.2
    world.tiledesk.faults = slow_then_lost
    worker = world.worker()
    while world.tiledesk.count(POSTED) == before:
        worker.run_once()
    world.work(worker, seconds=PATIENCE.settle - 5)
    assert world.tiledesk.count(POSTED) == before + 1
    world.tiledesk.let_late_calls_through()
    world.work(worker, seconds=60)
    assert world.now(handoff).life is Life.LIVE
    assert [message["text"] for message in world.said(handoff)] == ["turn 0", "turn 1"]


@pytest.mark.parametrize("refusal", [429, 401, 403, 404])
def test_a_look_that_fails_says_nothing_of_the_call_it_looked_for(world: World, refusal: int) -> None:
    handoff = world.ask(conversation(2)).handoff
    assert handoff
    before = world.tiledesk.count(POSTED)
    world.read_timeout = 0.2
    world.tiledesk.fail(POSTED, Fault.late())
    # The look right after the call, and the next one.
    world.tiledesk.fail(LISTED, *[Fault.answer(refusal)] * 4)
    worker = world.worker()
    while world.tiledesk.count(POSTED) == before:
        worker.run_once()
    world.work(worker, seconds=PATIENCE.settle - 5)
    assert world.tiledesk.count(POSTED) == before + 1
    world.tiledesk.let_late_calls_through()
    world.work(worker, seconds=120)
    assert world.now(handoff).life is Life.LIVE
    assert [message["text"] for message in world.said(handoff)] == ["turn 0", "turn 1"]
