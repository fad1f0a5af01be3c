"""Readers of Rasa's tracker store, one file a store; none of them ever writes.

Why read it at all: the action's webhook brings the running session only, and only the store has the earlier ones. Why
not only read it: the running turn is saved when the turn ends, so while the action runs only the webhook has it
(rasa 3.6.21, core/processor.py). `merge` puts the two together.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TrackerStoreError
from rasa_tiledesk.trackers.merge import merge

__all__ = ["TrackerReader", "merge", "open_reader"]

logger = logging.getLogger(__name__)

# Rasa's names of its stores, and our readers of them: imported when needed, as their drivers are.
_READERS = {
    "sql": ("sql", "SqlReader"),
    "redis": ("redis_store", "RedisReader"),
    "mongod": ("mongo", "MongoReader"),
    "dynamo": ("dynamo", "DynamoReader"),
}

_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

# Rasa Pro replaces the password by a token it asks AWS for, and keeps that to itself.
_AWS_IAM = {"sql": "RDS_SQL_DB_AWS_IAM_ENABLED", "redis": "ELASTICACHE_REDIS_AWS_IAM_ENABLED"}


class TrackerReader(Protocol):
    """Reads conversations from where Rasa keeps them; safe to share between threads."""

    def events(self, sender_id: str, *, deadline: Deadline, newest: int | None = None) -> list[dict[str, Any]]:
        """The events of all sessions as Rasa wrote them, in the order Rasa stored them; none for an unknown sender.

        Only those that a transcript is made of: what was said, slots and entities, and where a session or a restart
        began (`reading.SAYING`).

        Args:
            sender_id: whose conversation.
            deadline: how long it may take.
            newest: only the last so many of them, so that SQL need not read the others. None means all.

        Raises:
            TrackerStoreError: the store could not be read in time; names the key in endpoints.yml to check.
        """

    def close(self) -> None:
        """Let go of what is kept open."""


def open_reader(
    tracker_store: Mapping[str, Any] | None, *, rasa_url: str | None, rasa_token: str | None
) -> TrackerReader:
    """The reader for the store that endpoints.yml names; connects to nothing yet.

    A store without a reader of its own (none named: Rasa's memory; a class of the bot's own that offers no `events`)
    is read through Rasa's HTTP API, which serves whatever store Rasa has.

    Args:
        tracker_store: the `tracker_store` section of endpoints.yml, its variables expanded.
        rasa_url: where Rasa's HTTP API is (`relay.rasa_url`), or None when it is not configured.
        rasa_token: its `--auth-token`, or None.

    Raises:
        TrackerStoreError: the section is wrong, or a package is missing; says which and how to install it.
    """
    store = dict(tracker_store or {})
    # Both spellings, and any case: rasa 3.6.21, utils/endpoints.py and core/tracker_store.py.
    named = [store.pop(key, None) for key in ("store_type", "type")]
    kind = str(named[0] or named[1] or "")
    known = _READERS.get(kind.lower())
    if known:
        _refuse_iam(kind.lower())
        module, name = known
        reader: TrackerReader = getattr(importlib.import_module(f"{__name__}.{module}"), name).from_endpoint(store)
        return reader
    why = "no tracker_store: Rasa keeps conversations in its memory"
    if kind:
        from rasa_tiledesk.trackers.custom import CustomReader

        try:
            return CustomReader.from_endpoint(kind, store)
        except LookupError as error:
            # Never what stands there by mistake, such as a URL with its password.
            path = f" {kind}," if _CLASS.fullmatch(kind) else ""
            why = f"tracker_store.type:{path} {error}"
    if not rasa_url:
        raise TrackerStoreError(f"{why}: it is read through Rasa's HTTP API: set relay.rasa_url")
    logger.info("%s: it is read through Rasa's HTTP API", why)
    from rasa_tiledesk.trackers.rasa_api import RasaApiReader

    return RasaApiReader(rasa_url, rasa_token)


def _refuse_iam(kind: str) -> None:
    variable = _AWS_IAM.get(kind, "")
    if os.environ.get("IAM_CLOUD_PROVIDER") and os.environ.get(variable, "").lower() == "true":
        raise TrackerStoreError(
            f"tracker_store: {variable} signs in with AWS IAM, which only Rasa Pro can. Run the action server without "
            "it and with an endpoints.yml of its own (RASA_TILEDESK_ENDPOINTS), where tracker_store has the username "
            "and password of a login that may read, or where there is no tracker_store: then Rasa's HTTP API is read"
        )
