"""`make bench`: what hearing agents costs while nobody speaks, and how late they are heard when some do.

    python -m benchmarks.listen [--conversations 10 100 1000 3000] [--seconds 20] [--latency 0.02]

So many live conversations, polled by one action server with a SQLite ledger. Two ways, in one run: by one call for all
of them, as with an owner's or admin's login, and each asked for by itself every two seconds, as with an agent's (and as
with every login before the two lanes). First nobody speaks for so many seconds, and Tiledesk's calls are counted. Then
an agent speaks in one conversation of a hundred each second, and it is measured how long each word takes until its
user has it; what takes more than a minute is told apart.

FakeTiledesk and FakeRasa run in a process of their own, and add `--latency` to every call.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from rasa_tiledesk.handoff.to_user.news import OVERLAP_MS
from rasa_tiledesk.ledger import Duty, Life
from rasa_tiledesk.ledger.rows import insert_handoff
from rasa_tiledesk.runtime import Runtime, assemble
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk, Fault
from rasa_tiledesk.testing.fake_tiledesk import Call
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient

SHARE = 0.01  # of the conversations, in which an agent speaks each second
LONGEST = 60.0  # seconds that the last word is waited for
CARE_SECONDS, SWEEP_SECONDS, POLL_SECONDS = 300.0, 3_600.0, 2.0  # how far apart a conversation's turns are
WAYS = ("one call for all", "each by itself")

Opened = list[tuple[str, str, str]]  # request, when it was changed, requester


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=int, nargs="+", default=[10, 100, 1_000, 3_000])
    parser.add_argument("--seconds", type=float, default=20.0, help="of silence, then of talk")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that each fake adds to a call")
    plan = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"{'conversations':>13s}  {'asked':18s} {'calls a second':>15s} {'words':>6s} {'median s':>9s} {'p99 s':>7s}")
    for number in plan.conversations:
        for way in WAYS:
            calls, waits = _measure(number, way, plan.seconds, plan.latency)
            late = sum(wait > LONGEST for wait in waits)
            p99 = sorted(waits)[math.ceil(len(waits) * 0.99) - 1]
            rest = f"  {late} took more than {LONGEST:.0f} s" if late else ""
            print(
                f"{number:13,d}  {way:18s} {calls:15.1f} {len(waits):6d} {_seconds(statistics.median(waits)):>9s} "
                f"{_seconds(p99):>7s}{rest}",
                flush=True,
            )
    return 0


def _seconds(wait: float) -> str:
    return f"{wait:.2f}" if wait <= LONGEST else f"> {LONGEST:.0f}"


def _measure(number: int, way: str, seconds: float, latency: float) -> tuple[float, list[float]]:
    """(calls a second while nobody speaks, seconds from each word of an agent to its user)."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_fakes, args=(theirs, number, latency, way == WAYS[0]), daemon=True)
    process.start()
    url, project, (email, password), rasa, opened = ours.recv()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "endpoints.yml"
            path.write_text(
                f"tiledesk:\n  url: {url}\n  project_id: '{project}'\n  email: {email}\n  password: '{password}'\n"
                f"  ledger: sqlite:///{folder}/ledger.db\n  relay: {{rasa_url: {rasa}}}\n"
            )
            parts = assemble(load_endpoints(path))
            _write_down(parts, opened, SWEEP_SECONDS if way == WAYS[0] else POLL_SECONDS)
            parts.worker.start()
            try:
                time.sleep(5)  # signed in, and found its pace
                before = _ask(ours, "calls")[0]
                time.sleep(seconds)
                calls = (_ask(ours, "calls")[0] - before) / seconds
                return calls, _ask(ours, "talk", seconds)
            finally:
                parts.worker.stop()
                parts.ledger.close()
    finally:
        ours.send(("stop",))
        process.join()


def _ask(pipe: Connection, *words: object) -> list[float]:
    pipe.send(words)
    answer: list[float] = pipe.recv()
    return answer


