"""`rasa-tiledesk status [SENDER_ID]`: the handoffs in the ledger. Shows no texts and no request ids."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rasa_tiledesk.cli.command import Command, endpoints_of, ledger_place
from rasa_tiledesk.cli.terminal import age, moment, printable, table
from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.ledger import OPEN, Direction, Handoff, Ledger, State

__all__ = ["COMMAND", "why"]

_SHOWN = 50  # rows of a table; --json has all
_DIRECTIONS = {Direction.TO_TILEDESK: "to Tiledesk", Direction.TO_USER: "to the user"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sender_id", metavar="SENDER_ID", nargs="?", help="only this conversation, with its history")
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(arguments: argparse.Namespace) -> int:
    settings = endpoints_of(arguments).tiledesk
    place = ledger_place(settings, must_exist=True)
    ledger = Ledger(settings.ledger.get_secret_value())
    try:
        if arguments.sender_id is None:
            handoffs = ledger.in_state(*OPEN, State.FAILING, State.FAILED)
            show = _all_as_json if arguments.json else _all_in_words
            print(show(ledger, handoffs, place))
        else:
            handoffs = ledger.of_sender(arguments.sender_id)
            if not handoffs:
                raise LedgerError(f"{printable(arguments.sender_id)} was never handed over")
            show_one = _sender_as_json if arguments.json else _sender_in_words
            print(show_one(ledger, handoffs))
    finally:
        ledger.close()
    return 0


def _all_in_words(ledger: Ledger, handoffs: list[Handoff], place: str) -> str:
    counts = ledger.counts()
    lines = [f"ledger: {place}", "  ".join(f"{state.value}: {counts.get(state, 0)}" for state in State)]
    if handoffs:
        newest = handoffs[-_SHOWN:]
        rows = [("SENDER", "STATE", "AGE", "ATTEMPTS", "HANDOFF", "LAST ERROR")]
        rows += [
            (
                printable(handoff.sender_id),
                handoff.state.value,
                age(ledger.now() - handoff.created),
                str(handoff.attempts),
                handoff.id[:8],
                printable(why(ledger, handoff)),
            )
            for handoff in newest
        ]
        lines += ["", *table(rows)]
        if len(handoffs) > len(newest):
            lines.append(f"and {len(handoffs) - len(newest)} older ones; --json has them all")
    return "\n".join(lines)


def _sender_in_words(ledger: Ledger, handoffs: list[Handoff]) -> str:
    lines = []
    for handoff in handoffs:
        lines.append(f"handoff {handoff.id[:8]} of {printable(handoff.sender_id)}: {handoff.state.value}")
        if handoff.state in OPEN:
            waiting = ", ".join(
                f"{len(ledger.pending(handoff.id, direction))} {words}" for direction, words in _DIRECTIONS.items()
            )
            lines.append(f"  messages on their way: {waiting}")
        if handoff.attempts:
            lines.append(f"  {handoff.attempts} attempts have failed: {printable(why(ledger, handoff))}")
        rows = [(moment(at), state.value, printable(note or "")) for at, state, note in ledger.history(handoff.id)]
        lines += [f"  {line}" for line in table(rows)]
    return "\n".join(lines)


def _all_as_json(ledger: Ledger, handoffs: list[Handoff], place: str) -> str:
    counts = ledger.counts()
    return json.dumps(
        {
            "ledger": place,
            "counts": {state.value: counts.get(state, 0) for state in State},
            "handoffs": [_record(ledger, handoff) for handoff in handoffs],
        },
        indent=2,
    )


def _sender_as_json(ledger: Ledger, handoffs: list[Handoff]) -> str:
    return json.dumps(
        [
            {
                **_record(ledger, handoff),
                "on_their_way": {way.name.lower(): len(ledger.pending(handoff.id, way)) for way in _DIRECTIONS},
                "history": [
                    {"at": at, "state": state.value, "note": note} for at, state, note in ledger.history(handoff.id)
                ],
            }
            for handoff in handoffs
        ],
        indent=2,
    )


def _record(ledger: Ledger, handoff: Handoff) -> dict[str, Any]:
    return {
        "handoff": handoff.id,
        "sender": handoff.sender_id,
        "state": handoff.state.value,
        "created": handoff.created,
        "age_seconds": (ledger.now() - handoff.created) // 1000,
        "attempts": handoff.attempts,
        "last_error": why(ledger, handoff) or None,
    }


def why(ledger: Ledger, handoff: Handoff) -> str:
    """What went wrong last, "" when nothing did: a handoff that is over has it in its history only."""
    notes = [note for _, _, note in ledger.history(handoff.id) if note]
    return handoff.last_error or (notes[-1] if notes else "")


COMMAND = Command("status", "the handoffs in the ledger: open, failed, and one sender's history", _run, _add_arguments)
