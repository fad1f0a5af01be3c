"""How a handoff ends, on fakes with real sockets: told once, the bot back once, and nothing left to do."""

from __future__ import annotations

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import End, Life
from rasa_tiledesk.responses import own_responses
from tests.unit.conftest import World, conversation
from tests.unit.talking import (
    ENDED,
    asks,
    comes_to_rest,
    heard,
    live,
    pauses,
    restarts,
    resumed,
    says,
    triggered,
    users_words,
)


def test_when_the_agent_closes_the_user_is_told_and_given_back_exactly_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "bye")
    world.tiledesk.close_as_agent(handoff.request_id)
    world.rasa.fail_next("lost", 500)
    world.work(worker, seconds=60)
    assert heard(world) == ["bye", ENDED]
    assert world.now(handoff).life is Life.OVER
    assert world.ledger.handoffs.history(handoff.id)[-1][2] == "by the agent"
    last = world.rasa.events("ann")[-3:]
    assert [event["event"] for event in last] == ["slot", "resume", "action"]
    assert (last[0]["value"], last[2]["name"]) == (None, "action_listen")
    assert resumed(world) == 1
    assert world.is_at_rest()


@pytest.mark.parametrize("kind", ["intent", "restart"])
def test_when_the_user_ends_it_the_request_is_closed_and_the_bot_is_back(world: World, kind: str) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    if kind == "restart":
        restarts(world)
    else:
        says(world, "back to the bot", intent="back_to_bot")
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["/restart" if kind == "restart" else "back to the bot"]
    assert world.desk.request(handoff.request_id).closed
    assert world.now(handoff).end is (End.RESTART if kind == "restart" else End.USER)
    assert not world.rasa.paused("ann")
    assert triggered(world) == []
    assert comes_to_rest(world, worker)


def test_a_user_who_restarts_is_told_that_the_conversation_with_a_human_has_ended(world: World) -> None:
    worker = world.worker()
    live(world, worker)
    restarts(world)
    says(world, "hello", unheard=True)  # until the user writes, Rasa knows no channel of theirs
    world.work(worker, seconds=30)
    assert heard(world) == [ENDED]
    assert comes_to_rest(world, worker)


@pytest.mark.parametrize("sure", [0.3, 0.69])
def test_an_end_that_rasa_only_guesses_at_is_no_end(world: World, sure: float) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, "can I bring it back?", intent="back_to_bot", sure=sure)
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["can I bring it back?"]
    assert world.now(handoff).life is Life.LIVE
    assert comes_to_rest(world, worker, handoff)


def test_a_user_who_ends_it_before_an_agent_sees_it_leaves_nothing_open(world: World) -> None:
    worker = world.worker()
    handoff = asks(world)
    says(world, "no, stop", intent="back_to_bot")
    world.work(worker, seconds=60)
    assert world.now(handoff).life is Life.OVER
    assert world.tiledesk.requests() == []
    assert heard(world) == [ENDED]
    assert resumed(world) == 1
    assert world.is_at_rest()


def test_a_history_is_not_carried_on_when_the_user_has_left(world: World) -> None:
    worker = world.worker()
    handoff = asks(world)
    says(world, "no, stop", intent="back_to_bot")
    world.work(worker, seconds=60)
    assert world.said(handoff) == []


