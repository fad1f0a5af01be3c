"""Random walks through the same machine, seeded: more of what people do, less of what hypothesis thinks of.

    python -m tests.model.walk [--runs 200] [--steps 60] [--seed 1]

Prints how many runs and steps, and for a run that went wrong its seed, what was wrong and what had happened.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import Any, Callable

from tests.model.machine import FAULTS, ROUTES, Handoffs

__all__ = ["main", "walk"]

Act = Callable[[Handoffs, random.Random], None]


def _server(rng: random.Random) -> int:
    return rng.randrange(2)


def _dies(rng: random.Random) -> int | None:
    return rng.randrange(26) if rng.random() < 0.15 else None


def _open(machine: Handoffs) -> bool:
    return machine._status() in (100, 200)


def _agent(act: Callable[[Handoffs, random.Random], None]) -> Act:
    def only_where_open(machine: Handoffs, rng: random.Random) -> None:
        if _open(machine):
            act(machine, rng)

    return only_where_open


def _opens_again(machine: Handoffs, rng: random.Random) -> None:
    if machine._status() == 1000:
        machine.agent_opens_again(speaks=rng.random() < 0.7)


ACTS: dict[str, tuple[int, Act]] = {
    "asks": (6, lambda m, r: m.asks(server=_server(r), lost=r.random() < 0.1, dies=_dies(r))),
    "says": (16, lambda m, r: m.says(server=_server(r), dies=_dies(r))),
    "goes back": (2, lambda m, r: m.goes_back(server=_server(r))),
    "restarts": (1, lambda m, r: m.restarts(server=_server(r))),
    "agent says": (12, _agent(lambda m, _: m.agent_says())),
    "agent notes": (2, _agent(lambda m, _: m.agent_notes())),
    "agent closes": (
        4,
        _agent(lambda m, r: m.agent_closes(last_words=r.random() < 0.5, tells=r.random() < 0.8)),
    ),
    "agent opens again": (3, _opens_again),
    "admin deletes": (0, _agent(lambda m, _: m.admin_deletes())),
    "tiledesk fails": (
        5,
        lambda m, r: m.tiledesk_fails(route=r.choice(ROUTES), fault=r.choice(FAULTS), count=r.randint(1, 3)),
    ),
    "rasa fails": (3, lambda m, r: m.rasa_fails(faults=r.choices(["reset", "lost", 500, 503], k=r.randint(1, 3)))),
    "late calls": (2, lambda m, _: m.late_calls_arrive()),
    "hearing": (1, lambda m, _: m.action_servers_stop_hearing()),
    "webhook": (4, lambda m, r: m.webhook(times=r.randint(1, 2))),
    "works": (12, lambda m, r: m.works_a_little(server=_server(r), most=r.randint(1, 6), dies=_dies(r))),
    "time": (
        14,
        lambda m, r: m.time_passes(seconds=r.choice([1.0, 1.0, 3.0, 3.0, 12.0, 35.0, 120.0]), work=r.random() < 0.8),
    ),
}


def walk(seed: int, steps: int) -> tuple[str | None, Counter[str]]:
    """One run; what was wrong, or None, and what was counted."""
    rng, machine = random.Random(seed), Handoffs()
    counted: Counter[str] = Counter(runs=1)
    names, weights = list(ACTS), [weight for weight, _ in ACTS.values()]
    try:
        try:
            machine.begin(
                skew=rng.choice([0.0, -90.0, 90.0]),
                direct=rng.random() < 0.2,
                free=rng.random() < 0.7,
                begun=rng.choice(["live", "live", "live", "asked", "nothing"]),
            )
            for name in rng.choices(names, weights, k=steps):
                ACTS[name][1](machine, rng)
        finally:
            world: Any = machine.world
            counted.update(
                steps=steps,
                words=len(world.users) + len(world.agents),
                handoffs=len(world.ledger.handoffs.of_sender("ann")),
            )
            machine.teardown()
            counted["duties"] += world.steps
    except AssertionError as error:
        return str(error), counted
    return None, counted


def main() -> int:
    """Walk; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    plan = parser.parse_args()
    total: Counter[str] = Counter()
    wrong, begin = 0, time.monotonic()
    for seed in range(plan.seed, plan.seed + plan.runs):
        problem, counted = walk(seed, plan.steps)
        total += counted
        if problem is not None:
            wrong += 1
            print(f"seed {seed}:\n{problem}\n", flush=True)
    figures = ", ".join(f"{count} {name}" for name, count in total.items())
    print(f"{figures} in {time.monotonic() - begin:.0f} s; {wrong} runs went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
