"""What a ledger promises of words: the user's, once and in order, whenever they come; what has reached users; news."""

from __future__ import annotations

import threading

import pytest

from rasa_tiledesk.ledger import Duty, End, Handoff, Kind, Ledger, Missed, NewStep, Notice, Outcome, Said, Stage, Taken
from tests.contract.ledgers import Clock, begin, claimed, live, message, saying, stages, take

TO_AGENTS, TO_USER = Duty.TO_AGENTS, Duty.TO_USER


def say(ledger: Ledger, *keys: str, sender: str = "ann", before: str | None = None, lease: str | None = "say") -> Taken:
    """The user says the last of these; the ones before it, if any, were missed."""
    return ledger.words.say(sender, keys[-1], before, saying(*keys), lease=lease, seconds=20)


def sent(ledger: Ledger, taken: Taken) -> None:
    """What was taken to be sent at once has come to the agents."""
    assert taken.work is not None
    assert taken.at_once is not None
    ledger.lanes.leave(taken.work, ended=[(taken.at_once, Outcome())])


def at_once(taken: Taken) -> str | None:
    return taken.at_once.key if taken.at_once else None


def quiet(ledger: Ledger, sender: str = "ann") -> Handoff:
    """A live handoff whose lane to the agents has nothing to do."""
    handoff = live(ledger, sender)
    take(ledger, handoff, TO_AGENTS)
    return handoff


def test_what_the_user_says_is_sent_at_once_only_when_nothing_else_is_on_its_way(ledger: Ledger, clock: Clock) -> None:
    handoff = quiet(ledger)
    assert say(ledger, "k", sender="bob") == Taken(None)
    clock.seconds += 1
    one = say(ledger, "k1")
    assert (one.handoff and one.handoff.id, at_once(one)) == (handoff.id, "k1")
    assert stages(ledger, handoff, TO_AGENTS)["k1"] is Stage.SENT
    assert ledger.handoffs.get(handoff.id).spoke == ledger.now()
    assert at_once(say(ledger, "k2", lease="other")) is None
    sent(ledger, one)
    assert [step.key for step in ledger.lanes.unfinished(handoff.id, TO_AGENTS)] == ["k2"]
    assert say(ledger, "k1").at_once is None, "it is known"
    assert take(ledger, handoff, TO_AGENTS) == ["message"]


def test_without_a_lease_words_are_only_written_down(ledger: Ledger) -> None:
    handoff = quiet(ledger)
    assert at_once(say(ledger, "k1", lease=None)) is None
    assert take(ledger, handoff, TO_AGENTS) == ["message"]


def test_nothing_is_sent_at_once_before_agents_have_it_or_while_its_lane_is_held_or_failing(ledger: Ledger) -> None:
    begin(ledger, "bob")
    assert at_once(say(ledger, "k1", sender="bob")) is None
    handoff = quiet(ledger)
    say(ledger, "k1", lease=None)
    work = claimed(ledger, handoff, TO_AGENTS)
    (step,) = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    ledger.lanes.advance(work, seconds=60, ended=[(step, Outcome())])
    assert at_once(say(ledger, "k2")) is None
    ledger.lanes.leave(work, again_in=600, error="no")
    (step,) = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    assert step.key == "k2"


def test_what_would_exceed_the_pace_is_left_to_a_worker(url: str, clock: Clock) -> None:
    ledger = Ledger(url, clock=clock, per_minute=1)
    handoff = quiet(ledger)
    sent(ledger, say(ledger, "k1"))
    assert at_once(say(ledger, "k2")) is None
    work = claimed(ledger, handoff, TO_AGENTS)
    (step,) = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    assert ledger.lanes.advance(work, seconds=90, send=step).wait > 0
    ledger.close()


def test_what_the_user_says_is_due_again_when_the_one_who_sends_it_dies(ledger: Ledger, clock: Clock) -> None:
    handoff = quiet(ledger)
    assert at_once(say(ledger, "k1"))
    clock.seconds += 21
    work = claimed(ledger, handoff, TO_AGENTS)
    assert [step.stage for step in ledger.lanes.unfinished(work.handoff.id, TO_AGENTS)] == [Stage.SENT]


def test_what_was_missed_comes_before_what_is_said_now_and_what_is_there_not_again(ledger: Ledger) -> None:
    handoff = quiet(ledger)
    sent(ledger, say(ledger, "k1"))
    two = say(ledger, "k1", "k2", "k3", before="k2")
    assert at_once(two) == "k2"
    steps = ledger.lanes.unfinished(handoff.id, TO_AGENTS)
    assert [(step.key, step.stage) for step in steps] == [("k2", Stage.SENT), ("k3", Stage.WAITING)]
    sent(ledger, two)
    assert at_once(say(ledger, "k3", "k4", before="k3")) is None
    assert [step.key for step in ledger.lanes.unfinished(handoff.id, TO_AGENTS)] == ["k3", "k4"]
    assert take(ledger, handoff, TO_AGENTS) == ["message"] * 2


