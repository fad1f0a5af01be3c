"""A ledger on a real database server, when that is slow, cut off, or shared by servers whose clocks differ."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.ledger import Duty, End, Ledger, Outcome, Stage
from rasa_tiledesk.ledger import database as limits
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from tests.contract.ledgers import begin, live, message, stages, take
from tests.databases import SERVERS, ledger_url
from tests.unit.conftest import Clock, World, conversation

pytestmark = pytest.mark.live

TO_AGENTS, TO_USER = Duty.TO_AGENTS, Duty.TO_USER


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ledger_url(request.param, tmp_path) as made:
        yield made


def administer(url: str, statement: str) -> list[int]:
    """Run a statement on a connection of its own; the first column of what it finds."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            found = connection.execute(sa.text(statement))
            return [row[0] for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def cut(url: str) -> int:
    """End all connections to the database, as its restart does; how many there were."""
    if url.startswith("postgresql"):
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        return len(administer(url, f"{cut} WHERE datname = current_database() AND pid <> pg_backend_pid()"))
    others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ids = administer(url, others)
    for one in ids:
        administer(url, f"KILL {one}")
    return len(ids)


# What a process of another clock does: claims what is due by its own time, if it goes by that, and prints what it got.
_OTHER = """
import sys, time
true = time.time
time.time = lambda: true() + float(sys.argv[2])
from rasa_tiledesk.ledger import Ledger
ledger = Ledger(sys.argv[1])
print(ledger.now() - int(true() * 1000))
while True:
    work = ledger.lanes.claim("other", seconds=60)
    if work is None:
        break
    print(work.duty.value)
"""


def other_process(url: str, skew: float) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _OTHER, url, str(skew)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


@pytest.mark.parametrize("skew", [60, -60, 90])
def test_a_server_whose_clock_is_wrong_steals_no_lease_and_takes_nothing_early(server_url: str, skew: float) -> None:
    ledger = Ledger(server_url)
    handoff, work = begin(ledger, seconds=30)
    other, theirs = begin(ledger, "bob", seconds=30)
    ledger.lanes.leave(theirs, again_in=30, error="no")
    difference, *got = other_process(server_url, skew)
    assert abs(int(difference)) < 30_000, "it goes by the database's clock"
    assert got == []
    ledger.lanes.advance(work, seconds=30, ended=[(ledger.lanes.unfinished(handoff.id, TO_AGENTS)[0], Outcome())])
    ledger.lanes.leave(work)
    ledger.handoffs.due_now(other.id)
    assert other_process(server_url, skew).count("to_agents") == 2
    ledger.close()


def test_the_first_start_of_three_servers_at_once_succeeds(server_url: str) -> None:
    start = "import sys; sys.stdin.read(); from rasa_tiledesk.ledger import Ledger; Ledger(sys.argv[1])"
    for _ in range(3):
        command = [sys.executable, "-c", start, server_url]
        servers = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        for server in servers:
            assert server.stdin is not None
            server.stdin.close()
        errors = [server.stderr.read() for server in servers if server.stderr is not None]
        assert [server.wait() for server in servers] == [0, 0, 0], errors
        empty(server_url)


def test_the_first_start_in_many_threads_at_once_succeeds(server_url: str) -> None:
    failed: list[BaseException] = []
    for _ in range(4):
        ready = threading.Barrier(3)

        def start(ready: threading.Barrier = ready) -> None:
            try:
                ready.wait()
                Ledger(server_url).close()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=start) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        empty(server_url)
    assert failed == []


