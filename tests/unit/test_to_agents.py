"""What the user says while a human has the conversation: it reaches the agents once, in order, and costs one call."""

from __future__ import annotations

import pytest

from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.ledger import Duty
from rasa_tiledesk.testing import Fault
from tests.unit.conftest import World, conversation
from tests.unit.talking import LIST, SEND, bodies, carries, comes_to_rest, live, refusing, says, texts_of, users_words


def test_the_users_words_go_out_in_one_call(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    saying = world.saying()
    says(world, "hi", saying=saying)
    before = {route: world.tiledesk.count(route) for route in (SEND, LIST, "POST /auth/signin")}
    assert says(world, "hello?", saying=saying)
    assert users_words(world, handoff) == ["hi", "hello?"]
    assert {route: world.tiledesk.count(route) for route in before} == {**before, SEND: before[SEND] + 1}
    assert bodies(world, handoff) == []
    assert comes_to_rest(world, worker, handoff)


def test_the_same_message_twice_is_one(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "hello?")
    for _ in range(2):
        assert carries(world)
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["hello?"]
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["hang", "reset", "answer", "garbage"])
def test_what_could_not_be_sent_at_once_comes_later_once_and_before_what_follows(
    world: World, kind: str, after: bool
) -> None:
    world.read_timeout = 0.3 if kind == "hang" else 5.0
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.fail(SEND, Fault(kind, status=502, after=after))
    says(world, "one")
    says(world, "two")
    world.work(worker, seconds=40)
    says(world, "three")
    world.work(worker, seconds=20)
    assert users_words(world, handoff) == ["one", "two", "three"]
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("status", [302, 400, 408, 425, 500, 502])
def test_what_a_proxy_answers_replaces_nothing_however_often(world: World, status: int) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.fail(SEND, *[Fault.answer(status)] * 6)
    says(world, "hello?")
    world.work(worker, seconds=250)
    assert users_words(world, handoff) == ["hello?"]
    assert comes_to_rest(world, worker, handoff)


def test_what_tiledesk_refuses_itself_again_and_again_is_replaced_by_a_line_that_says_so(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.faults = refusing("poison")
    for text in ("one", "poison", "two"):
        says(world, text)
    world.work(worker, seconds=60)
    one, line, two = users_words(world, handoff)
    assert (one, two) == ("one", "two")
    assert "could not be carried over" in line
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("answer", [0, 504])
def test_a_message_that_is_stored_after_its_caller_has_gone_is_not_doubled(world: World, answer: int) -> None:
    world.read_timeout = 0.2
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.fail(SEND, Fault.late(answer=answer))
    says(world, "hello?")
    world.work(worker, seconds=25)
    assert users_words(world, handoff) == []
    assert world.tiledesk.let_late_calls_through() == 1
    world.work(worker, seconds=60)
    assert users_words(world, handoff) == ["hello?"]
    assert comes_to_rest(world, worker, handoff)


def test_a_line_of_history_that_is_stored_after_its_caller_has_gone_is_not_doubled(world: World) -> None:
    world.read_timeout = 0.2
    worker = world.worker()
    world.tiledesk.fail(SEND, None, None, Fault.late())
    handoff = live(world, worker)
    world.work(worker, seconds=20)
    world.tiledesk.let_late_calls_through()
    world.work(worker, seconds=40)
    assert texts_of(world.said(handoff)) == ["turn 0", "turn 1", "turn 2"]
    assert comes_to_rest(world, worker, handoff)


def test_a_direct_history_that_is_stored_after_the_user_was_told_that_it_failed_is_closed(world: World) -> None:
    world.settings = {"history": {"import": "direct"}}
    world.tiledesk.fail(f"{SEND}/multi", Fault.late(answer=504))
    answer = world.ask(conversation(3))
    assert answer.outcome is Outcome.FAILED
    assert answer.handoff is not None
    world.work(world.worker(), seconds=20)
    world.tiledesk.let_late_calls_through()
    world.work(world.worker(), seconds=60)
    assert world.tiledesk.requests() == []
    assert sorted(texts_of(world.said(answer.handoff))) == ["turn 0", "turn 1", "turn 2"]
    assert world.is_at_rest()


def test_a_failed_direct_send_comes_again_within_a_backoff_and_not_a_lease(world: World) -> None:
    world.settings = {"relay": {"receive": "webhook", "public_url": "https://bot.example.com"}}
    worker = world.worker()
    handoff = live(world, worker)
    with world.tiledesk.away():
        says(world, "hello?")
    world.work(worker, seconds=2)
    assert users_words(world, handoff) == ["hello?"]
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.answer(503)], ids=lambda fault: fault.kind)
def test_while_tiledesk_does_not_answer_words_are_only_written_down_after_the_first(world: World, fault: Fault) -> None:
    world.read_timeout = 0.2
    worker = world.worker()
    handoff = live(world, worker)
    other = live(world, worker, "bob")
    saying = world.saying()
    says(world, "hi", saying=saying)
    world.tiledesk.faults = lambda call: fault
    calls = world.tiledesk.count(SEND)
    assert says(world, "one", saying=saying)
    assert says(world, "two", saying=saying)
    assert says(world, "other", sender="bob", saying=saying)
    assert world.tiledesk.count(SEND) == calls + 1
    world.tiledesk.faults = None
    world.work(worker, seconds=60)
    assert users_words(world, handoff) == ["hi", "one", "two"]
    assert users_words(world, other) == ["other"]
    assert comes_to_rest(world, worker, handoff, other)


