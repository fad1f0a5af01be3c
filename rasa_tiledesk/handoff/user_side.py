"""The user's side of a handoff, reached through Rasa's HTTP API: say something, keep the bot quiet, give it back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasa_tiledesk.handoff.ledger import Handoff
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.responses import CONNECTING, texts_of

__all__ = ["SLOT", "UserSide"]

logger = logging.getLogger(__name__)

SLOT = "tiledesk_handoff"

# Without action_listen Rasa predicts a fallback when it resumes, which runs the handoff again (rasa 3.6.21, seen).
_LISTEN = {"event": "action", "name": "action_listen"}


@dataclass(frozen=True)
class UserSide:
    """Reaches a conversation in Rasa. Never from inside an action of that conversation: its lock is held.

    Attributes:
        rasa: Rasa's HTTP API.

    Every method raises RasaApiError.
    """

    rasa: RasaClient

    def give_back(self, handoff: Handoff, response: str) -> None:
        """Tell the user why, and let the bot answer again."""
        events = [
            _said(handoff, response),
            {"event": "slot", "name": SLOT, "value": None},
            {"event": "resume"},
            _LISTEN,
        ]
        self._append(handoff, events)

    def keep_quiet(self, handoff: Handoff) -> bool:
        """Pause the bot, and tell the user, when the action's own answer never reached Rasa. True when it had not."""
        tracker = self.rasa.tracker(handoff.sender_id, include_events="NONE")
        if tracker.get("paused"):
            return False
        logger.warning("handoff %s: the bot was not paused; paused again", handoff.id)
        pause: list[dict[str, Any]] = [
            {"event": "pause"},
            {"event": "slot", "name": SLOT, "value": handoff.id},
            _LISTEN,
        ]
        # Who has the slot has been told already; since then a new session or a restart has ended the pause.
        told = (tracker.get("slots") or {}).get(SLOT) == handoff.id
        self._append(handoff, pause if told else [_said(handoff, CONNECTING), *pause])
        return True

    def _append(self, handoff: Handoff, events: Sequence[Mapping[str, Any]]) -> None:
        self.rasa.append_events(handoff.sender_id, events, output_channel="latest", side_effects=True)


def _said(handoff: Handoff, response: str) -> dict[str, Any]:
    texts = {**texts_of({}), **(handoff.context.get("texts") or {})}
    return {"event": "bot", "text": texts[response], "metadata": {"utter_action": response}}
