"""Run by the Python that has rasa: let Rasa's own tracker store write conversations, and say what it then holds.

One job a line, since importing Rasa takes seconds. Reads {"environment": all of it, "tracker_store": section,
"conversations": {sender id: events}} from stdin; writes {"held": {sender id: events}} or {"error": traceback}.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from typing import Any

import boto3  # type: ignore[import-untyped]
from rasa.core.tracker_store import TrackerStore  # type: ignore[import-not-found]
from rasa.shared.core.domain import Domain  # type: ignore[import-not-found]
from rasa.shared.core.events import Event  # type: ignore[import-not-found]
from rasa.shared.core.trackers import DialogueStateTracker  # type: ignore[import-not-found]
from rasa.utils.endpoints import EndpointConfig  # type: ignore[import-not-found]

DOMAIN = Domain.from_yaml(
    """
    version: "3.1"
    slots:
      topic: {type: text, mappings: [{type: custom}]}
      order_number: {type: text, mappings: [{type: custom}]}
      email: {type: text, mappings: [{type: custom}]}
    forms:
      order_form: {required_slots: [order_number, email]}
    """
)


async def converse(store: TrackerStore, sender_id: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Save one turn after the other, as Rasa's processor does: load the session, add the turn, save."""
    turn: list[dict[str, Any]] = []
    for event in events:
        turn.append(event)
        if event.get("name") == "action_listen" or event is events[-1]:
            tracker = await store.get_or_create_tracker(sender_id, append_action_listen=False)
            for said in turn:
                tracker.update(Event.from_parameters(said), DOMAIN)
            await store.save(tracker)
            turn = []
    full: DialogueStateTracker | None = await store.retrieve_full_tracker(sender_id)
    return [event.as_dict() for event in full.events] if full else []


async def do(job: dict[str, Any]) -> dict[str, Any]:
    os.environ.clear()
    os.environ.update(job["environment"])
    boto3.DEFAULT_SESSION = None  # it keeps what the environment said
    store = TrackerStore.create(EndpointConfig.from_dict(job["tracker_store"]), DOMAIN)
    try:
        return {sender_id: await converse(store, sender_id, said) for sender_id, said in job["conversations"].items()}
    finally:
        if hasattr(store, "engine"):
            store.engine.dispose()  # a database that is in use cannot be dropped


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # Rasa writes there, too
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"held": asyncio.run(do(json.loads(line)))}
        except Exception:
            answer = {"error": traceback.format_exc()[-3000:]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
