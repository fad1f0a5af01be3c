"""`rasa-tiledesk check`: everything a handoff needs, one line each, and what to do about what is missing.

A PROBLEM makes the exit code 1. A NOTE is as it is now and may be as it should be: closed, or nobody available.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

from rasa_tiledesk.cli.command import Command, endpoints_of, ledger_place, path_of, reader_of
from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import (
    ConfigurationError,
    RasaTiledeskError,
    TiledeskError,
    TiledeskUncertain,
    TiledeskUnreachable,
)
from rasa_tiledesk.handoff.to_user import webhooks as hooks
from rasa_tiledesk.ledger import Ledger
from rasa_tiledesk.runtime import desk_of, rasa_of
from rasa_tiledesk.settings import Endpoints, ledger_url
from rasa_tiledesk.tiledesk import Department, TiledeskClient

__all__ = ["COMMAND"]

SECONDS = 10.0  # for each thing
_NOBODY = "rasa-tiledesk-check"  # the sender id whose events are asked for

OK, NOTE, PROBLEM, SKIPPED = "OK", "NOTE", "PROBLEM", "SKIPPED"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        check: what.
        verdict: OK, NOTE, PROBLEM or SKIPPED.
        details: what was found.
        remedy: what to do about it, "" where there is nothing to do.
    """

    check: str
    verdict: str
    details: str
    remedy: str = ""

    def __str__(self) -> str:
        words = f"{self.details} ({self.remedy})" if self.remedy else self.details
        return f"{self.check:<15}{self.verdict:<9}{words}".rstrip().replace("\n", "\n" + " " * 24)


def _problem(check: str, error: RasaTiledeskError) -> Line:
    """Our errors end with what to look at, in brackets."""
    found = re.fullmatch(r"(.*\S)\s+\((.*)\)", str(error), re.DOTALL)
    return Line(check, PROBLEM, *(found.groups() if found else (str(error), "")))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(arguments: argparse.Namespace) -> int:
    found = []
    for line in _lines(arguments):
        found.append(line)
        if not arguments.json:
            print(line, flush=True)
    if arguments.json:
        print(json.dumps([asdict(line) for line in found], indent=2))
    return 1 if {line.verdict for line in found} & {PROBLEM, SKIPPED} else 0


def _lines(arguments: argparse.Namespace) -> Iterator[Line]:
    try:
        endpoints = endpoints_of(arguments)
    except ConfigurationError as error:
        yield _problem("endpoints.yml", error)
        return
    yield Line("endpoints.yml", OK, str(path_of(arguments).absolute()))
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
        yield _problem("Tiledesk", error)
        yield from (Line(name, SKIPPED, "Tiledesk could not be asked") for name in ["credential", *rest])
        return
    except TiledeskError as error:
        yield Line("Tiledesk", OK, settings.url)
        yield _problem("credential", error)
        yield from (Line(name, SKIPPED, "the credential is not accepted") for name in rest)
        return
    who = f"bot {settings.bot_id}" if settings.bot_id else settings.email
    yield Line("Tiledesk", OK, settings.url)
    yield Line("credential", OK, f"{who} may act as an agent in project {settings.project_id}")
    yield from _desk(endpoints, desk)
    if settings.relay.receive == "webhook":
        yield _webhooks(endpoints, desk)


def _desk(endpoints: Endpoints, desk: TiledeskClient) -> Iterator[Line]:
    availability = endpoints.tiledesk.availability
    department: Department | None = None
    try:
        department = _within(desk).department(endpoints.tiledesk.department)
        bot = "; its bot is passed over" if department.bot_id else ""
        yield Line("department", OK, f"{department.name}{bot}")
    except TiledeskError as error:
        yield _problem("department", error)
    try:
        if _within(desk).is_open():
            yield Line("open now", OK, "yes")
        else:
            effect = "users are refused" if availability.closed == "refuse" else "users wait in the queue"
            yield Line("open now", NOTE, f"no: {effect} (tiledesk.availability.closed: {availability.closed})")
    except TiledeskError as error:
        yield _problem("open now", error)
    if department is None:
        yield Line("agents", SKIPPED, "the department is not known")
        return
    try:
        agents = _within(desk).available_agents(department.id)
    except TiledeskError as error:
        yield _problem("agents", error)
        return
    if agents:
        yield Line("agents", OK, f"{len(agents)} can take a request now")
    else:
        effect = "users are refused" if availability.nobody == "refuse" else "users wait in the queue"
        advice = "in Tiledesk an agent sets the own status to available"
        yield Line(
            "agents", NOTE, f"nobody now: {effect} (tiledesk.availability.nobody: {availability.nobody})", advice
        )


def _webhooks(endpoints: Endpoints, desk: TiledeskClient) -> Line:
    public_url = str(endpoints.tiledesk.relay.public_url)
    target = public_url + hooks.PATH
    try:
        there = {one.event for one in _within(desk).subscriptions() if one.target == target}
        missing = [event for event in hooks.EVENTS if event not in there]
        if missing:
            advice = "the action server makes them at its start and every ten minutes"
            return Line("webhooks", PROBLEM, f"none for {', '.join(missing)} to {target}", advice)
        with closing(Ledger(ledger_url(endpoints.tiledesk))) as ledger:
            come = hooks.comes(_within(desk), ledger, public_url)
            missed = ledger.news.missed(endpoints.tiledesk.project_id)
    except RasaTiledeskError as error:
        return _problem("webhooks", error)
    if not come:
        found = f"Tiledesk was asked for one, and none came to {target} within {hooks.TRIALS} seconds"
        return Line("webhooks", PROBLEM, found, f"does the action server run, with this ledger? {hooks.REMEDY}")
    if missed.in_a_row >= hooks.MISSED_IN_A_ROW:
        found = f"one came to {target} now, but none told of the last {missed.in_a_row} messages of agents"
        return Line("webhooks", NOTE, found, hooks.REMEDY)
    return Line("webhooks", OK, f"one came to {target}")


def _tracker_store(endpoints: Endpoints) -> Line:
    kind = str(endpoints.tracker_store.get("type") or endpoints.tracker_store.get("store_type") or "")
    name = kind or "none named: Rasa's memory, read through its HTTP API"
    try:
        with closing(reader_of(endpoints)) as reader:
            reader.events(_NOBODY, deadline=Deadline(SECONDS), newest=1)
    except RasaTiledeskError as error:
        return _problem("tracker store", error)
    return Line("tracker store", OK, name)


def _ledger(endpoints: Endpoints) -> Line:
    settings = endpoints.tiledesk
    try:
        place = ledger_place(settings, must_exist=False)
        with closing(Ledger(ledger_url(settings))) as ledger:
            ledger.handoffs.counts()
    except RasaTiledeskError as error:
        return _problem("ledger", error)
    return Line("ledger", OK, place)


def _rasa(endpoints: Endpoints) -> Line:
    try:
        with closing(rasa_of(endpoints.tiledesk)) as rasa:
            version = rasa.check(deadline=Deadline(SECONDS))
    except RasaTiledeskError as error:
        return _problem("Rasa", error)
    return Line("Rasa", OK, f"{version} at {endpoints.tiledesk.relay.rasa_url}, its API answers")


def _within(desk: TiledeskClient) -> TiledeskClient:
    return desk.within(Deadline(SECONDS))


COMMAND = Command("check", "say of everything a handoff needs whether it is there", _run, _add_arguments)
