"""`make bench`: what carrying one message costs, beside bare calls and beside Tiledesk's own Telegram connector.

    python -m benchmarks.relay [--messages 300] [--latency 0.02]

    user → Tiledesk   (a) one bare `requests` post      (b) the connector's three calls a message (sign in, look for the
                      open request, post)               ours: ledger, one call
    Tiledesk → user   (a) one bare GET of the messages and one bare post to Rasa
                      ours: webhook to the action server's routes, ledger, the same two calls

Everything is measured in one run, on FakeTiledesk and FakeRasa in a process of their own, on loopback. `--latency` is
added by the fakes to every call, as a network and a server would: the real tiledesk-server 2.19.16 takes 58 ms for a
message on a machine like ours (2026-11-22).
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import jwt
import requests

from benchmarks.world import conversation
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import Life
from rasa_tiledesk.runtime import Runtime, assemble
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk, Fault


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that each fake adds to a call")
    plan = parser.parse_args()
    logging.disable(logging.CRITICAL)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    fakes = multiprocessing.get_context("spawn").Process(target=_fakes, args=(theirs, plan.latency), daemon=True)
    fakes.start()
    try:
        return _measure(ours, plan.messages, plan.latency)
    finally:
        ours.send(("stop",))
        fakes.join()


def _fakes(pipe: Connection, latency: float) -> None:
    """The fakes, in a process of their own; told by the pipe what agents say, and asked when it reached the user."""
    with FakeTiledesk() as desk, FakeRasa() as rasa:
        desk.faults = (lambda _call: Fault.slow(latency)) if latency else None
        rasa.latency = latency
        pipe.send(
            {
                "url": desk.url,
                "project": desk.project_id,
                "owner": desk.owner,
                "secret": desk.project_secret,
                "rasa": rasa.url,
            }
        )
        while True:
            command, *words = pipe.recv()
            if command == "stop":
                return
            if command == "user":
                rasa.says(words[0], "hello")
                rasa.add(words[0], [{"event": "pause", "timestamp": 1.0}])
            if command == "agent":
                pipe.send(desk.agent_says(*words)["_id"])
                continue
            if command == "delivered":  # perf_counter is the same clock in all processes of a Linux machine
                while not any(message["text"] == words[0] for message in rasa.delivered["callback"][-3:]):
                    time.sleep(0.0002)
                pipe.send(time.perf_counter())
                continue
            pipe.send(None)


def _measure(pipe: Connection, count: int, latency: float) -> int:
    world = pipe.recv()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "endpoints.yml").write_text(
            f"tiledesk:\n  url: {world['url']}\n  project_id: '{world['project']}'\n  email: {world['owner'][0]}\n"
            f"  password: '{world['owner'][1]}'\n  ledger: sqlite:///{folder}/ledger.db\n"
            f"  relay: {{rasa_url: {world['rasa']}, public_url: http://127.0.0.1:9}}\n"
        )
        parts = assemble(load_endpoints(Path(folder) / "endpoints.yml"))
        parts.ledger.lanes.per_minute = 10**6  # how fast one person may type is not the question
        parts.worker.start()
        to_desk = {
            "(a) one bare post": _bare_posts(world, count),
            "(b) the connector's three calls": _connector(world, count),
            "ours": _ours_to_desk(parts, pipe, count),
        }
        each, users = max(1, count // 20), 8
        together = {
            "(a) bare posts": _throughput(_bare_users(world, users), users, each),
            "ours": _throughput(_our_users(parts, pipe, users), users, each),
        }
        to_user = {
            "(a) the same two calls, bare": _bare_deliveries(world, pipe, count),
            "ours": _ours_to_user(parts, pipe, count),
        }
        parts.worker.stop()
    print(f"{count} messages each way, one at a time; the fakes add {latency * 1000:.0f} ms to every call")
    for title, rows in (("user → Tiledesk", to_desk), ("Tiledesk → user", to_user)):
        print(f"\n{title:34s} median ms     p99 ms   of (a)")
        base = statistics.median(rows[next(iter(rows))])
        for name, times in rows.items():
            median, worst = statistics.median(times), sorted(times)[int(len(times) * 0.99) - 1]
            print(f"  {name:32s} {median * 1000:9.2f}  {worst * 1000:9.2f}  {median / base:7.2f}")
    print(f"\n{users} users at once, user → Tiledesk     messages/s   of (a)")
    for name, rate in together.items():
        print(f"  {name:32s} {rate:14.0f}  {rate / together['(a) bare posts']:7.2f}")
    return 0


def _throughput(say: Callable[[int, int], None], users: int, each: int) -> float:
    """Messages a second when so many users type as fast as they can."""
    with ThreadPoolExecutor(users) as pool:
        begin = time.perf_counter()
        list(pool.map(lambda user: [say(user, number) for number in range(each)], range(users)))
        return users * each / (time.perf_counter() - begin)


def _timed(count: int, call: Callable[[int], None]) -> list[float]:
    times = []
    for number in range(count):
        begin = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - begin)
    return times


def _body(sender: str, text: str) -> dict[str, Any]:
    return {"sender": sender, "senderFullname": "Ann", "text": text, "channel": {"name": "rasa"}}


def _session(world: dict[str, Any]) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    email, password = world["owner"]
    answer = session.post(f"{world['url']}/auth/signin", json={"email": email, "password": password}, timeout=10)
    session.headers["Authorization"] = answer.json()["token"]
    return session


def _open(world: dict[str, Any], session: requests.Session, name: str) -> tuple[str, str]:
    """A request of a new user, ready for messages: its messages' URL, and the user's id."""
    user = session.post(
        f"{world['url']}/auth/signinAnonymously", json={"id_project": world["project"], "firstname": name}, timeout=10
    ).json()["user"]["_id"]
    url = f"{world['url']}/{world['project']}/requests/support-group-{world['project']}-{name}/messages"
    session.post(url, json=_body(user, "hello"), timeout=10).raise_for_status()
    return url, user


def _bare_posts(world: dict[str, Any], count: int) -> list[float]:
    session = _session(world)
    url, user = _open(world, session, "bare")
    return _timed(
        count, lambda number: session.post(url, json=_body(user, f"user {number}"), timeout=10).raise_for_status()
    )


def _connector(world: dict[str, Any], count: int) -> list[float]:
    """As TiledeskChannel.js of tiledesk-telegram-connector has it (2025-10-29), on a kept connection."""
    session = requests.Session()
    session.trust_env = False
    base, project = world["url"], world["project"]
    claims = {"_id": "telegram-1234567", "sub": "userexternal", "aud": f"https://tiledesk.com/projects/{project}"}
    token = "JWT " + jwt.encode({**claims, "firstname": "Ann"}, world["secret"], algorithm="HS256")
    session.headers["Authorization"] = token

    def carry(number: int) -> None:
        session.post(f"{base}/auth/signinWithCustomToken", json={}, timeout=10).raise_for_status()
        found = session.get(f"{base}/{project}/requests/me", params={"channel": "telegram"}, timeout=10).json()
        request = found["requests"][0]["request_id"] if found["requests"] else f"support-group-{project}-telegram"
        body = {"text": f"user {number}", "channel": {"name": "telegram"}}
        session.post(f"{base}/{project}/requests/{request}/messages", json=body, timeout=10).raise_for_status()

    carry(-1)
    return _timed(count, carry)


def _live(parts: Runtime, pipe: Connection, sender: str, turns: int = 3) -> str:
    pipe.send(("user", sender))
    pipe.recv()
    handoff = parts.asking.ask(Ask(sender, conversation(turns), {}, "callback"), Deadline(8)).handoff
    assert handoff is not None
    while parts.ledger.handoffs.get(handoff.id).life is not Life.LIVE:
        time.sleep(0.01)
    time.sleep(1)
    return handoff.request_id


def _ours_to_desk(parts: Runtime, pipe: Connection, count: int) -> list[float]:
    _live(parts, pipe, "ann", 21)
    events: list[dict[str, Any]] = conversation(21)

    def say(number: int) -> None:
        events.append(_said(number))
        assert parts.saying.say("ann", events, {}, paused=True, deadline=Deadline(4))

    return _timed(count, say)


def _bare_users(world: dict[str, Any], users: int) -> Callable[[int, int], None]:
    sessions = [_session(world) for _ in range(users)]
    opened = [_open(world, session, f"many{number}") for number, session in enumerate(sessions)]

    def say(user: int, number: int) -> None:
        url, sender = opened[user]
        sessions[user].post(url, json=_body(sender, f"user {number}"), timeout=10).raise_for_status()

    return say


def _our_users(parts: Runtime, pipe: Connection, users: int) -> Callable[[int, int], None]:
    for user in range(users):
        _live(parts, pipe, f"many-{user}")

    said: list[list[dict[str, Any]]] = [conversation(3) for _ in range(users)]

    def say(user: int, number: int) -> None:
        said[user].append(_said(number))
        parts.saying.say(f"many-{user}", said[user], {}, paused=True, deadline=Deadline(4))

    return say


def _said(number: int) -> dict[str, Any]:
    return {"event": "user", "text": f"user {number}", "timestamp": 1.8e9 + number, "message_id": f"x{number}"}


def _bare_deliveries(world: dict[str, Any], pipe: Connection, count: int) -> list[float]:
    session, rasa = _session(world), requests.Session()
    rasa.trust_env = False
    url, _ = _open(world, session, "bare2")
    pipe.send(("user", "bare"))
    pipe.recv()
    events = f"{world['rasa']}/conversations/bare/tracker/events?output_channel=latest&execute_side_effects=true"

    def deliver(number: int) -> None:
        pipe.send(("agent", url.split("/")[-2], f"said {number}"))
        pipe.recv()
        begin = time.perf_counter()
        messages: Sequence[dict[str, Any]] = json.loads(session.get(url, timeout=10).content)
        event = {"event": "bot", "text": messages[-1]["text"], "metadata": {}}
        rasa.post(events, json=event, timeout=10).raise_for_status()
        took.append(time.perf_counter() - begin)

    took: list[float] = []
    _timed(count, deliver)
    return took


def _ours_to_user(parts: Runtime, pipe: Connection, count: int) -> list[float]:
    """From the hint of a webhook until Rasa has delivered it."""
    request = _live(parts, pipe, "bob")
    took = []
    for number in range(count):
        pipe.send(("agent", request, f"agent {number}"))
        pipe.recv()
        begin = time.perf_counter()
        parts.ledger.handoffs.hint(request)
        parts.worker.wake()
        pipe.send(("delivered", f"agent {number}"))
        took.append(pipe.recv() - begin)
    return took


if __name__ == "__main__":
    raise SystemExit(main())