def test_a_user_who_goes_back_while_tiledesk_is_away_does_not_wait_for_it(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    with world.tiledesk.away():
        says(world, "back to the bot", intent="back_to_bot")
        world.work(worker, seconds=5)
        assert resumed(world) == 1
    world.work(worker, seconds=60)
    assert world.desk.request(handoff.request_id).closed
    assert users_words(world, handoff) == ["back to the bot"]
    assert resumed(world) == 1
    assert world.is_at_rest()


@pytest.mark.parametrize("kind", ["intent", "restart"])
def test_a_user_who_went_back_while_no_action_server_ran_is_given_back_and_not_paused_again(
    world: World, kind: str
) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    if kind == "restart":
        restarts(world, unheard=True)
    else:
        says(world, "back to the bot", intent="back_to_bot", unheard=True)
    world.work(world.worker(name="restarted"), seconds=400)
    assert world.now(handoff).end is (End.RESTART if kind == "restart" else End.USER)
    assert not world.rasa.paused("ann")
    assert world.desk.request(handoff.request_id).closed
    assert triggered(world) == []
    world.work(worker, seconds=60)
    assert world.is_at_rest()


def test_who_restarted_while_no_action_server_ran_and_asks_again_gets_a_new_handoff(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    restarts(world, unheard=True)
    world.rasa.says("ann", "a human please")
    answer = world.ask(world.rasa.events("ann"), ask_id="second")
    assert answer.outcome is Outcome.CONNECTED
    assert answer.handoff is not None
    pauses(world, answer.handoff)
    world.work(worker, seconds=30)
    assert world.now(first).end is End.RESTART
    assert world.desk.request(first.request_id).closed
    assert world.rasa.paused("ann")
    assert ENDED not in heard(world)
    assert len(world.tiledesk.requests()) == 1
    assert comes_to_rest(world, worker, answer.handoff)


def test_who_restarts_and_asks_again_at_once_gets_a_new_handoff(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    restarts(world)
    world.rasa.says("ann", "a human please")
    second = asks(world)
    assert second.id != first.id
    world.work(worker, seconds=30)
    assert world.now(second).life is Life.LIVE
    assert world.rasa.paused("ann")
    assert ENDED not in heard(world)
    assert comes_to_rest(world, worker, second)


def test_a_channel_that_refuses_the_last_words_does_not_keep_the_bot_silent_for_ever(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.rasa.refusing.add("callback")
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=400)
    assert resumed(world) == 1
    assert heard(world) == []
    assert world.is_at_rest()


def test_second_and_third_handoffs_of_a_conversation_work(world: World) -> None:
    worker = world.worker()
    names = set()
    for number in range(3):
        handoff = live(world, worker)
        world.tiledesk.agent_says(handoff.request_id, f"agent {number}")
        world.work(worker, seconds=5)
        assert f"agent {number}" in heard(world)
        names |= {m["senderFullname"] for m in world.said(handoff) if m["attributes"]["rasa"]["who"] == "user"}
        world.tiledesk.close_as_agent(handoff.request_id)
        world.work(worker, seconds=70)
    assert world.ledger.handoffs.counts() == {Life.OVER: 3}
    assert len(names) == 1
    assert world.is_at_rest()


def test_the_end_of_one_handoff_does_not_wake_the_bot_in_the_next(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    world.tiledesk.close_as_agent(first.request_id)
    world.rasa.fail_next(*[503] * 6)
    world.work(worker, seconds=4)
    assert world.now(first).life is Life.OVER
    second = asks(world)
    world.work(worker, seconds=120)
    assert resumed(world) == 0
    assert world.rasa.paused("ann")
    assert comes_to_rest(world, worker, second)


def test_a_bot_that_hands_over_again_and_again_is_stopped(world: World, caplog: pytest.LogCaptureFixture) -> None:
    outcomes = []
    for _ in range(6):
        answer = world.ask(conversation(3))
        outcomes.append(answer.outcome.value)
        if answer.handoff is not None:
            world.ledger.handoffs.end(answer.handoff.id, End.USER)
    assert outcomes == ["connected"] * 4 + ["failed"] * 2
    assert "again and again" in caplog.text
    assert comes_to_rest(world, world.worker())


def test_the_bots_own_words_and_buttons_are_used_when_no_action_runs(world: World) -> None:
    menu = [{"title": "Menü", "payload": "/menu"}]
    own = [{"text": "für Web", "channel": "web"}, {"text": "Tschüss", "buttons": menu}]
    responses = own_responses({"responses": {"utter_tiledesk_ended": own}})
    worker = world.worker()
    world.rasa.says("ann", "hello")
    ask = Ask("ann", world.rasa.events("ann"), {}, "callback", responses)
    handoff = world.asking().ask(ask, Deadline(8)).handoff
    assert handoff is not None
    world.work(worker, seconds=2)
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=5)
    told = world.rasa.delivered["callback"][-1]
    assert (told["text"], told["buttons"]) == ("Tschüss", menu)
