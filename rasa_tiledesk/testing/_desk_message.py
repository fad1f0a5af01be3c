"""What tiledesk-server 2.19.16 makes of a posted message: stored, rewritten, refused with 500, or never answered."""

from __future__ import annotations

import re
from typing import Any

from rasa_tiledesk.testing._desk_people import Principal, Refusal, Silence

__all__ = ["new_message"]

Json = dict[str, Any]

_LABELS = {"LABEL_FIRST_MSG": "Describe shortly your problem, you will be contacted by an agent."}


def new_message(who: Principal, body: Json, *, now: str) -> Json:
    """The message as the server stores it, without its id and request.

    Raises:
        Silence: the server never answers this.
        Refusal: it answers 500.
    """
    text, metadata, attributes = body.get("text"), body.get("metadata"), body.get("attributes")
    if text is not None and not isinstance(text, str):
        raise Silence  # messageTransformerInterceptor.js:33
    flags = attributes if isinstance(attributes, dict) else {}
    if flags.get("templateProcessor") and "{{" in (text or "") and "}}" not in (text or ""):
        raise Silence
    kind = metadata.get("type") if isinstance(metadata, dict) else None
    if body.get("type") == "file" and metadata is not None and not isinstance(kind, str):
        raise Silence  # messageService.js:114
    problem = _cast_problem(body)
    if problem:
        raise Refusal(500, {"success": False, "msg": "Error creating message", "err": problem})
    if _has_bad_key(attributes):
        raise Refusal(500, {"success": False, "msg": "Error creating message", "err": {}})
    sender = str(body.get("sender") or who.id)
    message: Json = {
        "sender": sender,
        "senderFullname": body.get("senderFullname") or who.name,
        "text": _labelled(text),
        "type": str(body.get("type") or "text"),
        "status": body.get("status") or 0,
        "createdBy": sender,
        "channel": body.get("channel") or {"name": "chat21"},
        "channel_type": "group",
        "createdAt": now,
        "updatedAt": now,
    }
    message.update({key: body[key] for key in ("attributes", "metadata", "language") if body.get(key) is not None})
    return {key: value for key, value in message.items() if value is not None}


def _labelled(text: str | None) -> str | None:
    """The whole text becomes the label's, when it names a known one (messageTransformerInterceptor.js:31-82)."""
    for label in re.findall(r"\$\{(\w+)\}", text or ""):
        if label in _LABELS:
            return _LABELS[label]
    return text


def _cast_problem(body: Json) -> Json | None:
    checks = {"status": (int, float), "channel": dict, "sender": (str, int, float)}
    for name, types in checks.items():
        value = body.get(name)
        if value is not None and not isinstance(value, types):  # type: ignore[arg-type]
            text = f"Cast failed for a value of the path {name}"
            return {"errors": {name: {"name": "CastError", "message": text}}, "name": "ValidationError"}
    return None


def _has_bad_key(value: object) -> bool:
    if isinstance(value, dict):
        return any("." in key or key.startswith("$") or _has_bad_key(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_bad_key(item) for item in value)
