"""What comes between two looks: another handoff's answer, a new ask, a word, an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from rasa_tiledesk.handoff.to_user.inbox import messages_after
from rasa_tiledesk.ledger import Duty, End, Handoff, Life
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.testing import Fault
from rasa_tiledesk.testing.fake_tiledesk import Call
from tests.unit.conftest import World, conversation
from tests.unit.talking import ENDED, SEND, UNSENT, asks, comes_to_rest, heard, live, restarts, says, users_words

HOURS = "From nine to five."


def before(monkeypatch: pytest.MonkeyPatch, method: str, happens: Callable[[int, Any], None]) -> None:
    """Just before each such call to Rasa something happens; it is told which call it is, and with what."""
    real, count = getattr(RasaClient, method), [0]

    def call(client: RasaClient, *args: Any, **more: Any) -> Any:
        count[0] += 1
        happens(count[0], args)
        return real(client, *args, **more)

    monkeypatch.setattr(RasaClient, method, call)


def test_a_word_of_the_same_intent_as_the_one_before_is_not_taken_for_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rasa.answers = {"ask_hours": [{"text": HOURS}]}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.faults = lambda call: Fault.answer(503) if call.route == SEND else None
    says(world, "when are you open?", intent="ask_hours")
    says(world, "and the shop in Rome?", intent="ask_hours")
    world.tiledesk.close_as_agent(handoff.request_id)
    before(monkeypatch, "trigger_intent", lambda number, _: world.rasa.fail_next("reset") if number == 2 else None)
    world.work(worker, seconds=120)
    assert heard(world) == [ENDED, HOURS, UNSENT]


def test_the_same_question_after_a_second_handoff_is_not_taken_for_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rasa.answers = {"ask_hours": [{"text": HOURS}]}
    worker = world.worker()
    before(monkeypatch, "trigger_intent", lambda number, _: world.rasa.fail_next("reset") if number == 2 else None)
    for answer in (HOURS, UNSENT):
        handoff = live(world, worker)
        world.tiledesk.close_as_agent(handoff.request_id)
        says(world, "when are you open?", intent="ask_hours")
        world.work(worker, seconds=60)
        assert heard(world) == [ENDED, answer]


def test_a_bot_that_was_paused_unseen_is_resumed_at_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.rasa.add("ann", conversation(3))
    worker = world.worker()
    handoff = world.ask(world.rasa.events("ann")).handoff
    assert handoff is not None
    with world.ledger._database.writing() as connection:  # as the death of the action leaves it
        connection.execute(text("UPDATE tiledesk_step SET stage = 'waiting' WHERE lane = 'to_user'"))
        due = {"now": int(world.clock.seconds * 1000)}
        connection.execute(text("UPDATE tiledesk_duty SET due = :now WHERE duty = 'to_user'"), due)
    away = []
    before(monkeypatch, "append_events", lambda number, _: world.rasa.fail_next("lost") if number == 1 else None)
    before(monkeypatch, "append_events", lambda number, _: away.append(True) if number == 1 else None)
    before(monkeypatch, "tracker", lambda *_: world.rasa.fail_next(409) if away else None)
    world.work(worker, seconds=5)
    assert world.rasa.paused("ann")
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=10)
    away.clear()
    world.work(worker, seconds=600)
    assert world.now(handoff).life is Life.OVER
    assert not world.rasa.paused("ann")
    assert heard(world)[-1] == ENDED


def test_a_word_that_was_refused_as_the_request_was_deleted_opens_none_anew(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.delete_request(handoff.request_id)
    begin = world.clock.seconds

    def ends_meanwhile(call: Call) -> Fault | None:
        if call.route != SEND or world.clock.seconds > begin:
            return None
        world.ledger.handoffs.end(handoff.id, End.DELETED)
        return Fault.answer(429)

    world.tiledesk.faults = ends_meanwhile
    says(world, "hello?")
    world.work(worker, seconds=120)
    assert world.tiledesk.requests() == []
    assert heard(world) == [ENDED, UNSENT]


@pytest.mark.parametrize("status", [503, 429])
def test_what_was_given_up_is_assigned_to_nobody_later(world: World, status: int) -> None:
    worker = world.worker()
    failing, assigned = [True], []

    def never_assigns(call: Call) -> Fault | None:
        if not call.route.endswith("/assign"):
            return None
        assigned.append(call.route)
        return Fault.answer(status) if failing else None

    world.tiledesk.faults = never_assigns
    handoff = asks(world)
    world.work(worker, seconds=620)
    assert world.now(handoff).life is Life.FAILED
    failing.clear()
    assigned.clear()
    world.work(worker, seconds=200)
    assert assigned == []


def test_a_new_ask_while_the_old_end_waits_for_rasa_has_its_bot_paused_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.worker()
    live(world, worker)
    restarts(world)
    new: list[Handoff] = []

    def asks_meanwhile(_: int, args: Any) -> None:
        if not new and any(event["event"] == "resume" for event in args[1]):
            world.rasa.says("ann", "a human", intent="ask_human")
            new.append(asks(world))

    before(monkeypatch, "append_events", asks_meanwhile)
    world.work(worker, seconds=5)
    assert world.rasa.paused("ann")
    says(world, "my order is lost")
    world.work(worker, seconds=60)
    assert world.said(world.now(new[0]))[-1]["text"] == "my order is lost"


def test_who_speaks_in_the_moment_of_the_idle_limit_goes_on(world: World) -> None:
    world.settings = {"relay": {"receive": "poll", "idle_limit": 100}}
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=90)
    world.clock.seconds = world.now(handoff).spoke / 1000 + 100.5
    work = world.ledger.lanes.claim("care", seconds=40)
    while work is not None and work.duty is not Duty.CARE:
        worker._do(work)
        work = world.ledger.lanes.claim("care", seconds=40)
    assert work is not None
    says(world, "still here!")
    worker._do(work)
    world.work(worker, seconds=30)
    assert world.now(handoff).is_open
    assert users_words(world, handoff)[-1] == "still here!"
    world.work(worker, seconds=200)
    assert world.now(handoff).end is End.SILENCE


def test_a_client_that_asks_is_told_of_the_end_once_after_a_restart(world: World) -> None:
    worker = world.worker()
    live(world, worker, channel="rest")
    restarts(world)
    world.work(worker, seconds=30)
    assert [message["text"] for message in messages_after(world.rasa.events("ann"), None)] == [ENDED]


def test_a_word_to_a_bot_that_was_paused_after_an_unheard_restart_is_asked_for_again(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    restarts(world, unheard=True)
    world.rasa.add("ann", world.rasa._timed([{"event": "pause"}]))  # by whomever
    says(world, "hello?", unheard=True)
    world.work(worker, seconds=400)
    assert world.now(handoff).end is End.RESTART
    assert heard(world) == [ENDED, UNSENT]


@pytest.mark.parametrize(
    "ends", [restarts, lambda world: says(world, "back", intent="back_to_bot")], ids=["restart", "back to the bot"]
)
def test_what_ended_nothing_since_the_end_does_not_end_what_an_agent_opens_again(
    world: World, ends: Callable[[World], Any]
) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=60)
    ends(world)
    world.work(worker, seconds=60)
    world.tiledesk.reopen_as_agent(handoff.request_id)
    world.tiledesk.agent_says(handoff.request_id, "one more thing")
    world.work(worker, seconds=60)
    assert heard(world)[-1] == "one more thing"
    says(world, "yes?")
    world.work(worker, seconds=60)
    assert users_words(world, world.now(handoff)) == ["yes?"]
    assert world.now(handoff).is_open
    assert comes_to_rest(world, worker, handoff)


def test_who_writes_as_the_handoff_is_taken_back_is_told(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    assert world.ledger.handoffs.take_back(handoff.id, handoff.asked_by)
    world.tiledesk.agent_says(handoff.request_id, "how can I help?")
    world.work(worker, seconds=60)
    assert world.now(handoff).life is Life.FAILED
    assert sum("did not reach the user" in text for text in users_words(world, handoff)) == 1
    assert "how can I help?" not in heard(world)
    assert world.is_at_rest()
