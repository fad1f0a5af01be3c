"""The steps that end a handoff for the user: the bot is back, and answers what reached nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.history import last_turn, redactor
from rasa_tiledesk.handoff.said import heard_since, said_of
from rasa_tiledesk.handoff.to_user.voice import LISTEN, MARK, SLOT, Voice, preparing, quietly
from rasa_tiledesk.ledger import HUSH_KEY, End, Handoff, Kind, Ledger, NewStep, Outcome, Step
from rasa_tiledesk.responses import ENDED, FAILED, NO_AGENTS, UNSENT
from rasa_tiledesk.settings import Settings

__all__ = ["Answer", "GiveBack"]

_SAID = {End.FAILED: FAILED, End.TOO_LATE: FAILED, End.NOBODY_CAME: NO_AGENTS}

_BACK: list[dict[str, Any]] = [{"event": "slot", "name": SLOT, "value": None}, {"event": "resume"}, LISTEN]


@dataclass(frozen=True)
class GiveBack:
    """Tells the user why, and lets the bot answer again, from the next message on."""

    voice: Voice
    ledger: Ledger

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """One call; nothing where the user has a newer handoff, whose pause must not be lifted."""
        return self._give_back(handoff, step, deadline, aloud=not quietly(step))

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether its mark is in the tracker."""
        return Outcome() if self.voice.has(handoff, step.key, deadline) else None

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Without words: Rasa drops all of it when the channel refuses them, and the bot would be silent for ever."""
        return self._give_back(handoff, step, deadline, aloud=False)

    def _give_back(self, handoff: Handoff, step: Step, deadline: Deadline, *, aloud: bool) -> Outcome:
        # Whom the action has told that nobody comes is with the bot, unless it was paused all the same.
        never_left = handoff.end is End.TOO_LATE and not self.voice.tracker(handoff, deadline).get("paused")
        if not (handoff.is_open or never_left or self.ledger.handoffs.open_of(handoff.sender_id)):
            response = _SAID.get(handoff.end, ENDED) if handoff.end else ENDED
            events = [self.voice.words(handoff, response, step.key), *_BACK]
            self.voice.append(handoff, events, deadline, aloud=aloud)
            newer = self.ledger.handoffs.open_of(handoff.sender_id)
            if newer is not None:  # asked for while we waited for the conversation's lock: its pause is lifted now
                self.ledger.handoffs.tell(newer.id, [NewStep(f"{HUSH_KEY}/{handoff.id}", Kind.HUSH)])
        return Outcome()


@dataclass(frozen=True)
class Answer:
    """Has the bot answer the user's words that reached nobody, or asks the user to say them again."""

    settings: Settings
    voice: Voice
    ledger: Ledger

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """One call for all of them: the bot answers one, when it had understood it."""
        tracker = self.voice.tracker(handoff, deadline)
        facts = self._look_for_missed(handoff, tracker.get("events") or [])
        unread = self.ledger.lanes.returned(handoff.id)
        if not unread:
            return Outcome(facts=facts)
        asked = [one.body["said"] for one in unread if "said" in one.body]
        newer = self.ledger.handoffs.open_of(handoff.sender_id)
        if len(asked) == 1 and asked[0] and newer is None and step.tries <= 1:
            # Paused by somebody else, it would say nothing.
            before = [*(_BACK if tracker.get("paused") else []), {**LISTEN, "metadata": {MARK: _asked(handoff, step)}}]
            with preparing():
                self.voice.append(handoff, before, deadline, aloud=False)
            # By its name: after a restart Rasa knows no latest channel.
            channel = tracker.get("latest_input_channel") or "latest"
            self.voice.rasa.trigger_intent(
                handoff.sender_id, asked[0]["intent"], asked[0]["entities"], output_channel=channel, deadline=deadline
            )
        else:
            self._ask_again(handoff, step, deadline, aloud=not quietly(step))
        return Outcome(settles=_keys(unread), facts=facts)

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether the user was asked again, or the bot was: then what it was asked stands behind our mark."""
        events = self.voice.rasa.tracker(handoff.sender_id, deadline=deadline).get("events") or []
        unread = self.ledger.lanes.returned(handoff.id)
        wanted = {f"EXTERNAL: {one.body['said']['intent']}" for one in unread if one.body.get("said")}
        marks = [(event.get("metadata") or {}).get(MARK) for event in events]
        begun = max((at for at, mark in enumerate(marks) if mark == _asked(handoff, step)), default=len(events))
        asked = any(event.get("event") == "user" and event.get("text") in wanted for event in events[begun:])
        if asked or self.voice.has(handoff, step.key, deadline):
            return Outcome(settles=_keys(unread))
        return None

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """The user is asked to say it again: Rasa refuses the intent, which the bot may not have any more."""
        self._ask_again(handoff, step, deadline, aloud=True)
        return Outcome(settles=_keys(self.ledger.lanes.returned(handoff.id)))

    def _look_for_missed(self, handoff: Handoff, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write down what was said before the bot was back, and reached no action server.

        Returns:
            Up to where the conversation has been heard, should an agent open the request again.
        """
        marks = [str((event.get("metadata") or {}).get(MARK)) for event in events]
        back = max((at for at, mark in enumerate(marks) if mark.startswith(f"{handoff.id}/end/")), default=None)
        if back is None:  # a newer handoff has all of it in its history
            return {}
        ends = self.settings.relay.end_intents
        heard = heard_since(events[:back], handoff, self.ledger.hooks.for_keys(), ends)
        said = said_of(heard, handoff, redactor(self.settings.history, events), ends)
        spoken = [one for one in said.steps if not said.last or not one.key.startswith(said.last)]
        self.ledger.words.missed(handoff.id, [*spoken, *said.after])
        newest = last_turn(events, self.ledger.hooks.for_keys())
        return {"last_key": newest.key, "last_at": newest.at} if newest else {}

    def _ask_again(self, handoff: Handoff, step: Step, deadline: Deadline, *, aloud: bool) -> None:
        self.voice.append(handoff, [self.voice.words(handoff, UNSENT, step.key)], deadline, aloud=aloud)


def _asked(handoff: Handoff, step: Step) -> str:
    """Marks where the bot is asked: an earlier word may have had the same intent."""
    return f"{handoff.id}/{step.key}/asked"


def _keys(unread: Sequence[Step]) -> list[str]:
    return [one.key for one in unread]
