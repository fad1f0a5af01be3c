"""`rasa-tiledesk preview SENDER_ID`: what an agent would see if the user asked for a human now. Sends nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rasa_tiledesk.cli.command import Command, endpoints_of, reader_of, slots_of, stored_events
from rasa_tiledesk.cli.terminal import moment, printable
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.history import history_messages, older_messages, redactor, speakers, turns_of
from rasa_tiledesk.handoff.plan import facts_of, staged_steps
from rasa_tiledesk.ledger import Kind
from rasa_tiledesk.settings import History, Settings
from rasa_tiledesk.transcript import Turn

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sender_id", metavar="SENDER_ID", help="Rasa's id of the conversation")
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(arguments: argparse.Namespace) -> int:
    endpoints = endpoints_of(arguments)
    reader = reader_of(endpoints)
    try:
        events = stored_events(reader, arguments.sender_id)
    finally:
        reader.close()
    if not events:
        raise TrackerStoreError(f"the tracker store has no conversation of {printable(arguments.sender_id)}")
    ask = Ask(arguments.sender_id, events, slots_of(events))
    messages = _messages(ask, endpoints.tiledesk)
    if arguments.json:
        print(json.dumps(_for_programs(ask, messages, endpoints.tiledesk.history), indent=2))
        return 0
    count = len(messages)
    print(f"{count} message{'' if count == 1 else 's'}, as an agent would see them, times in UTC. Nothing was sent.\n")
    width = max((len(body["senderFullname"]) for body in messages), default=0)
    for body in messages:
        attributes = body["attributes"]
        name = "" if attributes.get("subtype") == "info" else body["senderFullname"]
        print(_entry(moment(attributes["clienttimestamp"]), name.ljust(width), body))
    for line in _removed(ask, endpoints.tiledesk.history):
        print(line)
    return 0


def _messages(ask: Ask, settings: Settings) -> list[Mapping[str, Any]]:
    """The bodies in the order in which they would be sent."""
    history, facts = settings.history, facts_of(ask, settings, "", b"")
    by = speakers("0" * 32, facts)
    if history.import_ == "direct":
        return [
            message.body
            for message in history_messages(ask.events, by, history, b"", unreadable=False, slots=ask.slots)
        ]
    bodies: list[Mapping[str, Any]] = []
    for step in staged_steps("0" * 32, facts, ask, history, b""):
        if step.kind is Kind.HISTORY:
            native, starts = set(step.body["native"]), step.body["starts"]
            older, _ = older_messages(ask.events, by, history, b"", native=native, starts=starts, unreadable=False)
            bodies += [message.body for message in older]
        elif step.kind is not Kind.ROUTE:
            bodies.append(step.body["message"])
    return bodies


def _found(ask: Ask, history: History) -> list[tuple[Turn, str, int]]:
    """How much the rules of `history.redact` remove, and from which turns; not what it is."""
    return list(redactor(history, ask.events, ask.slots).report(turns_of(ask.events, b"")))


def _for_programs(ask: Ask, messages: Sequence[Mapping[str, Any]], history: History) -> dict[str, Any]:
    shown = [
        {
            "at": body["attributes"]["clienttimestamp"],
            "who": body["attributes"]["rasa"]["who"],
            "name": body["senderFullname"],
            "type": body["type"],
            "text": body["text"],
            "image": (body.get("metadata") or {}).get("src"),
            "info": body["attributes"].get("subtype") == "info",
        }
        for body in messages
    ]
    removed = [
        {"at": int(turn.at * 1000), "who": turn.who, "rule": rule, "count": count}
        for turn, rule, count in _found(ask, history)
    ]
    return {"messages": shown, "removed": removed}


def _removed(ask: Ask, history: History) -> Iterator[str]:
    if not history.redact:
        return
    found = _found(ask, history)
    yield ""
    yield "Removed by history.redact, in all sessions:" if found else "history.redact found nothing to remove."
    for turn, kind, count in found:
        yield f"{moment(int(turn.at * 1000))}  {turn.who}: {count} × {kind}"


def _entry(when: str, name: str, body: Mapping[str, Any]) -> str:
    begin = printable(f"{when}  {name}  ")
    text = str(body["text"])
    image = (body.get("metadata") or {}).get("src")
    if image:
        text = f"[image] {image}" if text == image else f"{text}\n[image] {image}"
    return begin + printable(text).replace("\n", "\n" + " " * len(begin))


COMMAND = Command("preview", "show what an agent would see of a conversation; sends nothing", _run, _add_arguments)
