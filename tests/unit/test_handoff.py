"""A handoff from the ask to the assigned request, on fakes with real sockets."""

from __future__ import annotations

import logging

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.conversation import Ask
from rasa_tiledesk.handoff.ledger import Handoff, Ledger, State
from rasa_tiledesk.handoff.pace import Pace
from rasa_tiledesk.testing import Fault
from rasa_tiledesk.testing.conversations import load
from tests.unit.conftest import World, conversation

SEND = "POST /{project}/requests/{request}/messages"


def texts(world: World, handoff: Handoff | None) -> list[str]:
    assert handoff is not None
    return [message["text"] for message in world.said(handoff)]


def responses(world: World) -> list[str]:
    """What the user was told in the bot's words."""
    return [message["utter_action"] for message in world.rasa.delivered["callback"]]


def turns(count: int) -> list[str]:
    return [f"turn {number}" for number in range(count)]


def in_order(world: World, handoff: Handoff | None) -> bool:
    """Whether the order of creation and that of clienttimestamp are the same."""
    assert handoff is not None
    stamps = [message["attributes"]["clienttimestamp"] for message in world.said(handoff)]
    return stamps == sorted(set(stamps))


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_staged_every_turn_arrives_once_in_order_and_only_then_agents_see_it(world: World, count: int) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(count), worker=worker).handoff
    assert handoff is not None
    assert handoff.state is State.IMPORTING
    assert world.tiledesk.requests() == []
    world.work(worker, seconds=0)
    assert texts(world, handoff) == turns(count)
    assert in_order(world, handoff)
    (request,) = world.tiledesk.requests()
    assert request["first_text"] == "turn 0"
    assert request["participants"] == [world.tiledesk.owner_id]
    assert world.ledger.handoff(handoff.id).state is State.LIVE
    assert all(not message.body for message in world.ledger.messages(handoff.id))


def test_staged_a_long_conversation_is_a_summary_and_its_newest_turns(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(100), worker=worker).handoff
    world.work(worker, seconds=0)
    opening, summary, *native = texts(world, handoff)
    assert native == turns(100)[60:]
    assert "turn 0" in summary
    assert "turn 59" in summary
    assert "turn 60" not in summary
    assert opening.startswith("The bot hands this conversation over")
    assert in_order(world, handoff)
    assert world.tiledesk.requests()[0]["first_text"] == "turn 60"


def test_staged_a_bot_that_speaks_first_keeps_its_words(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(4, first="bot"), worker=worker).handoff
    world.work(worker, seconds=0)
    assert texts(world, handoff)[1:] == turns(4)
    assert handoff is not None
    assert world.said(handoff)[0]["attributes"]["subtype"] == "info"
    assert [message["senderFullname"] for message in world.said(handoff)[1:3]] == ["Bot", f"Guest {handoff.id[:4]}"]


def test_staged_an_empty_history_still_brings_a_human(world: World) -> None:
    worker = world.worker()
    world.ask([], worker=worker)
    world.work(worker, seconds=0)
    assert len(world.tiledesk.requests()) == 1


def test_direct_imports_all_in_the_action(world: World) -> None:
    world.settings = {"history": {"import": "direct"}}
    handoff = world.ask(conversation(7), name="Ann").handoff
    assert handoff is not None
    assert handoff.state is State.LIVE
    by_time = sorted(world.said(handoff), key=lambda message: message["attributes"]["clienttimestamp"])
    assert [message["text"] for message in by_time] == turns(7)
    assert {message["senderFullname"] for message in by_time} == {"Ann", "Bot"}
    assert world.tiledesk.requests()[0]["status"] == 200


def test_asking_twice_makes_one_request(world: World) -> None:
    first = world.ask(conversation(3))
    second = world.ask(conversation(3))
    assert (first.outcome, second.outcome) == (Outcome.CONNECTED, Outcome.ALREADY)
    assert first.handoff is not None
    assert second.handoff is not None
    assert second.handoff.id == first.handoff.id
    world.work(world.worker(), seconds=40)
    assert len(world.tiledesk.requests()) == 1


def test_the_same_user_is_the_same_requester_at_the_next_handoff(world: World) -> None:
    worker = world.worker()
    first = world.ask(conversation(2), worker=worker).handoff
    world.work(worker, seconds=0)
    assert first is not None
    world.ledger.move(world.ledger.handoff(first.id), State.CLOSED)
    second = world.ask(conversation(2), worker=worker).handoff
    assert second is not None
    assert second.requester_id == first.requester_id
    assert second.request_id != first.request_id


