"""The user's side of a handoff, reached through Rasa's HTTP API, marked so that what arrived can be recognised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasa_tiledesk import responses
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError
from rasa_tiledesk.handoff.failure import NotBegun
from rasa_tiledesk.ledger import Handoff, Step
from rasa_tiledesk.rasa import RasaClient

__all__ = ["CHANNEL_SECONDS", "LISTEN", "MARK", "SLOT", "Voice", "preparing", "quietly"]

SLOT = "tiledesk_handoff"

# Marks what we brought: an agent's words, and a notice of ours, once each.
MARK = "tiledesk_message"

# Without action_listen Rasa predicts a fallback when it resumes, which runs the handoff again (rasa 3.6.21, seen).
LISTEN = {"event": "action", "name": "action_listen"}

# A channel may take long. When we hang up, Rasa 3.6.21 drops its handler, after the user has got the words and before
# the tracker is saved (seen): so it gets time, and what may have been said twice is not said a third time.
CHANNEL_SECONDS = 20.0
ALOUD = 2


def quietly(step: Step) -> bool:
    """Whether the user may have heard it so often that it is only written down now."""
    return step.tries - step.refusals > ALOUD  # what a channel refuses, nobody hears


@dataclass(frozen=True)
class Voice:
    """Reaches a conversation in Rasa. Never from inside an action of that conversation: its lock is held.

    Attributes:
        rasa: Rasa's HTTP API.
        seconds: how long a channel may take.

    Every method raises RasaApiError.
    """

    rasa: RasaClient
    seconds: float = CHANNEL_SECONDS

    def words(self, handoff: Handoff, name: str, key: str, *, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The bot event that says a response in the bot's words."""
        own = handoff.facts.get("responses") or {}
        slots: Mapping[str, Any] = {}
        if own.get(name) and responses.needed_slots(own):
            with preparing():
                slots = self.rasa.tracker(handoff.sender_id, include_events="NONE").get("slots") or {}
        event = responses.said(own, name, channel=handoff.facts.get("channel"), slots=slots, more=more)
        return {"event": "bot", **event, "metadata": {"utter_action": name, MARK: f"{handoff.id}/{key}"}}

    def append(
        self, handoff: Handoff, events: Sequence[Mapping[str, Any]], deadline: Deadline, *, aloud: bool
    ) -> str | None:
        """Add events to the conversation; aloud, the user gets the words among them. Returns the user's channel."""
        channel = self._append(handoff, events, "latest", deadline, aloud=aloud)
        known = handoff.facts.get("channel")
        if aloud and channel is None and known:
            # After a restart Rasa knows no latest channel until the user writes again, and drops the words (3.6.21,
            # seen). So they are said once more where the user was.
            words = [event for event in events if event.get("event") == "bot"]
            self._append(handoff, words, known, deadline, aloud=True)
        return channel or known

    def _append(
        self, handoff: Handoff, events: Sequence[Mapping[str, Any]], channel: str, deadline: Deadline, *, aloud: bool
    ) -> str | None:
        limit = Deadline(min(self.seconds, deadline.remaining()))
        state = self.rasa.append_events(
            handoff.sender_id, events, output_channel=channel, side_effects=aloud, deadline=limit
        )
        latest = state.get("latest_input_channel")
        return latest if isinstance(latest, str) else None

    def tracker(self, handoff: Handoff, deadline: Deadline) -> dict[str, Any]:
        """The conversation, before anything is done about it."""
        with preparing():
            return self.rasa.tracker(handoff.sender_id, deadline=deadline)

    def has(self, handoff: Handoff, key: str, deadline: Deadline) -> bool:
        """Whether what was marked with this key is in the tracker, and was said where the user is.

        In a session in which the user has not written yet it was only written down, unless it was said once more.
        """
        events = self.rasa.tracker(handoff.sender_id, deadline=deadline).get("events") or []
        wanted = f"{handoff.id}/{key}"
        marks = [at for at, event in enumerate(events) if (event.get("metadata") or {}).get(MARK) == wanted]
        if len(marks) != 1:
            return bool(marks)
        kinds = [event.get("event") for event in events[: marks[0]]]
        begins = max((at for at, kind in enumerate(kinds) if kind == "session_started"), default=0)
        return "user" in kinds[begins:] or not handoff.facts.get("channel")


@contextlib.contextmanager
def preparing() -> Iterator[None]:
    """What fails in here was before the step itself."""
    try:
        yield
    except RasaApiError as error:
        raise NotBegun(error) from error
