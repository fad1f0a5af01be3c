"""`rasa-tiledesk preview SENDER_ID`: what an agent would see if the user asked for a human now. Sends nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from rasa_tiledesk.cli.command import Command, endpoints_of, reader_of, slots_of, stored_events
from rasa_tiledesk.cli.terminal import moment, printable
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.handoff.conversation import (
    FIRST_NATIVE,
    Ask,
    Placed,
    history_messages,
    older_messages,
    opening_messages,
    redactor,
    speakers,
)
from rasa_tiledesk.settings import History, Settings
from rasa_tiledesk.transcript import read_turns

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sender_id", metavar="SENDER_ID", help="Rasa's id of the conversation")


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
    history = settings.history
    by = speakers("0" * 32, ask.slot(settings.requester.name_slot) or "Guest")
    placed: list[Placed]
    if history.import_ == "direct":
        placed = history_messages(ask.events, by, history, unreadable=False, slots=ask.slots)
    else:
        placed, older = opening_messages(ask.events, by, history, ask.slots)
        if older:
            native = [message for message in placed if message[0] >= FIRST_NATIVE]
            placed += older_messages(ask.events, by, history, native=native, unreadable=False)
    return [body for _, _, body in sorted(placed, key=lambda message: message[0])]


def _removed(ask: Ask, history: History) -> Iterator[str]:
    """How much the rules of `history.redact` remove, and from which turns; not what it is."""
    if not history.redact:
        return
    found = redactor(history, ask.events, ask.slots).report(read_turns(ask.events))
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
