"""What a ledger promises of handoffs, on every database it may live in: begun, promised, ended, taken up again."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.ledger import HUSH_KEY, Duty, End, Handoff, Kind, Ledger, Life, NewStep, Outcome, Stage
from rasa_tiledesk.ledger.handoffs import Handoffs
from rasa_tiledesk.ledger.schema import handoffs as handoff_table
from tests.contract.ledgers import Clock, begin, claimed, live, message, saying, stages, take

WAITING, DONE, RETURNED = Stage.WAITING, Stage.DONE, Stage.RETURNED
BY_AGENT = (End.AGENT, End.DELETED, End.LOST)
BY_US = (End.USER, End.RESTART, End.SILENCE, End.NOBODY_CAME)
FAILED = (End.FAILED, End.TOO_LATE)


def test_an_ask_is_written_down_with_what_is_to_be_carried(ledger: Ledger) -> None:
    handoff, work = begin(ledger, plan=[message("k0", text="😊 שלום"), NewStep("route", Kind.ROUTE, position=9)])
    assert (handoff.life, handoff.asked_by, handoff.facts["user_name"]) == (Life.ASKED, "ask", "Ann ü")
    assert (work.duty, work.lease, work.attempts, work.now) == (Duty.TO_AGENTS, "me", 0, ledger.now())
    steps = ledger.lanes.unfinished(handoff.id, Duty.TO_AGENTS)
    assert [(step.position, step.key, step.kind) for step in steps] == [
        (1, "k0", Kind.MESSAGE),
        (9, "route", Kind.ROUTE),
    ]
    assert steps[0].body["message"]["text"] == "😊 שלום"
    assert stages(ledger, handoff, Duty.TO_USER) == {HUSH_KEY: WAITING}
    assert handoff == ledger.handoffs.get(handoff.id) == ledger.handoffs.open_of("ann")


def test_a_sender_has_one_open_handoff_and_any_number_of_past_ones(ledger: Ledger, clock: Clock) -> None:
    first, _ = begin(ledger)
    again, work = ledger.handoffs.begin(
        uuid.uuid4().hex, "ann", "other", {}, [], asked_by="later", lease="me", seconds=1
    )
    assert (again.id, work) == (first.id, None)
    assert ledger.handoffs.get(first.id).asked_by == "later", "the later ask has promised it to the user"
    assert ledger.handoffs.end(first.id, End.USER)
    assert ledger.handoffs.open_of("ann") is None
    clock.seconds += 1
    second, _ = begin(ledger)
    assert [handoff.id for handoff in ledger.handoffs.of_sender("ann")] == [first.id, second.id]
    assert ledger.handoffs.counts() == {Life.OVER: 1, Life.ASKED: 1}
    assert [handoff.id for handoff in ledger.handoffs.in_life(Life.ASKED, Life.LIVE)] == [second.id]


def test_sender_ids_that_differ_in_case_accents_length_or_spaces_are_others(ledger: Ledger) -> None:
    for sender in ("Ann", "ann", "änn", "ann ", "a" * 300, "a" * 301, "😊", "a/b"):
        begin(ledger, sender)
        found = ledger.handoffs.open_of(sender)
        assert found is not None
        assert found.sender_id == sender


def test_of_many_asks_at_once_one_is_new(url: str) -> None:
    ledger = Ledger(url)
    found: list[tuple[Handoff, bool]] = []
    ready = threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        handoff, work = ledger.handoffs.begin(
            uuid.uuid4().hex, "ann", uuid.uuid4().hex, {}, [message("k")], asked_by="a", lease="x", seconds=1
        )
        found.append((handoff, work is not None))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new for _, new in found) == [False] * 7 + [True]
    assert len({handoff.id for handoff, _ in found}) == 1
    ledger.close()


def test_what_an_action_confirms_it_has_told_the_user_itself(ledger: Ledger) -> None:
    handoff, _ = begin(ledger)
    ledger.handoffs.confirm(handoff.id)
    assert stages(ledger, handoff, Duty.TO_USER) == {HUSH_KEY: DONE}
    with pytest.raises(LedgerError):
        ledger.handoffs.confirm("nobody's")


def test_an_action_that_died_leaves_the_user_to_be_told_when_its_lease_has_run_out(
    ledger: Ledger, clock: Clock
) -> None:
    begin(ledger, seconds=30)
    assert ledger.lanes.claim("other", seconds=60) is None
    clock.seconds += 31
    due = [ledger.lanes.claim(f"other {n}", seconds=60) for n in range(4)]
    assert {work.duty for work in due if work} == {Duty.TO_AGENTS, Duty.TO_USER, Duty.CARE}


def test_an_ask_that_is_taken_back_is_closed_and_nobody_is_told_twice(ledger: Ledger) -> None:
    handoff, _ = begin(ledger, asked_by="first")
    assert ledger.handoffs.take_back(handoff.id, "first", words="too slow")
    ended = ledger.handoffs.get(handoff.id)
    assert (ended.life, ended.end, ended.ended) == (Life.FAILED, End.TOO_LATE, ledger.now())
    assert stages(ledger, handoff, Duty.TO_AGENTS) == {"opening": DONE, "route": DONE, "close": WAITING}
    assert stages(ledger, handoff, Duty.TO_USER) == {HUSH_KEY: DONE}, "the bot was never paused"
    assert [note for _, _, note in ledger.handoffs.history(handoff.id)] == [None, "too slow"]
    assert not ledger.handoffs.take_back(handoff.id, "first")


def test_what_a_later_ask_promised_to_the_user_an_earlier_one_cannot_take_back(ledger: Ledger) -> None:
    handoff, _ = begin(ledger, asked_by="first")
    promised = ledger.handoffs.promise("ann", "second")
    assert promised is not None
    assert not ledger.handoffs.take_back(handoff.id, "first")
    assert ledger.handoffs.get(handoff.id).is_open
    assert stages(ledger, handoff, Duty.TO_USER) == {HUSH_KEY: DONE}, "the second tells the user"
    assert ledger.handoffs.take_back(handoff.id, "second")
    assert stages(ledger, handoff, Duty.TO_USER)["end/1"] is WAITING
    assert ledger.handoffs.promise("ann", "third") is None


@pytest.mark.parametrize("end", list(End))
def test_what_each_end_of_a_live_handoff_leaves_to_be_done(ledger: Ledger, end: End) -> None:
    handoff = live(ledger)
    ledger.words.say("ann", "k1", None, saying("k1"), lease=None, seconds=9)
    assert ledger.handoffs.end(handoff.id, end)
    assert not ledger.handoffs.end(handoff.id, End.USER), "it ends once"
    ended = ledger.handoffs.get(handoff.id)
    assert (ended.life, ended.end) == (Life.FAILED if end in FAILED else Life.OVER, end)
    assert ledger.handoffs.open_of("ann") is None
    out = stages(ledger, handoff, Duty.TO_AGENTS)
    assert out["k1"] is (WAITING if end in BY_US else RETURNED)
    assert ("close" in out) is (end not in BY_AGENT)
    assert ended.reaches_agents is (end in BY_US)
    assert stages(ledger, handoff, Duty.TO_USER) == {HUSH_KEY: DONE, "end/1": WAITING}
    assert take(ledger, handoff, Duty.TO_USER)[:1] == ["give_back"]
    answered = stages(ledger, handoff, Duty.TO_USER)
    assert ("answer/k1" in answered) is (end not in BY_US)
    assert ledger.handoffs.history(handoff.id)[-1] == (ledger.now(), ended.life, end.value)


@pytest.mark.parametrize("end", [End.USER, End.FAILED])
def test_what_was_said_before_agents_had_it_is_returned_and_the_history_dropped(ledger: Ledger, end: End) -> None:
    plan = [message("old", speaker="user"), message("older", speaker="bot"), NewStep("route", Kind.ROUTE)]
    handoff, _ = begin(ledger, plan=plan)
    ledger.handoffs.confirm(handoff.id)
    ledger.words.say("ann", "new", None, saying("new"), lease=None, seconds=9)
    ledger.handoffs.end(handoff.id, end)
    out = ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)
    assert [(step.key, step.stage, bool(step.body)) for step in out] == [
        ("old", DONE, False),
        ("older", DONE, False),
        ("route", DONE, False),
        ("new", RETURNED, True),
        ("close", WAITING, False),
    ]


def test_words_that_end_it_ask_for_no_answer(ledger: Ledger) -> None:
    begun, _ = begin(ledger)
    ledger.handoffs.confirm(begun.id)
    words = saying("bye", end=End.USER, last="bye", after=[message("then")])
    ledger.words.say("ann", "bye", None, words, lease=None, seconds=9)
    assert [step.key for step in ledger.lanes.returned(begun.id)] == ["then"]
    assert take(ledger, begun, Duty.TO_USER) == ["give_back"]
    assert stages(ledger, begun, Duty.TO_USER)["answer/then"] is WAITING


def test_what_is_heard_and_the_end_are_written_down_together(ledger: Ledger, clock: Clock) -> None:
    handoff = live(ledger)
    clock.seconds += 5
    step = NewStep("m1", Kind.DELIVER, {"event": {"text": "hi"}})
    after = ledger.handoffs.heard(handoff, [step], heard="t1", joined=True, spoke=True, end=End.AGENT)
    assert (after.life, after.end, after.heard, after.joined, after.spoke) == (
        Life.OVER,
        End.AGENT,
        "t1",
        True,
        ledger.now(),
    )
    assert stages(ledger, handoff, Duty.TO_USER) == {HUSH_KEY: DONE, "m1": WAITING, "end/1": WAITING}
    assert take(ledger, handoff, Duty.TO_USER) == ["deliver", "give_back"]


def test_an_agents_words_after_the_end_are_answered_to_the_agent(ledger: Ledger) -> None:
    handoff = live(ledger)
    ledger.handoffs.end(handoff.id, End.USER)
    late = [message("late/m1", speaker="bot")]
    step = NewStep("m1", Kind.DELIVER, {"event": {}})
    ledger.handoffs.heard(handoff, [step], heard="t", joined=True, spoke=True, end=None, too_late=late)
    assert "m1" not in stages(ledger, handoff, Duty.TO_USER)
    assert stages(ledger, handoff, Duty.TO_AGENTS)["late/m1"] is WAITING


def test_what_was_said_just_before_the_close_is_delivered_though_it_is_found_later(ledger: Ledger) -> None:
    handoff = live(ledger)
    ledger.handoffs.end(handoff.id, End.AGENT)
    step = NewStep("m1", Kind.DELIVER, {"event": {}})
    ledger.handoffs.heard(handoff, [step], heard="t", joined=True, spoke=True, end=None, just_closed=True)
    assert stages(ledger, handoff, Duty.TO_USER)["m1"] is WAITING


def test_a_request_that_an_agent_opens_again_is_taken_up(ledger: Ledger, clock: Clock) -> None:
    handoff = live(ledger)
    ledger.handoffs.end(handoff.id, End.AGENT)
    take(ledger, handoff, Duty.TO_USER)
    clock.seconds += 60
    step = NewStep("m1", Kind.DELIVER, {"event": {}})
    again = ledger.handoffs.heard(
        handoff, [step], heard="t", joined=True, spoke=True, end=None, opened_again=True, too_late=[message("late")]
    )
    assert (again.life, again.end, again.ended) == (Life.LIVE, None, None)
    assert ledger.handoffs.open_of("ann") == again
    assert "late" not in stages(ledger, handoff, Duty.TO_AGENTS)
    assert ledger.handoffs.end(handoff.id, End.AGENT)
    assert stages(ledger, handoff, Duty.TO_USER)["end/2"] is WAITING


@pytest.mark.parametrize("newer", ["open", "over", "not by the agent"])
def test_one_that_the_user_has_gone_on_from_is_not_taken_up_again(ledger: Ledger, clock: Clock, newer: str) -> None:
    handoff = live(ledger)
    ledger.handoffs.end(handoff.id, End.USER if newer == "not by the agent" else End.AGENT)
    if newer != "not by the agent":
        clock.seconds += 1
        other, _ = begin(ledger)
        if newer == "over":
            ledger.handoffs.end(other.id, End.AGENT)
    late = [message("late", speaker="bot")]
    step = NewStep("m1", Kind.DELIVER, {"event": {}})
    after = ledger.handoffs.heard(
        handoff, [step], heard="t", joined=True, spoke=True, end=None, opened_again=True, too_late=late
    )
    assert not after.is_open
    assert stages(ledger, handoff, Duty.TO_AGENTS)["late"] is WAITING


def test_the_user_is_told_each_thing_once_and_nothing_of_what_has_ended(ledger: Ledger) -> None:
    handoff = live(ledger)
    step = NewStep("waiting", Kind.SAY, {"response": "r"})
    assert ledger.handoffs.tell(handoff.id, [step])
    assert ledger.handoffs.tell(handoff.id, [step])
    ledger.handoffs.looked(handoff.id, [NewStep("hush/1", Kind.HUSH)])
    assert ledger.handoffs.get(handoff.id).looked == ledger.now()
    assert list(stages(ledger, handoff, Duty.TO_USER)) == [HUSH_KEY, "waiting", "hush/1"]
    ledger.handoffs.end(handoff.id, End.USER)
    assert not ledger.handoffs.tell(handoff.id, [NewStep("idle", Kind.SAY)])
    assert not ledger.handoffs.tell("nobody's", [step])


def test_who_the_end_user_is_at_tiledesk_is_remembered(ledger: Ledger) -> None:
    handoff = live(ledger)
    ledger.handoffs.remember(handoff.id, requester_id="r")
    assert ledger.handoffs.get(handoff.id).requester_id == "r"


def test_a_hint_makes_the_conversation_be_listened_to_now(ledger: Ledger) -> None:
    handoff = live(ledger)
    ledger.lanes.leave(claimed(ledger, handoff, Duty.LISTEN), again_in=600)
    assert ledger.handoffs.hint(handoff.request_id)
    claimed(ledger, handoff, Duty.LISTEN)
    assert not ledger.handoffs.hint("somebody's")


def test_what_failed_is_told_and_taken_up_at_once_when_asked_for(ledger: Ledger) -> None:
    handoff, work = begin(ledger)
    ledger.lanes.leave(work, again_in=60, error="no")
    assert ledger.handoffs.troubles(handoff.id) == {Duty.TO_AGENTS: (1, "no")}
    assert ledger.lanes.claim("w", seconds=1) is None
    ledger.handoffs.due_now(handoff.id)
    claimed(ledger, handoff, Duty.TO_AGENTS)


def test_each_move_is_in_the_history(ledger: Ledger, clock: Clock) -> None:
    handoff = live(ledger)
    clock.seconds += 1
    ledger.handoffs.end(handoff.id, End.SILENCE)
    moves = [(life, note) for _, life, note in ledger.handoffs.history(handoff.id)]
    assert moves == [(Life.ASKED, None), (Life.OPEN, None), (Life.LIVE, None), (Life.OVER, End.SILENCE.value)]
    assert [at for at, _, _ in ledger.handoffs.history(handoff.id)] == [1_000_000_000] * 3 + [1_000_001_000]


def test_a_handoff_that_is_over_keeps_no_name_address_slots_or_words(url: str, clock: Clock) -> None:
    ledger = Ledger(url, clock=clock)
    handoff = live(ledger)
    ledger.words.say("ann", "k1", None, saying("k1"), lease=None, seconds=9)
    ledger.handoffs.end(handoff.id, End.AGENT)
    take(ledger, handoff, Duty.TO_USER)
    take(ledger, handoff, Duty.TO_USER, answer=Outcome(settles=["k1"]))
    with ledger._database.reading() as connection:
        for table in ("tiledesk_handoff", "tiledesk_step", "tiledesk_duty", "tiledesk_history"):
            rows = str([tuple(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).all()])
            for word in ("Ann ü", "example.com", "Rome", "secret", "user_name"):
                assert word not in rows, table
    assert ledger.handoffs.get(handoff.id).facts == {}
    ledger.close()


def test_facts_stay_until_the_last_step_is_done_and_the_words_that_reached_nobody_are_answered(ledger: Ledger) -> None:
    handoff = live(ledger)
    ledger.words.say("ann", "k1", None, saying("k1"), lease=None, seconds=9)
    ledger.handoffs.end(handoff.id, End.AGENT)
    take(ledger, handoff, Duty.TO_USER)
    assert ledger.handoffs.get(handoff.id).facts
    assert [step.body["message"]["text"] for step in ledger.lanes.returned(handoff.id)] == ["secret"]
    take(ledger, handoff, Duty.TO_USER, answer=Outcome(settles=["k1"]))
    assert not ledger.handoffs.get(handoff.id).facts
    assert ledger.lanes.returned(handoff.id) == []


def test_old_handoffs_are_forgotten_a_few_at_a_time_and_open_ones_never(ledger: Ledger, clock: Clock) -> None:
    old = [live(ledger, f"sender {n}") for n in range(3)]
    for handoff in old:
        ledger.handoffs.end(handoff.id, End.USER)
    stays = live(ledger, "open")
    clock.seconds += 30 * 86_400 - 1
    assert ledger.handoffs.forget(days=30) == 0
    clock.seconds += 2
    assert [ledger.handoffs.forget(days=30, most=2) for _ in range(3)] == [2, 1, 0]
    assert ledger.handoffs.counts() == {Life.LIVE: 1}
    assert ledger.lanes.all_steps(old[0].id, Duty.TO_USER) == []
    assert ledger.handoffs.get(stays.id) == stays
    with pytest.raises(LedgerError):
        ledger.handoffs.get(old[0].id)


def test_many_that_are_past_are_counted_again_after_a_minute_and_what_is_open_each_time(url: str) -> None:
    ledger, seconds = Ledger(url), [0.0]
    handoffs = Handoffs(ledger._database, clock=lambda: seconds[0])
    past = [_past(number, Life.FAILED if number == 0 else Life.OVER) for number in range(10_000)]
    with ledger._database.writing() as connection:
        connection.execute(handoff_table.insert(), past)
    begin(ledger)
    assert handoffs.counts() == {Life.OVER: 9_999, Life.FAILED: 1, Life.ASKED: 1}
    handoff, _ = begin(ledger, "bob")
    assert handoffs.counts() == {Life.OVER: 9_999, Life.FAILED: 1, Life.ASKED: 2}
    ledger.handoffs.end(handoff.id, End.USER)
    assert handoffs.counts()[Life.ASKED] == 1
    seconds[0] = 61
    assert handoffs.counts() == {Life.OVER: 10_000, Life.FAILED: 1, Life.ASKED: 1}
    ledger.close()


def _past(number: int, life: Life) -> dict[str, Any]:
    name = f"{number:032x}"
    row = {"id": name, "sender_id": name, "sender_key": name, "request_id": name, "life": life.value, "facts": "{}"}
    return {**row, "created": number, "ended": number, "spoke": number, "joined": False, "looked": 0, "asked_by": ""}


def test_the_newest_of_some_states_oldest_first(ledger: Ledger, clock: Clock) -> None:
    ids = []
    for sender in ("ann", "bob", "eve"):
        clock.seconds += 1
        ids.append(begin(ledger, sender)[0].id)
    ledger.handoffs.end(ids[2], End.FAILED)
    assert [one.id for one in ledger.handoffs.in_life(Life.ASKED, newest=1)] == [ids[1]]
    assert [one.id for one in ledger.handoffs.in_life(Life.ASKED, Life.FAILED, newest=2)] == ids[1:]
    assert [one.id for one in ledger.handoffs.in_life(Life.ASKED, Life.FAILED, newest=9)] == ids


def test_a_ledger_is_opened_again_and_by_several(durable_url: str) -> None:
    one = Ledger(durable_url)
    handoff, _ = begin(one)
    other = Ledger(durable_url)
    assert other.handoffs.get(handoff.id) == handoff
    one.close()
    other.close()


def test_a_ledger_of_a_newer_version_is_refused(durable_url: str) -> None:
    Ledger(durable_url).close()
    engine = sa.create_engine(durable_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE tiledesk_ledger_version SET version = 99"))
    engine.dispose()
    with pytest.raises(LedgerError, match="version 99"):
        Ledger(durable_url)


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger("sqlite:////nowhere/hush/ledger.db")
    assert "tiledesk.ledger" in str(caught.value)
    assert "hush" not in str(caught.value)