def test_a_signed_user_has_one_id_for_ever(world: World) -> None:
    secret = world.tiledesk.project_secret
    world.settings = {"requester": {"identity": "signed", "project_secret": secret}}
    one, other = world.ask(conversation(2), "ann").handoff, world.ask(conversation(2), "bob").handoff
    assert one is not None
    assert other is not None
    assert one.requester_id is not None
    assert one.requester_id.startswith("rasa-")
    assert one.requester_id != other.requester_id


def test_outside_hours_and_without_agents_the_user_is_told_and_nothing_is_made(world: World) -> None:
    world.settings = {"availability": {"nobody": "refuse"}}
    world.tiledesk.set_open(False)
    assert world.ask(conversation(2)).outcome is Outcome.CLOSED_HOURS
    world.tiledesk.set_open(True)
    world.tiledesk.set_available(world.tiledesk.owner_id, False)
    assert world.ask(conversation(2)).outcome is Outcome.NO_AGENTS
    assert world.ledger.counts() == {}


def test_a_queue_is_joined_when_so_configured(world: World) -> None:
    world.settings = {"availability": {"nobody": "queue", "closed": "queue"}}
    world.tiledesk.set_open(False)
    worker = world.worker()
    assert world.ask(conversation(2), worker=worker).outcome is Outcome.CONNECTED
    world.work(worker, seconds=0)
    assert world.tiledesk.requests()[0]["status"] == 100


@pytest.mark.parametrize("mode", ["staged", "direct"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("answer", status=500),
        Fault("hang", after=True),
        Fault("reset", after=True),
        Fault("garbage", after=True),
    ],
    ids=lambda fault: fault.kind,
)
def test_when_the_import_fails_in_the_action_nothing_is_left_for_agents(
    world: World, mode: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.settings, world.read_timeout = {"history": {"import": mode}}, 0.5 if fault.kind == "hang" else 5.0
    look = "GET /{project}/requests/{request}"
    world.tiledesk.faults = lambda call: fault if call.route in (SEND, f"{SEND}/multi", look) else None
    answer = world.ask(conversation(3))
    assert answer.outcome is Outcome.FAILED
    assert answer.handoff is not None
    world.tiledesk.faults = None
    worker = world.worker()
    world.work(worker, seconds=60)
    assert world.tiledesk.requests() == []
    assert world.ledger.handoff(answer.handoff.id).state is State.FAILED
    assert all(not message.body for message in world.ledger.messages(answer.handoff.id))
    assert "Tiledesk: " in caplog.text
    assert "turn 0" not in caplog.text
    assert answer.handoff.request_id not in caplog.text
    assert world.ask(conversation(3)).outcome is Outcome.CONNECTED


def test_an_opening_whose_answer_was_lost_is_found_again(world: World) -> None:
    world.tiledesk.fail(SEND, Fault("reset", after=True))
    worker = world.worker()
    handoff = world.ask(conversation(3), worker=worker).handoff
    world.work(worker, seconds=0)
    assert texts(world, handoff) == turns(3)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["hang", "reset", "answer", "garbage"])
def test_a_message_whose_outcome_is_unknown_arrives_once_in_order(world: World, kind: str, after: bool) -> None:
    world.read_timeout = 0.5 if kind == "hang" else 5.0
    worker = world.worker()
    handoff = world.ask(conversation(6), worker=worker).handoff
    fault = Fault(kind, status=502, after=after)
    world.tiledesk.fail(SEND, None, fault, None, fault, fault)
    world.work(worker, seconds=120)
    assert texts(world, handoff) == turns(6)
    assert len(world.tiledesk.requests()) == 1


