"""A bot's action server in this process, without a web application: its settings, its actions, its worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rasa_sdk import Tracker
from rasa_sdk.executor import CollectingDispatcher

from rasa_tiledesk import process, runtime
from rasa_tiledesk.actions import ActionTiledeskHandoff
from rasa_tiledesk.handoff import worker
from rasa_tiledesk.ledger import Handoff, Life
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk
from tests.waiting import until

__all__ = ["Acting", "acting_between", "look_often", "names", "run", "run_many", "tracker"]

DOMAIN = {"responses": {"utter_tiledesk_connecting": [{"text": "One moment"}]}}


class Acting:
    """Between a Tiledesk and a Rasa."""

    def __init__(self, folder: Path, tiledesk: FakeTiledesk, rasa: FakeRasa) -> None:
        self.tiledesk = tiledesk
        self.rasa = rasa
        self._folder = folder
        self.configure()

    def configure(self, **changes: str) -> None:
        """Write endpoints.yml; before the first action."""
        keys = {
            "url": self.tiledesk.url,
            "project_id": f'"{self.tiledesk.project_id}"',
            "email": self.tiledesk.owner[0],
            "password": self.tiledesk.owner[1],
            "ledger": f"sqlite:///{self._folder / 'ledger.db'}",
            "relay": f"{{rasa_url: {self.rasa.url}}}",
            **changes,
        }
        lines = "".join(f"  {key}: {value}\n" for key, value in keys.items())
        (self._folder / "endpoints.yml").write_text(f"tiledesk:\n{lines}")

    def live(self, sender: str, events: list[dict[str, Any]]) -> Handoff:
        """A handoff that agents have."""
        return self.live_many([sender], events)[0]

    def live_many(self, senders: list[str], events: list[dict[str, Any]]) -> list[Handoff]:
        """The same of several at once."""
        asks = [tracker(events, sender=sender) for sender in senders]
        # A few at a time: an ask has 8 seconds, on a busy machine too.
        answers = [one for at in range(0, len(asks), 8) for one in run_many(ActionTiledeskHandoff(), asks[at : at + 8])]
        for sender, (_, answered) in zip(senders, answers):
            stamped = [{**event, "timestamp": events[-1]["timestamp"] + 0.1} for event in answered]
            self.rasa.add(sender, [*events, *stamped])
        handoffs = runtime.runtime().ledger.handoffs
        until(lambda: handoffs.counts().get(Life.LIVE) == len(senders), "that agents have them", seconds=90)
        return [handoffs.get(answered[0]["value"]) for _, answered in answers]


def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers look for what is due, and ask for news, five times as often: a test waits for each look."""
    monkeypatch.setattr(worker, "POLL_SECONDS", worker.POLL_SECONDS / 5)
    monkeypatch.setattr(runtime, "POLL_SECONDS", runtime.POLL_SECONDS / 5)


def acting_between(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Acting]:
    """A process of its own, as far as our modules know."""
    monkeypatch.setattr(runtime, "_made", None)
    monkeypatch.setattr(process, "_started", None)
    monkeypatch.setattr(process, "_upkeep", None)
    monkeypatch.setattr(process, "_stopping", threading.Event())
    monkeypatch.setenv("RASA_TILEDESK_ENDPOINTS", str(folder / "endpoints.yml"))
    look_often(monkeypatch)
    with FakeTiledesk() as tiledesk, FakeRasa() as rasa:
        yield Acting(folder, tiledesk, rasa)
        tiledesk.faults = None
        tiledesk.close()  # lets go what hangs
        process.stop()
        if runtime._made is not None:
            runtime._made.ledger.close()


def tracker(
    events: list[dict[str, Any]],
    slots: dict[str, Any] | None = None,
    *,
    sender: str = "ann",
    form: str | None = None,
    paused: bool = False,
    bare: bool = False,
) -> Tracker:
    """What rasa-sdk gives an action; bare, without what is false or empty."""
    state = {
        "sender_id": sender,
        "slots": slots or {},
        "events": events,
        "latest_message": {},
        "paused": paused,
        "active_loop": {"name": form} if form else {},
    }
    return Tracker.from_dict({name: value for name, value in state.items() if value or not bare})


def run(action: Any, of: Tracker, domain: dict[str, Any] | None = None) -> tuple[list[Any], list[dict[str, Any]]]:
    """(what was said, the events) of one action."""
    return run_many(action, [of], domain)[0]


def run_many(
    action: Any, of: list[Tracker], domain: dict[str, Any] | None = None
) -> list[tuple[list[Any], list[dict[str, Any]]]]:
    """The same of several at once."""

    async def each(one: Tracker) -> tuple[list[Any], list[dict[str, Any]]]:
        dispatcher = CollectingDispatcher()
        events = await action.run(dispatcher, one, DOMAIN if domain is None else domain)
        return dispatcher.messages, events

    async def all_of_them() -> list[tuple[list[Any], list[dict[str, Any]]]]:
        return list(await asyncio.gather(*map(each, of)))

    return asyncio.run(all_of_them())


def names(events: list[dict[str, Any]]) -> list[str]:
    """What happened."""
    return [event["event"] for event in events]
