"""`rasa-tiledesk handoff SENDER_ID`: hand a conversation over from outside, or try one that failed again."""

from __future__ import annotations

import argparse
import sys
import time

from rasa_tiledesk.cli.command import Command, endpoints_of, ledger_place, slots_of, stored_events
from rasa_tiledesk.cli.status import why
from rasa_tiledesk.cli.terminal import printable
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.handoff.ask import Answer, Outcome
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import HUSH_KEY, Handoff, Kind, Life, NewStep
from rasa_tiledesk.runtime import Runtime, assemble

__all__ = ["COMMAND"]

ASK_SECONDS = 20.0
WATCH_SECONDS = 0.2

_NOT_ASKED = {
    Outcome.CLOSED_HOURS: "closed now; tiledesk.availability.closed: queue hands over all the same",
    Outcome.NO_AGENTS: "nobody is available now; tiledesk.availability.nobody: queue hands over all the same",
    Outcome.FAILED: "Tiledesk or Rasa could not be asked, or this conversation was handed over again and again",
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
                print(f"handed over already: handoff {handoff.id[:8]} is {handoff.life.value}; going on with it")
                parts.ledger.handoffs.due_now(handoff.id)
            else:
                print(f"handoff {handoff.id[:8]}: the request is open")
            # Nobody else has told the user, and paused the bot.
            parts.ledger.handoffs.tell(handoff.id, [NewStep(f"{HUSH_KEY}/outside", Kind.HUSH)])
        return _watch(parts, handoff, Deadline(arguments.wait))
    finally:
        parts.worker.stop()
        parts.ledger.close()


def _ask(parts: Runtime, sender_id: str) -> Answer:
    events = stored_events(parts.asking.reader, sender_id)
    if not events:
        raise TrackerStoreError(f"the tracker store has no conversation of {printable(sender_id)}")
    channels = [event.get("input_channel") for event in events if event.get("event") == "user"]
    ask = Ask(sender_id, events, slots_of(events), channels[-1] if channels else None)
    return parts.asking.ask(ask, Deadline(ASK_SECONDS))


def _watch(parts: Runtime, handoff: Handoff, deadline: Deadline) -> int:
    """Let the worker go on, here or in an action server, until the handoff has come to rest."""
    parts.worker.start()
    told = 0
    while True:
        handoff = parts.ledger.handoffs.get(handoff.id)
        if handoff.life is Life.LIVE:
            print("live: the agents have it")
            return 0
        if not handoff.is_open:
            print(f"{handoff.life.value}: {why(parts.ledger, handoff)}", file=sys.stderr)
            return 1
        attempts = max((tries for tries, _ in parts.ledger.handoffs.troubles(handoff.id).values()), default=0)
        if attempts > told:
            print(f"attempt {attempts} failed: {why(parts.ledger, handoff)}", file=sys.stderr)
        told = attempts
        if deadline.expired():
            print(f"still {handoff.life.value}; an action server goes on with it", file=sys.stderr)
            return 1
        time.sleep(WATCH_SECONDS)


COMMAND = Command("handoff", "hand a conversation over from outside, or try again", _run, _add_arguments)
