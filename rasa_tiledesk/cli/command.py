"""What a command of `rasa-tiledesk` is, and what commands share: endpoints.yml and the parts it names."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from sqlalchemy.engine import make_url

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.endpoints import find_endpoints
from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.settings import Endpoints, Settings, load_endpoints
from rasa_tiledesk.trackers import TrackerReader, open_reader

__all__ = ["Command", "endpoints_of", "ledger_place", "path_of", "reader_of", "slots_of", "stored_events"]

STORE_SECONDS = 30.0


def _no_arguments(_parser: argparse.ArgumentParser) -> None:
    """The command has none of its own."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: what is typed.
        summary: one line for the list of commands.
        run: does it; returns the exit code. A RasaTiledeskError is told to the user by `main`.
        add_arguments: declares what it takes besides `--endpoints`.
    """

    name: str
    summary: str
    run: Callable[[argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments


def path_of(arguments: argparse.Namespace) -> Path:
    """Where endpoints.yml is: `--endpoints`, else as the action server finds it."""
    return Path(arguments.endpoints) if arguments.endpoints else find_endpoints((), os.environ)


def endpoints_of(arguments: argparse.Namespace) -> Endpoints:
    """What endpoints.yml says.

    Raises:
        ConfigurationError: with every problem in it.
    """
    return load_endpoints(path_of(arguments))


def reader_of(endpoints: Endpoints) -> TrackerReader:
    """The reader of the tracker store.

    Raises:
        TrackerStoreError: it cannot be read as it is configured.
    """
    relay = endpoints.tiledesk.relay
    token = relay.rasa_token.get_secret_value() if relay.rasa_token else None
    return open_reader(endpoints.tracker_store, rasa_url=relay.rasa_url, rasa_token=token)


def stored_events(reader: TrackerReader, sender_id: str) -> list[dict[str, Any]]:
    """Every event of a conversation.

    Raises:
        TrackerStoreError: the store could not be read.
    """
    return reader.events(sender_id, deadline=Deadline(STORE_SECONDS))


def slots_of(events: list[dict[str, Any]]) -> Mapping[str, Any]:
    """The slots as the events leave them."""
    slots: dict[str, Any] = {}
    for event in events:
        if event.get("event") == "slot":
            slots[str(event.get("name"))] = event.get("value")
        elif event.get("event") in ("restart", "reset_slots"):
            slots.clear()
    return slots


def ledger_place(settings: Settings, *, must_exist: bool) -> str:
    """Where the ledger is, without its login.

    Args:
        settings: the `tiledesk:` section.
        must_exist: refuse a file that is not there: a relative path counts from the folder where a process was
            started, so a command started elsewhere would look at an empty ledger of its own.

    Raises:
        LedgerError: there is no such file.
    """
    url = make_url(settings.ledger.get_secret_value())
    kind = url.get_backend_name()
    if kind != "sqlite":
        return f"{kind} {url.host or ''}/{url.database or ''}"
    if not url.database or url.database == ":memory:":
        raise LedgerError("tiledesk.ledger: is in the memory of each process; no other process can read it")
    path = Path(url.database).absolute()
    if must_exist and not path.exists():
        raise LedgerError(
            f"tiledesk.ledger: there is no {path}; the action server makes it when it starts. A relative path counts "
            "from the folder where it was started: run this command there, or give tiledesk.ledger an absolute path"
        )
    return f"{kind} {path}"
