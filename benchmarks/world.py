"""What the benchmarks share: a bot's conversations, and the parts of an action server with a ledger of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasa_tiledesk.runtime import Runtime, assemble
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk

__all__ = ["Place", "conversation", "fakes", "parts_of"]


def conversation(turns: int, *, start: float = 1_700_000_000.0) -> list[dict[str, Any]]:
    """The events of a session of so many turns, user and bot by turns, as a webhook brings them."""
    events: list[dict[str, Any]] = [
        {"event": "action", "name": "action_session_start", "timestamp": start},
        {"event": "session_started", "timestamp": start},
    ]
    for number in range(turns):
        event: dict[str, Any] = {"text": f"turn {number}", "timestamp": start + number + 1}
        if number % 2 == 0:
            events.append({"event": "user", "message_id": f"m{number}", "parse_data": {}, **event})
        else:
            events.append({"event": "bot", "data": {"buttons": None}, "metadata": {}, **event})
    return events


@dataclass(frozen=True)
class Place:
    """Where a FakeTiledesk of another process is."""

    url: str
    project_id: str
    owner: tuple[str, str]


def parts_of(desk: FakeTiledesk | Place, rasa: FakeRasa, folder: Path, *, more: str = "") -> Runtime:
    """An action server's parts on the fakes, its ledger in the folder unless `more` names one."""
    ledger = "" if "ledger:" in more else f"  ledger: sqlite:///{folder / 'ledger.db'}\n"
    (folder / "endpoints.yml").write_text(
        f"tiledesk:\n  url: {desk.url}\n  project_id: '{desk.project_id}'\n  email: {desk.owner[0]}\n"
        f"  password: '{desk.owner[1]}'\n  relay: {{rasa_url: {rasa.url}}}\n{ledger}{more}"
    )
    return assemble(load_endpoints(folder / "endpoints.yml"))


@contextlib.contextmanager
def fakes() -> Iterator[tuple[FakeTiledesk, FakeRasa]]:
    """A Tiledesk and a Rasa."""
    with FakeTiledesk() as desk, FakeRasa() as rasa:
        yield desk, rasa