def test_what_a_user_says_is_not_even_tried_when_its_time_is_over(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.rasa.says("ann", "hello?")
    calls = world.tiledesk.count(SEND)
    assert carries(world, deadline=0.5)
    assert world.tiledesk.count(SEND) == calls
    world.work(worker, seconds=2)
    assert users_words(world, handoff) == ["hello?"]
    assert comes_to_rest(world, worker, handoff)


def test_what_was_logged_while_no_action_server_ran_is_caught_up_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "is anybody there?", unheard=True)
    says(world, "hello?", unheard=True)
    again = world.worker(name="restarted")
    world.work(again, seconds=400)
    assert users_words(world, handoff) == ["is anybody there?", "hello?"]
    assert comes_to_rest(world, again, handoff)


def test_what_no_action_server_heard_comes_before_what_is_said_next(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "one")
    says(world, "two", unheard=True)
    says(world, "three", unheard=True)
    says(world, "four")
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["one", "two", "three", "four"]
    assert comes_to_rest(world, worker, handoff)


def test_what_is_said_now_is_carried_whatever_rasas_clock_says_and_whatever_came_before(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.clock.seconds -= 3600  # of Rasa
    says(world, "unknown", unheard=True)
    world.rasa.add("ann", [{"event": "session_started", "timestamp": world.clock.seconds}])
    world.rasa.add("ann", [{"event": "pause", "timestamp": world.clock.seconds}])
    world.rasa.says("ann", "now")
    world.clock.seconds += 3600
    assert carries(world)
    world.work(worker, seconds=5)
    assert users_words(world, handoff)[-1] == "now"


def test_a_bot_that_a_new_session_has_woken_is_paused_again(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=20)
    world.rasa.add("ann", [{"event": "session_started", "timestamp": world.clock.seconds}])
    assert not world.rasa.paused("ann")
    world.work(worker, seconds=400)
    assert world.rasa.paused("ann")
    assert comes_to_rest(world, worker, handoff)


def test_messages_are_posted_without_a_time_of_ours_so_that_agents_see_them_when_they_come(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "hello?")
    assert "clienttimestamp" not in world.said(handoff)[-1]["attributes"]


def test_a_step_is_marked_by_the_ledgers_clock_and_none_other(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "hello?")
    last = world.ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)[-1]
    assert last.sent == int(world.clock.seconds * 1000)
