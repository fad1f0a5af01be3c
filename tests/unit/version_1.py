"""A ledger of version 1, as its code left it: the tables in its own SQL, and rows as it wrote them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from rasa_tiledesk.transcript import Message, Speaker, Speakers, read_turns, to_messages

__all__ = ["OldLedger", "history_of", "opening"]

_TABLES = """
CREATE TABLE tiledesk_handoffs (
    id VARCHAR(32) PRIMARY KEY, sender_id {long} NOT NULL, sender_key VARCHAR(64) NOT NULL,
    open_for VARCHAR(64) UNIQUE, request_id VARCHAR(255) NOT NULL UNIQUE, requester_id VARCHAR(255),
    state VARCHAR(16) NOT NULL, context {long} NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL,
    due BIGINT, listen BIGINT NOT NULL, attempts INTEGER NOT NULL, last_error TEXT, lease VARCHAR(64),
    lease_until BIGINT NOT NULL);
CREATE TABLE tiledesk_carried (
    handoff_id VARCHAR(32) NOT NULL, direction VARCHAR(3) NOT NULL, position INTEGER NOT NULL,
    {key} VARCHAR(120) NOT NULL, body {long} NOT NULL, attempted BOOLEAN NOT NULL, arrived BOOLEAN NOT NULL,
    PRIMARY KEY (handoff_id, direction, position), UNIQUE (handoff_id, direction, {key}),
    FOREIGN KEY (handoff_id) REFERENCES tiledesk_handoffs (id));
CREATE TABLE tiledesk_handoff_history (
    id {serial} PRIMARY KEY, handoff_id VARCHAR(32) NOT NULL REFERENCES tiledesk_handoffs (id), at BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL, note TEXT);
CREATE TABLE tiledesk_hook_secrets (
    subscription_id VARCHAR(64) PRIMARY KEY, event VARCHAR(120) NOT NULL, target TEXT NOT NULL,
    secret VARCHAR(120) NOT NULL);
CREATE TABLE tiledesk_ledger_version (version INTEGER PRIMARY KEY);
INSERT INTO tiledesk_ledger_version VALUES (1);
INSERT INTO tiledesk_hook_secrets VALUES ('hook', 'request.close', 'https://bot.example/tiledesk/webhook', 's3cret')
"""
_WORDS = {
    "sqlite": {"long": "TEXT", "serial": "INTEGER", "key": "key"},
    "postgresql": {"long": "TEXT", "serial": "SERIAL", "key": "key"},
    "mysql": {"long": "LONGTEXT", "serial": "INTEGER AUTO_INCREMENT", "key": "`key`"},
}

Row = tuple[int, str, Mapping[str, Any], str]
"""(position, key, body, one of `waiting`, `attempted`, `arrived`)."""


class OldLedger:
    """Makes the tables of version 1 in an empty database, and handoffs in them."""

    def __init__(self, url: str, *, now: float) -> None:
        self._engine = sa.create_engine(url)
        self._now = int(now * 1000)
        self._words = _WORDS[self._engine.dialect.name]
        with self._engine.begin() as connection:
            for statement in _TABLES.format(**self._words).split(";"):
                connection.execute(sa.text(statement))

    def handoff(
        self,
        sender: str,
        state: str,
        *,
        request_id: str,
        out: Sequence[Row] = (),
        to_user: Sequence[Row] = (),
        last_key: str | None = None,
        requester_id: str | None = None,
        due: bool = True,
        **context: Any,
    ) -> str:
        """Write one down; its id. Its context has what version 1 wrote, but for what is given here."""
        handoff_id, digest = uuid.uuid4().hex, hashlib.sha256(sender.encode()).hexdigest()
        known = {
            "import": "staged",
            "older": False,
            "opened_by": "system",
            "department": "",
            "user_name": "Jane Doe",
            "email": "jane@example.com",
            "language": "en",
            "channel": "callback",
            "first_text": "turn 0",
            "last_key": last_key,
            "texts": {"utter_tiledesk_ended": {"text": "Bye, colleague.", "buttons": []}},
            "named": True,
            "about": {"rasa_channel": "callback", "rasa_email": "jane@example.com"},
        }
        is_open = state in ("asked", "importing", "live")
        with self._engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO tiledesk_handoffs VALUES (:id, :sender, :digest, :open_for, :request, :requester, "
                    ":state, :context, :now, :now, :due, 0, 0, NULL, NULL, 0)"
                ),
                {
                    "id": handoff_id,
                    "sender": sender,
                    "digest": digest,
                    "open_for": digest if is_open else None,
                    "request": request_id,
                    "requester": requester_id,
                    "state": state,
                    "context": json.dumps({**known, **context}),
                    "now": self._now,
                    "due": self._now if due else None,
                },
            )
            for direction, rows in (("out", out), ("in", to_user)):
                for position, key, body, stage in rows:
                    connection.execute(
                        sa.text("INSERT INTO tiledesk_carried VALUES (:id, :way, :place, :key, :body, :tried, :there)"),
                        {
                            "id": handoff_id,
                            "way": direction,
                            "place": position,
                            "key": key,
                            "body": json.dumps({} if stage == "arrived" else body),
                            "tried": stage != "waiting",
                            "there": stage == "arrived",
                        },
                    )
            connection.execute(
                sa.text("INSERT INTO tiledesk_handoff_history (handoff_id, at, state) VALUES (:id, :now, :state)"),
                {"id": handoff_id, "now": self._now, "state": state},
            )
        return handoff_id

    def opens(self) -> bool:
        """Whether a process of version 1 would work with it: it refuses what is newer."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.text("SELECT MAX(version) FROM tiledesk_ledger_version")).scalar_one()) < 2

    def tables(self) -> list[str]:
        """The tables that there are."""
        return sorted(sa.inspect(self._engine).get_table_names())

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def history_of(events: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The messages that version 1 made of these events; the end user's id was not in them."""
    return to_messages(
        read_turns(events), Speakers(Speaker("", "Jane Doe"), Speaker("bot_rasa-x", "Bot"), Speaker("agent_x", "Agent"))
    )


def opening(starts: int) -> dict[str, Any]:
    """The line with which version 1 opened a request when the user's first words were older."""
    return {
        "sender": "",
        "senderFullname": "Jane Doe",
        "text": "The bot hands this conversation over. It follows in the order the user saw it.",
        "type": "text",
        "channel": {"name": "rasa"},
        "attributes": {
            "subtype": "info",
            "clienttimestamp": starts - 1000,
            "rasa": {"key": "opening", "who": "system"},
        },
    }
