"""What an ask for a human brings along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Ask", "Event"]

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """A user's ask for a human, as the action's webhook brings it.

    Attributes:
        sender_id: Rasa's id of the conversation.
        events: the tracker's events that the webhook brought, the running turn included.
        slots: the tracker's slots.
        channel: the input channel of the user's latest message.
        responses: the bot's own responses that we use, as the domain has them.
        running: the running turn asks, so that the newest event is of now.
    """

    sender_id: str
    events: Sequence[Event] = field(repr=False)
    slots: Mapping[str, Any] = field(default_factory=dict, repr=False)
    channel: str | None = None
    responses: Mapping[str, Any] = field(default_factory=dict, repr=False)
    running: bool = False

    def slot(self, name: str) -> str | None:
        """A slot's value on one line, when it is a text that says something."""
        value = self.slots.get(name)
        return " ".join(value.split())[:200] if isinstance(value, str) and value.strip() else None

    def assistant(self) -> str | None:
        """The `assistant_id` of config.yml, which Rasa 3.5 and later writes to every event."""
        for event in reversed(self.events[-20:]):
            metadata = event.get("metadata")
            found = metadata.get("assistant_id") if isinstance(metadata, Mapping) else None
            if isinstance(found, str) and found.strip():
                return found.strip()[:200]
        return None
