"""Reading a conversation: by us into a transcript, and by Rasa's own `retrieve_full_tracker`.

    python -m benchmarks.read

The data is the recorded conversation of the real Rasa 3.6.21, repeated with other times, in Rasa's table in SQLite and
in PostgreSQL (TEST_POSTGRESQL_URL); each figure comes from a process of its own (read_once.py), all in one run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rasa_tiledesk.testing.conversations import load
from tests.databases import POSTGRESQL, own_database
from tests.rasa_python import rasa_python

SIZES = (50, 100, 1_000, 10_000, 100_000)  # events; a conversation of each is there
COMPARED = 10_000

_TABLE = sa.Table(  # as rasa 3.6.21 makes it
    "events",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sender_id", sa.String(255), nullable=False, index=True),
    sa.Column("type_name", sa.String(255), nullable=False),
    sa.Column("timestamp", sa.Float),
    sa.Column("intent_name", sa.String(255)),
    sa.Column("action_name", sa.String(255)),
    sa.Column("data", sa.Text),
)


def recorded(events: int) -> Iterator[dict[str, Any]]:
    """The recorded conversation again and again, an hour later each time, until there are so many events."""
    told = load("shop")
    for number in range(events):
        event = dict(told[number % len(told)])
        event["timestamp"] += 3600.0 * (number // len(told))
        yield event


def fill(url: sa.engine.URL) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as database:
        _TABLE.metadata.create_all(database)
        for size in SIZES:
            rows = [
                {
                    "sender_id": f"user-{size}",
                    "type_name": event["event"],
                    "timestamp": event["timestamp"],
                    "action_name": event.get("name"),
                    "data": json.dumps(event),
                }
                for event in recorded(size)
            ]
            database.execute(_TABLE.insert(), rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as database:
        database.execute(sa.text("ANALYZE"))
    engine.dispose()


@contextlib.contextmanager
def databases() -> Iterator[dict[str, dict[str, Any]]]:
    """The `tracker_store` sections of SQLite and PostgreSQL, filled."""
    with tempfile.TemporaryDirectory() as folder, own_database(POSTGRESQL) as url:
        file = Path(folder) / "rasa.db"
        fill(sa.engine.make_url(f"sqlite:///{file}"))
        fill(url)
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        yield {"SQLite": {"type": "SQL", "db": str(file)}, "PostgreSQL": {"type": "SQL", "url": dsn}}


def measure(by: str, what: str, section: dict[str, Any], size: int, *, last: int | None = None) -> float:
    """Seconds or bytes of one read."""
    job = {"by": by, "what": what, "section": section, "sender_id": f"user-{size}", "last": last}
    python = rasa_python() if by == "rasa" else sys.executable
    script = str(Path(__file__).with_name("read_once.py"))
    root = {} if by == "rasa" else {"PYTHONPATH": str(Path(__file__).parent.parent)}
    env = {**os.environ, "SQLALCHEMY_SILENCE_UBER_WARNING": "1", "PYTHONWARNINGS": "ignore", **root}
    run = subprocess.run([python, script, json.dumps(job)], env=env, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(run.stderr[-2000:])
    found: dict[str, float] = json.loads(run.stdout)
    return found["seconds" if what == "time" else "bytes"]


def main() -> int:
    with databases() as sections:
        print(f"A conversation of {COMPARED:,} events\n")
        print(f"{'':12}{'rasa ms':>10}{'ours ms':>10}{'times':>8}{'rasa MB':>10}{'ours MB':>10}{'part':>8}")
        met = True
        for name, section in sections.items():
            rasa, ours = (measure(by, "time", section, COMPARED) * 1e3 for by in ("rasa", "us"))
            rasa_mb, ours_mb = (measure(by, "memory", section, COMPARED) / 1e6 for by in ("rasa", "us"))
            met = met and rasa >= 10 * ours and ours_mb * 5 <= rasa_mb
            print(f"{name:12}{rasa:10.0f}{ours:10.1f}{rasa / ours:8.1f}", end="")
            print(f"{rasa_mb:10.1f}{ours_mb:10.1f}{ours_mb / rasa_mb:8.2f}")
        print("\nGrowth, ms by us\n")
        print(f"{'events':12}" + "".join(f"{size:>10,}" for size in SIZES))
        for name, section in sections.items():
            times = [measure("us", "time", section, size) * 1e3 for size in SIZES]
            print(f"{name:12}" + "".join(f"{each:10.1f}" for each in times))
        print("\n`scope: {last: 50}`, ms by us\n")
        print(f"{'events':12}" + "".join(f"{size:>10,}" for size in SIZES))
        for name, section in sections.items():
            times = [measure("us", "time", section, size, last=50) * 1e3 for size in SIZES]
            print(f"{name:12}" + "".join(f"{each:10.1f}" for each in times))
    print("\nAt least 10 times as fast, at most a fifth of the memory:", "yes" if met else "NO")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
