"""Bad webhooks, 1,000 a second: refused or ignored with the right status, nothing delivered, memory flat.

    python -m benchmarks.webhooks [--seconds 60] [--rate 1000]

A real action server (rasa-sdk) with a live handoff, between FakeTiledesk and FakeRasa. Strangers call
`POST /tiledesk/webhook` at an even pace in every way that is wrong; one call in 500 holds 10 MB. Exits 1 when a
call got another status than it should, something reached the user, a text, secret or request id is in the log, or the
memory grew by more than a tenth after the first quarter.

Needs Linux: it reads /proc.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import requests

from benchmarks.world import conversation, fakes
from rasa_tiledesk.ledger import Ledger
from stack import CHECKOUT
from stack.processes import Child, free_port

STRANGERS = 2
GROWTH = 1.1
HUSH = "hush-hush"  # stands in every text and in every secret: none of it may be logged

Case = tuple[str, int, dict[str, str], bytes]  # what is wrong, the status it should get, headers, body


def main() -> int:
    """Run and print; 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1000, help="calls a second")
    plan = parser.parse_args()
    with ExitStack() as stack:
        desk, rasa = stack.enter_context(fakes())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        url, ledger_url = f"http://127.0.0.1:{port}", f"sqlite:///{folder / 'ledger.db'}"
        (folder / "endpoints.yml").write_text(
            f"tiledesk:\n  url: {desk.url}\n  project_id: '{desk.project_id}'\n  email: {desk.owner[0]}\n"
            f"  password: '{desk.owner[1]}'\n  ledger: {ledger_url}\n"
            f"  relay:\n    rasa_url: {rasa.url}\n    public_url: {url}\n"
        )
        command = [sys.executable, "-m", "rasa_sdk", "--actions", "rasa_tiledesk.actions", "--port", str(port)]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        server = Child("the action server", command, log=folder / "log", cwd=folder, env=env)
        stack.callback(server.stop)
        server.wait_ready(lambda: requests.get(f"{url}/tiledesk/health", timeout=2).ok, seconds=60)
        ledger = Ledger(ledger_url)
        while len(ledger.hooks.all()) < 2:
            time.sleep(0.1)
        rasa.says("ann", "a human please")
        tracker = {"sender_id": "ann", "slots": {}, "events": conversation(3), "latest_message": {}, "active_loop": {}}
        call = {"next_action": "action_tiledesk_handoff", "sender_id": "ann", "tracker": tracker, "domain": {}}
        answer = requests.post(f"{url}/webhook", json=call, timeout=15).json()
        rasa.add("ann", [{**event, "timestamp": time.time()} for event in answer["events"]])
        while not desk.requests():
            time.sleep(0.1)
        desk.agent_says(desk.requests()[0]["request_id"], "hello")
        while len(rasa.delivered["callback"]) < 2:  # that an agent has joined, and what they said
            time.sleep(0.1)
        before = sum(map(len, rasa.delivered.values()))
        secret = next(iter(ledger.hooks.all().values()))
        cases = _cases(secret, desk.project_id, desk.requests()[0]["request_id"])
        memory = [_memory(server.pid)]
        results: multiprocessing.Queue[Counter[tuple[str, int]]] = multiprocessing.get_context("spawn").Queue()
        strangers = [
            multiprocessing.get_context("spawn").Process(
                target=_stranger, args=(port, cases, plan.rate / STRANGERS, plan.seconds, number, results)
            )
            for number in range(STRANGERS)
        ]
        for stranger in strangers:
            stranger.start()
        begin = time.monotonic()
        while any(stranger.is_alive() for stranger in strangers):
            time.sleep(plan.seconds / 20)
            memory.append(_memory(server.pid))
        got: Counter[tuple[str, int]] = sum((results.get(timeout=30) for _ in strangers), Counter())
        took = time.monotonic() - begin
        delivered = sum(map(len, rasa.delivered.values())) - before
        log = (folder / "log").read_text()
        return _report(cases, got, took, memory, delivered, [HUSH in log, secret in log, "support-group" in log])


