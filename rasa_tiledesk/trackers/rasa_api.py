"""The conversation through Rasa's HTTP API: for Rasa's memory and for stores without a reader of their own."""

from __future__ import annotations

from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError, TrackerStoreError
from rasa_tiledesk.rasa.client import RasaClient
from rasa_tiledesk.trackers.reading import events_among, in_time, newest_of

__all__ = ["RasaApiReader"]


class RasaApiReader:
    """Reads with ``GET /conversations/{id}/tracker``, which waits for no lock: an action may call it.

    Rasa's memory forgets the earlier sessions when it saves the second turn of a new one (rasa 3.6.21,
    core/tracker_store.py: `save` replaces the conversation by the tracker, and the tracker holds the last session).

    Args:
        url: of the Rasa server.
        token: its `--auth-token`, or None.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._rasa = RasaClient(url, token=token)

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of the conversation; see `TrackerReader`. Rasa sends all of them always."""
        events = events_among(in_time(lambda inner: self._read(sender_id, inner), deadline, check="relay.rasa_url"))
        # For a conversation it does not know Rasa makes a new session up and does not keep it, so its times match
        # nothing. Nobody wrote in it yet, and a session without a user event never expires: the webhook has it whole.
        known = any(event.get("event") == "user" for event in events)
        return newest_of(events, newest) if known else []

    def close(self) -> None:
        """Close the connections to Rasa."""
        self._rasa.close()

    def _read(self, sender_id: str, deadline: Deadline) -> list[Any]:
        try:
            return self._rasa.tracker(sender_id, deadline=deadline).get("events") or []
        except RasaApiError as error:
            raise TrackerStoreError(f"tracker_store, read through Rasa's HTTP API: {error}") from None
