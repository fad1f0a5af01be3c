"""What the slot's action costs a turn of a conversation that was never handed over, with the real Rasa.

    python -m benchmarks.ordinary_turn [--runs 15]

The example bot runs twice, the second time trained without the action of the slot's custom mapping. Each turn is taken
in a new session of 10, 100 or 1,000 events; the two bots and the sizes take turns, so that what else the machine does
meets all of them alike. The last column is the part of the difference that passes in the action server, which is sent
the same call directly; the rest is Rasa's own price for any action: it writes the whole tracker and the domain as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import uuid
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

import requests

from rasa_tiledesk.testing import FakeTiledesk
from stack.rasa import Bot, rasa_bot

SIZES = (10, 100, 1_000)
WARM_UP = 2
_JSON = {"Content-Type": "application/json"}
# A custom mapping that names no action: Rasa then fills the slot in no way.
WITHOUT = {"slots": {"tiledesk_handoff": {"mappings": [{"type": "custom"}]}}}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    plan = parser.parse_args()
    with ExitStack() as stack:
        desk = stack.enter_context(FakeTiledesk())
        env = {
            "TILEDESK_URL": desk.url,
            "TILEDESK_PROJECT_ID": desk.project_id,
            "TILEDESK_EMAIL": desk.owner[0],
            "TILEDESK_PASSWORD": desk.owner[1],
        }
        bots = {
            "with": stack.enter_context(rasa_bot(env=env)),
            "without": stack.enter_context(rasa_bot(env=env, domain=WITHOUT)),
        }
        times: dict[tuple[str, int], list[float]] = defaultdict(list)
        for run in range(WARM_UP + plan.runs):
            for size in SIZES:
                for name, bot in bots.items() if run % 2 else reversed(bots.items()):
                    seconds = _turn(bot, size)
                    if run >= WARM_UP:
                        times[name, size].append(seconds * 1000)
                if run >= WARM_UP:
                    times["alone", size].append(_action_alone(bots["with"], size) * 1000)
        asked = desk.count("POST /{project}/requests/{request}/messages")
    print(f"\nmedian of {plan.runs} turns over the REST channel, ms; messages to Tiledesk: {asked}")
    print("events in session      without      with   difference   pairs' quartiles   action server")
    for size in SIZES:
        without, with_it = (statistics.median(times[name, size]) for name in ("without", "with"))
        pairs = [b - a for a, b in zip(times["without", size], times["with", size])]
        low, _, high = statistics.quantiles(pairs, n=4)
        spread, alone = f"{low:.1f} to {high:.1f}", statistics.median(times["alone", size])
        print(f"{size:17d} {without:12.1f} {with_it:9.1f} {with_it - without:12.1f} {spread:>18s} {alone:15.1f}")
    return 1 if asked else 0


def _turn(bot: Bot, size: int) -> float:
    """Seconds of one turn in a session of about so many events."""
    sender = _new_sender(bot, size)
    begin = time.perf_counter()
    said = bot.say(sender, "Hi there")
    seconds = time.perf_counter() - begin
    assert said, "the bot did not answer"
    return seconds


def _action_alone(bot: Bot, size: int) -> float:
    """Seconds until the action server answers what Rasa would ask it in such a session."""
    sender = _new_sender(bot, size)
    with _http() as http:
        domain = http.get(f"{bot.url}/domain", headers={"Accept": "application/json"}, timeout=30).json()
        call = {"next_action": "action_tiledesk_relay", "sender_id": sender, "domain": domain, "version": "3.6.21"}
        body = json.dumps({**call, "tracker": bot.tracker(sender)})
        begin = time.perf_counter()
        answer = http.post(f"{bot.actions_url}/webhook", data=body, headers=_JSON, timeout=30)
        seconds = time.perf_counter() - begin
    assert answer.json()["events"] == []
    return seconds


def _new_sender(bot: Bot, size: int) -> str:
    sender = f"turn-{uuid.uuid4().hex}"
    with _http() as http:
        answer = http.post(f"{bot.url}/conversations/{sender}/tracker/events", json=_session(size), timeout=120)
        answer.raise_for_status()
    return sender


def _http() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _session(size: int) -> list[dict[str, Any]]:
    listen = {"event": "action", "name": "action_listen"}
    events: list[dict[str, Any]] = [
        {"event": "action", "name": "action_session_start"},
        {"event": "session_started"},
        listen,
    ]
    intent = {"name": "greet", "confidence": 1.0}
    parsed = {"text": "Hi there", "intent": intent, "intent_ranking": [intent], "entities": []}
    turn: list[dict[str, Any]] = [
        {"event": "user", "text": "Hi there", "input_channel": "rest", "parse_data": parsed},
        {"event": "action", "name": "utter_greet", "policy": "RulePolicy", "confidence": 1.0},
        {"event": "bot", "text": "Hello, I am Ada", "data": {}, "metadata": {"utter_action": "utter_greet"}},
        listen,
    ]
    while len(events) + len(turn) / 2 < size:
        events += turn
    return events


if __name__ == "__main__":
    raise SystemExit(main())
