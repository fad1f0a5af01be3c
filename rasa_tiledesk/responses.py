"""What the user hears: the bot's own responses where its domain has them, else these.

Inside an action the bot's responses are uttered by name, so that Rasa picks the channel's variation and fills slots.
What is said later, without an action, is said in words: `texts_of` takes them from the domain while we have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["AGENT_JOINED", "CLOSED_HOURS", "CONNECTING", "ENDED", "FAILED", "NO_AGENTS", "STILL_WAITING", "texts_of"]

CONNECTING = "utter_tiledesk_connecting"
NO_AGENTS = "utter_tiledesk_no_agents"
CLOSED_HOURS = "utter_tiledesk_closed_hours"
FAILED = "utter_tiledesk_failed"
AGENT_JOINED = "utter_tiledesk_agent_joined"
STILL_WAITING = "utter_tiledesk_still_waiting"
ENDED = "utter_tiledesk_ended"

_DEFAULTS: Mapping[str, str] = {
    CONNECTING: "I'm connecting you with a colleague. They will see our conversation so far and answer you here.",
    NO_AGENTS: "None of my colleagues is available right now. You can go on with me, or ask again later.",
    CLOSED_HOURS: "My colleagues are not on duty at the moment. You can go on with me, or ask again later.",
    FAILED: "I'm sorry, I could not reach my colleagues just now. Go on with me, or ask again in a few minutes.",
    AGENT_JOINED: "A colleague has joined the conversation.",
    STILL_WAITING: "Nobody has been free so far. Your request stays in the queue.",
    ENDED: "The conversation with my colleague has ended. I'm back to help you.",
}


def texts_of(domain: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The words, and the buttons, of each response: the bot's first variation for every channel, else the default."""
    responses = domain.get("responses")
    texts: dict[str, dict[str, Any]] = {name: {"text": text} for name, text in _DEFAULTS.items()}
    for name in texts:
        variations = responses.get(name) if isinstance(responses, Mapping) else None
        for variation in variations if isinstance(variations, list) else []:
            if isinstance(variation, Mapping) and variation.get("text") and not variation.get("channel"):
                texts[name] = {key: variation[key] for key in ("text", "buttons") if variation.get(key)}
                break
    return texts
