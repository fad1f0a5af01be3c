"""What Rasa makes of events: which it refuses, what it fills in, and the state of a conversation after them.

As rasa 3.6.21 does it, as far as a handoff can notice: shared/utils/schemas/events.py (the refusals),
shared/core/events.py (the defaults), shared/core/trackers.py (the state).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

__all__ = ["external", "last_session", "messages", "refusal", "state", "timed", "turn"]

_TEXT = (str, type(None))
_NUMBER = (int, float, type(None))
_TYPES: dict[str, dict[str, tuple[type, ...]]] = {
    "user": {"text": _TEXT, "input_channel": _TEXT, "message_id": _TEXT, "parse_data": (dict,)},
    "action": {
        "policy": _TEXT,
        "confidence": _NUMBER,
        "name": _TEXT,
        "hide_rule_turn": (bool,),
        "action_text": _TEXT,
    },
    "slot": {"name": (str,)},
    "entities": {"entities": (list,)},
}
_REQUIRED = {"slot": ("name", "value"), "entities": ("entities",)}
_KEYS: dict[str, dict[str, Any]] = {
    "user": {"text": None, "parse_data": None, "input_channel": None, "message_id": None},
    "bot": {"text": None, "data": {}},
    "agent": {"text": None, "data": None},
    "action": {"name": None, "policy": None, "confidence": None, "action_text": None, "hide_rule_turn": False},
    "action_execution_rejected": {"name": None, "policy": None, "confidence": None},
    "slot": {"name": None, "value": None},
    "entities": {"entities": None},
    "active_loop": {"name": None},
    "loop_interrupted": {"is_interrupted": False},
    "followup": {"name": None},
    "user_featurization": {"use_text_for_featurization": None},
    "reminder": {"intent": None, "entities": None, "date_time": None, "name": None, "kill_on_user_msg": True},
    **{kind: {} for kind in ("cancel_reminder", "export", "pause", "reset_slots", "restart", "resume", "rewind")},
    **{kind: {} for kind in ("session_started", "undo")},
}
_RENAMED = {"form": "active_loop", "form_validation": "loop_interrupted"}  # what older versions of Rasa wrote


def refusal(events: Sequence[Any]) -> str | None:
    """Why Rasa refuses these events over HTTP, or None when it takes them. One bad event refuses all."""
    for event in events:
        if not isinstance(event, dict):
            return f"{event!r} is not of type 'object'"
        if not isinstance(event.get("timestamp"), _NUMBER):
            return f"{event['timestamp']!r} is not of type 'number', 'null'"
        if not isinstance(event.get("metadata"), (dict, type(None))):
            return f"{event['metadata']!r} is not of type 'object', 'null'"
        kind = str(event.get("event"))
        known = kind in _KEYS or kind in _RENAMED
        whole = all(key in event for key in _REQUIRED.get(kind, ()))
        typed = all(isinstance(event[key], types) for key, types in _TYPES.get(kind, {}).items() if key in event)
        if not (known and whole and typed and _intent_has_a_name(event)):
            return f"{event!r} is not valid under any of the given schemas"
    return None


def _intent_has_a_name(event: Mapping[str, Any]) -> bool:
    """Rasa refuses even the user events that it wrote itself, when it did not understand the user."""
    intent = (event.get("parse_data") or {}).get("intent") or {}
    return event["event"] != "user" or isinstance(intent.get("name", ""), str)


def timed(events: Iterable[Mapping[str, Any]], clock: Callable[[], float]) -> list[dict[str, Any]]:
    """The events as Rasa stores them: with their time, their metadata, and the keys that their type has.

    Raises:
        ValueError: Rasa's schema takes one of them, but Rasa answers 500.
    """
    return [_completed(event, now=clock()) for event in events]


def _completed(event: Mapping[str, Any], *, now: float) -> dict[str, Any]:
    kind = _RENAMED.get(event["event"], event["event"])
    if kind == "user" and event.get("parse_data") is None:
        raise ValueError("'NoneType' object has no attribute 'get'")
    if kind == "action" and not (event.get("name") or event.get("action_text")):
        raise ValueError("Both the name of the action and the end-to-end predicted text are missing.")
    timestamp = now if event.get("timestamp") is None else event["timestamp"]
    metadata = {**(event.get("metadata") or {}), "model_id": "fake", "assistant_id": "fake"}
    full = {"event": kind, "timestamp": timestamp, "metadata": metadata}
    full.update({key: default if event.get(key) is None else event[key] for key, default in _KEYS[kind].items()})
    if kind == "user":
        told = {"text": full["text"], "message_id": full["message_id"], "metadata": event.get("metadata") or {}}
        full["parse_data"] = {"intent": {}, "entities": [], **told, **full["parse_data"]}
    return full


def external(intent: str, entities: Any, *, channel: str | None) -> dict[str, Any]:
    """The user event that stands for a triggered intent (events.py, UserUttered.create_external)."""
    if isinstance(entities, dict):
        entities = [{"entity": entity, "value": value} for entity, value in entities.items()]
    told = {"text": f"EXTERNAL: {intent}", "input_channel": channel, "metadata": {"is_external": True}}
    return {"event": "user", **told, "parse_data": {"intent": {"name": intent}, "entities": entities or []}}


def turn(said: Iterable[Mapping[str, Any]], *, action: str) -> list[dict[str, Any]]:
    """The events of a turn in which the bot says these messages."""
    bot = [
        {
            "event": "bot",
            "text": message.get("text"),
            "data": {key: value for key, value in message.items() if key != "text"},
            "metadata": {"utter_action": action},
        }
        for message in said
    ]
    return [{"event": "action", "name": action}, *bot, {"event": "action", "name": "action_listen"}]


def messages(sender_id: str, events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a channel is given for the bot's events among these (events.py, BotUttered.message)."""
    return [
        {**event["data"], "text": event["text"], **event["metadata"], "recipient_id": sender_id}
        for event in events
        if event["event"] == "bot"
    ]


