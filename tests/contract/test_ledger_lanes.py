"""What a ledger promises of work: held by one at a time, left until it is due; who has lost it writes nothing."""

from __future__ import annotations

import threading

import pytest

from rasa_tiledesk.ledger import Duty, End, Held, Kind, LeaseLost, Ledger, Life, NewStep, Outcome, Stage, Step
from tests.contract.ledgers import Clock, begin, claimed, live, message, saying, stages, take

TO_AGENTS, TO_USER = Duty.TO_AGENTS, Duty.TO_USER
ENDS = list(End)


def first(ledger: Ledger, handoff_id: str, lane: Duty = TO_AGENTS) -> Step:
    return ledger.lanes.unfinished(handoff_id, lane)[0]


def test_work_is_held_by_one_and_by_another_when_the_lease_has_run_out(ledger: Ledger, clock: Clock) -> None:
    handoff, mine = begin(ledger, seconds=30)
    assert ledger.lanes.claim("other", seconds=60) is None
    clock.seconds += 31
    theirs = claimed(ledger, handoff, TO_AGENTS, "other")
    assert (theirs.lease, theirs.now) == ("other", ledger.now())
    with pytest.raises(LeaseLost):
        ledger.lanes.advance(mine, seconds=60)
    assert isinstance(ledger.lanes.advance(theirs, seconds=60), Held)
    ledger.lanes.leave(theirs)
    claimed(ledger, handoff, TO_AGENTS, "third")


def test_a_lease_that_is_advanced_is_held_for_longer(ledger: Ledger, clock: Clock) -> None:
    handoff, mine = begin(ledger, seconds=30)
    clock.seconds += 29
    ledger.lanes.advance(mine, seconds=30)
    clock.seconds += 29
    work = ledger.lanes.claim("other", seconds=60, handoff_id=handoff.id)
    assert work is None or work.duty is not TO_AGENTS


def test_each_duty_of_a_handoff_is_held_by_itself(ledger: Ledger) -> None:
    handoff = live(ledger)
    held = {duty: claimed(ledger, handoff, duty, duty.value) for duty in (Duty.LISTEN, Duty.CARE)}
    ledger.lanes.leave(held[Duty.LISTEN], again_in=0.0, error="no")
    assert isinstance(ledger.lanes.advance(held[Duty.CARE], seconds=9), Held)
    assert ledger.handoffs.troubles(handoff.id) == {Duty.LISTEN: (1, "no")}


def test_one_kind_of_duty_can_be_claimed_whatever_else_is_due_longer(ledger: Ledger, clock: Clock) -> None:
    handoff = live(ledger)
    take(ledger, handoff, TO_AGENTS)
    ledger.handoffs.hint(handoff.request_id)
    clock.seconds += 600
    assert ledger.lanes.claim("me", seconds=60, duty=TO_AGENTS) is None
    ledger.words.say("ann", "k", None, saying("k"), lease=None, seconds=20)
    work = ledger.lanes.claim("me", seconds=60, duty=TO_AGENTS)
    assert work is not None
    assert work.duty is TO_AGENTS


def test_who_has_lost_a_lease_writes_nothing(ledger: Ledger, clock: Clock) -> None:
    handoff, mine = begin(ledger, plan=[message("k1"), message("k2")], seconds=30)
    step, other = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    clock.seconds += 31
    claimed(ledger, handoff, TO_AGENTS, "other")
    done = (step, Outcome(life=Life.LIVE, to_user=[NewStep("new", Kind.SAY)], facts={"learnt": 1}))
    with pytest.raises(LeaseLost):
        ledger.lanes.advance(mine, seconds=60, ended=[done], send=other)
    with pytest.raises(LeaseLost):
        ledger.lanes.leave(mine, ended=[done], again_in=600, error="no", refused=(other, "why"))
    assert stages(ledger, handoff, TO_AGENTS) == {"k1": Stage.WAITING, "k2": Stage.WAITING}
    assert "new" not in stages(ledger, handoff, TO_USER)
    now = ledger.handoffs.get(handoff.id)
    assert (now.life, "learnt" in now.facts) == (Life.ASKED, False)
    assert ledger.handoffs.troubles(handoff.id) == {}


def test_many_workers_claim_each_duty_once(url: str) -> None:
    ledger = Ledger(url)
    wanted = {begin(ledger, f"sender {n}", seconds=0)[0].id for n in range(12)}
    claims: list[tuple[str, Duty]] = []

    def work(name: str) -> None:
        misses = 0
        while misses < 3:
            found = ledger.lanes.claim(name, seconds=600)
            if found is None:
                misses += 1
            else:
                claims.append((found.handoff.id, found.duty))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims) == len(set(claims))
    assert {one for one, duty in claims if duty is TO_AGENTS} == wanted
    ledger.close()


