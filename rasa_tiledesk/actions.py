"""The Rasa actions. A bot's actions.py needs one line: ``from rasa_tiledesk.actions import *``.

Thin: they read the tracker, let a thread do what blocks, and turn the outcome into events and responses. Whatever goes
wrong the user hears it: an action that raises shows the user nothing (rasa 3.6.21, core/processor.py:996).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from rasa_sdk import Action, Tracker
from rasa_sdk.events import ActionExecuted, ActiveLoop, ConversationPaused, SessionStarted, SlotSet
from rasa_sdk.executor import CollectingDispatcher

from rasa_tiledesk import process, responses, server
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import LedgerError, RasaTiledeskError
from rasa_tiledesk.handoff.ask import Answer, Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.to_user.voice import SLOT

__all__ = ["ActionSessionStart", "ActionTiledeskHandoff", "ActionTiledeskRelay"]

logger = logging.getLogger(__name__)

Event = dict[str, Any]

# Rasa's conversation lock lasts 60 s, Slack asks again after 3 s, people leave after 10: what is not done then failed.
BUDGET_SECONDS = 8.0
SAY_SECONDS = 4.0
GRACE_SECONDS = 1.0

_RESPONSES = {
    Outcome.CONNECTED: responses.CONNECTING,
    Outcome.QUEUED: responses.QUEUED,
    Outcome.ALREADY: responses.CONNECTING,
    Outcome.NO_AGENTS: responses.NO_AGENTS,
    Outcome.CLOSED_HOURS: responses.CLOSED_HOURS,
    Outcome.FAILED: responses.FAILED,
}
_PROMISED = (Outcome.CONNECTED, Outcome.QUEUED, Outcome.ALREADY)

# In this module, since rasa-sdk 3.20 and later import it again in each worker process, and register only there.
server.register()

# Apart: users who ask while Tiledesk hangs must not keep those waiting who write to an agent.
_asks = ThreadPoolExecutor(max_workers=16, thread_name_prefix="tiledesk-ask")
_words = ThreadPoolExecutor(max_workers=16, thread_name_prefix="tiledesk-say")
_late = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tiledesk-late")


class ActionTiledeskHandoff(Action):
    """Hands the conversation over to a human in Tiledesk."""

    def name(self) -> str:
        """The name bots use in rules and stories."""
        return "action_tiledesk_handoff"

    async def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Mapping[str, Any] | None
    ) -> list[Event]:
        """Hand over; answers within 10 seconds, and never raises."""
        ask = Ask(
            sender_id=tracker.sender_id,
            events=tracker.events,
            slots=tracker.slots,
            channel=tracker.get_latest_input_channel(),
            responses=responses.own_responses(domain or {}),
            running=True,
        )
        deadline, ask_id = Deadline(BUDGET_SECONDS), uuid.uuid4().hex
        work = _asks.submit(_ask, ask, deadline, ask_id)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(work), BUDGET_SECONDS + GRACE_SECONDS)
        except asyncio.TimeoutError:
            logger.error("no handoff: no answer within %.0f s", BUDGET_SECONDS + GRACE_SECONDS)
            work.add_done_callback(lambda _: _late.submit(_take_back, ask.sender_id, ask_id))
            answer = Answer(Outcome.FAILED)
        _utter(dispatcher, domain or {}, _RESPONSES[answer.outcome])
        if answer.outcome not in _PROMISED or answer.handoff is None:
            return []
        return [
            *_leave_form(tracker),
            SlotSet(SLOT, answer.handoff.id),
            ConversationPaused(),
            ActionExecuted("action_listen"),
        ]


class ActionTiledeskRelay(Action):
    """Carries what the user says to the agent, while a handoff is open.

    Rasa runs it on every user message, paused or not, because the slot's custom mapping names it (rasa 3.6.21,
    core/actions/action.py, ActionExtractSlots). A conversation that was never handed over costs nothing: no query, no
    call.
    """

    def name(self) -> str:
        """The name in the slot's mapping."""
        return "action_tiledesk_relay"

    async def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Mapping[str, Any] | None
    ) -> list[Event]:
        """Queue the message; clears the slot when the handoff is over."""
        if tracker.slots.get(SLOT) is None:
            return []
        deadline = Deadline(SAY_SECONDS)
        stays = await _within(SAY_SECONDS + GRACE_SECONDS, _carry, tracker, deadline)
        return [] if stays else [SlotSet(SLOT, None)]


