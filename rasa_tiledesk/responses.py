"""What the user hears: the bot's own responses where its domain has them, else these.

Inside an action the bot's responses are uttered by name, so that Rasa picks the variation and fills slots. What is said
later, without an action, is chosen and filled as Rasa does it, from the responses that the ask brought.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from rasa_tiledesk.rasa import fill, variations

__all__ = [
    "AGENT_JOINED",
    "CLOSED_HOURS",
    "CONNECTING",
    "ENDED",
    "FAILED",
    "IDLE",
    "NO_AGENTS",
    "QUEUED",
    "STILL_WAITING",
    "UNSENT",
    "default_text",
    "needed_slots",
    "own_responses",
    "said",
]

CONNECTING = "utter_tiledesk_connecting"
QUEUED = "utter_tiledesk_queued"
NO_AGENTS = "utter_tiledesk_no_agents"
CLOSED_HOURS = "utter_tiledesk_closed_hours"
FAILED = "utter_tiledesk_failed"
AGENT_JOINED = "utter_tiledesk_agent_joined"
STILL_WAITING = "utter_tiledesk_still_waiting"
UNSENT = "utter_tiledesk_unsent"
IDLE = "utter_tiledesk_idle"
ENDED = "utter_tiledesk_ended"

_DEFAULTS: Mapping[str, str] = {
    CONNECTING: "I'm connecting you with a colleague. They will see our conversation so far and answer you here.",
    QUEUED: "All my colleagues are busy right now. You are in the queue; somebody will answer you here.",
    NO_AGENTS: "None of my colleagues is available right now. You can go on with me, or ask again later.",
    CLOSED_HOURS: "My colleagues are not on duty at the moment. You can go on with me, or ask again later.",
    FAILED: "I'm sorry, I could not reach my colleagues just now. Go on with me, or ask again in a few minutes.",
    AGENT_JOINED: "A colleague has joined the conversation.",
    STILL_WAITING: "Nobody has been free so far. Your request stays in the queue.",
    UNSENT: "Your last words did not reach my colleague any more. Please say them again.",
    IDLE: "Are you still there? The conversation with my colleague will be closed soon.",
    ENDED: "The conversation with my colleague has ended. I'm back to help you.",
}


_DATA = ("buttons", "quick_replies", "image", "elements", "attachment", "custom")


def own_responses(domain: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The bot's own variations of our responses, as its domain has them."""
    responses = domain.get("responses")
    if not isinstance(responses, Mapping):
        return {}
    return {name: list(responses[name]) for name in _DEFAULTS if isinstance(responses.get(name), list)}


def default_text(name: str) -> str:
    """Our words for a response."""
    return _DEFAULTS[name]


def needed_slots(responses: Mapping[str, Sequence[Any]]) -> bool:
    """Whether any of them depends on slots, so that they must be known when it is said."""
    text = str(dict(responses))
    return "{" in text.replace("[{", "[").replace(", {", ", ") or "condition" in text


def said(
    responses: Mapping[str, Sequence[Any]],
    name: str,
    *,
    channel: str | None,
    slots: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    choose: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] = random.choice,
) -> dict[str, Any]:
    """A bot event's `text` and `data` for a response, in the bot's own words where there are some that fit.

    Args:
        responses: the bot's own variations.
        name: which response.
        channel: where the user is.
        slots: the slots as they are now.
        more: values for placeholders that are no slots, such as `agent`.
        choose: picks one of several that fit, as Rasa does.
    """
    fitting = variations(responses, name, channel=channel or "", slots=slots)
    filled = fill(choose(fitting), slots, more or {}) if fitting else {"text": _DEFAULTS[name]}
    data = {key: filled[key] for key in _DATA if filled.get(key)}
    return {"text": filled.get("text"), "data": data}
