"""What may be sent: the inputs to which Tiledesk never answers, or answers a bare 500, are refused here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["BODY_LIMIT", "batches", "checked"]

BODY_LIMIT = 512_000  # bytes: JSON_BODY_LIMIT '500KB' (app.js:300)

# A bad handlebars template is never answered; the micro language replaces all attributes, our marker too.
_EXECUTED = ("templateProcessor", "microlanguage")


def checked(message: Mapping[str, object]) -> dict[str, Any]:
    """The message as JSON-ready fields, when Tiledesk can take it.

    Raises:
        ValueError: says which field is wrong. Each of these was seen to hang or to answer 500 without a reason.
    """
    if not isinstance(message, Mapping):
        raise ValueError("a message must be a mapping; Tiledesk never answers a null item")
    sender, text, metadata = message.get("sender"), message.get("text"), message.get("metadata")
    if not isinstance(sender, str) or not sender:
        raise ValueError("a message needs a sender; without one Tiledesk takes whoever signs the call")
    if text is not None and not isinstance(text, str):
        raise ValueError("text must be a string; Tiledesk never answers another type (messageTransformerInterceptor)")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValueError("metadata must be a mapping")
    if message.get("type") == "file" and metadata is not None and not isinstance(metadata.get("type"), str):
        raise ValueError("a file's metadata needs a type; Tiledesk never answers without (messageService.js:114)")
    for name in ("attributes", "channel"):
        if message.get(name) is not None and not isinstance(message[name], Mapping):
            raise ValueError(f"{name} must be a mapping; Tiledesk answers 500 or stores it unreadable")
    attributes = message.get("attributes")
    if isinstance(attributes, Mapping) and any(attributes.get(flag) for flag in _EXECUTED):
        raise ValueError(f"attributes must not ask Tiledesk to execute the text ({', '.join(_EXECUTED)})")
    try:
        _check_keys(attributes)
        json.dumps(message, allow_nan=False)
    except RecursionError:
        raise ValueError("a message must not be nested deeper than JSON can be written") from None
    except TypeError as error:
        raise ValueError(f"a message must be JSON: {error}") from None  # names the type only
    return dict(message)


def _check_keys(value: object) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not key or "." in key or key.startswith("$"):
                raise ValueError("a key in attributes must be a string without '.' or leading '$': MongoDB refuses it")
            _check_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_keys(item)


def batches(messages: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut the messages, in order, so that each batch's body stays under the limit.

    A message that is over the limit alone comes alone: a server may allow more, else it answers 413.
    """
    batch: list[dict[str, Any]] = []
    size = 2
    for message in messages:
        length = len(json.dumps(message)) + 2
        if batch and size + length > BODY_LIMIT:
            yield batch
            batch, size = [], 2
        batch.append(message)
        size += length
    if batch:
        yield batch
