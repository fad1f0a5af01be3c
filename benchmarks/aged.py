"""`make bench`: what a ledger full of past handoffs costs those of today.

    python -m benchmarks.aged [--past 1000000] [--times 300] [--databases sqlite postgresql]

Two ledgers on each database, one empty, one with so many handoffs of the last 90 days, each with its duties, five steps
and three lines of history. On both, by turns in one run: asking, what a user says, claiming and leaving what is due,
health and metrics (one count of all states), and what `rasa-tiledesk status` reads. Medians, and the ratio.

PostgreSQL is the server of TEST_POSTGRESQL_URL.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from rasa_tiledesk.ledger import OPEN_LIVES, Duty, End, Kind, Ledger, Life, NewStep, Said
from rasa_tiledesk.ledger.schema import duties, handoffs, history, steps
from tests.databases import ledger_url

# i counts the handoffs, k the rows of each.
_NUMBERS = {
    "sqlite": (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {past}),"
        " m(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM m WHERE k + 1 < {each})"
        " INSERT INTO {into} SELECT {values} FROM n CROSS JOIN m"
    ),
    "postgresql": (
        "INSERT INTO {into} SELECT {values} FROM generate_series(0, {past} - 1) AS i,"
        " generate_series(0, {each} - 1) AS k"
    ),
}
_NAME = {"sqlite": "printf('%032x', {0})", "postgresql": "lpad(to_hex({0}), 32, '0')"}
_COLUMNS = {
    handoffs.name: (
        "id sender_id sender_key request_id requester_id life end facts created ended spoke joined heard looked"
        " asked_by"
    ),
    steps.name: "handoff_id lane position key kind speaker body stage sent tries refusals refused_since",
    duties.name: "handoff_id duty due woken hinted lease_until attempts",
    history.name: "handoff_id at life",
}
_DAY = 24 * 3600 * 1000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--past", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--databases", nargs="+", default=list(_NUMBERS), choices=list(_NUMBERS))
    plan = parser.parse_args()
    for kind in plan.databases:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            ledgers = []
            for name in ("empty", "aged"):
                (Path(folder) / name).mkdir()
                url = stack.enter_context(ledger_url(kind, Path(folder) / name))
                ledgers.append(Ledger(url))
                stack.callback(ledgers[-1].close)
            begin = time.perf_counter()
            _fill(url, ledgers[1].now(), kind, plan.past)
            made = time.perf_counter() - begin
            print(f"{kind}: {plan.past:,d} past handoffs, made in {made:.0f} s; median ms of {plan.times}")
            print(f"  {'':24s} {'empty':>9s} {'aged':>9s} {'ratio':>7s}")
            for name, (empty, aged) in _measure(*ledgers, plan.times).items():
                print(f"  {name:24s} {empty * 1000:9.2f} {aged * 1000:9.2f} {aged / empty:7.2f}", flush=True)
    return 0


def _fill(url: str, now: int, kind: str, past: int) -> None:
    """By the database itself, it would take an hour otherwise; without the ledger's limits of time."""
    engine, name = sa.create_engine(url), _NAME[kind]
    one = name.format("i")
    ended = f"CAST({now} - {90 * _DAY}.0 * ({past} - i) / {past} AS BIGINT)"
    failed = "i % 100 = 0"
    life = f"CASE WHEN {failed} THEN '{Life.FAILED.value}' ELSE '{Life.OVER.value}' END"
    end = f"CASE WHEN {failed} THEN '{End.FAILED.value}' ELSE '{End.AGENT.value}' END"
    user = name.format(f"i % {max(1, past // 2)}")
    lane = f"CASE WHEN k < 3 THEN '{Duty.TO_AGENTS.value}' ELSE '{Duty.TO_USER.value}' END"
    duty = " ".join(f"WHEN {number} THEN '{duty.value}'" for number, duty in enumerate(Duty))
    rows = {
        handoffs: (
            1,
            f"{one}, {user}, {user}, {one}, {user}, {life}, {end}, '{{}}', {ended} - 600000, {ended}, {ended},"
            f" {failed}, '2026-11-25T12:00:00+00:00', {ended}, {one}",
        ),
        steps: (5, f"{one}, {lane}, k, 'step-' || k, '{Kind.MESSAGE.value}', '', '{{}}', 'done', {ended}, 1, 0, 0"),
        duties: (len(Duty), f"{one}, CASE k {duty} END, NULL, 1, 0, 0, 0"),
        history: (3, f"{one}, {ended} - k, '{Life.OVER.value}'"),
    }
    for table, (each, values) in rows.items():
        columns = ", ".join(f'"{name}"' for name in _COLUMNS[table.name].split())
        query = _NUMBERS[kind].format(past=past, each=each, into=f"{table.name} ({columns})", values=values)
        with engine.begin() as connection:
            connection.exec_driver_sql(query.replace("%", "%%") if kind == "postgresql" else query)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _measure(empty: Ledger, aged: Ledger, times: int) -> dict[str, tuple[float, float]]:
    """Seconds of each thing on the empty and on the aged ledger, in turn."""
    works: dict[str, list[Iterator[None]]] = {
        name: [work(empty), work(aged)]
        for name, work in {
            "ask": _asks,
            "what a user says": _says,
            "claim and leave": _claims,
            "health, metrics": _counts,
            "status": _status,
        }.items()
    }
    found = {}
    for name, both in works.items():
        spent: list[list[float]] = [[], []]
        for _ in range(times):
            for times_of, work in zip(spent, both):
                begin = time.perf_counter()
                next(work)
                times_of.append(time.perf_counter() - begin)
        found[name] = (statistics.median(spent[0]), statistics.median(spent[1]))
    return found


def _begin(ledger: Ledger, sender: str) -> str:
    message = NewStep("opening", Kind.OPEN, {"message": {"text": "hello"}})
    names = [uuid.uuid4().hex for _ in range(3)]
    handoff, _ = ledger.handoffs.begin(
        names[0], sender, names[1], {}, [message], asked_by=names[2], lease="bench", seconds=3_600
    )
    return handoff.id


def _asks(ledger: Ledger) -> Iterator[None]:
    for number in itertools.count():
        _begin(ledger, f"asks-{number}")
        yield


def _says(ledger: Ledger) -> Iterator[None]:
    _begin(ledger, "says")
    for number in itertools.count():
        said = Said([NewStep(f"said-{number}", Kind.MESSAGE, {"message": {"text": "hello"}}, "user")])
        ledger.words.say("says", f"said-{number}", None, lambda *_, said=said: said, lease=None, seconds=20)  # type: ignore[misc]
        yield


def _claims(ledger: Ledger) -> Iterator[None]:
    handoff = _begin(ledger, "claims")
    ledger.handoffs.due_now(handoff)
    while True:
        work = ledger.lanes.claim("claims", seconds=20)
        assert work is not None
        ledger.lanes.leave(work, again_in=0)
        yield


def _counts(ledger: Ledger) -> Iterator[None]:
    while True:
        ledger.handoffs.counts()
        yield


def _status(ledger: Ledger) -> Iterator[None]:
    while True:
        ledger.handoffs.in_life(*OPEN_LIVES, Life.FAILED, newest=50)
        ledger.handoffs.counts()
        yield


if __name__ == "__main__":
    raise SystemExit(main())
