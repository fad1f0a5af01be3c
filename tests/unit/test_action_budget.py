"""Whatever hangs, the user hears something in time; and what comes of it later pauses nobody's bot."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rasa_sdk.executor import CollectingDispatcher

from rasa_tiledesk import actions, process, runtime, server
from rasa_tiledesk.actions import ActionSessionStart, ActionTiledeskHandoff, ActionTiledeskRelay
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.ask import Answer, Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import Duty, End, Handoff, Life
from rasa_tiledesk.ledger.handoffs import Handoffs
from rasa_tiledesk.testing import Fault
from tests.unit.acting import Acting, names, run, run_many, tracker
from tests.unit.conftest import conversation
from tests.waiting import until

POSTED = "POST /{project}/requests/{request}/messages"


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """All threads of the actions are taken, until the event is set."""
    free = threading.Event()
    pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    for name, pool in zip(("_asks", "_words"), pools):
        pool.submit(free.wait, 30)
        monkeypatch.setattr(actions, name, pool)
    yield free
    free.set()
    for pool in pools:
        pool.shutdown()


def test_the_budget_of_an_ask_begins_with_the_action_and_not_with_its_thread(
    acting: Acting, blocked: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "BUDGET_SECONDS", 0.1)
    monkeypatch.setattr(actions, "GRACE_SECONDS", 0.0)
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert (said[0]["text"][:9], events) == ("I'm sorry", [])
    blocked.set()
    actions._asks.submit(lambda: None).result()
    until(lambda: runtime._made is not None)
    assert runtime.runtime().ledger.handoffs.counts() == {}, "with no time left nothing is begun"


def test_the_budget_of_the_users_words_begins_with_the_action_and_not_with_its_thread(
    acting: Acting, blocked: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "SAY_SECONDS", 0.1)
    monkeypatch.setattr(actions, "GRACE_SECONDS", 0.0)
    left: list[float] = []

    def say(*_: Any, deadline: Deadline, **__: Any) -> bool:
        left.append(deadline.remaining())
        return True

    monkeypatch.setattr(runtime.runtime().saying, "say", say)
    assert run(ActionTiledeskRelay(), tracker(conversation(3), {"tiledesk_handoff": "x"}, paused=True)) == ([], [])
    assert left == []
    blocked.set()
    until(lambda: left)
    assert left == [0.0]


def test_users_who_ask_keep_nobody_waiting_who_writes_to_an_agent(acting: Acting) -> None:
    handoff = acting.live("ann", conversation(3))
    hanging = threading.Event()
    started = [actions._asks.submit(hanging.wait, 30) for _ in range(40)]
    try:
        said = [*conversation(3), {"event": "user", "text": "hi", "timestamp": 1.7e9 + 50, "message_id": "x"}]
        run(ActionTiledeskRelay(), tracker(said, {"tiledesk_handoff": handoff.id}, paused=True))
        assert acting.tiledesk.messages(handoff.request_id)[-1]["text"] == "hi"
    finally:
        hanging.set()
        for one in started:
            one.result()


def test_while_tiledesk_hangs_words_are_only_written_down_after_the_first_calls_have_failed(
    acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "SAY_SECONDS", 1.3)  # a call is begun with a second left
    users = [f"user-{number}" for number in range(2 * actions._words._max_workers)]  # as many again wait for a thread
    handoffs = dict(zip(users, acting.live_many(users, conversation(1))))
    parts = runtime.runtime()
    parts.worker.stop()  # so that all calls are the actions'
    acting.tiledesk.faults = lambda call: Fault.hang()
    before = acting.tiledesk.count(POSTED)

    def write(number: int) -> int:
        late = {"event": "user", "text": f"{number}", "timestamp": 1.7e9 + 50 + number, "message_id": f"x{number}"}
        said = [tracker([*conversation(1), late], _slot(of), sender=user, paused=True) for user, of in handoffs.items()]
        assert run_many(ActionTiledeskRelay(), said) == [([], [])] * len(users)
        return acting.tiledesk.count(POSTED) - before

    first = write(1)
    assert 1 <= first <= actions._words._max_workers  # those that were on their way when the first one failed
    assert write(2) == first
    assert all(len(parts.ledger.lanes.unfinished(one.id, Duty.TO_AGENTS)) == 2 for one in handoffs.values())


def _slot(handoff: Handoff) -> dict[str, Any]:
    return {"tiledesk_handoff": handoff.id}


def _give_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The action gives up long before its thread does."""
    monkeypatch.setattr(actions, "GRACE_SECONDS", 0.4 - actions.BUDGET_SECONDS)


def _all_asks_over(pool: ThreadPoolExecutor) -> None:
    """The asks have come to their end, and what was to be taken back is."""
    pool.shutdown(wait=True)
    for _ in range(2):
        actions._late.submit(lambda: None).result()


@pytest.fixture
def own_threads(monkeypatch: pytest.MonkeyPatch) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(4)
    monkeypatch.setattr(actions, "_asks", pool)
    monkeypatch.setattr(actions, "_late", ThreadPoolExecutor(1))
    return pool