def test_many_threads_at_work_on_many_handoffs_do_not_get_in_each_others_way(url: str) -> None:
    """Begun, heard, said, delivered and ended at once: no database takes these for a deadlock."""
    ledger = Ledger(url)
    failed: list[BaseException] = []
    ready = threading.Barrier(6)

    def lives(number: int) -> None:
        try:
            ready.wait()
            for turn in range(6):
                handoff = live(ledger, f"sender {number}")
                ledger.words.say(f"sender {number}", "k", None, saying("k"), lease=None, seconds=9)
                delivery = NewStep("m", Kind.DELIVER, {"event": {}})
                ledger.handoffs.heard(handoff, [delivery], heard="t", joined=True, spoke=True, end=None)
                take(ledger, handoff, TO_USER)
                ledger.handoffs.end(handoff.id, ENDS[turn % len(ENDS)])
                take(ledger, handoff, TO_USER)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=lives, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    ledger.close()


def test_what_is_over_is_written_down_with_what_follows_from_it_and_its_text_forgotten(ledger: Ledger) -> None:
    handoff, work = begin(ledger, plan=[message("k1"), message("k2")])
    one, two = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    ledger.lanes.advance(work, seconds=60, send=one)
    outcome = Outcome(
        life=Life.LIVE,
        to_agents=[NewStep("next", Kind.MESSAGE)],
        to_user=[NewStep("say", Kind.SAY)],
        facts={"learnt": 1},
        listen=True,
    )
    ledger.lanes.advance(work, seconds=60, ended=[(one, outcome)], send=two)
    steps = ledger.lanes.all_steps(handoff.id, TO_AGENTS)
    assert [(s.key, s.stage, bool(s.body), s.tries, s.sent) for s in steps] == [
        ("k1", Stage.DONE, False, 1, ledger.now()),
        ("k2", Stage.SENT, True, 1, ledger.now()),
        ("next", Stage.WAITING, False, 0, 0),
    ]
    now = ledger.handoffs.get(handoff.id)
    assert (now.life, now.facts["learnt"], now.facts["user_name"]) == (Life.LIVE, 1, "Ann ü")
    assert "say" in stages(ledger, handoff, TO_USER)
    claimed(ledger, handoff, Duty.LISTEN)


def test_what_provably_was_not_sent_waits_again_and_counts_no_try(ledger: Ledger) -> None:
    handoff, work = begin(ledger, plan=[message("k1")])
    ledger.lanes.advance(work, seconds=60, send=first(ledger, handoff.id))
    ledger.lanes.leave(work, unsent=first(ledger, handoff.id), again_in=0)
    step = first(ledger, handoff.id)
    assert (step.stage, step.tries) == (Stage.WAITING, 0)


def test_what_is_refused_is_counted_from_the_first_time_and_no_more_when_it_is_over(
    ledger: Ledger, clock: Clock
) -> None:
    handoff, work = begin(ledger, plan=[message("k1")])
    since = ledger.now()
    for number in range(2):
        ledger.lanes.advance(work, seconds=60, send=first(ledger, handoff.id))
        ledger.lanes.leave(work, refused=(first(ledger, handoff.id), "no"), again_in=0, error="no")
        clock.seconds += 5
        step = first(ledger, handoff.id)
        assert (step.refusals, step.refused_since, step.why, step.stage) == (number + 1, since, "no", Stage.SENT)
        work = claimed(ledger, handoff, TO_AGENTS)
        assert work.attempts == number + 1
    ledger.lanes.leave(work, ended=[(step, Outcome(Stage.REFUSED, why="never"))])
    (step,) = ledger.lanes.all_steps(handoff.id, TO_AGENTS)
    assert (step.stage, step.refusals, step.why, dict(step.body)) == (Stage.REFUSED, 0, "never", {})


def test_work_that_failed_comes_back_later_and_no_news_hastens_it(ledger: Ledger, clock: Clock) -> None:
    handoff = live(ledger)
    ledger.words.say("ann", "k1", None, saying("k1"), lease=None, seconds=9)
    ledger.lanes.leave(claimed(ledger, handoff, TO_AGENTS), again_in=5, error="no")
    ledger.words.say("ann", "k2", None, saying("k2"), lease=None, seconds=9)
    clock.seconds += 4
    with pytest.raises(AssertionError, match="is not due"):
        claimed(ledger, handoff, TO_AGENTS)
    clock.seconds += 1
    work = claimed(ledger, handoff, TO_AGENTS)
    assert work.attempts == 1
    ledger.lanes.advance(work, seconds=9, ended=[(first(ledger, handoff.id), Outcome())])
    assert ledger.handoffs.troubles(handoff.id) == {}, "something has moved"


