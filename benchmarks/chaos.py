"""`make chaos`: 1,000 handoffs from the ask to the close, while Tiledesk fails in every way we know.

    python -m benchmarks.chaos [--handoffs 1000] [--turns 30] [--words 3] [--seed 1] [--outage 60]

Each has a history of 30 turns; then user and agent say a few words each, and one of them ends it. Tiledesk is away for
a minute, answers wrongly, late or never, and stores what it has received after the caller has gone; channels are slow.
What goes wrong is decided by seed, route and number of the call. Exits 1 when a turn or a word was lost, doubled or out
of order, on either side, or when anything is due, or any text is left in the ledger, after half an hour.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.world import Place, conversation, parts_of
from rasa_tiledesk import http
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff import to_agents
from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import Handoff, Life
from rasa_tiledesk.runtime import Runtime
from rasa_tiledesk.testing import Call, FakeRasa, FakeTiledesk, Fault
from tests.due import left_over

FAULTY = 0.04  # of all calls of Tiledesk
SLOW = 0.01  # of all messages to users,
SLOW_SECONDS = 9.0  # which is longer than a call may be silent by itself
TIMEOUT = 1.0  # seconds that our side waits for Tiledesk's answer
LATE_SECONDS = (1.5, 4.0)  # how much later Tiledesk stores what it has received: after we have given up,
SETTLE_SECONDS = 6.0  # and before we send it again. Both times are shorter than in production, as TIMEOUT is
LIMIT = 1800.0  # seconds for all of it, on a machine that has other things to do
PEOPLE = 8  # users or agents who act at the same time


class _SlowRasa(FakeRasa):
    """A Rasa whose channels take their time now and then."""

    def __init__(self, seed: int) -> None:
        self._numbers = itertools.count()
        self._seed = seed
        self.slow = 0
        super().__init__()

    @property
    def channel_latency(self) -> float:  # type: ignore[override]
        """For one message."""
        if random.Random(f"{self._seed} message {next(self._numbers)}").random() >= SLOW:
            return 0.0
        self.slow += 1
        return SLOW_SECONDS

    @channel_latency.setter
    def channel_latency(self, _: float) -> None:
        """It is drawn for each message."""


class _Desk:
    """The Tiledesk of the other process: its network, and its agents."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._turn = threading.Lock()

    def do(self, *command: object) -> Any:
        """Have it done; what it answers."""
        with self._turn:
            self._pipe.send(command)
            return self._pipe.recv()


