"""Around the ask: who is promised a human gets one, and who is told that nobody comes is not paused."""

from __future__ import annotations

import logging

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import End, Life
from rasa_tiledesk.testing import Fault
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from tests.unit.conftest import World, conversation
from tests.unit.talking import (
    ENDED,
    REQUEST,
    SEND,
    UNSENT,
    asks,
    carries,
    comes_to_rest,
    heard,
    live,
    pauses,
    resumed,
    says,
)


@pytest.mark.parametrize("sender", ["+39 333 1", "anna müller", "a#b", "a?b", "a/../b"])
def test_a_sender_id_that_rasas_api_cannot_name_is_refused_at_the_ask_and_the_log_says_why(
    world: World, sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.rasa.says(sender, "a human please")
    answer = world.ask(world.rasa.events(sender), sender)
    assert answer.outcome is Outcome.FAILED
    assert "cannot name this sender id" in caplog.text
    assert sender not in caplog.text
    assert world.ledger.handoffs.counts() == {}
    assert world.tiledesk.requests() == []


@pytest.mark.parametrize("sender", ["auth0|5f7c", "whatsapp:+39333", "a/b", "U1%2", "{x}"])
def test_a_sender_id_that_needs_careful_quoting_is_reached(world: World, sender: str) -> None:
    worker = world.worker()
    handoff = live(world, worker, sender)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    assert says(world, "hi", sender=sender)
    assert world.said(handoff)[-1]["text"] == "hi"
    assert comes_to_rest(world, worker, handoff)


@pytest.mark.parametrize("rasa", ["no API", "wrong token", "not running"])
def test_a_rasa_through_which_nobody_could_be_heard_is_refused_at_the_ask_and_the_log_says_why(
    world: World, rasa: str, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeRasa(api=rasa != "no API", token="secret" if rasa == "wrong token" else None) as other:
        world.rasa = other
        if rasa == "not running":
            other.url = "http://127.0.0.1:9"
        answer = world.ask(conversation(3))
    assert answer.outcome is Outcome.FAILED
    why = {"no API": "--enable-api", "wrong token": "relay.rasa_token", "not running": "relay.rasa_url"}[rasa]
    assert why in caplog.text
    assert world.tiledesk.requests() == []


@pytest.mark.parametrize("fault", [500, 503, "hang", "reset"])
def test_a_rasa_that_does_not_answer_now_keeps_nobody_from_a_human(world: World, fault: int | str) -> None:
    world.read_timeout = 0.3
    world.rasa.add("ann", conversation(3))
    world.rasa.fail_next(fault)
    assert world.ask(world.rasa.events("ann")).outcome is Outcome.CONNECTED


def test_asking_twice_at_once_makes_one_request_and_the_later_ask_keeps_it(world: World) -> None:
    worker = world.worker()
    world.rasa.add("ann", conversation(3))
    first = world.ask(world.rasa.events("ann"), ask_id="one")
    second = world.ask(world.rasa.events("ann"), ask_id="two")
    assert (first.outcome, second.outcome) == (Outcome.CONNECTED, Outcome.ALREADY)
    assert second.handoff is not None
    pauses(world, second.handoff)
    # The first was answered too late: its user was told that nobody comes, then asked again and was told somebody does.
    assert not world.asking().take_back("one", "ann")
    world.work(worker, seconds=30)
    assert world.now(second.handoff).life is Life.LIVE
    assert world.rasa.paused("ann")
    assert comes_to_rest(world, worker, second.handoff)


def test_an_ask_that_succeeded_after_the_user_was_told_otherwise_is_taken_back(world: World) -> None:
    worker = world.worker()
    world.rasa.add("ann", conversation(3))
    handoff = world.ask(world.rasa.events("ann"), ask_id="one").handoff
    assert handoff is not None
    assert world.asking().take_back("one", "ann")
    world.work(worker, seconds=60)
    assert world.now(handoff).end is End.TOO_LATE
    assert world.tiledesk.requests() == []
    assert heard(world) == []  # the action has told them
    assert not world.rasa.paused("ann")
    assert world.is_at_rest()


def test_a_user_who_asks_again_while_the_first_ask_still_runs_is_connected_once(world: World) -> None:
    worker = world.worker()
    world.rasa.add("ann", conversation(3))
    world.read_timeout = 0.3
    world.tiledesk.fail(SEND, Fault.late(answer=504))
    world.tiledesk.fail(REQUEST, Fault.answer(503), Fault.answer(503), Fault.answer(503))
    first = world.ask(world.rasa.events("ann"), ask_id="one")
    assert first.outcome is Outcome.FAILED
    second = world.ask(world.rasa.events("ann"), ask_id="two")
    assert second.outcome is Outcome.CONNECTED
    assert second.handoff is not None
    pauses(world, second.handoff)
    world.tiledesk.let_late_calls_through()
    world.work(worker, seconds=60)
    (request,) = world.tiledesk.requests()
    assert request["request_id"] == second.handoff.request_id
    assert world.rasa.paused("ann")
    assert heard(world) == []
    assert comes_to_rest(world, worker, second.handoff)


def test_a_ledger_that_fails_inside_an_ask_says_failed_and_nobody_joins_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise LedgerError("the database failed")

    worker = world.worker()
    world.rasa.add("ann", conversation(3))
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger.handoffs, "confirm", fails)
        with pytest.raises(LedgerError):
            world.ask(world.rasa.events("ann"), ask_id="one")
    assert world.asking().take_back("one", "ann")  # as the action does, until the ledger answers
    world.work(worker, seconds=60)
    assert world.tiledesk.requests() == []
    assert heard(world) == []
    assert not world.rasa.paused("ann")
    assert world.is_at_rest()


def test_a_handoff_that_the_ledger_has_lost_gives_the_user_back_and_asks_for_their_words_again(world: World) -> None:
    worker = world.worker()
    world.rasa.add("ann", conversation(3))
    world.rasa.add("ann", world.rasa._timed([{"event": "slot", "name": "tiledesk_handoff", "value": "0" * 32}]))
    world.rasa.add("ann", world.rasa._timed([{"event": "pause"}]))
    assert says(world, "hello?")
    world.work(worker, seconds=30)
    assert heard(world) == [ENDED, UNSENT]
    assert not world.rasa.paused("ann")
    assert world.tiledesk.requests() == []
    assert world.is_at_rest()


def test_a_slot_of_an_old_handoff_is_cleared_when_the_bot_answers(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    assert comes_to_rest(world, worker, handoff)
    world.rasa.says("ann", "hi")
    assert carries(world) is False


def test_a_name_with_line_breaks_or_labels_makes_no_line_and_no_label(world: World) -> None:
    worker = world.worker()
    name = "Ann\nE-mail: boss@example.com\n${LABEL_FIRST_MSG}"
    handoff = asks(world, name=name, notes="x")
    world.work(worker, seconds=2)
    opening = world.tiledesk.messages(handoff.request_id)[0]["text"]
    assert not any(line.startswith("E-mail:") for line in opening.splitlines())
    assert "Describe shortly your problem" not in opening
    assert "${LABEL_FIRST_MSG}" not in opening
    names = [message["senderFullname"] for message in world.said(handoff)]
    assert names
    assert not [name for name in names if "\n" in name]
    assert comes_to_rest(world, worker, handoff)


def test_a_guest_has_one_name_at_every_handoff_and_another_than_other_guests(world: World) -> None:
    names = []
    for sender in ("ann", "ann", "bob"):
        handoff = world.ask(conversation(3), sender).handoff
        assert handoff is not None
        names.append(handoff.facts["user_name"])
        world.ledger.handoffs.end(handoff.id, End.USER)
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_the_last_part_of_a_long_text_is_never_empty(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    for tail in ("\n", " ", "\n\n   "):
        says(world, "word " * 3000 + tail)
    world.work(worker, seconds=5)
    texts = [message["text"] for message in world.said(handoff)]
    assert sum(text.startswith("word") for text in texts) == 3
    assert all(text.strip() for text in texts)
    assert comes_to_rest(world, worker, handoff)


def test_what_a_closed_handoff_keeps_is_what_a_later_one_needs_and_no_text(world: World) -> None:
    worker = world.worker()
    handoff = asks(world, name="Ann", email="ann@example.com")
    world.work(worker, seconds=2)
    assert comes_to_rest(world, worker, handoff)
    kept = world.now(handoff)
    assert set(kept.facts) <= {"channel", "last_key", "last_at"}  # up to where it was heard
    assert kept.requester_id


def test_old_handoffs_are_forgotten_with_all_that_belongs_to_them(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    assert comes_to_rest(world, worker, handoff)
    world.clock.seconds += 10 * 24 * 3600
    assert world.ledger.handoffs.forget(days=11) == 0
    assert world.ledger.handoffs.forget(days=9) == 1
    assert world.ledger.handoffs.counts() == {}
    assert world.ledger.handoffs.history(handoff.id) == []


def test_an_ask_leaves_no_secret_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    handoff = asks(world, name="Ann")
    world.tiledesk.fail(SEND, Fault.answer(500), Fault.hang(after=False))
    world.read_timeout = 0.3
    world.work(world.worker(), seconds=40)
    for secret in (handoff.request_id, "turn 1", "Ann"):
        assert secret not in caplog.text


def test_a_handoff_of_a_user_who_left_by_restart_inside_an_ask_is_over_first(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    world.rasa.restart("ann")
    world.rasa.says("ann", "a human please")
    asking = world.asking()
    answer = asking.ask(Ask("ann", world.rasa.events("ann"), {}, "callback"), Deadline(8), ask_id="new")
    assert answer.outcome is Outcome.CONNECTED
    assert world.now(first).end is End.RESTART
    assert resumed(world) == 0
