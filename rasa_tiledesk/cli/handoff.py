"""`rasa-tiledesk handoff SENDER_ID`: hand a conversation over from outside, or try one that failed again."""

from __future__ import annotations

import argparse
import sys
import time

from rasa_tiledesk.cli.command import Command, endpoints_of, ledger_place, slots_of, stored_events
from rasa_tiledesk.cli.status import why
from rasa_tiledesk.cli.terminal import printable
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError, TrackerStoreError
from rasa_tiledesk.handoff.ask import Answer, Outcome
from rasa_tiledesk.handoff.conversation import Ask
from rasa_tiledesk.handoff.ledger import Handoff, State
from rasa_tiledesk.handoff.user_side import UserSide
from rasa_tiledesk.responses import texts_of
from rasa_tiledesk.runtime import Runtime, assemble

__all__ = ["COMMAND"]

ASK_SECONDS = 20.0
WATCH_SECONDS = 0.2

_NOT_ASKED = {
    Outcome.CLOSED_HOURS: "closed now; tiledesk.availability.closed: queue hands over all the same",
    Outcome.NO_AGENTS: "nobody is available now; tiledesk.availability.nobody: queue hands over all the same",
    Outcome.FAILED: "Tiledesk could not be asked",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sender_id", metavar="SENDER_ID", help="Rasa's id of the conversation")
    parser.add_argument(
        "--wait", type=float, default=600.0, metavar="SECONDS", help="how long to watch the import (default: 600)"
    )


def _run(arguments: argparse.Namespace) -> int:
    endpoints = endpoints_of(arguments)
    # A ledger of this command's own would hide the handoff from the action server, which relays it.
    ledger_place(endpoints.tiledesk, must_exist=True)
    parts = assemble(endpoints)
    try:
        answer = _ask(parts, arguments.sender_id)
        handoff = answer.handoff
        if handoff is None:
            print(f"not handed over: {_NOT_ASKED[answer.outcome]}", file=sys.stderr)
            return 1
        if answer.outcome is not Outcome.FAILED:
            if answer.outcome is Outcome.ALREADY:
                print(f"handed over already: handoff {handoff.id[:8]} is {handoff.state.value}; going on with it")
                parts.ledger.due_in(handoff.id, 0)  # now, not after the pause that failed attempts have earned
            else:
                print(f"handoff {handoff.id[:8]}: the request is open")
            _keep_quiet(parts, handoff)
        return _watch(parts, handoff, Deadline(arguments.wait))
    finally:
        parts.worker.stop()
        parts.ledger.close()


def _ask(parts: Runtime, sender_id: str) -> Answer:
    events = stored_events(parts.asking.reader, sender_id)
    if not events:
        raise TrackerStoreError(f"the tracker store has no conversation of {printable(sender_id)}")
    channels = [event.get("input_channel") for event in events if event.get("event") == "user"]
    ask = Ask(sender_id, events, slots_of(events), channels[-1] if channels else None, texts_of({}))
    return parts.asking.ask(ask, Deadline(ASK_SECONDS))


def _keep_quiet(parts: Runtime, handoff: Handoff) -> None:
    try:
        UserSide(parts.rasa).keep_quiet(handoff)
    except RasaApiError as error:
        print(f"the bot is not paused yet, an action server will try again: {error}", file=sys.stderr)
    else:
        print("the bot is paused")


def _watch(parts: Runtime, handoff: Handoff, deadline: Deadline) -> int:
    """Let the worker go on, here or in an action server, until the handoff has come to rest."""
    parts.worker.start()
    told = 0
    while True:
        handoff = parts.ledger.handoff(handoff.id)
        if handoff.state is State.LIVE:
            print("live: the agents have it")
            return 0
        if handoff.state in (State.FAILED, State.CLOSED):
            print(f"{handoff.state.value}: {why(parts.ledger, handoff)}", file=sys.stderr)
            return 1
        if handoff.attempts > told:
            told = handoff.attempts
            print(f"attempt {told} failed: {handoff.last_error}", file=sys.stderr)
        if deadline.expired():
            print(f"still {handoff.state.value}; an action server goes on with it", file=sys.stderr)
            return 1
        time.sleep(WATCH_SECONDS)


COMMAND = Command("handoff", "hand a conversation over from outside, or try again", _run, _add_arguments)