def main() -> int:
    """Run the plan; print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--handoffs", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=30, help="of history")
    parser.add_argument("--words", type=int, default=3, help="of the user, and of the agent, after it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds during which Tiledesk refuses connections")
    plan = parser.parse_args()
    logging.disable(logging.CRITICAL)
    http.Http.__init__.__kwdefaults__["read_timeout"] = TIMEOUT  # type: ignore[index]
    to_agents.PATIENCE = replace(to_agents.PATIENCE, settle=SETTLE_SECONDS)
    names = [f"sender-{number}" for number in range(plan.handoffs)]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, _SlowRasa(plan.seed) as rasa:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_tiledesk, args=(theirs, plan.seed), daemon=True)
        process.start()
        parts, desk = parts_of(ours.recv(), rasa, Path(folder)), _Desk(ours)
        parts.worker.start()
        begin = time.monotonic()
        end = begin + LIMIT
        outage = threading.Thread(target=_outage, args=(desk, plan.outage))
        outage.start()
        chats = [_Chat(name, plan.turns, plan.words, parts, rasa, desk) for name in names]
        with ThreadPoolExecutor(PEOPLE) as people:
            refused = sum(people.map(_Chat.ask, chats))
            _wait(lambda: parts.ledger.handoffs.counts().get(Life.LIVE) == plan.handoffs, end)
            list(people.map(_Chat.talk, chats))
            outage.join()
            _wait(lambda: not any(map(_Chat.missing, _heard(chats, rasa, desk))), end)
            list(people.map(_Chat.close, chats))
        _wait(lambda: parts.ledger.handoffs.counts().get(Life.OVER) == plan.handoffs and not any(_left(parts)), end)
        seconds = time.monotonic() - begin
        parts.worker.stop()
        figures = _check(_heard(chats, rasa, desk), desk, parts)
        injected = desk.do("faults")
        desk.do("stop")
        process.join()

    print(f"{plan.handoffs} handoffs of {plan.turns} turns and {plan.words} words each way, closed, in {seconds:.0f} s")
    print(f"seed {plan.seed}; Tiledesk refused connections for {plan.outage:.0f} s; faults in {sum(injected.values())}")
    for name, count in sorted(injected.items()):
        print(f"  {count:6d}  {' '.join(name.split())} the call took effect")
    print(f"messages for which a channel took {SLOW_SECONDS:.0f} s: {rasa.slow}")
    print(f"asks that failed and were told so to the user, who asked again: {refused}")
    print("  ".join(f"{name}: {count}" for name, count in figures.items()))
    return int(any(count for name, count in figures.items() if name != "over") or figures["over"] != plan.handoffs)


class _Chat:
    """One user, one agent, and what each should have heard and has."""

    def __init__(self, name: str, turns: int, words: int, parts: Runtime, rasa: FakeRasa, desk: _Desk) -> None:
        self.name = name
        self.said = [f"turn {number}" for number in range(turns)]  # by user and bot, for the agent
        self.answers: list[str] = []  # by the agent
        self.agent_heard: list[str] = []
        self.user_heard: list[str] = []
        self.request_id = ""
        self._words = words
        self._parts, self._rasa, self._desk = parts, rasa, desk
        self._agent_ends = int(name.rpartition("-")[2]) % 2 == 0
        rasa.add(name, conversation(turns))

    def ask(self) -> int:
        """Ask for a human until one comes; how many times none did."""
        for failed in itertools.count():
            ask = Ask(self.name, self._rasa.events(self.name), {}, "callback")
            answer = self._parts.asking.ask(ask, Deadline(8), ask_id=f"{self.name}/{failed}")
            if answer.outcome in (Outcome.CONNECTED, Outcome.QUEUED, Outcome.ALREADY) and answer.handoff:
                slot = {"event": "slot", "name": "tiledesk_handoff", "value": answer.handoff.id}
                at = time.time()
                listen = {"event": "action", "name": "action_listen"}
                self._rasa.add(self.name, [{**event, "timestamp": at} for event in (slot, {"event": "pause"}, listen)])
                return failed
            time.sleep(0.5)
        raise AssertionError

    def handoff(self) -> Handoff:
        return self._parts.ledger.handoffs.of_sender(self.name)[-1]

    def talk(self) -> None:
        """User and agent, by turns; nobody waits for an answer."""
        self.request_id = self.handoff().request_id
        for number in range(self._words):
            self._say(f"user {number}", None)
            self.answers.append(f"agent {number}")
            self._desk.do("say", self.request_id, self.answers[-1])

    def close(self) -> None:
        """The agent or the user ends it."""
        if self._agent_ends:
            self._desk.do("close", self.request_id)
        else:
            self._say("enough", "back_to_bot")

    def _say(self, words: str, intent: str | None) -> None:
        """As Rasa does it: the action runs under the conversation's lock."""
        self.said.append(words)
        parsed = {"intent": {"name": intent or "inform", "confidence": 1.0}}
        said = {"event": "user", "text": words, "parse_data": parsed, "timestamp": time.time()}
        said.update(message_id=f"{self.name}/{words}", input_channel="callback")
        with self._rasa.busy(self.name):
            events = [*self._rasa.events(self.name), said]
            self._parts.saying.say(self.name, events, {}, paused=True, deadline=Deadline(4))
            self._rasa.add(self.name, [said])

    def missing(self) -> bool:
        """Whether something has not arrived yet."""
        return bool({*self.said} - {*self.agent_heard} or {*self.answers} - {*self.user_heard})


