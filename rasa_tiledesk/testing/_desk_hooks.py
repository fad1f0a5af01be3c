"""Webhooks of the fake desk: who has subscribed, and delivery as services/subscriptionNotifier.js does it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt

from rasa_tiledesk.http import Http, NoAnswer, NotSent
from rasa_tiledesk.testing._desk_people import People, Principal, Refusal, stamp

__all__ = ["Hooks"]

Json = dict[str, Any]


class Hooks:
    """Subscriptions, and a few threads that deliver: at once, in no order, with two repeats, then never again.

    Args:
        people: makes ids and secrets.
        pauses: seconds before each repeat; the real server waits about 2 and 4.
    """

    def __init__(self, people: People, pauses: Sequence[float]) -> None:
        self._people = people
        self._pauses = pauses
        # One secret for all subscriptions of a server process (routes/subscription.js:18-22, seen).
        self._shared_secret = people.secret()
        self._subscriptions: dict[str, Json] = {}
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        self._http = Http(pool=8)
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="fake-tiledesk-hook")

    def close(self) -> None:
        """Stop delivering."""
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until everything is delivered or given up; whether that was in time."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, seconds)

    # /{project}/subscriptions

    def list(self) -> list[Json]:
        """Without the secrets."""
        return [_open(subscription) for subscription in self._subscriptions.values()]

    def add(self, body: Json, who: Principal) -> Json:
        """Asked twice for the same, answers with the event's first, whatever its target."""
        event, target = body.get("event"), body.get("target")
        if not event or not target:
            raise Refusal(500, {"success": False, "msg": "Error saving object."})
        same_event = [one for one in self._subscriptions.values() if one["event"] == event]
        if any(one["target"] == target for one in same_event):
            return same_event[0]
        number = self._people.object_id()
        now = stamp(time.time())
        self._subscriptions[number] = {
            "_id": number,
            "event": event,
            "target": target,
            "secret": self._shared_secret,
            "global": False,
            "id_project": self._people.project_id,
            "createdBy": who.id,
            "createdAt": now,
        }
        return self._subscriptions[number]

    def change(self, number: str, body: Json) -> Json:
        """Takes any field, the secret too."""
        subscription = self._subscriptions.setdefault(number, {"_id": number, "event": "", "target": ""})
        subscription.update({key: value for key, value in body.items() if key != "_id"})
        return _open(subscription)

    def remove(self, number: str) -> Json | None:
        """An unknown one is answered null."""
        if len(number) != 24:
            raise Refusal(500, {"success": False, "msg": "Error deleting object."})
        subscription = self._subscriptions.pop(number, None)
        return _open(subscription) if subscription else None

    # Delivery

    def publish(self, event: str, payload: Json) -> None:
        """Send an event to whoever has subscribed to it."""
        for subscription in list(self._subscriptions.values()):
            if subscription["event"] != event or self._closing.is_set():
                continue
            number, secret = subscription["_id"], subscription["secret"]
            claims = {"_id": number, "sub": "subscription", "aud": f"https://tiledesk.com/subscriptions/{number}"}
            token = jwt.encode(claims, secret, algorithm="HS256")
            # Written out now: the state goes on changing.
            body = json.dumps(
                {
                    "timestamp": int(time.time() * 1000),
                    "payload": payload,
                    "hook": _open(subscription),
                    "token": token,
                }
            )
            with self._idle:
                self._busy += 1
            self._threads.submit(self._deliver, subscription["target"], secret, json.loads(body))

    def _deliver(self, target: str, secret: str, body: Json) -> None:
        headers = {"x-hook-secret": secret, "User-Agent": "tiledesk-webhooks"}
        try:
            for pause in (*self._pauses, None):
                if self._closing.is_set() or self._accepted(target, headers, body) or pause is None:
                    return
                self._closing.wait(pause)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _accepted(self, target: str, headers: dict[str, str], body: Json) -> bool:
        """Whether nothing is to be repeated: retry-request repeats 1xx, 429, 5xx and silence."""
        try:
            status = self._http.call("POST", target, json=body, headers=headers).status
        except (NoAnswer, NotSent):
            return False
        return status != 429 and 200 <= status < 500


def _open(subscription: Json) -> Json:
    return {key: value for key, value in subscription.items() if key not in ("secret", "global")}