def test_an_error_that_nobody_foresaw_leaves_nothing_to_a_worker(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    asking = world.asking()
    object.__setattr__(asking, "ledger", BrokenLedger("sqlite://", clock=world.clock))
    answer = asking.ask(Ask("ann", conversation(3), {}, "callback"), Deadline(8))
    assert answer.outcome is Outcome.FAILED
    assert answer.handoff is not None
    assert answer.handoff.state is State.FAILING
    assert "unexpected ZeroDivisionError" in caplog.text


class BrokenLedger(Ledger):
    """Breaks in a way no error of ours names."""

    def remember(self, *args: object, **more: object) -> Handoff:
        raise ZeroDivisionError


def test_retry_after_is_heeded(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(3), worker=worker).handoff
    world.tiledesk.fail(SEND, Fault("answer", status=429, retry_after=30))
    world.work(worker, seconds=25)
    assert texts(world, handoff) == turns(1)
    world.work(worker, seconds=10)
    assert texts(world, handoff) == turns(3)


def test_a_message_that_tiledesk_never_takes_does_not_keep_the_others(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(4), worker=worker).handoff

    def poison(call):  # type: ignore[no-untyped-def]
        return Fault("answer", status=500) if call.route == SEND and "turn 2" in str(call.body) else None

    world.tiledesk.faults = poison
    world.work(worker, seconds=300)
    arrived = texts(world, handoff)
    assert arrived[:2] + arrived[3:] == ["turn 0", "turn 1", "turn 3"]
    assert "could not be carried over" in arrived[2]
    assert len(world.tiledesk.requests()) == 1


def test_what_is_said_meanwhile_comes_behind_the_history(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(3), worker=worker).handoff
    assert handoff is not None
    marker = {"attributes": {"rasa": {"key": "later", "who": "user"}, "clienttimestamp": 2_000_000_000_000}}
    world.ledger.enqueue(handoff.id, [("later", {"sender": "", "senderFullname": "A", "text": "hello?", **marker})])
    world.work(worker, seconds=0)
    assert texts(world, handoff) == [*turns(3), "hello?"]


def test_the_bot_is_paused_again_and_the_user_told_when_the_actions_answer_was_lost(world: World) -> None:
    world.rasa.add("ann", conversation(3))
    world.rasa.says("ann", "a human please")
    worker = world.worker()
    handoff = world.ask(conversation(3), worker=worker).handoff
    world.work(worker, seconds=5)
    assert responses(world) == ["utter_tiledesk_agent_joined"]
    world.work(worker, seconds=20)
    assert responses(world) == ["utter_tiledesk_agent_joined", "utter_tiledesk_connecting"]
    assert handoff is not None
    added = [event for event in world.rasa.events("ann") if event["event"] in ("pause", "slot")]
    assert [event["event"] for event in added] == ["pause", "slot"]
    assert added[1]["value"] == handoff.id


def test_a_bot_that_is_paused_is_left_alone(world: World) -> None:
    world.rasa.add("ann", [*conversation(3), {"event": "pause", "timestamp": 1_700_000_100.0}])
    worker = world.worker()
    world.ask(conversation(3), worker=worker)
    world.work(worker, seconds=30)
    assert sum(event["event"] == "pause" for event in world.rasa.events("ann")) == 1


def test_what_cannot_be_imported_in_time_is_given_up_and_the_user_told(world: World) -> None:
    world.rasa.says("ann", "a human please")
    worker = world.worker(give_up_after=100)
    handoff = world.ask(conversation(3), worker=worker).handoff
    assert handoff is not None
    world.tiledesk.faults = lambda call: Fault("answer", status=503)
    world.work(worker, seconds=200)
    assert world.ledger.handoff(handoff.id).state is State.FAILING
    assert "could not reach my colleagues" in world.rasa.delivered["callback"][0]["text"]
    assert world.rasa.events("ann")[-1]["name"] == "action_listen"
    world.tiledesk.faults = None
    world.work(worker, seconds=120)
    assert world.ledger.handoff(handoff.id).state is State.FAILED
    assert world.tiledesk.requests() == []


def test_one_sender_never_exceeds_what_the_chat_engine_takes(world: World) -> None:
    world.settings = {"history": {"native_turns": 100}}
    worker = world.worker(pace=Pace(clock=world.clock))
    handoff = world.ask(conversation(90), worker=worker).handoff
    world.work(worker, seconds=0)
    assert len(texts(world, handoff)) <= 57
    world.work(worker, seconds=60)
    assert texts(world, handoff) == turns(90)


def test_history_that_is_lost_with_the_process_is_read_from_the_tracker_store(world: World) -> None:
    world.rasa.add("ann", conversation(100))
    handoff = world.ask(conversation(100)).handoff  # the worker that has the events in memory dies with the process
    world.settings = {"history": {"scope": "all"}}
    world.work(world.worker(), seconds=0)
    assert "turn 0" in texts(world, handoff)[1]
    assert texts(world, handoff)[2:] == turns(100)[60:]


def test_when_the_store_cannot_be_read_agents_are_told_and_the_rest_comes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.settings = {"history": {"scope": "all"}}
    world.rasa.fail_next(500, 500, 500)
    worker = world.worker()
    handoff = world.ask(load("shop")[-12:], worker=worker).handoff
    world.work(worker, seconds=0)
    assert "could not be read" in texts(world, handoff)[1]
    assert len(world.tiledesk.requests()) == 1
    assert "earlier history left out" in caplog.text


def test_a_failed_handoff_keeps_its_reason(world: World) -> None:
    world.tiledesk.fail("POST /auth/signinAnonymously", Fault.answer(403))
    answer = world.ask(conversation(3))
    world.work(world.worker(), seconds=60)
    assert answer.handoff is not None
    failed = world.ledger.handoff(answer.handoff.id)
    assert failed.state is State.FAILED
    assert "signinAnonymously" in (failed.last_error or "")
