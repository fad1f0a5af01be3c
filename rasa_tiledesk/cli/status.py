"""`rasa-tiledesk status [SENDER_ID]`: the handoffs in the ledger. Shows no texts and no request ids."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rasa_tiledesk.cli.command import Command, endpoints_of, ledger_place
from rasa_tiledesk.cli.terminal import age, moment, printable, table
from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.handoff.to_user.webhooks import MISSED_IN_A_ROW
from rasa_tiledesk.ledger import OPEN_LIVES, Duty, Handoff, Ledger, Life, Missed
from rasa_tiledesk.settings import ledger_url

__all__ = ["COMMAND", "why"]

_SHOWN = 50  # rows of a table; --json has all
_LANES = {Duty.TO_AGENTS: "to the agents", Duty.TO_USER: "to the user"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sender_id", metavar="SENDER_ID", nargs="?", help="only this conversation, with its history")
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(arguments: argparse.Namespace) -> int:
    settings = endpoints_of(arguments).tiledesk
    place = ledger_place(settings, must_exist=True)
    ledger = Ledger(ledger_url(settings))
    try:
        if arguments.sender_id is None:
            shown = None if arguments.json else _SHOWN
            handoffs = ledger.handoffs.in_life(*OPEN_LIVES, Life.FAILED, newest=shown)
            show = _all_as_json if arguments.json else _all_in_words
            print(show(ledger, handoffs, place, ledger.news.missed(settings.project_id)))
        else:
            handoffs = ledger.handoffs.of_sender(arguments.sender_id)
            if not handoffs:
                raise LedgerError(f"{printable(arguments.sender_id)} was never handed over")
            show_one = _sender_as_json if arguments.json else _sender_in_words
            print(show_one(ledger, handoffs))
    finally:
        ledger.close()
    return 0


def _all_in_words(ledger: Ledger, handoffs: list[Handoff], place: str, missed: Missed) -> str:
    counts = ledger.handoffs.counts()
    lines = [f"ledger: {place}", "  ".join(f"{life.value}: {counts.get(life, 0)}" for life in Life)]
    if missed.in_a_row >= MISSED_IN_A_ROW:
        lines.append(f"webhooks: none told of the last {missed.in_a_row} messages of agents, {missed.in_all} in all")
    if handoffs:
        rows = [("SENDER", "LIFE", "AGE", "STEPS LEFT", "ATTEMPTS", "HANDOFF", "LAST ERROR")]
        for record in (_record(ledger, handoff) for handoff in handoffs):
            left = record["steps_left"]
            rows.append(
                (
                    printable(record["sender"]),
                    record["life"],
                    age(record["age_seconds"] * 1000),
                    " + ".join(str(left[lane.value]) for lane in _LANES),
                    str(record["attempts"]),
                    record["handoff"][:8],
                    printable(record["last_error"] or ""),
                )
            )
        lines += ["", *table(rows)]
        older = sum(counts.get(life, 0) for life in (*OPEN_LIVES, Life.FAILED)) - len(handoffs)
        if older > 0:
            lines.append(f"and {older} older ones; --json has them all")
        lines += ["", f"STEPS LEFT: {' + '.join(_LANES.values())}"]
    return "\n".join(lines)


def _sender_in_words(ledger: Ledger, handoffs: list[Handoff]) -> str:
    lines = []
    for handoff in handoffs:
        end = f", {handoff.end.value}" if handoff.end else ""
        lines.append(f"handoff {handoff.id[:8]} of {printable(handoff.sender_id)}: {handoff.life.value}{end}")
        left = _steps_left(ledger, handoff)
        if handoff.is_open or any(left.values()):
            lines.append("  steps left: " + ", ".join(f"{left[lane.value]} {where}" for lane, where in _LANES.items()))
        for duty, (attempts, words) in _troubles(ledger, handoff).items():
            lines.append(f"  {duty}: {attempts} attempts in a row have failed: {printable(words or '')}")
        rows = [
            (moment(at), life.value, printable(note or "")) for at, life, note in ledger.handoffs.history(handoff.id)
        ]
        lines += [f"  {line}" for line in table(rows)]
    return "\n".join(lines)


def _all_as_json(ledger: Ledger, handoffs: list[Handoff], place: str, missed: Missed) -> str:
    counts = ledger.handoffs.counts()
    return json.dumps(
        {
            "ledger": place,
            "counts": {life.value: counts.get(life, 0) for life in Life},
            "webhooks_missed": {"in_all": missed.in_all, "in_a_row": missed.in_a_row},
            "handoffs": [_record(ledger, handoff) for handoff in handoffs],
        },
        indent=2,
    )


def _sender_as_json(ledger: Ledger, handoffs: list[Handoff]) -> str:
    return json.dumps(
        [
            {
                **_record(ledger, handoff),
                "troubles": {
                    duty: {"attempts": attempts, "error": words}
                    for duty, (attempts, words) in _troubles(ledger, handoff).items()
                },
                "history": [
                    {"at": at, "life": life.value, "note": note}
                    for at, life, note in ledger.handoffs.history(handoff.id)
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
        "life": handoff.life.value,
        "end": handoff.end.value if handoff.end else None,
        "joined": handoff.joined,
        "created": handoff.created,
        "ended": handoff.ended,
        "age_seconds": (ledger.now() - handoff.created) // 1000,
        "silent_seconds": (ledger.now() - handoff.spoke) // 1000,
        "steps_left": _steps_left(ledger, handoff),
        "attempts": max((attempts for attempts, _ in _troubles(ledger, handoff).values()), default=0),
        "last_error": why(ledger, handoff) or None,
    }


def _steps_left(ledger: Ledger, handoff: Handoff) -> dict[str, int]:
    return {lane.value: len(ledger.lanes.unfinished(handoff.id, lane)) for lane in _LANES}


def _troubles(ledger: Ledger, handoff: Handoff) -> dict[str, tuple[int, str | None]]:
    return {duty.value: found for duty, found in ledger.handoffs.troubles(handoff.id).items()}


def why(ledger: Ledger, handoff: Handoff) -> str:
    """What goes wrong now, or why it failed; "" for a handoff that is well."""
    troubles = [words for _, words in ledger.handoffs.troubles(handoff.id).values() if words]
    notes = [note for _, life, note in ledger.handoffs.history(handoff.id) if note and life is Life.FAILED]
    return (notes or troubles or [""])[-1]


COMMAND = Command("status", "the handoffs in the ledger: open, failed, and one sender's history", _run, _add_arguments)