def _heard(chats: Iterable[_Chat], rasa: FakeRasa, desk: _Desk) -> Iterable[_Chat]:
    """The chats, knowing what has arrived by now."""
    at_agents: dict[str, list[str]] = desk.do("heard")
    at_users: dict[str, list[str]] = {}
    for message in list(rasa.delivered["callback"]):
        if str(message["text"]).startswith("agent "):
            at_users.setdefault(message["recipient_id"], []).append(message["text"])
    for chat in chats:
        chat.agent_heard = at_agents.get(chat.request_id, [])
        chat.user_heard = at_users.get(chat.name, [])
        yield chat


def _left(parts: Runtime) -> tuple[int, int]:
    """(what is due, texts and facts): nothing of either is to stay."""
    left = list(left_over(parts.ledger))
    due = sum(one.startswith("due") for one in left)
    return due, len(left) - due


def _wait(happened: Callable[[], bool], until: float) -> None:
    """Until it has happened or the time is over; what then is missing is found by the check."""
    while not happened() and time.monotonic() < until:
        time.sleep(5.0)  # a look at a thousand conversations takes a second from those who work


def _outage(desk: _Desk, seconds: float) -> None:
    time.sleep(10)
    desk.do("away")
    time.sleep(seconds)
    desk.do("back")


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
            Fault.late(rng.uniform(*LATE_SECONDS)),
            Fault.late(rng.uniform(*LATE_SECONDS), answer=rng.choice([502, 504])),
        ]
    )


def _tiledesk(pipe: Connection, seed: int) -> None:
    """FakeTiledesk in a process of its own, with its network and its agents, who do as they are told."""
    injected: Counter[str] = Counter()

    def decide(call: Call) -> Fault | None:
        rng = random.Random(f"{seed} {call.route} {call.number}")
        if rng.random() >= FAULTY:
            return None
        fault = _fault(rng)
        when = "long before" if fault.kind == "late" else "after" if fault.after else "before"
        injected[f"{fault.kind} {fault.status or ''} {when}"] += 1
        return fault

    known: set[str] = set()
    with FakeTiledesk() as desk:
        desk.faults = decide
        pipe.send(Place(desk.url, desk.project_id, desk.owner))
        while True:
            command, *words = pipe.recv()
            if command == "stop":
                pipe.send(None)
                return
            if command == "away":
                desk._server.refuse()
            if command == "back":
                desk._server.listen()
            if command == "say":
                known.add(words[0])
                desk.agent_says(*words)
            if command == "close":
                desk.close_as_agent(*words)
            if command == "faults":
                pipe.send(injected)
            elif command == "heard":
                pipe.send({request: _ours(desk.messages(request)) for request in known})
            elif command == "open":
                pipe.send([request["request_id"] for request in desk.requests()])
            else:
                pipe.send(None)


def _ours(messages: Iterable[dict[str, Any]]) -> list[str]:
    """What was said to the agents, without what the bot tells them about the conversation."""
    ours = ((m["text"], (m.get("attributes") or {}).get("rasa")) for m in messages)
    return [text for text, mark in ours if mark and mark["key"] != "opening"]


def _check(chats: Iterable[_Chat], desk: _Desk, parts: Runtime) -> Counter[str]:
    figures: Counter[str] = Counter({"over": parts.ledger.handoffs.counts().get(Life.OVER, 0)})
    figures.update(
        {f"{what} {to}": 0 for to in ("to agents", "to users") for what in ("lost", "doubled", "disordered")}
    )
    for chat in chats:
        both = (("to agents", chat.said, chat.agent_heard), ("to users", chat.answers, chat.user_heard))
        for to, said, heard in both:
            counts = Counter(heard)
            figures[f"lost {to}"] += sum(not counts[words] for words in said)
            figures[f"doubled {to}"] += sum(count - 1 for count in counts.values())
            figures[f"disordered {to}"] += list(dict.fromkeys(heard)) != [words for words in said if counts[words]]
    figures["left open"] = len(desk.do("open"))
    figures["due"], figures["texts left"] = _left(parts)
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
