"""200 live conversations at once, ten minutes, two action servers on one PostgreSQL ledger.

    python -m benchmarks.soak [--conversations 200] [--minutes 10] [--pause 15]

FakeTiledesk and FakeRasa run in this process, two real action servers in their own. Users and agents type at once, each
about every `--pause` seconds, two or three messages in a row now and then; a user's messages go to either server by
turns. Then the agents close all requests. Exits 1 when a word was lost, doubled or out of order, a call failed, a user
was not given back exactly once, or the memory of a server grew by more than a quarter after the first minute.

Needs Linux (it reads /proc) and the PostgreSQL server of TEST_POSTGRESQL_URL.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from benchmarks.world import conversation, fakes
from rasa_tiledesk.handoff.to_user.voice import SLOT
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk
from stack import CHECKOUT
from stack.processes import Child, free_port
from tests.databases import throw_away_database

DRAIN_SECONDS = 330.0  # the worker looks in Rasa for words it missed every 300 s
SETTLE_SECONDS = 5.0  # what is doubled comes later than what is not
GROWTH = 1.25  # of memory, from the first minute to the end
_ASK = "a human please, for "


class Person:
    """One user with the agent they talk to."""

    def __init__(self, number: int, desk: FakeTiledesk, rasa: FakeRasa, servers: list[str]) -> None:
        self.name = f"person-{number}"
        self.request_id = ""
        self.said: list[str] = []  # by the user
        self.heard: list[str] = []  # what the agent said, and the user is to hear
        self.agent_said_at: dict[str, float] = {}
        self.seconds: list[float] = []  # that the relay's action took
        self.faults: Counter[str] = Counter()
        self._rng = random.Random(number)
        self._desk, self._rasa, self._servers = desk, rasa, servers
        self._slot: str | None = None
        self._calls = number  # so that half of the users begin at either server
        rasa.add(self.name, conversation(4, start=time.time() - 60))

    def ask(self) -> None:
        """Ask for a human."""
        for event in self._says(f"{_ASK}{self.name}", "action_tiledesk_handoff"):
            if event["event"] == "slot" and event["name"] == SLOT:
                self._slot = event["value"]
        self.faults["not handed over"] += self._slot is None

    def talk(self, until: float, pause: float) -> None:
        """Both sides type until the time is over."""
        time.sleep(self._rng.uniform(0, pause))
        while time.monotonic() < until:
            sides = [self._user] * self._rng.choice((1, 1, 1, 2, 3)) + [self._agent] * self._rng.choice((1, 1, 1, 2, 3))
            self._rng.shuffle(sides)
            for side in sides:
                side()
            rest = len(sides) / 2 * pause * self._rng.uniform(0.5, 1.5)
            time.sleep(max(0.0, min(rest, until - time.monotonic())))

    def _user(self) -> None:
        self.said.append(f"user {self.name} {len(self.said)}")
        begin = time.monotonic()
        events = self._says(self.said[-1], "action_tiledesk_relay")
        self.seconds.append(time.monotonic() - begin)
        self.faults["handoff given up"] += bool(events)  # nothing but the cleared slot ever comes back

    def _agent(self) -> None:
        self.heard.append(f"agent {self.name} {len(self.heard)}")
        self.agent_said_at[self.heard[-1]] = time.time()
        self._desk.agent_says(self.request_id, self.heard[-1])

    def _says(self, text: str, action: str) -> list[dict[str, Any]]:
        """As Rasa does it: the action runs under the conversation's lock, and all is stored when it has answered."""
        said = {
            "event": "user",
            "text": text,
            "input_channel": "callback",
            "message_id": f"{self.name}/{self._calls}",
            "parse_data": {"intent": {"name": "inform"}},
            "timestamp": time.time(),
        }
        with self._rasa.busy(self.name):
            events = self._run(action, said)
            self._rasa.add(self.name, [said, *({**event, "timestamp": time.time()} for event in events)])
        return events

    def _run(self, action: str, said: dict[str, Any]) -> list[dict[str, Any]]:
        tracker = {
            "sender_id": self.name,
            "slots": {SLOT: self._slot},
            "paused": self._rasa.paused(self.name),
            "events": [*self._rasa.events(self.name), said],
            "latest_message": {"text": said["text"], "intent": {"name": "inform"}},
            "latest_input_channel": "callback",
            "active_loop": {},
        }
        call = {"next_action": action, "sender_id": self.name, "tracker": tracker, "domain": {}}
        url = self._servers[self._calls % len(self._servers)]
        self._calls += 1
        try:
            with requests.Session() as http:  # Rasa, too, opens a connection for every call
                http.trust_env = False
                answer = http.post(f"{url}/webhook", json=call, timeout=60)
                answer.raise_for_status()
                events: list[dict[str, Any]] = answer.json()["events"]
                return events
        except requests.RequestException as error:
            self.faults[f"call failed: {type(error).__name__}"] += 1
            return []


