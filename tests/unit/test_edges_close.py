"""Around the close: no word of either side falls into the gap between a handoff and the bot."""

from __future__ import annotations

import pytest

from rasa_tiledesk.ledger import End, Life
from rasa_tiledesk.testing import FakeTiledesk, Fault
from tests.unit.conftest import World
from tests.unit.talking import (
    ENDED,
    SEND,
    UNSENT,
    asks,
    bodies,
    carries,
    comes_to_rest,
    heard,
    live,
    pauses,
    resumed,
    says,
    triggered,
    users_words,
)

WEBHOOK = {"relay": {"receive": "webhook", "public_url": "https://bot.example.com"}}
POLL = {"relay": {"receive": "poll"}}


@pytest.mark.parametrize("mode", [POLL, WEBHOOK], ids=["poll", "webhook"])
@pytest.mark.parametrize("after", [0.0, 0.1, 1.0, 2.0])
@pytest.mark.parametrize("intent", ["ask_hours", None])
def test_what_the_user_writes_just_after_the_close_is_answered_by_the_bot_or_asked_for_again(
    world: World, mode: dict[str, object], after: float, intent: str | None
) -> None:
    world.settings = mode
    world.rasa.answers = {"ask_hours": [{"text": "From nine to five."}]}
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=1)
    world.tiledesk.close_as_agent(handoff.request_id)
    world.clock.seconds += after
    says(world, "when are you open?", intent=intent)
    world.work(worker, seconds=30)
    assert heard(world) == [ENDED, "From nine to five." if intent else UNSENT]
    assert triggered(world) == (["EXTERNAL: ask_hours"] if intent else [])
    assert not world.rasa.paused("ann")
    assert comes_to_rest(world, worker)


def test_several_words_after_the_close_are_asked_for_again_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.close_as_agent(handoff.request_id)
    says(world, "when are you open?", intent="ask_hours")
    says(world, "on Sundays too?", intent="ask_hours")
    world.work(worker, seconds=30)
    assert heard(world) == [ENDED, UNSENT]
    assert comes_to_rest(world, worker)


def test_what_is_said_when_the_end_is_known_and_the_bot_not_back_yet_is_answered_by_the_bot(world: World) -> None:
    world.rasa.answers = {"ask_hours": [{"text": "From nine to five."}]}
    worker = world.worker()
    handoff = live(world, worker)
    world.ledger.handoffs.end(handoff.id, End.AGENT)
    assert world.rasa.paused("ann")
    assert says(world, "when are you open?", intent="ask_hours")
    world.work(worker, seconds=30)
    assert heard(world) == [ENDED, "From nine to five."]
    assert users_words(world, handoff) == []
    world.tiledesk.close_as_agent(handoff.request_id)
    assert comes_to_rest(world, worker)


def test_what_waits_for_agents_when_they_close_is_asked_for_again_and_never_sent(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.faults = lambda call: Fault.answer(503) if call.route == SEND else None
    says(world, "one")
    says(world, "two")
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=40)
    world.tiledesk.faults = None
    world.work(worker, seconds=120)
    # One for what waited, at once; one for what may have been on its way, when it has settled.
    assert heard(world) == [ENDED, UNSENT, UNSENT]
    assert users_words(world, handoff) == []
    assert world.is_at_rest()


def test_a_close_that_is_heard_leaves_no_row_that_is_due_for_ever(world: World) -> None:
    worker = world.worker()
    handoffs = [live(world, worker, sender) for sender in ("ann", "bob", "cleo")]
    for handoff in handoffs:
        world.tiledesk.close_as_agent(handoff.request_id)
        says(world, "thanks", sender=handoff.sender_id)
    world.work(worker, seconds=120)
    assert not worker.run_once()
    assert world.is_at_rest()
    assert [bodies(world, handoff) for handoff in handoffs] == [[], [], []]