def test_an_ask_that_succeeds_after_the_user_was_told_otherwise_is_taken_back(
    acting: Acting, own_threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _give_up_early(monkeypatch)
    acting.tiledesk.fail(POSTED, Fault.late())
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert (said[0]["text"][:9], events) == ("I'm sorry", [])
    acting.tiledesk.let_late_calls_through()
    _all_asks_over(own_threads)
    ledger = runtime.runtime().ledger
    (handoff,) = ledger.handoffs.of_sender("ann")
    assert (handoff.life, handoff.end) == (Life.FAILED, End.TOO_LATE)
    until(lambda: ledger.lanes.unfinished(handoff.id, Duty.TO_AGENTS) == [], "the close of the request")
    assert acting.tiledesk.requests() == []


def test_an_ask_that_was_given_up_is_kept_when_the_user_has_asked_again_meanwhile(
    acting: Acting, own_threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as impatient:
        _give_up_early(impatient)
        acting.tiledesk.fail(POSTED, Fault.late())
        said, _ = run(ActionTiledeskHandoff(), tracker(conversation(3)))
        assert said[0]["text"].startswith("I'm sorry")
    said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert (said[0]["response"], names(events)) == ("utter_tiledesk_connecting", ["slot", "pause", "action"])
    acting.tiledesk.let_late_calls_through()
    _all_asks_over(own_threads)
    until(acting.tiledesk.requests, "that agents see it")
    (handoff,) = runtime.runtime().ledger.handoffs.of_sender("ann")
    assert (handoff.id, handoff.is_open) == (events[0]["value"], True)


def test_a_ledger_that_fails_inside_an_ask_is_told_to_the_user_and_the_handoff_is_taken_back(
    acting: Acting, own_threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Handoff:
        raise LedgerError("tiledesk.ledger: the database failed: OperationalError")

    with monkeypatch.context() as failing:
        failing.setattr(Handoffs, "confirm", broken)  # the request is open by then
        said, events = run(ActionTiledeskHandoff(), tracker(conversation(3)))
    assert (said[0]["text"][:9], events) == ("I'm sorry", [])
    _all_asks_over(own_threads)
    (handoff,) = runtime.runtime().ledger.handoffs.of_sender("ann")
    assert (handoff.life, handoff.end) == (Life.FAILED, End.TOO_LATE)
    assert acting.rasa.delivered["callback"] == [], "the action has told the user"
    until(lambda: not runtime.runtime().ledger.lanes.unfinished(handoff.id, Duty.TO_AGENTS), "the close")
    assert acting.tiledesk.requests() == []


OF_THE_LOOP = {
    "rasa_tiledesk.actions",
    "rasa_tiledesk.server",
    "rasa_tiledesk.deadline",
    "rasa_tiledesk.responses",
    "rasa_tiledesk.process",
    "rasa_tiledesk.upkeep",
    "rasa_tiledesk.handoff.asked",
}


def test_nothing_that_blocks_is_ever_done_in_the_event_loop(acting: Acting) -> None:
    seen: set[str] = set()

    def note(frame: Any, happened: str, _what: object) -> None:
        if happened == "call":
            seen.add(str(frame.f_globals.get("__name__")))

    async def everything() -> None:
        sys.setprofile(note)  # of this thread, which is the loop's
        try:
            dispatcher = CollectingDispatcher()
            events = await ActionTiledeskHandoff().run(dispatcher, tracker(conversation(3)), {})
            slots = {"tiledesk_handoff": events[0]["value"]}
            await ActionTiledeskRelay().run(dispatcher, tracker(conversation(3), slots, paused=True), {})
            await ActionSessionStart().run(dispatcher, tracker(conversation(3), slots), {})
            assert (await server._health(None)).status == 200  # type: ignore[arg-type]
            assert (await server._metrics(None)).status == 200  # type: ignore[arg-type]
            await server._start(None, None)
        finally:
            sys.setprofile(None)

    asyncio.run(everything())
    ours = {name for name in seen if name.startswith("rasa_tiledesk")}
    assert ours <= OF_THE_LOOP
    assert not {name for name in seen if name.partition(".")[0] in ("sqlalchemy", "sqlite3", "urllib3", "yaml")}
    assert process._upkeep is not None


def test_a_conversation_that_hands_over_in_a_loop_is_told_no(acting: Acting, caplog: pytest.LogCaptureFixture) -> None:
    parts = process.at_work()
    for _ in range(4):
        answer: Answer = parts.asking.ask(_ask(), Deadline(8))
        assert answer.handoff
        parts.ledger.handoffs.end(answer.handoff.id, End.USER)
    assert parts.asking.ask(_ask(), Deadline(8)).outcome is Outcome.FAILED
    assert "again and again, check its rules" in caplog.text


def _ask() -> Ask:
    return Ask("ann", conversation(1), {}, "callback")