def _write_down(parts: Runtime, opened: Opened, listening: float) -> None:
    """The conversations as they are in the middle of a day: live, all heard, their turns spread over time."""
    with parts.ledger._database.writing() as connection:
        now = parts.ledger.now()
        for number, (request_id, changed, requester) in enumerate(opened):
            part = number / len(opened)
            row = {
                "id": f"{number:032x}",
                "sender_id": f"user-{number}",
                "request_id": request_id,
                "requester_id": requester,
                "life": Life.LIVE.value,
                "created": now,
                "spoke": now,
                "joined": True,
                "heard": changed,
                "looked": now,
            }
            due = {Duty.LISTEN: now + int(listening * 1000 * part), Duty.CARE: now + int(CARE_SECONDS * 1000 * part)}
            insert_handoff(connection, row, due=due)


def _fakes(pipe: Connection, number: int, latency: float, all_at_once: bool) -> None:
    """The fakes, in a process of their own, which is also the agents and the users."""
    calls = itertools.count()

    def slow(_call: Call) -> Fault:
        next(calls)
        return Fault.slow(latency)

    with FakeTiledesk() as desk, FakeRasa() as rasa:
        agent = desk.add_agent("Bea", available=False)
        opened = _open(desk, rasa, number)
        # All have just changed, as they never do at once: the last change of any is later than that of the others.
        time.sleep(OVERLAP_MS / 1000 + 1)
        desk.agent_note(opened[0][0], "a note")
        desk.faults, rasa.latency = slow, latency
        login = desk.owner if all_at_once else (agent.email, agent.password)
        pipe.send((desk.url, desk.project_id, login, rasa.url, opened))
        while True:
            command, *words = pipe.recv()
            if command == "stop":
                return
            pipe.send([float(next(calls))] if command == "calls" else _talk(desk, rasa, opened, words[0]))


def _open(desk: FakeTiledesk, rasa: FakeRasa, number: int) -> Opened:
    client = TiledeskClient(desk.url, desk.project_id, credential=AgentLogin(*desk.owner))
    user = client.sign_in_anonymously(name="Ann").id
    opened = []
    for one in range(number):
        request_id = f"support-group-{desk.project_id}-{one:032x}"
        first = {"sender": user, "text": "hello", "channel": {"name": "rasa"}}
        client.open_request(request_id, first, temporary=True)
        client.assign(request_id, desk.default_department)
        opened.append((request_id, client.request(request_id).updated_at.isoformat(), user))
        rasa.says(f"user-{one}", "hello")
        rasa.add(f"user-{one}", [{"event": "pause", "timestamp": 1.0}])
    return opened


def _talk(desk: FakeTiledesk, rasa: FakeRasa, opened: Opened, seconds: float) -> list[float]:
    """Have agents speak at an even pace; how long each word took to its user, infinity for one that did not come."""
    said: dict[str, float] = {}
    heard: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        seen = 0
        while not over.is_set():
            new = rasa.delivered["callback"][seen:]
            heard.update((message["text"], time.perf_counter()) for message in new)
            seen += len(new)
            over.wait(0.002)

    watching = threading.Thread(target=watch)
    watching.start()
    words = _words(opened, seconds)
    begin = time.perf_counter()
    for number, request_id in enumerate(words):
        time.sleep(max(0.0, begin + seconds * number / len(words) - time.perf_counter()))
        said[f"word {number}"] = time.perf_counter()
        desk.agent_says(request_id, f"word {number}")
    end = time.perf_counter() + LONGEST
    while time.perf_counter() < end and not said.keys() <= heard.keys():
        time.sleep(0.05)
    over.set()
    watching.join()
    return [heard.get(word, math.inf) - at for word, at in said.items()]


def _words(opened: Opened, seconds: float) -> Sequence[str]:
    """Whose agent speaks, one after another, spread over all conversations."""
    count = int(max(1.0, len(opened) * SHARE) * seconds)
    return [opened[number * 7919 % len(opened)][0] for number in range(count)]


if __name__ == "__main__":
    raise SystemExit(main())