def test_what_comes_while_a_duty_is_held_makes_it_due_when_it_is_left(ledger: Ledger) -> None:
    handoff = live(ledger)
    work = claimed(ledger, handoff, Duty.LISTEN)
    ledger.handoffs.hint(handoff.request_id)
    ledger.lanes.leave(work, again_in=600)
    claimed(ledger, handoff, Duty.LISTEN)


def test_a_lane_in_which_steps_are_left_is_due_and_one_without_is_not(ledger: Ledger, clock: Clock) -> None:
    handoff = live(ledger)
    ledger.lanes.leave(claimed(ledger, handoff, TO_AGENTS))
    clock.seconds += 1000
    with pytest.raises(AssertionError, match="is not due"):
        claimed(ledger, handoff, TO_AGENTS)
    ledger.words.say("ann", "k1", None, saying("k1"), lease=None, seconds=9)
    ledger.lanes.leave(claimed(ledger, handoff, TO_AGENTS))
    assert take(ledger, handoff, TO_AGENTS) == ["message"]


def test_a_step_that_is_over_meanwhile_is_not_marked_as_sent(ledger: Ledger) -> None:
    handoff = live(ledger)
    ledger.words.say("ann", "k1", None, saying("k1"), lease=None, seconds=9)
    work, step = claimed(ledger, handoff, TO_AGENTS), first(ledger, handoff.id)
    ledger.handoffs.end(handoff.id, End.AGENT)
    held = ledger.lanes.advance(work, seconds=9, send=step)
    assert (held.gone, held.handoff.life) == (True, Life.OVER)
    assert stages(ledger, handoff, TO_AGENTS)["k1"] is Stage.RETURNED


def test_a_speaker_who_has_said_much_waits_until_a_minute_is_over(url: str, clock: Clock) -> None:
    ledger = Ledger(url, clock=clock, per_minute=2)
    handoff, work = begin(ledger, plan=[message(f"k{n}") for n in range(3)] + [message("b", speaker="bot")])
    steps = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    assert ledger.lanes.advance(work, seconds=90, send=steps[0]).wait == 0
    clock.seconds += 20
    assert ledger.lanes.advance(work, seconds=90, send=steps[1]).wait == 0
    assert ledger.lanes.advance(work, seconds=90, send=steps[2]).wait == pytest.approx(40)
    assert stages(ledger, handoff, TO_AGENTS)["k2"] is Stage.WAITING
    assert ledger.lanes.advance(work, seconds=90, send=steps[3]).wait == 0, "another speaks"
    clock.seconds += 41
    assert ledger.lanes.advance(work, seconds=90, send=steps[2]).wait == 0
    ledger.close()


def test_the_pace_of_an_end_user_is_counted_over_all_their_handoffs(url: str, clock: Clock) -> None:
    ledger = Ledger(url, clock=clock, per_minute=1)
    one, work = begin(ledger, plan=[message("k")])
    ledger.handoffs.remember(one.id, requester_id="r")
    ledger.lanes.advance(work, seconds=90, send=first(ledger, one.id))
    other, work = begin(ledger, "bob", plan=[message("k")])
    ledger.handoffs.remember(other.id, requester_id="r")
    assert ledger.lanes.advance(work, seconds=90, send=first(ledger, other.id)).wait > 0
    ledger.close()


def test_steps_without_a_place_go_behind_all_others_and_no_key_is_there_twice(ledger: Ledger) -> None:
    handoff, work = begin(ledger, plan=[NewStep("a", Kind.HISTORY, position=1), NewStep("c", Kind.ROUTE, position=9)])
    history = first(ledger, handoff.id)
    more = [NewStep("b", Kind.MESSAGE, position=2), NewStep("d", Kind.MESSAGE), NewStep("a", Kind.MESSAGE)]
    ledger.lanes.leave(work, ended=[(history, Outcome(to_agents=[*more, NewStep("d", Kind.MESSAGE)]))])
    steps = ledger.lanes.all_steps(handoff.id, TO_AGENTS)
    assert [(step.key, step.position) for step in steps] == [("a", 1), ("b", 2), ("c", 9), ("d", 10)]


def test_a_long_turn_fits(ledger: Ledger) -> None:
    handoff, _ = begin(ledger, plan=[message("k", text="x" * 300_000)])
    assert len(first(ledger, handoff.id).body["message"]["text"]) == 300_000