def _cases(secret: str, project: str, request_id: str) -> list[Case]:
    def body(**changes: Any) -> bytes:
        payload = {"recipient": request_id, "id_project": project, "text": HUSH, **changes}
        return json.dumps({"payload": payload}).encode()

    good = {"x-hook-secret": secret}
    forged = json.dumps({**json.loads(body()), "token": jwt.encode({"_id": "x"}, HUSH * 4, "HS256")}).encode()
    return [
        ("no secret", 401, {}, body()),
        ("a wrong secret", 401, {"x-hook-secret": HUSH}, body()),
        ("a very long secret", 401, {"x-hook-secret": HUSH * 500}, body()),
        ("no secret, 10 MB", 401, {}, b"x" * 10_000_000),
        ("not JSON", 400, good, HUSH.encode()),
        ("wrong types", 400, good, body(recipient=5)),
        ("no object", 400, good, json.dumps([HUSH]).encode()),
        ("100,000 brackets", 400, good, b"[" * 100_000),
        ("another's token", 401, good, forged),
        ("another project's", 200, good, body(id_project="5e2c35c8f0dbc10017bb3aac")),
        ("an unknown request", 200, good, body(recipient="support-group-x")),
        ("a replay", 200, good, body()),
    ]


def _stranger(port: int, cases: list[Case], rate: float, seconds: float, number: int, results: Any) -> None:
    """Call at an even pace; report the statuses by case."""
    calls = [(name, _request(headers, body)) for name, _, headers, body in cases]
    large, others = calls[3], [*calls[:3], *calls[4:]]
    got: Counter[tuple[str, int]] = Counter()
    connection: socket.socket | None = None
    begin = time.monotonic()
    for count in itertools.count():
        now = time.monotonic() - begin
        if now > seconds:
            break
        time.sleep(max(0.0, count / rate - now))
        name, call = large if (count + number) % 500 == 7 else others[count % len(others)]
        try:
            connection = connection or socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.sendall(call)
            status, closes = _answer(connection)
        except OSError:  # an answer that comes before the body was sent, and the connection closed behind it
            status, closes = 0, True
        got[name, status] += 1
        if closes and connection:
            connection.close()
            connection = None
    results.put(got)


def _request(headers: dict[str, str], body: bytes) -> bytes:
    """By hand: the callers share two cores with the server."""
    lines = [f"{name}: {value}" for name, value in {"Host": "x", "Content-Length": str(len(body)), **headers}.items()]
    return "\r\n".join(["POST /tiledesk/webhook HTTP/1.1", *lines, "", ""]).encode() + body


def _answer(connection: socket.socket) -> tuple[int, bool]:
    """The status, and whether the connection is closed behind the answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionResetError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower()
    left = int(head.split(b"content-length:")[1].split()[0]) - len(body)
    while left > 0:
        left -= len(connection.recv(left)) or left
    return int(head.split()[1]), b"connection: close" in head


def _memory(pid: int) -> float:
    """MB resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def _report(
    cases: list[Case],
    got: Counter[tuple[str, int]],
    took: float,
    memory: list[float],
    delivered: int,
    logged: list[bool],
) -> int:
    total = sum(got.values())
    print(f"{total:,} bad webhooks in {took:.0f} s: {total / took:,.0f} a second")
    wrong = 0
    for name, status, _, _ in cases:
        statuses = {code: count for (case, code), count in got.items() if case == name}
        others = {code: count for code, count in statuses.items() if code not in (status, 0)}
        closed = statuses.get(0, 0)
        wrong += sum(others.values()) + (closed if "10 MB" not in name else 0)
        note = f"; {closed} closed before all was sent" if closed else ""
        print(f"  {name:22s} {status}: {statuses.get(status, 0):7,}{note}{f'; OTHERS {others}' if others else ''}")
    early, late = memory[len(memory) // 4], memory[-1]
    print(f"  delivered to the user: {delivered}")
    print(f"  texts, secrets, request ids in the log: {sum(logged)}")
    print(f"  memory: {memory[0]:.0f} MB before, {early:.0f} MB after a quarter, {late:.0f} MB at the end")
    return int(wrong > 0 or delivered > 0 or any(logged) or late > early * GROWTH)


if __name__ == "__main__":
    raise SystemExit(main())
