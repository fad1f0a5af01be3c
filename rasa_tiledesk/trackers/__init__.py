"""Readers of Rasa's tracker store, one file a store; none of them ever writes.

Why read it at all: the action's webhook brings the running session only, and only the store has the earlier ones. Why
not only read it: the running turn is saved when the turn ends, so while the action runs only the webhook has it
(rasa 3.6.21, core/processor.py). `merge` puts the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.merge import merge

__all__ = ["TrackerReader", "merge", "open_reader"]


class TrackerReader(Protocol):
    """Reads conversations from where Rasa keeps them; safe to share between threads."""

    def events(self, sender_id: str, *, deadline: Deadline) -> list[dict[str, Any]]:
        """Every event of all sessions as Rasa wrote it, in the order Rasa stored it; none for an unknown sender.

        Raises:
            TrackerStoreError: the store could not be read in time; names the key in endpoints.yml to check.
        """

    def close(self) -> None:
        """Let go of what is kept open."""


def open_reader(
    tracker_store: Mapping[str, Any] | None, *, rasa_url: str | None, rasa_token: str | None
) -> TrackerReader:
    """The reader for the store that endpoints.yml names; connects to nothing yet.

    A store without a reader of its own (none named: Rasa's memory; a class of the bot's own) is read through Rasa's
    HTTP API, which serves whatever store Rasa has.

    Args:
        tracker_store: the `tracker_store` section of endpoints.yml, its variables expanded.
        rasa_url: where Rasa's HTTP API is (`relay.rasa_url`), or None when it is not configured.
        rasa_token: its `--auth-token`, or None.

    Raises:
        TrackerStoreError: the section is wrong, or a package is missing; says which and how to install it.
    """
    store = dict(tracker_store or {})
    # Both spellings, and any case: rasa 3.6.21, utils/endpoints.py and core/tracker_store.py.
    kind = str(store.pop("store_type", None) or store.pop("type", None) or "").lower()
    if kind == "sql":
        from rasa_tiledesk.trackers.sql import SqlReader

        return SqlReader.from_endpoint(store)
    if not rasa_url:
        where = f"tracker_store.type: {kind}" if kind else "no tracker_store: Rasa keeps conversations in its memory"
        raise TrackerStoreError(f"{where}, which is read through Rasa's HTTP API: set relay.rasa_url")
    from rasa_tiledesk.trackers.rasa_api import RasaApiReader

    return RasaApiReader(rasa_url, rasa_token)