def test_words_that_come_when_it_is_over_are_returned_and_answered_when_the_bot_is_back(ledger: Ledger) -> None:
    handoff = quiet(ledger)
    ledger.handoffs.end(handoff.id, End.AGENT)
    taken = say(ledger, "k1")
    assert (taken.handoff and taken.handoff.id, taken.at_once) == (handoff.id, None)
    say(ledger, "k1")
    assert [step.key for step in ledger.lanes.returned(handoff.id)] == ["k1"]
    assert "answer/k1" not in stages(ledger, handoff, TO_USER), "the bot is not back yet"
    assert take(ledger, handoff, TO_USER) == ["give_back"]
    say(ledger, "k2")
    assert stages(ledger, handoff, TO_USER)["answer/k1"] is Stage.WAITING
    assert take(ledger, handoff, TO_USER, answer=Outcome(settles=["k1", "k2"])) == ["answer", "answer"]
    assert ledger.lanes.returned(handoff.id) == []


def test_words_on_their_way_when_it_ends_are_returned_when_nobody_has_read_them(ledger: Ledger) -> None:
    handoff = quiet(ledger)
    taken = say(ledger, "k1")
    ledger.handoffs.end(handoff.id, End.AGENT)
    take(ledger, handoff, TO_USER)
    assert taken.work is not None
    assert taken.at_once is not None
    ledger.lanes.leave(taken.work, ended=[(taken.at_once, Outcome(Stage.RETURNED))])
    assert stages(ledger, handoff, TO_USER)["answer/k1"] is Stage.WAITING


def test_words_that_end_it_go_to_the_agents_before_the_close_and_what_follows_them_to_the_bot(ledger: Ledger) -> None:
    handoff = quiet(ledger)
    words = saying("bye", end=End.USER, last="bye", after=[message("and now?")])
    ledger.words.say("ann", "bye", None, words, lease=None, seconds=9)
    steps = [(step.key, step.stage) for step in ledger.lanes.all_steps(handoff.id, TO_AGENTS)][2:]
    assert steps == [("bye", Stage.WAITING), ("close", Stage.WAITING), ("and now?", Stage.RETURNED)]
    assert take(ledger, handoff, TO_AGENTS) == ["message", "close"]
    assert take(ledger, handoff, TO_USER) == ["give_back"]
    assert take(ledger, handoff, TO_USER) == ["answer"]


def test_what_is_found_in_the_tracker_is_written_down_once_with_the_end_that_it_is(ledger: Ledger) -> None:
    handoff = quiet(ledger)
    say(ledger, "k1", lease=None)
    assert ledger.words.found(handoff.id, Said([message("k1"), message("k2")])) == 1
    assert ledger.words.found(handoff.id, Said([message("k3")], End.RESTART, "k3")) == 1
    assert ledger.handoffs.get(handoff.id).end is End.RESTART
    assert ledger.words.found(handoff.id, Said([message("k4")])) == 0
    assert ledger.words.found("nobody's", Said([message("k4")])) == 0
    assert take(ledger, handoff, TO_AGENTS) == ["message", "message", "message", "close"]


def test_a_user_whose_handoff_the_ledger_lost_is_given_back_and_answered(ledger: Ledger) -> None:
    ledger.words.strand("ann", "request-1", saying("k1"))
    (handoff,) = ledger.handoffs.of_sender("ann")
    assert (handoff.end, handoff.is_open) == (End.LOST, False)
    assert take(ledger, handoff, TO_USER) == ["give_back"]
    assert take(ledger, handoff, TO_USER, answer=Outcome(settles=["k1"])) == ["answer"]
    assert ledger.lanes.unfinished(handoff.id, TO_AGENTS) == [], "nothing is at Tiledesk"


def test_the_same_words_brought_by_many_at_once_are_there_once(url: str) -> None:
    ledger = Ledger(url)
    handoff = quiet(ledger)
    over = quiet(ledger, "bob")
    ledger.handoffs.end(over.id, End.AGENT)
    failed: list[BaseException] = []
    ready = threading.Barrier(6)

    def bring(number: int) -> None:
        try:
            ready.wait()
            say(ledger, "k1", lease=f"say {number}")
            say(ledger, "k1", sender="bob", lease=None)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=bring, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert list(stages(ledger, handoff, TO_AGENTS)).count("k1") == 1
    assert [step.key for step in ledger.lanes.returned(over.id)] == ["k1"]
    ledger.close()


def test_how_much_ever_reached_a_user_is_counted_over_all_their_handoffs(ledger: Ledger, clock: Clock) -> None:
    for number in range(2):
        handoff = quiet(ledger)
        ledger.handoffs.tell(handoff.id, [NewStep("a", Kind.SAY), NewStep("b", Kind.SAY)])
        clock.seconds += 1
        assert ledger.delivered.count("ann") == 1 + number * 4
        take(ledger, handoff, TO_USER)
        ledger.handoffs.end(handoff.id, End.AGENT)
        take(ledger, handoff, TO_USER)
    assert (ledger.delivered.count("ann"), ledger.delivered.count("bob")) == (8, 0)


