"""`rasa-tiledesk check`: everything a handoff needs, one line each, and what to do about what is missing.

A PROBLEM makes the exit code 1. A NOTE is as it is now and may be as it should be: closed, or nobody available.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing

from rasa_tiledesk.cli.command import Command, endpoints_of, ledger_place, path_of, reader_of
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import (
    ConfigurationError,
    RasaTiledeskError,
    TiledeskError,
    TiledeskUncertain,
    TiledeskUnreachable,
)
from rasa_tiledesk.handoff import hooks
from rasa_tiledesk.handoff.ledger import Ledger
from rasa_tiledesk.runtime import desk_of, rasa_of
from rasa_tiledesk.settings import Endpoints
from rasa_tiledesk.tiledesk import Department, TiledeskClient

__all__ = ["COMMAND"]

SECONDS = 10.0  # for each thing
_NOBODY = "rasa-tiledesk-check"  # the sender id whose events are asked for

Line = tuple[str, str, str]
"""What was looked at; OK, NOTE, PROBLEM or SKIPPED; the details."""

OK, NOTE, PROBLEM, SKIPPED = "OK", "NOTE", "PROBLEM", "SKIPPED"


def _run(arguments: argparse.Namespace) -> int:
    found = set()
    for name, verdict, details in _lines(arguments):
        found.add(verdict)
        print(f"{name:<15}{verdict:<9}{details}".rstrip().replace("\n", "\n" + " " * 24), flush=True)
    return 1 if found & {PROBLEM, SKIPPED} else 0


def _lines(arguments: argparse.Namespace) -> Iterator[Line]:
    try:
        endpoints = endpoints_of(arguments)
    except ConfigurationError as error:
        yield "endpoints.yml", PROBLEM, str(error)
        return
    yield "endpoints.yml", OK, str(path_of(arguments).absolute())
    yield from _tiledesk(endpoints, desk_of(endpoints.tiledesk))
    yield _tracker_store(endpoints)
    yield _ledger(endpoints)
    yield _rasa(endpoints)


def _tiledesk(endpoints: Endpoints, desk: TiledeskClient) -> Iterator[Line]:
    settings = endpoints.tiledesk
    rest = ["department", "open now", "agents"] + ["webhooks"] * (settings.relay.receive == "webhook")
    try:
        _within(desk).check_credential()
    except (TiledeskUnreachable, TiledeskUncertain) as error:
        yield "Tiledesk", PROBLEM, str(error)
        yield from ((name, SKIPPED, "Tiledesk could not be asked") for name in ["credential", *rest])
        return
    except TiledeskError as error:
        yield "Tiledesk", OK, settings.url
        yield "credential", PROBLEM, str(error)
        yield from ((name, SKIPPED, "the credential is not accepted") for name in rest)
        return
    who = f"bot {settings.bot_id}" if settings.bot_id else settings.email
    yield "Tiledesk", OK, settings.url
    yield "credential", OK, f"{who} may act as an agent in project {settings.project_id}"
    yield from _desk(endpoints, desk)
    if settings.relay.receive == "webhook":
        yield _webhooks(endpoints, desk)


def _desk(endpoints: Endpoints, desk: TiledeskClient) -> Iterator[Line]:
    availability = endpoints.tiledesk.availability
    department: Department | None = None
    try:
        department = _within(desk).department(endpoints.tiledesk.department)
        bot = "; its bot is passed over" if department.bot_id else ""
        yield "department", OK, f"{department.name}{bot}"
    except TiledeskError as error:
        yield "department", PROBLEM, str(error)
    try:
        if _within(desk).is_open():
            yield "open now", OK, "yes"
        else:
            effect = "users are refused" if availability.closed == "refuse" else "users wait in the queue"
            yield "open now", NOTE, f"no: {effect} (tiledesk.availability.closed: {availability.closed})"
    except TiledeskError as error:
        yield "open now", PROBLEM, str(error)
    if department is None:
        yield "agents", SKIPPED, "the department is not known"
        return
    try:
        agents = _within(desk).available_agents(department.id)
    except TiledeskError as error:
        yield "agents", PROBLEM, str(error)
        return
    if agents:
        yield "agents", OK, f"{len(agents)} can take a request now"
    else:
        effect = "users are refused" if availability.nobody == "refuse" else "users wait in the queue"
        advice = "in Tiledesk an agent sets the own status to available"
        yield "agents", NOTE, f"nobody now: {effect} (tiledesk.availability.nobody: {availability.nobody}); {advice}"


def _webhooks(endpoints: Endpoints, desk: TiledeskClient) -> Line:
    target = f"{endpoints.tiledesk.relay.public_url}{hooks.PATH}"
    try:
        there = {one.event for one in _within(desk).subscriptions() if one.target == target}
    except TiledeskError as error:
        return "webhooks", PROBLEM, str(error)
    missing = [event for event in hooks.EVENTS if event not in there]
    if missing:
        advice = "the action server makes them at its start and every ten minutes"
        return "webhooks", PROBLEM, f"none for {', '.join(missing)} to {target}; {advice}"
    return "webhooks", OK, f"{', '.join(hooks.EVENTS)} to {target}"


def _tracker_store(endpoints: Endpoints) -> Line:
    kind = str(endpoints.tracker_store.get("type") or endpoints.tracker_store.get("store_type") or "")
    name = kind or "none named: Rasa's memory, read through its HTTP API"
    try:
        with closing(reader_of(endpoints)) as reader:
            reader.events(_NOBODY, deadline=Deadline(SECONDS), newest=1)
    except RasaTiledeskError as error:
        return "tracker store", PROBLEM, str(error)
    return "tracker store", OK, name


def _ledger(endpoints: Endpoints) -> Line:
    settings = endpoints.tiledesk
    try:
        place = ledger_place(settings, must_exist=False)
        with closing(Ledger(settings.ledger.get_secret_value())) as ledger:
            ledger.counts()
    except RasaTiledeskError as error:
        return "ledger", PROBLEM, str(error)
    return "ledger", OK, place


def _rasa(endpoints: Endpoints) -> Line:
    try:
        with closing(rasa_of(endpoints.tiledesk)) as rasa:
            version = rasa.check(deadline=Deadline(SECONDS))
    except RasaTiledeskError as error:
        return "Rasa", PROBLEM, str(error)
    return "Rasa", OK, f"{version} at {endpoints.tiledesk.relay.rasa_url}, its API answers"


def _within(desk: TiledeskClient) -> TiledeskClient:
    return desk.within(Deadline(SECONDS))


COMMAND = Command("check", "say of everything a handoff needs whether it is there", _run)
