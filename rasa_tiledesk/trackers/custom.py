"""A tracker store of the bot's own: a class that endpoints.yml names by its module."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.reading import events_among, in_time, newest_of

__all__ = ["CustomReader"]


class CustomReader:
    """Reads through the bot's own class, where that has a method `events(sender_id, *, deadline)`.

    The method is `TrackerReader.events`, without `newest`: it gives all events as Rasa wrote them, in order, each a
    dict. It runs on a thread of its own, may be called by several at a time, and is given up when the time is over.

    Args:
        path: the class, as `tracker_store.type` names it.
        store: an instance of it.
    """

    def __init__(self, path: str, store: Any) -> None:
        self._path = path
        self._store = store

    @classmethod
    def from_endpoint(cls, path: str, section: Mapping[str, Any]) -> CustomReader:
        """The reader for a class, made with the arguments that Rasa makes it with, but no domain and no event broker.

        Raises:
            LookupError: the class cannot be imported here (it often needs Rasa, which an action server does without),
                or has no such method; says which.
            TrackerStoreError: the class could not be made.
        """
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except Exception as error:  # a module of the bot's own may raise anything
            raise LookupError(f"which cannot be imported here: {type(error).__name__}") from None
        if not callable(getattr(found, "events", None)):
            raise LookupError("which has no method `events(sender_id, *, deadline)`")
        arguments = {key: value for key, value in section.items() if key != "url"}
        try:
            return cls(path, found(host=section.get("url"), domain=None, event_broker=None, **arguments))
        except Exception as error:
            why = f"{path} could not be made: {type(error).__name__}"
            raise TrackerStoreError(f"tracker_store.type: {why} (check its other keys)") from None

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of the conversation; see `TrackerReader`."""

        def read(inner: Deadline) -> list[dict[str, Any]]:
            return events_among(self._store.events(sender_id, deadline=inner))

        return newest_of(in_time(read, deadline, check=f"type, {self._path}"), newest)

    def close(self) -> None:
        """Close the bot's own reader, where it can be closed."""
        close = getattr(self._store, "close", None)
        if callable(close):
            close()