class ActionSessionStart(Action):
    """Starts a session as Rasa's own does, but keeps the bot quiet while a human has the conversation.

    A new session ends the pause (rasa 3.6.21, shared/core/trackers.py:784), and the bot would talk over the agent.
    A bot's own `action_session_start`, defined after ours is imported, takes its place.
    """

    def name(self) -> str:
        """The name Rasa calls when a session begins."""
        return "action_session_start"

    async def run(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Mapping[str, Any] | None
    ) -> list[Event]:
        """Begin the session, with the slots of the last one where the domain says so."""
        events: list[Event] = [SessionStarted()]
        session = (domain or {}).get("session_config") or {}
        if session.get("carry_over_slots_to_new_session", True):
            slots = {name: value for name, value in tracker.slots.items() if value is not None}
            slots.pop("session_started_metadata", None)
            events += [SlotSet(name, value) for name, value in slots.items()]
        shadow = tracker.slots.get(SLOT)
        if shadow is not None and await _within(SAY_SECONDS + GRACE_SECONDS, _has_open, tracker.sender_id):
            events += [SlotSet(SLOT, shadow), ConversationPaused()]
        return [*events, ActionExecuted("action_listen")]


async def _within(seconds: float, work: Callable[..., bool], *arguments: Any) -> bool:
    """Do it in a thread; True when that takes too long: a bot that is quiet is better than one that talks over."""
    done = asyncio.get_running_loop().run_in_executor(_words, work, *arguments)
    try:
        return await asyncio.wait_for(asyncio.shield(done), seconds)
    except asyncio.TimeoutError:
        logger.error("what the user said is not carried yet: no answer within %.0f s", seconds)
        return True


def _carry(tracker: Tracker, deadline: Deadline) -> bool:
    """Carry what was said to the agent; False when there is no handoff any more."""
    with _bot_stays_quiet():
        saying = process.at_work().saying
        paused = bool(tracker.is_paused())
        return saying.say(tracker.sender_id, tracker.events, tracker.slots, paused=paused, deadline=deadline)
    return True


def _has_open(sender_id: str) -> bool:
    with _bot_stays_quiet():
        return process.at_work().ledger.handoffs.open_of(sender_id) is not None
    return True


@contextlib.contextmanager
def _bot_stays_quiet() -> Iterator[None]:
    """A bot that talks over an agent is worse than one that is quiet; what was said is caught up from the tracker."""
    try:
        yield
    except RasaTiledeskError as error:
        logger.error("what the user said is not carried yet: %s", error)
    except Exception as error:
        logger.exception("what the user said is not carried yet: unexpected %s", type(error).__name__)


def _ask(ask: Ask, deadline: Deadline, ask_id: str) -> Answer:
    try:
        return process.at_work().asking.ask(ask, deadline, ask_id=ask_id)
    except RasaTiledeskError as error:
        logger.error("no handoff: %s", error)
    except Exception as error:  # whatever it is, the user must hear something
        logger.exception("no handoff: unexpected %s", type(error).__name__)
    _late.submit(_take_back, ask.sender_id, ask_id)
    return Answer(Outcome.FAILED)


def _take_back(sender_id: str, ask_id: str) -> None:
    """The user was told that nobody comes; what may have been made all the same must not pause nobody's bot."""
    for pause in (*[0.5] * 60, None):
        try:
            process.at_work().asking.take_back(ask_id, sender_id)
            return
        except LedgerError as error:
            if pause is None:
                logger.error("a handoff may not have been taken back: %s", error)
                return
            time.sleep(pause)
        except RasaTiledeskError:
            return  # nothing can have been made


def _utter(dispatcher: CollectingDispatcher, domain: Mapping[str, Any], response: str) -> None:
    """By name where the bot has the response, so that Rasa renders it for the channel; else in our words."""
    if response in (domain.get("responses") or {}):
        dispatcher.utter_message(response=response)
    else:
        dispatcher.utter_message(text=responses.default_text(response))


def _leave_form(tracker: Tracker) -> list[Event]:
    # An active form would take what is meant for the agent as its slots' values.
    if not (tracker.active_loop or {}).get("name"):
        return []
    return [ActiveLoop(None), SlotSet("requested_slot", None)]
