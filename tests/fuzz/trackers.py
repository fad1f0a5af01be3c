"""Whatever stands in a tracker: nothing ends a handoff, and what must not leave does not."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.plan import direct_steps, facts_of, staged_steps
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.trackers import open_reader
from tests.fuzz.telling import ACCOUNT, SECRET, Target, silent
from tests.unit import test_transcript_hostile as hostile
from tests.unit import test_transcript_properties as properties

__all__ = ["TARGETS"]

SETTINGS = Settings(url="http://desk", project_id=ACCOUNT, requester={"slots": ["secret", "x"]})
SAID = st.sampled_from(["{}", "a {} b", "/x{{{}}}", "https://x.y/{}", "http://[{}", "EXTERNAL: {}"])
SPOKEN = hostile.events | st.builds(
    lambda events, said, more: [*events, {"event": "bot", "text": said.format(SECRET), "data": more, "metadata": more}],
    hostile.events,
    SAID,
    hostile.data | hostile.values,
)


def events(held: list[Any]) -> None:
    """Nothing in a tracker may end a handoff: no error at all."""
    whole = [event for event in hostile.filled(held) if isinstance(event, dict)]
    with silent():
        ask = Ask("ann", whole, {"secret": whole, "x": SECRET, "name": whole, "language": None})
        facts = facts_of(ask, SETTINGS, "d", b"secret")
        steps = staged_steps("h", dict(facts), ask, SETTINGS.history, b"secret")
        steps += direct_steps("h", dict(facts), ask, SETTINGS.history, b"secret", whole, unreadable=True)
        json.dumps([step.body for step in steps], allow_nan=False)
    hostile.test_no_event_ends_a_handoff.hypothesis.inner_test(held)  # type: ignore[attr-defined]


def redacted(conversation: tuple[list[dict[str, Any]], list[tuple[str, str]]]) -> None:
    test = properties.test_what_must_not_leave_is_in_no_message_wherever_and_however_it_was_said
    test.hypothesis.inner_test(conversation)  # type: ignore[attr-defined]


ROWS = st.lists(
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.binary(max_size=30)
    | st.text(max_size=30)
    | properties.any_event.map(json.dumps),
    max_size=6,
)


def rows(held: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rasa.db"
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, sender_id, type_name, action_name, data)")
            named = [("ann", "user", row) for row in [*held, SECRET, f'"{SECRET}"', f'["{SECRET}"]', f"{{{SECRET}"]]
            database.executemany("INSERT INTO events (sender_id, type_name, data) VALUES (?, ?, ?)", named)
        reader = open_reader({"type": "sql", "db": str(file)}, rasa_url=None, rasa_token=None)
        with silent():
            assert all(isinstance(event, dict) for event in reader.events("ann", deadline=Deadline(60)))


TARGETS = [
    Target("events", SPOKEN, events),
    Target("redacted", properties.conversations(), redacted),
    Target("rows", ROWS, rows),
]
