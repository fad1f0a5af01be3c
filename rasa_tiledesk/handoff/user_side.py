"""The user's side of a handoff, reached through Rasa's HTTP API: say something, keep the bot quiet, give it back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasa_tiledesk.handoff.ledger import Handoff
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.responses import CONNECTING, texts_of

__all__ = ["MARK", "SLOT", "UserSide"]

logger = logging.getLogger(__name__)

SLOT = "tiledesk_handoff"

# Without action_listen Rasa predicts a fallback when it resumes, which runs the handoff again (rasa 3.6.21, seen).
_LISTEN = {"event": "action", "name": "action_listen"}


# Marks what we brought: an agent's words, and a notice of ours, once each.
MARK = "tiledesk_message"


@dataclass(frozen=True)
class UserSide:
    """Reaches a conversation in Rasa. Never from inside an action of that conversation: its lock is held.

    Attributes:
        rasa: Rasa's HTTP API.

    Every method raises RasaApiError. What is delivered is marked with a key, so that after an unknown outcome
    `delivered_keys` tells whether it was.
    """

    rasa: RasaClient

    def can_reach(self, handoff: Handoff) -> bool:
        """Whether Rasa's HTTP API can name this conversation at all."""
        return self.rasa.can_name(handoff.sender_id)

    def say(self, handoff: Handoff, response: str, key: str) -> None:
        """Tell the user something in the bot's words."""
        self._append(handoff, [_said(handoff, response, key)])

    def deliver(self, handoff: Handoff, event: Mapping[str, Any], key: str) -> str | None:
        """Bring the user an agent's words; they are in the tracker too. Returns the user's channel."""
        marked = {**event, "metadata": {**event["metadata"], MARK: f"{handoff.id}/{key}"}}
        channel = self._append(handoff, [marked]).get("latest_input_channel")
        return channel if isinstance(channel, str) else None

    def give_back(self, handoff: Handoff, response: str, key: str, *, aloud: bool = True) -> None:
        """Tell the user why, and let the bot answer again: from the next message on, not what was said meanwhile.

        Not aloud, it is only written into the tracker: Rasa drops all of it when the channel refuses the words.
        """
        events = [
            _said(handoff, response, key),
            {"event": "slot", "name": SLOT, "value": None},
            {"event": "resume"},
            _LISTEN,
        ]
        self._append(handoff, events, aloud=aloud)

    def delivered_keys(self, handoff: Handoff) -> set[str]:
        """The keys of this handoff that are in the tracker."""
        mine = f"{handoff.id}/"
        events = self.rasa.tracker(handoff.sender_id).get("events") or []
        marks = (str((event.get("metadata") or {}).get(MARK) or "") for event in events if event["event"] == "bot")
        return {mark[len(mine) :] for mark in marks if mark.startswith(mine)}

    def keep_quiet(self, handoff: Handoff) -> list[dict[str, Any]]:
        """Pause the bot where it is not: the action's answer was lost, or a new session ended the pause.

        Returns:
            The conversation's events.
        """
        tracker = self.rasa.tracker(handoff.sender_id)
        events: list[dict[str, Any]] = tracker.get("events") or []
        if tracker.get("paused"):
            return events
        logger.warning("handoff %s: the bot was not paused; paused again", handoff.id)
        pause: list[dict[str, Any]] = [
            {"event": "pause"},
            {"event": "slot", "name": SLOT, "value": handoff.id},
            _LISTEN,
        ]
        # Who has the slot has been told already.
        told = (tracker.get("slots") or {}).get(SLOT) == handoff.id
        self._append(handoff, pause if told else [_said(handoff, CONNECTING, "connecting"), *pause])
        return events

    def _append(self, handoff: Handoff, events: Sequence[Mapping[str, Any]], *, aloud: bool = True) -> dict[str, Any]:
        return self.rasa.append_events(handoff.sender_id, events, output_channel="latest", side_effects=aloud)


def _said(handoff: Handoff, response: str, key: str) -> dict[str, Any]:
    texts = {**texts_of({}), **(handoff.context.get("texts") or {})}
    words = texts[response]
    event: dict[str, Any] = {
        "event": "bot",
        "text": words["text"],
        "metadata": {"utter_action": response, MARK: f"{handoff.id}/{key}"},
    }
    return {**event, "data": {"buttons": words["buttons"]}} if words.get("buttons") else event