def test_whether_a_message_was_the_last_that_reached_the_user(ledger: Ledger, clock: Clock) -> None:
    handoff = quiet(ledger)
    ledger.handoffs.tell(handoff.id, [NewStep("a", Kind.SAY), NewStep("b", Kind.SAY)])
    assert not ledger.delivered.is_last("ann", f"{handoff.id}/a")
    take(ledger, handoff, TO_USER)
    assert not ledger.delivered.is_last("ann", f"{handoff.id}/a")
    assert ledger.delivered.is_last("ann", f"{handoff.id}/b")
    assert not ledger.delivered.is_last("bob", f"{handoff.id}/b")
    ledger.handoffs.end(handoff.id, End.USER)
    clock.seconds += 1
    quiet(ledger)
    assert not ledger.delivered.is_last("ann", f"{handoff.id}/b"), "there is a newer handoff"


def test_news_are_asked_for_by_one_at_a_time_when_it_is_time(ledger: Ledger, clock: Clock) -> None:
    assert ledger.news.claim("p", "one", seconds=30) == 0
    assert ledger.news.claim("p", "two", seconds=30) is None
    assert ledger.news.claim("another", "two", seconds=30) == 0
    ledger.news.leave("p", "two", heard=9, again_in=0)
    assert ledger.news.claim("p", "two", seconds=30) is None, "it was not theirs"
    ledger.news.leave("p", "one", heard=5, again_in=2)
    assert ledger.news.claim("p", "two", seconds=30) is None
    clock.seconds += 2
    assert ledger.news.claim("p", "two", seconds=30) == 5
    clock.seconds += 30
    assert ledger.news.claim("p", "one", seconds=30) == 5, "who had it has died"


def test_of_many_who_ask_for_news_at_first_one_has_the_turn(url: str) -> None:
    ledger = Ledger(url)
    turns: list[int | None] = []
    ready = threading.Barrier(6)

    def ask(number: int) -> None:
        ready.wait()
        turns.append(ledger.news.claim("p", f"w{number}", seconds=60))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns, key=str) == [0, *[None] * 5]
    ledger.close()


def test_news_of_a_conversation_has_it_listened_to_unless_it_was_heard_already(ledger: Ledger) -> None:
    handoff, other = quiet(ledger), quiet(ledger, "bob")
    for one in (handoff, other):
        ledger.lanes.leave(claimed(ledger, one, Duty.LISTEN), again_in=600)
    ledger.handoffs.heard(other, [], heard="t1", joined=False, spoke=False, end=None)
    many = {f"somebody's {number}": "t1" for number in range(500)}
    assert ledger.news.tell({**many, handoff.request_id: "t1", other.request_id: "t1"}) == 1
    claimed(ledger, handoff, Duty.LISTEN)
    with pytest.raises(AssertionError, match="is not due"):
        claimed(ledger, other, Duty.LISTEN)


def test_words_of_agents_that_no_webhook_announced_are_counted_in_all_and_in_a_row(ledger: Ledger) -> None:
    handoff = quiet(ledger)

    def hear(*, came: bool) -> Missed:
        notice = Notice("p", came=came)
        ledger.handoffs.heard(handoff, [], heard="t", joined=False, spoke=True, end=None, notice=notice)
        return ledger.news.missed("p")

    assert hear(came=False) == Missed(), "nobody has asked for news yet"
    ledger.news.claim("p", "one", seconds=30)
    ledger.news.claim("another", "one", seconds=30)
    assert hear(came=False) == Missed(in_all=1, in_a_row=1)
    assert hear(came=False) == Missed(in_all=2, in_a_row=2)
    assert hear(came=True) == Missed(in_all=2, in_a_row=0)
    assert hear(came=False) == Missed(in_all=3, in_a_row=1)
    assert ledger.news.missed("another") == Missed()


def test_who_listens_knows_when_a_webhook_last_said_so(ledger: Ledger, clock: Clock) -> None:
    handoff = quiet(ledger)
    assert claimed(ledger, handoff, Duty.LISTEN).hinted == 0
    clock.seconds += 60
    ledger.handoffs.hint(handoff.request_id)
    ledger.news.tell({handoff.request_id: "t1"})
    work = claimed(ledger, handoff, Duty.LISTEN)
    assert work.hinted == work.now


def test_a_webhook_has_one_secret_whoever_writes_it_down_first(ledger: Ledger) -> None:
    assert ledger.hooks.keep("h", "request.close", "https://bot", "one") == "one"
    assert ledger.hooks.keep("h", "request.close", "https://bot", "two") == "one"
    assert ledger.hooks.all() == {"h": "one"}
    ledger.hooks.forget("h")
    assert ledger.hooks.all() == {}


def test_what_keys_are_made_with_is_made_once_for_all_servers(durable_url: str) -> None:
    one, two = Ledger(durable_url), Ledger(durable_url)
    assert one.hooks.for_keys() == two.hooks.for_keys() == one.hooks.for_keys()
    assert len(one.hooks.for_keys()) > 30
    one.close()
    two.close()
