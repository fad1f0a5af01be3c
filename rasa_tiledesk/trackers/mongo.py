"""The MongoDB tracker store."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.reading import (
    SAYING,
    SESSION_START,
    driver,
    events_among,
    in_time,
    in_words,
    newest_of,
    require_text,
)

__all__ = ["MongoReader"]

_LOGIN = "url, username, password and auth_source"
_WHERE = "db and collection"
_BIGGEST = 2**63 - 1  # MongoDB's integers


class MongoReader:
    """Reads the document that Rasa keeps of a conversation (rasa 3.6.21, core/tracker_store.py: MongoTrackerStore).

    Each read has a client of its own, as the SQL reader has a connection: pymongo's keeps threads that watch the
    servers all the time.

    Args:
        section: the `tracker_store` section, understood as Rasa understands it.

    Raises:
        TrackerStoreError: a key is wrong, or the driver is not installed.
    """

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._pymongo = driver("pymongo", extra="mongodb")
        require_text(section, "url", "db", "username", "password", "auth_source", "collection")
        self._url = str(section.get("url") or "mongodb://localhost:27017")
        self._db = str(section.get("db", "rasa"))
        self._collection = str(section.get("collection", "conversations"))
        password = section.get("password")
        self._login = {
            "username": section.get("username"),
            "password": None if password is None else str(password),
            "authSource": section.get("auth_source", "admin"),
        }
        if not self._url.startswith("mongodb+srv://"):  # which asks a name server at once
            self._client(1.0).close()  # what is wrong with the URL shows now, not in the first handoff

    @classmethod
    def from_endpoint(cls, section: Mapping[str, Any]) -> MongoReader:
        """The reader for a `tracker_store` section."""
        return cls(section)

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of the conversation; see `TrackerReader`. Of the newest only, no others are sent by MongoDB."""
        return in_time(lambda inner: self._read(sender_id, newest, inner), deadline, check=_LOGIN)

    def close(self) -> None:
        """Nothing is kept open."""

    def _read(self, sender_id: str, newest: int | None, deadline: Deadline) -> list[dict[str, Any]]:
        errors = self._pymongo.errors
        try:
            with contextlib.closing(self._client(deadline.remaining())) as client:
                database = client[self._db]
                found = self._document(database[self._collection], sender_id, _projection(newest))
                if found is None:
                    self._require_collection(database)
                    return []
        except errors.OperationFailure as error:
            check = _LOGIN if error.code in (13, 18) else _WHERE  # Unauthorized, AuthenticationFailed
            raise TrackerStoreError(f"tracker_store: {self._words(error)} (check its {check})") from None
        except (errors.PyMongoError, OSError, ValueError, OverflowError) as error:
            words = self._words(error)
            raise TrackerStoreError(f"tracker_store: could not read MongoDB: {words} (check its {_LOGIN})") from None
        return newest_of(events_among(found.get("events") or []), newest)

    def _document(self, collection: Any, sender_id: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
        keys: list[str | int] = [sender_id]
        if sender_id.isdecimal() and int(sender_id) <= _BIGGEST:
            # As old Rasa wrote it; the Rasa of today corrects it when it reads it, and we never write.
            keys.append(int(sender_id))
        for key in keys:
            for document in collection.aggregate([{"$match": {"sender_id": key}}, {"$limit": 1}, {"$project": fields}]):
                found: Mapping[str, Any] = document
                return found
        return None

    def _require_collection(self, database: Any) -> None:
        """Tell a conversation that is not there from a collection that is not there, where the login may see that."""
        try:
            known = database.list_collection_names(filter={"name": self._collection})
        except self._pymongo.errors.OperationFailure:
            return
        if self._collection not in known:
            why = f"there is no collection {self._collection!r} in the database {self._db!r}"
            raise TrackerStoreError(f"tracker_store: {why} (check its {_WHERE})")

    def _client(self, seconds: float) -> Any:
        milliseconds = max(1, int(seconds * 1000))
        errors = self._pymongo.errors
        # Of all bytes of an answer, not of each; since pymongo 4.2.
        whole = {"timeoutMS": milliseconds} if self._pymongo.version_tuple >= (4, 2) else {}
        try:
            return self._pymongo.MongoClient(
                self._url,
                connect=False,
                retryReads=False,
                unicode_decode_error_handler="replace",  # a byte that is no UTF-8 must not hide the rest
                **self._login,
                serverSelectionTimeoutMS=milliseconds // 2,  # it looks every half second only, and may be late by that
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=milliseconds,
                **whole,
            )
        except (errors.ConfigurationError, errors.InvalidName, TypeError, ValueError):
            # The driver's words may repeat a piece of a password that is not escaped.
            raise TrackerStoreError(
                "tracker_store.url is no MongoDB URL that pymongo understands, or auth_source does not fit it "
                "(in a URL, special characters of a login are percent-encoded)"
            ) from None

    def _words(self, error: Exception) -> str:
        words = in_words(error, self._login["password"])
        return words.partition(", full error:")[0].partition(", Timeout:")[0].partition(" (configured timeouts:")[0]


def _projection(newest: int | None) -> dict[str, Any]:
    """The events that `events_among` would keep, chosen by MongoDB; of many of them it sends the newest only."""
    says: dict[str, Any] = {"$in": ["$$event.event", list(SAYING)]}
    begins = {"$and": [{"$eq": ["$$event.event", "action"]}, {"$eq": ["$$event.name", SESSION_START]}]}
    events: dict[str, Any] = {"$filter": {"input": "$events", "as": "event", "cond": {"$or": [says, begins]}}}
    if newest:  # MongoDB has no slice of nothing
        events = {"$slice": [events, -newest]}
    return {"_id": 0, "events": events}