def main() -> int:
    """Run it; print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause", type=float, default=15.0, help="seconds between two messages of one side")
    plan = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        desk, rasa = stack.enter_context(fakes())
        ledger = stack.enter_context(throw_away_database("postgresql"))
        ports = [free_port(), free_port()]
        (folder / "endpoints.yml").write_text(
            f"tiledesk:\n  url: {desk.url}\n  project_id: '{desk.project_id}'\n  email: {desk.owner[0]}\n"
            f"  password: '{desk.owner[1]}'\n  ledger: {ledger}\n"
            f"  relay:\n    rasa_url: {rasa.url}\n    receive: webhook\n    public_url: http://127.0.0.1:{ports[0]}\n"
        )
        servers = []
        for port in ports:
            command = [sys.executable, "-m", "rasa_sdk", "--actions", "rasa_tiledesk.actions", "--port", str(port)]
            env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
            server = Child(f"server {port}", command, log=folder / f"{port}.log", cwd=folder, env=env)
            stack.callback(server.stop)
            server.wait_ready(_answers(f"http://127.0.0.1:{port}/tiledesk/health"), seconds=60)
            servers.append(server)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        people = [Person(number, desk, rasa, urls) for number in range(plan.conversations)]
        faults = _soak(people, desk, rasa, servers, minutes=plan.minutes, pause=plan.pause)
        lines = [line for server in servers for line in server.log.read_text(errors="replace").splitlines()]
        _print_complaints(lines)
    print("  ".join(f"{name}: {count}" for name, count in faults.items()))
    return 1 if any(faults.values()) else 0


def _soak(
    people: list[Person], desk: FakeTiledesk, rasa: FakeRasa, servers: list[Child], *, minutes: float, pause: float
) -> Counter[str]:
    begin = time.monotonic()
    for some in range(0, len(people), 8):
        _all_at_once(person.ask for person in people[some : some + 8])
    _wait(lambda: len(desk.requests()) == len(people), DRAIN_SECONDS)
    of = {_opener(desk, request["request_id"]): request["request_id"] for request in desk.requests()}
    for person in people:
        person.request_id = of[person.name]
    print(f"{len(people)} conversations handed over in {time.monotonic() - begin:.0f} s", flush=True)

    until = time.monotonic() + minutes * 60
    memory: list[list[float]] = []
    watching = threading.Thread(target=_watch, args=(servers, until, memory))
    watching.start()
    _all_at_once(lambda person=person: person.talk(until, pause) for person in people)  # type: ignore[misc]
    talked = time.monotonic()
    watching.join()
    _wait(lambda: all(not missing for missing in _missing(people, desk, rasa)), DRAIN_SECONDS)
    print(f"all words that came were through {time.monotonic() - talked:.1f} s after everybody had stopped")
    time.sleep(SETTLE_SECONDS)
    faults = _check(people, desk, rasa)

    closed = time.monotonic()
    for person in people:
        desk.close_as_agent(person.request_id)
    _wait(lambda: all(_given_back(rasa, person) for person in people), 90)
    print(f"all users were back with the bot {time.monotonic() - closed:.1f} s after the agents closed")
    time.sleep(SETTLE_SECONDS)
    faults["not given back once"] = sum(_given_back(rasa, person) != 1 for person in people)
    memory.append([_megabytes(server) for server in servers])
    faults["memory grew"] = sum(last > GROWTH * first for first, last in zip(memory[0], memory[-1]))
    _print_figures(people, rasa, memory)
    return faults


def _all_at_once(calls: Iterable[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _opener(desk: FakeTiledesk, request_id: str) -> str:
    """Who asked, by name."""
    texts = (str(message["text"]) for message in desk.messages(request_id))
    return next(text[len(_ASK) :] for text in texts if text.startswith(_ASK))


def _answers(url: str) -> Callable[[], bool]:
    return lambda: requests.get(url, timeout=2).ok


def _watch(servers: list[Child], until: float, memory: list[list[float]]) -> None:
    """The servers' memory after every minute, and at the end."""
    while time.monotonic() < until:
        time.sleep(max(0.0, min(60.0, until - time.monotonic())))
        memory.append([_megabytes(server) for server in servers])
        print(f"memory: {'  '.join(f'{each:.0f} MB' for each in memory[-1])}", flush=True)


