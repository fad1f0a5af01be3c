"""The DynamoDB tracker store."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.reading import driver, events_among, in_time, in_words, newest_of, require_text

__all__ = ["DynamoReader"]

_CHECK = "region and table_name, and the AWS credentials of this process"


class DynamoReader:
    """Reads the item that Rasa keeps of a conversation (rasa 3.6.21, core/tracker_store.py: DynamoTrackerStore).

    The item holds all events, so the newest events cost what all of them cost; DynamoDB limits an item to 400 kB.

    Credentials and endpoint are found as boto3 finds them for Rasa: in the environment, in AWS's files, in the role of
    the machine. Each read has a client of its own, as the SQL reader has a connection: its timeouts are the client's.

    Args:
        section: the `tracker_store` section, understood as Rasa understands it.

    Raises:
        TrackerStoreError: a key is wrong, or the driver is not installed.
    """

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._boto3 = driver("boto3", extra="dynamodb")
        require_text(section, "region", "table_name")
        self._region = str(section.get("region", "us-east-1"))
        self._table = str(section.get("table_name", "states"))

    @classmethod
    def from_endpoint(cls, section: Mapping[str, Any]) -> DynamoReader:
        """The reader for a `tracker_store` section."""
        return cls(section)

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of the conversation, as the other stores hold them; see `TrackerReader`.

        Only the type of a number is lost: DynamoDB does not tell 1.0 from 1, so a whole number is an int, and a
        timestamp always a float. An event that Rasa Pro has appended twice is given once.
        """
        items = in_time(lambda inner: self._items(sender_id, inner), deadline, check=_CHECK)
        try:
            kept = [_plain(event) for item in items if "events" in item for event in item["events"]["L"]]
            return newest_of(list(_once(events_among(kept))), newest)
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError):
            raise TrackerStoreError(
                "tracker_store: what DynamoDB holds is no conversation (check its table_name)"
            ) from None

    def close(self) -> None:
        """Nothing is kept open."""

    def _items(self, sender_id: str, deadline: Deadline) -> list[Mapping[str, Any]]:
        errors = driver("botocore.exceptions", extra="dynamodb")
        query = {
            "TableName": self._table,
            "KeyConditionExpression": "sender_id = :sender_id",
            "ExpressionAttributeValues": {":sender_id": {"S": sender_id}},
            "ProjectionExpression": "#events",
            "ExpressionAttributeNames": {"#events": "events"},
            "ConsistentRead": True,  # Rasa may have saved the turn before the running one a moment ago
        }
        try:
            with contextlib.closing(self._client(deadline.remaining())) as client:
                return [item for page in client.get_paginator("query").paginate(**query) for item in page["Items"]]
        except (errors.BotoCoreError, errors.ClientError, OSError, ValueError) as error:
            words = in_words(error)
            raise TrackerStoreError(f"tracker_store: could not read DynamoDB: {words} (check its {_CHECK})") from None

    def _client(self, seconds: float) -> Any:
        config = driver("botocore.config", extra="dynamodb").Config
        once = config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
        # A session of its own: boto3's default session must not be shared by threads.
        return self._boto3.session.Session().client("dynamodb", region_name=self._region, config=once)


def _plain(value: Mapping[str, Any]) -> Any:
    """DynamoDB's typed JSON as plain values: {"L": [{"S": "a"}, {"N": "1.5"}]} is ["a", 1.5]."""
    ((kind, held),) = value.items()
    if kind == "M":
        plain = {key: _plain(each) for key, each in held.items()}
        if isinstance(plain.get("timestamp"), int):
            plain["timestamp"] = float(plain["timestamp"])
        return plain
    if kind == "L":
        return [_plain(each) for each in held]
    if kind == "N":
        return _number(held)
    return None if kind == "NULL" else held


def _number(text: str) -> int | float:
    # Rasa writes a float with nine digits after the point; DynamoDB takes the zeros at the end away.
    number = float(text)
    whole = text.partition(".")[0] if not text.partition(".")[2].strip("0") else ""
    try:
        return int(whole)
    except ValueError:
        return number


def _once(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rasa Pro appends the turn again when it repeats a save; such events are alike in all, their times too."""
    seen = set()
    for event in events:
        key = json.dumps(event, sort_keys=True, default=str)
        if key not in seen:
            seen.add(key)
            yield event
