"""A handoff from the ask to the assigned request, on fakes with real sockets."""

from __future__ import annotations

import logging

import pytest

from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.ledger import End, Handoff, Kind, Life, NewStep, Said
from rasa_tiledesk.testing import Fault
from rasa_tiledesk.testing.conversations import load
from tests.unit.conftest import World, conversation
from tests.unit.talking import LIST, REQUEST, SEND, bodies, refusing, texts_of


def texts(world: World, handoff: Handoff | None) -> list[str]:
    assert handoff is not None
    return texts_of(world.said(handoff))


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
    handoff = world.ask(conversation(count)).handoff
    assert handoff is not None
    assert handoff.life is Life.OPEN
    assert world.tiledesk.requests() == []
    world.work(worker, seconds=2)
    assert texts(world, handoff) == turns(count)
    assert in_order(world, handoff)
    (request,) = world.tiledesk.requests()
    assert request["first_text"] == "turn 0"
    assert request["participants"] == [world.tiledesk.owner_id]
    assert world.now(handoff).life is Life.LIVE
    assert bodies(world, handoff) == []


def test_staged_a_long_conversation_is_a_summary_and_its_newest_turns(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(100)).handoff
    world.work(worker, seconds=2)
    summary, *native = texts(world, handoff)
    assert native == turns(100)[60:]
    assert "turn 0" in summary
    assert "turn 59" in summary
    assert "turn 60" not in summary
    assert in_order(world, handoff)
    assert world.tiledesk.requests()[0]["first_text"] == "turn 0"


def test_staged_a_request_opens_with_a_line_for_agents_that_stands_before_all_else(world: World) -> None:
    handoff = world.ask(conversation(3), name="Ann").handoff
    assert handoff is not None
    opening = world.tiledesk.messages(handoff.request_id)[0]
    assert opening["text"].splitlines()[0] == "The bot hands this conversation over."
    assert "User: Ann" in opening["text"].splitlines()
    assert opening["attributes"]["subtype"] == "info"
    world.work(world.worker(), seconds=2)
    first = world.said(handoff)[0]
    assert opening["attributes"]["clienttimestamp"] < first["attributes"]["clienttimestamp"]


def test_staged_a_bot_that_speaks_first_keeps_its_words(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(4, first="bot")).handoff
    world.work(worker, seconds=2)
    assert texts(world, handoff) == turns(4)
    assert handoff is not None
    bot, guest = (message["senderFullname"] for message in world.said(handoff)[:2])
    assert bot == "Bot"
    assert guest.startswith("Guest ")


def test_staged_an_empty_history_still_brings_a_human(world: World) -> None:
    worker = world.worker()
    world.ask([])
    world.work(worker, seconds=2)
    assert len(world.tiledesk.requests()) == 1


def test_direct_imports_all_in_the_action(world: World) -> None:
    world.settings = {"history": {"import": "direct"}}
    handoff = world.ask(conversation(7), name="Ann").handoff
    assert handoff is not None
    by_time = sorted(world.said(handoff), key=lambda message: message["attributes"]["clienttimestamp"])
    assert [message["text"] for message in by_time] == turns(7)
    assert {message["senderFullname"] for message in by_time} == {"Ann", "Bot"}
    assert world.tiledesk.requests()[0]["status"] == 200
    world.work(world.worker(), seconds=0)
    assert world.now(handoff).life is Life.LIVE


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
    first = world.ask(conversation(2)).handoff
    world.work(worker, seconds=2)
    assert first is not None
    world.ledger.handoffs.end(first.id, End.USER)
    second = world.ask(conversation(2)).handoff
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
    assert world.ledger.handoffs.counts() == {}


def test_a_queue_is_joined_when_so_configured(world: World) -> None:
    world.settings = {"availability": {"nobody": "queue", "closed": "queue"}}
    world.tiledesk.set_open(False)
    worker = world.worker()
    assert world.ask(conversation(2)).outcome is Outcome.QUEUED
    world.work(worker, seconds=2)
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
    world.tiledesk.faults = lambda call: fault if call.route in (SEND, f"{SEND}/multi", REQUEST, LIST) else None
    answer = world.ask(conversation(3))
    assert answer.outcome is Outcome.FAILED
    assert answer.handoff is not None
    world.tiledesk.faults = None
    worker = world.worker()
    world.work(worker, seconds=60)
    assert world.tiledesk.requests() == []
    assert world.now(answer.handoff).life is Life.FAILED
    assert world.is_at_rest()
    assert "Tiledesk: " in caplog.text
    assert "turn 0" not in caplog.text
    assert answer.handoff.request_id not in caplog.text
    assert world.ask(conversation(3)).outcome is Outcome.CONNECTED