def _megabytes(server: Child) -> float:
    """Resident memory of all processes of a server: later rasa-sdk run the actions in a child."""
    pages = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == server.pid:
                pages += int((process / "statm").read_text().split()[1])
        except (ProcessLookupError, FileNotFoundError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _seen_by_agent(desk: FakeTiledesk, person: Person) -> list[str]:
    texts = (str(message["text"]) for message in desk.messages(person.request_id))
    return [text for text in texts if text.startswith("user ")]


def _seen_by_users(rasa: FakeRasa) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {}
    for message in list(rasa.delivered["callback"]):
        if str(message["text"]).startswith("agent "):
            seen.setdefault(message["recipient_id"], []).append(message["text"])
    return seen


def _missing(people: list[Person], desk: FakeTiledesk, rasa: FakeRasa) -> Iterable[set[str]]:
    by_users = _seen_by_users(rasa)
    for person in people:
        yield {*person.heard} - {*by_users.get(person.name, [])}
        yield {*person.said} - {*_seen_by_agent(desk, person)}


def _check(people: list[Person], desk: FakeTiledesk, rasa: FakeRasa) -> Counter[str]:
    figures: Counter[str] = Counter({"lost": 0, "doubled": 0, "out of order": 0, "another's": 0})
    by_users = _seen_by_users(rasa)
    for person in people:
        figures.update(person.faults)
        both = ((person.said, _seen_by_agent(desk, person)), (person.heard, by_users.get(person.name, [])))
        for said, seen in both:
            figures["lost"] += len({*said} - {*seen})
            figures["doubled"] += len(seen) - len({*seen})
            figures["another's"] += len({*seen} - {*said})
            figures["out of order"] += list(dict.fromkeys(seen)) != [text for text in said if text in {*seen}]
    return figures


def _given_back(rasa: FakeRasa, person: Person) -> int:
    return sum(event["event"] == "resume" for event in rasa.events(person.name))


def _wait(happened: Callable[[], bool], seconds: float) -> None:
    """Until it has happened or time is over; what then is missing is found by who asks next."""
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.5)


def _print_figures(people: list[Person], rasa: FakeRasa, memory: list[list[float]]) -> None:
    spoken = sum(len(person.said) for person in people), sum(len(person.heard) for person in people)
    print(f"users said {spoken[0]}, agents {spoken[1]}")
    took = sorted(seconds for person in people for seconds in person.seconds)
    waited = sorted(
        event["timestamp"] - person.agent_said_at[event["text"]]
        for person in people
        for event in rasa.events(person.name)
        if event["event"] == "bot" and event["text"] in person.agent_said_at
    )
    for title, times in (("a user's message, until Rasa has its answer", took), ("an agent's, until in Rasa", waited)):
        if times:
            worst = times[max(0, int(len(times) * 0.99) - 1)]
            print(f"{title:45s} median {statistics.median(times) * 1000:.0f} ms, p99 {worst * 1000:.0f} ms")
    for number, (first, last) in enumerate(zip(memory[0], memory[-1]), start=1):
        print(f"server {number}: {first:.0f} MB after the first minute, {last:.0f} MB at the end")


def _print_complaints(lines: list[str]) -> None:
    """What the servers logged as wrong, most frequent first; ids are left out so that alike lines count as one."""
    wrong = (line for line in lines if " WARNING " in line or " ERROR " in line or "Error" in line)
    alike = Counter(" ".join(word for word in line.split() if not any(c.isdigit() for c in word)) for line in wrong)
    for line, count in alike.most_common(10):
        print(f"  logged {count} times: {line[:160]}")


if __name__ == "__main__":
    raise SystemExit(main())