def test_what_an_intent_that_the_bot_does_not_have_asked_is_asked_for_again(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.close_as_agent(handoff.request_id)
    says(world, "when are you open?", intent="ask_hours")
    world.work(worker, seconds=400)
    assert heard(world) == [ENDED, UNSENT]
    assert world.is_at_rest()


@pytest.mark.parametrize("fault", ["lost", "reset", 500])
def test_the_bots_answer_to_what_reached_nobody_is_not_doubled(world: World, fault: str | int) -> None:
    world.rasa.answers = {"ask_hours": [{"text": "From nine to five."}]}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.close_as_agent(handoff.request_id)
    says(world, "when are you open?", intent="ask_hours")

    world.work(worker, seconds=1)
    world.rasa.fail_next(fault)
    world.work(worker, seconds=60)
    said = heard(world)
    assert said[0] == ENDED
    assert said[1:] in (["From nine to five."], [UNSENT])
    assert world.is_at_rest()


@pytest.mark.parametrize("chat21", [False, True])
def test_an_agents_last_words_before_a_close_without_a_line_reach_the_user_first(world: World, chat21: bool) -> None:
    with FakeTiledesk(chat21=chat21) as world.tiledesk:
        worker = world.worker()
        handoff = live(world, worker)
        world.work(worker, seconds=4)
        world.tiledesk.agent_says(handoff.request_id, "one")
        world.tiledesk.agent_says(handoff.request_id, "bye")
        world.tiledesk.close_as_agent(handoff.request_id, message=False)
        world.work(worker, seconds=40)
    assert heard(world) == ["one", "bye", ENDED]
    assert world.is_at_rest()


def test_an_agents_words_that_are_stored_only_after_the_close_still_reach_the_user(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=5)
    world.tiledesk.agent_says(handoff.request_id, "and good luck")
    world.work(worker, seconds=60)
    assert sorted(heard(world)) == sorted([ENDED, "and good luck"])
    assert world.is_at_rest()


def test_a_reopened_request_is_taken_up_again(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=120)
    assert not world.rasa.paused("ann")
    world.tiledesk.reopen_as_agent(handoff.request_id)
    world.tiledesk.agent_says(handoff.request_id, "one more thing")
    world.work(worker, seconds=10)
    assert world.now(handoff).life is Life.LIVE
    assert heard(world)[-1] == "one more thing"
    assert world.rasa.paused("ann")
    says(world, "yes?")
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["yes?"]
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=100)
    assert heard(world).count(ENDED) == 2
    assert resumed(world) == 2
    assert world.is_at_rest()


def test_who_opens_a_request_again_whose_user_has_a_newer_one_is_told(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    world.tiledesk.close_as_agent(first.request_id)
    world.work(worker, seconds=120)
    second = live(world, worker)
    world.tiledesk.reopen_as_agent(first.request_id)
    world.tiledesk.agent_says(first.request_id, "one more thing")
    world.work(worker, seconds=10)
    assert heard(world) == []
    assert any("did not reach the user" in text for text in users_words(world, first))
    assert world.now(first).life is Life.OVER
    assert comes_to_rest(world, worker, second)


def test_who_writes_to_a_user_who_went_back_to_the_bot_is_told(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "back", intent="back_to_bot")
    world.work(worker, seconds=60)
    world.tiledesk.agent_says(handoff.request_id, "are you there?")
    world.work(worker, seconds=10)
    assert heard(world) == [ENDED]
    assert any("did not reach the user" in text for text in users_words(world, handoff))
    world.work(worker, seconds=60)
    assert world.is_at_rest()


def test_a_request_that_is_deleted_in_tiledesk_gives_the_user_back_and_is_not_made_anew(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.delete_request(handoff.request_id)
    world.ledger.handoffs.hint(handoff.request_id)
    world.work(worker, seconds=30)
    assert world.now(handoff).end is End.DELETED
    assert heard(world) == [ENDED]
    assert world.tiledesk.requests() == []
    assert world.is_at_rest()


def test_who_writes_into_a_deleted_request_is_given_back_and_the_word_is_not_lost(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.delete_request(handoff.request_id)
    says(world, "hello?")
    world.work(worker, seconds=60)
    (request,) = world.tiledesk.requests()  # Tiledesk opens it anew by that message
    assert request["first_text"] == "hello?"
    assert world.now(handoff).life is Life.LIVE
    world.tiledesk.agent_says(handoff.request_id, "hello!")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello!"]
    assert comes_to_rest(world, worker, handoff)


def test_agents_words_stay_with_the_handoff_that_they_were_for(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    world.tiledesk.agent_says(first.request_id, "bye")
    world.tiledesk.close_as_agent(first.request_id)
    world.work(worker, seconds=30)
    second = asks(world)
    world.work(worker, seconds=10)
    assert heard(world) == ["bye", ENDED]
    pauses(world, second)
    assert carries(world) is True
    assert comes_to_rest(world, worker, second)