def last_session(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a SQL store gives Rasa to work with: by time, not by order (core/tracker_store.py, _event_query)."""
    starts = [event["timestamp"] for event in events if event["event"] == "session_started"]
    return [event for event in events if event["timestamp"] >= max(starts)] if starts else list(events)


def state(sender_id: str, events: Sequence[dict[str, Any]], verbosity: str) -> dict[str, Any]:
    """What Rasa tells of a conversation that consists of these events (trackers.py, current_state)."""
    applied = _applied(events)
    slots: dict[str, Any] = {event["name"]: None for event in events if event["event"] == "slot"}
    paused, loop, message, action = False, None, None, None
    for event in applied:
        kind = event["event"]
        if kind == "slot":
            slots[event["name"]] = event["value"]
        elif kind == "reset_slots":
            slots = dict.fromkeys(slots)
        elif kind in ("pause", "resume"):
            paused = kind == "pause"
        elif kind == "active_loop":
            loop = event["name"]
        elif kind == "user":
            message = event["parse_data"]
        elif kind == "action":
            action = event["name"]
    restarts = [index + 1 for index, event in enumerate(events) if event["event"] == "restart"]
    shown = {
        "ALL": list(events),
        "AFTER_RESTART": list(events[restarts[-1] :] if restarts else events),
        "APPLIED": applied,
        "NONE": None,
    }
    channels = [event.get("input_channel") for event in events if event["event"] == "user"]
    return {
        "sender_id": sender_id,
        "slots": slots,
        "latest_message": message or {"intent": {}, "entities": [], "text": None, "message_id": None, "metadata": {}},
        "latest_event_time": events[-1]["timestamp"] if events else None,
        "followup_action": None,
        "paused": paused,
        "events": shown[verbosity],
        "latest_input_channel": channels[-1] if channels else None,
        "active_loop": {"name": loop} if loop else {},
        "latest_action": {"action_name": action} if action else {},
        "latest_action_name": action,
    }


def _applied(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    applied: list[dict[str, Any]] = []
    for event in events:
        kind = event["event"]
        if kind in ("restart", "session_started"):
            applied = []  # this ends a pause, and empties the slots
        elif kind == "rewind":
            _undo(applied, "user")
            _undo(applied, "action")
        elif kind == "undo":
            _undo(applied, "action")
        else:
            applied.append(event)
    return applied


def _undo(applied: list[dict[str, Any]], kind: str) -> None:
    while applied and applied.pop()["event"] != kind:
        pass