def empty(url: str) -> None:
    """Drop all tables."""
    engine = sa.create_engine(url)
    known = sa.MetaData()
    known.reflect(engine)
    known.drop_all(engine)
    engine.dispose()


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "mysql+pymysql"])
def test_a_database_that_accepts_and_says_nothing_is_given_up(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 2)
    monkeypatch.setitem(limits._POSTGRESQL, "connect_timeout", 2)
    monkeypatch.setitem(limits._LIMITS["pymysql"], "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(LedgerError) as caught:
            Ledger(f"{driver}://ann:hush@127.0.0.1:{silent.getsockname()[1]}/ledger")
        assert "hush" not in str(caught.value)
        silent.settimeout(0)
        attempts = 0
        while True:
            try:
                silent.accept()[0].close()
            except BlockingIOError:
                break
            attempts += 1
    assert attempts == 1, "one connection is tried, not several in a row"


def test_a_row_that_somebody_holds_is_not_waited_for_for_ever_and_nothing_is_lost_by_it(server_url: str) -> None:
    ledger = Ledger(server_url)
    handoff = live(ledger)
    engine = sa.create_engine(server_url)
    with engine.begin() as holder:
        holder.execute(sa.text("SELECT * FROM tiledesk_handoff FOR UPDATE")).all()
        with pytest.raises(LedgerError):
            ledger.handoffs.hint(handoff.request_id) and ledger.handoffs.end(handoff.id, End.USER)
        assert ledger.handoffs.get(handoff.id).is_open, "who reads waits for nobody"
    engine.dispose()
    assert ledger.handoffs.end(handoff.id, End.USER)
    assert take(ledger, handoff, TO_USER) == ["give_back"]
    ledger.close()


def test_connections_that_were_cut_while_nothing_ran_are_not_noticed(server_url: str) -> None:
    ledger = Ledger(server_url)
    handoff = live(ledger)
    assert cut(server_url) > 0
    assert ledger.handoffs.get(handoff.id).is_open
    assert ledger.handoffs.end(handoff.id, End.USER)
    ledger.close()


def test_a_connection_that_is_cut_in_a_transaction_writes_nothing_and_the_next_one_all(server_url: str) -> None:
    ledger = Ledger(server_url)
    handoff, work = begin(ledger, plan=[message("k1"), message("k2")])
    one, two = ledger.lanes.unfinished(handoff.id, TO_AGENTS)

    moments = iter([cut])

    def cuts(*_: object) -> None:
        for now in moments:
            now(server_url)

    sa.event.listen(ledger._database._engine, "commit", cuts)
    with pytest.raises(LedgerError):
        ledger.lanes.advance(work, seconds=60, ended=[(one, Outcome())], send=two)
    assert set(stages(ledger, handoff, TO_AGENTS).values()) == {Stage.WAITING}
    ledger.lanes.advance(work, seconds=60, ended=[(one, Outcome())], send=two)
    assert stages(ledger, handoff, TO_AGENTS) == {"k1": Stage.DONE, "k2": Stage.SENT}
    ledger.close()


def test_connections_cut_again_and_again_in_mid_conversation_lose_and_double_nothing(server_url: str) -> None:
    """A worker goes on after each failure; what is due stays due."""
    clock = Clock()
    with FakeTiledesk() as tiledesk, FakeRasa() as rasa:
        ledger = Ledger(server_url, clock=clock, per_minute=10_000)
        world = World(tiledesk, rasa, clock, ledger)
        rasa.add("ann", conversation(5))
        handoff = world.ask(conversation(5)).handoff
        assert handoff is not None
        worker, statements, failures = world.worker(), 0, 0

        def cuts(*_: object) -> None:
            nonlocal statements
            statements += 1
            if statements % 40 == 0:
                cut(server_url)

        sa.event.listen(ledger._database._engine, "before_cursor_execute", cuts)
        for moment in range(60):
            if moment == 20:
                tiledesk.agent_says(handoff.request_id, "one")
                tiledesk.agent_says(handoff.request_id, "two")
            if moment == 40:
                tiledesk.close_as_agent(handoff.request_id)
            for _ in range(200):
                try:
                    if not (worker.run_once() or worker.ask_for_news()):
                        break
                except LedgerError:
                    failures += 1
            clock.seconds += 20
        sa.event.remove(ledger._database._engine, "before_cursor_execute", cuts)
        assert failures > 3
        assert [m["text"] for m in world.said(handoff)] == [f"turn {number}" for number in range(5)]
        heard = [str(m["text"]) for m in rasa.delivered["callback"]]
        assert [text for text in heard if text in ("one", "two")] == ["one", "two"]
        assert sum("has ended" in text for text in heard) == 1
        assert not rasa.paused("ann")
        assert world.now(handoff).end is End.AGENT
        ledger.close()
