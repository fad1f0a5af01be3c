"""What agents said, for clients that ask for it: a channel such as `rest` cannot be written to.

It is read from Rasa's tracker, where everything that is delivered stands too, so nothing more is kept of it here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from rasa_tiledesk.handoff.to_user.voice import MARK

__all__ = ["may_read", "messages_after", "token_of"]


def token_of(client_secret: str, sender_id: str) -> str:
    """What a client shows to read the messages of one conversation, and of no other: HMAC-SHA256, hexadecimal."""
    return hmac.new(client_secret.encode(), sender_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def may_read(authorization: str, client_secret: str, sender_id: str) -> bool:
    """Whether the Authorization header is ``Bearer`` and the conversation's token."""
    kind, _, token = authorization.partition(" ")
    expected = token_of(client_secret, sender_id).encode()
    return hmac.compare_digest(token.strip().encode("utf-8", "replace"), expected) and kind.lower() == "bearer"


def messages_after(events: Sequence[Mapping[str, Any]], after: str | None) -> list[dict[str, Any]]:
    """The messages that came from Tiledesk behind the one with the id `after`; all of them when it is not there.

    Each once: what a restart may have kept from the user stands in the tracker twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        mark = (event.get("metadata") or {}).get(MARK)
        if event.get("event") != "bot" or not mark or mark in found:
            continue
        data = {name: value for name, value in (event.get("data") or {}).items() if value}
        found[mark] = {"id": mark, "timestamp": event.get("timestamp"), "text": event.get("text"), **data}
    ids, messages = list(found), list(found.values())
    return messages[ids.index(after) + 1 :] if after in found else messages
