"""What a ledger promises, shown on every database it may live in."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.ledger import Direction, Handoff, Ledger, State
from tests.databases import throw_away_database


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


DURABLE = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.live),
    pytest.param("mariadb", marks=pytest.mark.live),
]


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "memory":
        yield "sqlite://"
    elif kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
    else:
        with throw_away_database(kind) as url:
            yield url


@pytest.fixture(params=["memory", *DURABLE])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=DURABLE)
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    made = Ledger(url, clock=clock)
    yield made
    made.close()


def begin(ledger: Ledger, sender: str = "ann", *, seconds: float = 30, messages: Any = ()) -> Handoff:
    handoff, new = ledger.begin(
        uuid.uuid4().hex, sender, f"request-{uuid.uuid4().hex}", {"a": "ü"}, list(messages), lease="me", seconds=seconds
    )
    assert new
    return handoff


def test_an_ask_is_written_down_with_what_is_to_be_carried(ledger: Ledger) -> None:
    handoff = begin(ledger, messages=[(0, "k0", {"text": "😊 שלום"}), (1000, "k1", {"text": "b"})])
    assert handoff.state is State.ASKED
    assert handoff.context == {"a": "ü"}
    assert [(m.position, m.key, m.body["text"]) for m in ledger.pending(handoff.id)] == [
        (0, "k0", "😊 שלום"),
        (1000, "k1", "b"),
    ]


def test_a_sender_has_one_open_handoff_and_any_number_of_past_ones(ledger: Ledger, clock: Clock) -> None:
    first = begin(ledger)
    again, new = ledger.begin(uuid.uuid4().hex, "ann", "other", {}, [], lease="me", seconds=1)
    assert (again.id, new) == (first.id, False)
    ledger.move(ledger.move(first, State.LIVE), State.CLOSED)
    assert ledger.open_handoff("ann") is None
    clock.seconds += 1
    second = begin(ledger)
    assert [handoff.id for handoff in ledger.of_sender("ann")] == [first.id, second.id]


def test_sender_ids_that_differ_in_case_accents_length_or_spaces_are_others(ledger: Ledger) -> None:
    for sender in ("Ann", "ann", "änn", "ann ", "a" * 300, "a" * 301, "😊", "a/b"):
        begin(ledger, sender)
        found = ledger.open_handoff(sender)
        assert found is not None
        assert found.sender_id == sender


def test_of_many_asks_at_once_one_is_new(url: str) -> None:
    ledger = Ledger(url)
    new: list[bool] = []
    ready = threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        new.append(ledger.begin(uuid.uuid4().hex, "ann", uuid.uuid4().hex, {}, [], lease="x", seconds=1)[1])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False] * 7 + [True]
    ledger.close()


def test_only_drawn_transitions_are_made_and_each_is_in_the_history(ledger: Ledger, clock: Clock) -> None:
    handoff = begin(ledger)
    clock.seconds += 1
    live = ledger.move(handoff, State.LIVE)
    with pytest.raises(LedgerError):
        ledger.move(live, State.IMPORTING)
    assert ledger.move(handoff, State.LIVE).state is State.LIVE  # made by another before: not made twice
    ledger.move(live, State.CLOSED, note="agent")
    assert [(at, state, note) for at, state, note in ledger.history(handoff.id)] == [
        (1_000_000_000, State.ASKED, None),
        (1_000_001_000, State.LIVE, None),
        (1_000_001_000, State.CLOSED, "agent"),
    ]
    assert ledger.counts() == {State.CLOSED: 1}


def test_work_is_claimed_by_one_when_due_and_by_another_when_the_lease_ran_out(ledger: Ledger, clock: Clock) -> None:
    handoff = begin(ledger, seconds=30)
    assert ledger.claim("other", seconds=60) is None
    clock.seconds += 31
    claimed = ledger.claim("other", seconds=60)
    assert claimed is not None
    assert claimed.id == handoff.id
    assert ledger.claim("third", seconds=60) is None
    assert not ledger.advance(handoff.id, "me", seconds=60)
    assert ledger.advance(handoff.id, "other", seconds=60)
    ledger.release(handoff.id, "other")
    assert ledger.claim("third", seconds=60) is not None


def test_many_workers_claim_each_handoff_once(url: str) -> None:
    ledger = Ledger(url)
    wanted = set()
    for number in range(20):
        handoff = begin(ledger, f"sender {number}", seconds=0)
        wanted.add(handoff.id)
    claimed: list[str] = []

    def work(name: str) -> None:
        misses = 0
        while misses < 3:
            handoff = ledger.claim(name, seconds=600)
            if handoff is None:
                misses += 1
            else:
                claimed.append(handoff.id)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(wanted)
    ledger.close()


def test_what_arrived_is_known_and_its_text_forgotten(ledger: Ledger) -> None:
    handoff = begin(ledger, messages=[(place, f"k{place}", {"text": "secret"}) for place in range(3)])
    ledger.advance(handoff.id, "me", seconds=9, attempt=["k0"])
    ledger.advance(handoff.id, "me", seconds=9, arrived=["k0"], attempt=["k1"])
    assert [(m.key, m.attempted, m.arrived, dict(m.body)) for m in ledger.messages(handoff.id)] == [
        ("k0", True, True, {}),
        ("k1", True, False, {"text": "secret"}),
        ("k2", False, False, {"text": "secret"}),
    ]
    ledger.forget_texts(handoff.id)
    assert all(not m.body for m in ledger.messages(handoff.id))


def test_what_others_add_to_the_context_meanwhile_stays(ledger: Ledger) -> None:
    stale = begin(ledger)
    ledger.remember(stale, ending="user")
    assert ledger.remember(stale, older=False).context == {"a": "ü", "ending": "user", "older": False}
    assert ledger.remember(stale, requester_id="r").requester_id == "r"


def say(ledger: Ledger, *keys: str, sender: str = "ann", before: str | None = None, lease: str = "say") -> Any:
    """The user says the last of these; the ones before it, if any, were missed."""
    words = [(key, {"text": key}) for key in keys]
    return ledger.say(
        sender, keys[-1], before, lambda _, known: words[-1:] if known else words, lease=lease, seconds=20
    )


def test_what_the_user_says_is_sent_at_once_only_when_nothing_else_is_on_its_way(ledger: Ledger, clock: Clock) -> None:
    handoff = ledger.move(begin(ledger), State.LIVE)
    ledger.release(handoff.id, "me")
    assert say(ledger, "k", sender="bob") == (None, None)
    one, at_once = say(ledger, "k1")
    assert (one.id, at_once) == (handoff.id, "k1")
    assert say(ledger, "k2", lease="other")[1] is None
    ledger.said(handoff.id, "say", "k1")
    assert [message.key for message in ledger.pending(handoff.id)] == ["k2"]
    assert say(ledger, "k1")[1] is None
    claimed = ledger.claim("worker", seconds=9)
    assert claimed is not None, "what is left is due"


def test_what_the_user_says_puts_off_nothing_that_is_due(ledger: Ledger, clock: Clock) -> None:
    handoff = ledger.move(begin(ledger), State.LIVE, due_in=5)
    ledger.release(handoff.id, "me")
    assert say(ledger, "k1")[1]
    ledger.said(handoff.id, "say", "k1")
    clock.seconds += 6
    assert ledger.claim("worker", seconds=9) is not None


def test_what_the_user_says_is_due_again_when_the_one_who_sends_it_dies(ledger: Ledger, clock: Clock) -> None:
    handoff = ledger.move(begin(ledger), State.LIVE, due_in=600)
    ledger.release(handoff.id, "me")
    assert say(ledger, "k1")[1]
    clock.seconds += 21
    assert ledger.claim("worker", seconds=9) is not None


def test_what_was_missed_comes_before_what_is_said_now_and_what_is_there_not_again(ledger: Ledger) -> None:
    handoff = ledger.move(begin(ledger), State.LIVE, due_in=600)
    ledger.release(handoff.id, "me")
    assert say(ledger, "k1")[1] == "k1"
    ledger.said(handoff.id, "say", "k1")
    assert say(ledger, "k1", "k2", "k3", before="k2")[1] == "k2"
    assert [(m.key, m.attempted) for m in ledger.pending(handoff.id)] == [("k2", True), ("k3", False)]
    ledger.said(handoff.id, "say", "k2")
    assert ledger.claim("worker", seconds=9) is not None, "what is left is due"
    assert say(ledger, "k3", "k4", before="k3")[1] is None
    assert [m.key for m in ledger.pending(handoff.id)] == ["k3", "k4"]


def test_later_messages_queue_behind_and_no_key_twice(ledger: Ledger) -> None:
    handoff = begin(ledger, messages=[(1000, "k0", {})])
    assert ledger.enqueue(handoff.id, [("k1", {}), ("k2", {})]) == 2
    assert ledger.enqueue(handoff.id, [("k2", {}), ("k3", {})]) == 1
    ledger.insert(handoff.id, [(1, "summary", {}), (2, "k3", {})])
    assert [m.key for m in ledger.pending(handoff.id)] == ["summary", "k0", "k1", "k2", "k3"]


def test_how_much_ever_reached_a_user_is_counted_over_all_their_handoffs(ledger: Ledger) -> None:
    handoff = begin(ledger, messages=[(1000, "k0", {})])
    ledger.enqueue(handoff.id, [("a", {}), ("b", {})], Direction.TO_USER)
    assert ledger.delivered("ann") == 0
    assert ledger.advance(handoff.id, "me", seconds=9, arrived=["k0", "a"])
    assert (ledger.delivered("ann"), ledger.delivered("bob")) == (1, 0)


def test_work_that_failed_comes_back_later_and_counts(ledger: Ledger, clock: Clock) -> None:
    handoff = begin(ledger, seconds=0)
    ledger.postpone(handoff.id, seconds=5, error="no")
    assert ledger.claim("w", seconds=1) is None
    clock.seconds += 5
    claimed = ledger.claim("w", seconds=1)
    assert claimed is not None
    assert (claimed.attempts, claimed.last_error) == (1, "no")
    ledger.due_in(handoff.id, 5)
    assert ledger.handoff(handoff.id).attempts == 0


def test_nothing_is_due_when_all_arrived_and_something_when_a_message_was_queued_meanwhile(
    ledger: Ledger, clock: Clock
) -> None:
    handoff = begin(ledger, seconds=0)
    ledger.done(handoff.id)
    assert ledger.claim("w", seconds=1) is None
    ledger.enqueue(handoff.id, [("k", {})])
    ledger.done(handoff.id)
    assert ledger.claim("w", seconds=1) is not None


def test_a_long_turn_fits(ledger: Ledger) -> None:
    handoff = begin(ledger, messages=[(0, "k", {"text": "x" * 300_000})])
    assert len(ledger.pending(handoff.id)[0].body["text"]) == 300_000


def test_a_ledger_is_opened_again_and_by_several(durable_url: str) -> None:
    one = Ledger(durable_url)
    handoff = begin(one)
    other = Ledger(durable_url)
    assert other.handoff(handoff.id) == handoff
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