def test_an_opening_whose_answer_was_lost_is_found_again(world: World) -> None:
    world.tiledesk.fail(SEND, Fault("reset", after=True))
    worker = world.worker()
    handoff = world.ask(conversation(3)).handoff
    world.work(worker, seconds=2)
    assert texts(world, handoff) == turns(3)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["hang", "reset", "answer", "garbage"])
def test_a_message_whose_outcome_is_unknown_arrives_once_in_order(world: World, kind: str, after: bool) -> None:
    world.read_timeout = 0.5 if kind == "hang" else 5.0
    worker = world.worker()
    handoff = world.ask(conversation(6)).handoff
    fault = Fault(kind, status=502, after=after)
    world.tiledesk.fail(SEND, None, fault, None, fault, fault)
    world.work(worker, seconds=120)
    assert texts(world, handoff) == turns(6)
    assert len(world.tiledesk.requests()) == 1


def test_an_error_that_nobody_foresaw_leaves_nothing_to_a_worker(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.ledger.handoffs, "remember", breaks)
    answer = world.ask(conversation(3))
    assert answer.outcome is Outcome.FAILED
    assert answer.handoff is not None
    assert answer.handoff.life is Life.FAILED
    assert "unexpected ZeroDivisionError" in caplog.text
    world.work(world.worker(), seconds=60)
    assert world.is_at_rest()


def test_retry_after_is_heeded(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(3)).handoff
    world.tiledesk.fail(SEND, None, Fault("answer", status=429, retry_after=30))
    world.work(worker, seconds=25)
    assert texts(world, handoff) == turns(1)
    world.work(worker, seconds=10)
    assert texts(world, handoff) == turns(3)


def test_a_message_that_tiledesk_never_takes_does_not_keep_the_others(world: World) -> None:
    worker = world.worker()
    handoff = world.ask(conversation(4)).handoff

    world.tiledesk.faults = refusing("turn 2")
    world.work(worker, seconds=300)
    arrived = texts(world, handoff)
    assert arrived[:2] + arrived[3:] == ["turn 0", "turn 1", "turn 3"]
    assert "could not be carried over" in arrived[2]
    assert len(world.tiledesk.requests()) == 1


def test_what_is_said_meanwhile_comes_behind_the_history(world: World) -> None:
    handoff = world.ask(conversation(3)).handoff
    assert handoff is not None
    body = {"sender": "", "senderFullname": "A", "text": "hello?", "attributes": {"rasa": {"key": "k", "who": "user"}}}
    world.ledger.words.found(handoff.id, Said([NewStep("k", Kind.MESSAGE, {"message": body}, "user")]))
    world.work(world.worker(), seconds=2)
    assert texts(world, handoff) == [*turns(3), "hello?"]


def test_one_sender_never_exceeds_what_the_chat_engine_takes(world: World) -> None:
    world.ledger.lanes.per_minute = 28
    world.settings = {"history": {"native_turns": 100}}
    worker = world.worker()
    handoff = world.ask(conversation(90)).handoff
    assert handoff is not None
    world.work(worker, seconds=30)
    said = world.said(handoff)
    for who in ("Bot", "Guest"):
        assert sum(message["senderFullname"].startswith(who) for message in said) <= 28
    world.work(worker, seconds=150)
    assert texts(world, handoff)[-40:] == turns(90)[-40:]
    assert len(world.tiledesk.requests()) == 1


def test_history_that_is_lost_with_the_process_is_read_from_the_tracker_store(world: World) -> None:
    world.rasa.add("ann", conversation(100))
    handoff = world.ask(conversation(100)).handoff
    world.recent = Recent(lambda: 0.0)  # of another process
    world.settings = {"history": {"scope": "all"}}
    world.work(world.worker(), seconds=2)
    summary, *native = texts(world, handoff)
    assert "turn 0" in summary
    assert native == turns(100)[60:]


def test_when_the_store_cannot_be_read_agents_are_told_and_the_rest_comes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.settings = {"history": {"scope": "all"}}
    world.rasa.fail_next(500, 500, 500)
    worker = world.worker()
    handoff = world.ask(load("shop")[-12:]).handoff
    world.work(worker, seconds=2)
    assert "could not be read" in texts(world, handoff)[0]
    assert len(world.tiledesk.requests()) == 1
    assert "earlier history left out" in caplog.text


def test_a_failed_handoff_keeps_its_reason(world: World) -> None:
    world.tiledesk.fail("POST /auth/signinAnonymously", Fault.answer(403))
    answer = world.ask(conversation(3))
    world.work(world.worker(), seconds=60)
    assert answer.handoff is not None
    assert world.now(answer.handoff).life is Life.FAILED
    assert "signinAnonymously" in str(world.ledger.handoffs.history(answer.handoff.id)[-1][2])
