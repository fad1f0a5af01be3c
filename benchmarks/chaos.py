"""`make chaos`: 1,000 handoffs of 30 turns while Tiledesk fails in every way we know, and is away for a minute.

    python -m benchmarks.chaos [--handoffs 1000] [--turns 30] [--seed 1] [--outage 60]

What goes wrong is decided by the seed, the route and the number of the call. Exits 1 when a turn was lost, doubled or
out of order, or when anything is not finished after five minutes.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.world import Place, conversation, parts_of
from rasa_tiledesk import http
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.conversation import Ask
from rasa_tiledesk.handoff.ledger import State
from rasa_tiledesk.runtime import Runtime
from rasa_tiledesk.testing import Call, FakeRasa, FakeTiledesk, Fault

FAULTY = 0.04  # of all calls
TIMEOUT = 1.0  # seconds that our side waits for an answer


def main() -> int:
    """Run the plan; print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--handoffs", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds during which Tiledesk refuses connections")
    plan = parser.parse_args()
    logging.disable(logging.CRITICAL)
    http.READ_TIMEOUT = TIMEOUT
    http.Http.__init__.__kwdefaults__["read_timeout"] = TIMEOUT
    names = [f"sender-{number}" for number in range(plan.handoffs)]
    with tempfile.TemporaryDirectory() as folder, FakeRasa() as rasa:
        spawn = multiprocessing.get_context("spawn")
        tiledesk, theirs = spawn.Pipe()
        process = spawn.Process(target=_tiledesk, args=(theirs, plan.seed), daemon=True)
        process.start()
        parts = parts_of(tiledesk.recv(), rasa, Path(folder))
        parts.worker.start()
        begin = time.monotonic()
        outage = threading.Thread(target=_outage, args=(tiledesk, plan.outage))
        outage.start()
        for name in names:
            rasa.add(name, [{"event": "pause", "timestamp": 1.0}])
        with ThreadPoolExecutor(8) as users:
            refused = sum(users.map(lambda name: _ask(parts, name, plan.turns), names))
        outage.join()
        finished = _wait(parts, plan.handoffs, until=begin + 290)
        seconds = time.monotonic() - begin
        parts.worker.stop()
        tiledesk.send("tell")
        injected, requests = tiledesk.recv()
        process.join()
        figures = _check(parts, requests, names, plan.turns)

    print(f"{plan.handoffs} handoffs of {plan.turns} turns in {seconds:.0f} s, seed {plan.seed}")
    print(f"Tiledesk refused connections for {plan.outage:.0f} s; faults in {sum(injected.values())} calls:")
    for name, count in sorted(injected.items()):
        print(f"  {count:6d}  {' '.join(name.split())} the call took effect")
    print(f"asks that failed and were told so to the user, who asked again: {refused}")
    print("  ".join(f"{name}: {count}" for name, count in figures.items()))
    return (
        0
        if finished
        and not any(figures[name] for name in ("lost", "doubled", "out of order", "unassigned", "left over"))
        else 1
    )


def _fault(rng: random.Random) -> Fault:
    after = rng.random() < 0.5
    return rng.choice(
        [
            Fault.hang(after=after),
            Fault.reset(after=after),
            Fault.answer(500, after=after),
            Fault.answer(502, after=after),
            Fault.answer(429, retry_after=rng.choice([0.5, 1.0, 2.0])),
            Fault.garbage(after=after),
            Fault.slow(rng.choice([0.1, 0.5])),
        ]
    )


def _tiledesk(pipe: Connection, seed: int) -> None:
    """FakeTiledesk in a process of its own; told to be away and back, and at last what it was sent."""
    injected: Counter[str] = Counter()

    def decide(call: Call) -> Fault | None:
        rng = random.Random(f"{seed} {call.route} {call.number}")
        if rng.random() >= FAULTY:
            return None
        fault = _fault(rng)
        injected[f"{fault.kind} {fault.status or ''} {'after' if fault.after else 'before'}"] += 1
        return fault

    with FakeTiledesk() as desk:
        desk.faults = decide
        pipe.send(Place(desk.url, desk.project_id, desk.owner))
        while pipe.recv() == "away":
            with desk.away():
                pipe.recv()
        requests = {request["request_id"]: request["participants"] for request in desk.requests()}
        said = {
            request: [m["text"] for m in desk.messages(request) if "rasa" in (m.get("attributes") or {})]
            for request in requests
        }
        pipe.send((injected, {request: (requests[request], said[request]) for request in requests}))


def _outage(tiledesk: Connection, seconds: float) -> None:
    time.sleep(10)
    tiledesk.send("away")
    time.sleep(seconds)
    tiledesk.send("back")


def _ask(parts: Runtime, name: str, turns: int) -> int:
    """Ask for a human until one comes; how many times none did."""
    failed = 0
    while True:
        answer = parts.asking.ask(Ask(name, conversation(turns), {}, "callback"), Deadline(8))
        if answer.outcome in (Outcome.CONNECTED, Outcome.ALREADY):
            return failed
        failed += 1
        time.sleep(0.5)


def _wait(parts: Runtime, wanted: int, *, until: float) -> bool:
    while time.monotonic() < until:
        counts = parts.ledger.counts()
        open_work = sum(counts.get(state, 0) for state in (State.ASKED, State.IMPORTING, State.FAILING))
        if not open_work and counts.get(State.LIVE) == wanted:
            return True
        time.sleep(0.5)
    return False


def _check(
    parts: Runtime, requests: dict[str, tuple[list[str], list[str]]], names: list[str], turns: int
) -> Counter[str]:
    figures: Counter[str] = Counter({"lost": 0, "doubled": 0, "out of order": 0, "unassigned": 0, "live": 0})
    wanted = [f"turn {number}" for number in range(turns)]
    for name in names:
        handoff = parts.ledger.open_handoff(name)
        if handoff is None or handoff.state is not State.LIVE:
            figures["lost"] += turns
            continue
        figures["live"] += 1
        participants, said = requests.pop(handoff.request_id, ([], []))
        figures["unassigned"] += not participants
        counts = Counter(said)
        figures["lost"] += sum(1 for text in wanted if not counts[text])
        figures["doubled"] += sum(count - 1 for count in counts.values())
        figures["out of order"] += list(dict.fromkeys(said)) != wanted
    figures["left over"] = len(requests)
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
