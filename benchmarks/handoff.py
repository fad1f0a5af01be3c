"""`make bench`: how long the user waits for the action, for conversations of 10 to 10,000 turns.

    python -m benchmarks.handoff [--runs 30]

The action runs as rasa-sdk runs it, against FakeTiledesk over HTTP with a ledger in an SQLite file. What every action
of a bot pays for the same webhook is shown apart: reading its JSON, and `Tracker.from_dict` of rasa-sdk. The worker
that imports the rest in the background is not started: nobody waits for it. The sizes take turns, so that what else
the machine does meets all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rasa_sdk import Tracker
from rasa_sdk.executor import CollectingDispatcher

from benchmarks.world import conversation, fakes, parts_of
from rasa_tiledesk import process, runtime
from rasa_tiledesk.actions import ActionTiledeskHandoff

WARM_UP = 3
SIZES = {"staged": (10, 100, 1_000, 10_000), "direct": (10, 100, 1_000)}


class Times(NamedTuple):
    """One run, in ms."""

    json: float
    tracker: float
    action: float


def main() -> int:
    """Measure; print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    logging.disable(logging.CRITICAL)
    print(f"The action's time in ms, {runs} runs each; what rasa-sdk needs before it: JSON and from_dict, medians")
    print(f"{'import':<8}{'turns':>7}{'median':>9}{'p95':>9}{'JSON':>9}{'from_dict':>11}")
    for way, sizes in SIZES.items():
        for turns, times in _measure(way, sizes, runs).items():
            action, text, tracker = (
                sorted(getattr(time, name) for time in times) for name in ("action", "json", "tracker")
            )
            print(
                f"{way:<8}{turns:>7}{statistics.median(action):>9.1f}{_p95(action):>9.1f}"
                f"{statistics.median(text):>9.1f}{statistics.median(tracker):>11.3f}"
            )
    return 0


def _measure(way: str, sizes: Sequence[int], runs: int) -> dict[int, list[Times]]:
    times: dict[int, list[Times]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, fakes() as (desk, rasa):
        parts = parts_of(desk, rasa, Path(folder), more=f"  history: {{import: {way}}}\n")
        runtime._made = process._started = parts  # whose worker is at work already, as far as the action knows
        process._upkeep = threading.Thread()
        for number in range(WARM_UP + runs):
            for turns in sizes:
                taken = _run(f"sender-{turns}-{number}", turns)
                if number >= WARM_UP:
                    times[turns].append(taken)
        runtime._made = process._started = process._upkeep = None
        parts.ledger.close()
    return times


def _run(sender: str, turns: int) -> Times:
    # Rasa 3.5 and later writes these two into every event.
    metadata = {"model_id": "bench", "assistant_id": "bench"}
    events = [{**event, "metadata": metadata} for event in conversation(turns)]
    webhook = json.dumps({"sender_id": sender, "slots": {"name": "Ann"}, "events": events, "latest_message": {}})
    begin = time.perf_counter()
    read = json.loads(webhook)
    parsed = time.perf_counter()
    tracker = Tracker.from_dict(read)
    built = time.perf_counter()
    answer = asyncio.run(ActionTiledeskHandoff().run(CollectingDispatcher(), tracker, {}))
    done = time.perf_counter()
    assert any(event["event"] == "pause" for event in answer), "the handoff failed"
    return Times((parsed - begin) * 1000, (built - parsed) * 1000, (done - built) * 1000)


def _p95(ordered: Sequence[float]) -> float:
    return ordered[max(0, round(len(ordered) * 0.95) - 1)]


if __name__ == "__main__":
    raise SystemExit(main())
