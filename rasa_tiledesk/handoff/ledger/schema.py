"""The ledger's tables, and how an older ledger becomes this one.

Times are ms since 1970 in whole numbers, so that every database compares them alike. Texts live in `carried.body`
only, and only until they have arrived.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection

__all__ = ["VERSION", "carried", "handoffs", "history", "hook_secrets", "metadata", "migrate"]

VERSION = 1

metadata = MetaData()

# MySQL's TEXT ends at 64 kB; a turn may be longer.
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql").with_variant(mysql.LONGTEXT(), "mariadb")

handoffs = Table(
    "tiledesk_handoffs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sender_id", LongText, nullable=False),
    # A digest, since MySQL compares texts without regard to case and indexes only short ones.
    Column("sender_key", String(64), nullable=False),
    # The sender's digest while the handoff is open, NULL afterwards: unique, so at most one is open.
    Column("open_for", String(64), unique=True),
    Column("request_id", String(255), nullable=False, unique=True),
    Column("requester_id", String(255)),
    Column("state", String(16), nullable=False),
    Column("context", LongText, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    # When a worker should take it up next; NULL when nothing is to be done.
    Column("due", BigInteger),
    # When to read in Tiledesk what agents have said; a webhook sets it to now.
    Column("listen", BigInteger, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    # Who works on it, and until when nobody else may.
    Column("lease", String(64)),
    Column("lease_until", BigInteger, nullable=False, default=0),
    Index("ix_tiledesk_handoffs_due", "due"),
    Index("ix_tiledesk_handoffs_sender", "sender_key", "created"),
)

carried = Table(
    "tiledesk_carried",
    metadata,
    Column("handoff_id", String(32), ForeignKey("tiledesk_handoffs.id"), primary_key=True),
    # "out" to Tiledesk, "in" to the user.
    Column("direction", String(3), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("key", String(120), nullable=False),
    Column("body", LongText, nullable=False),
    # It was about to be sent: if it has not arrived, only reading back tells whether the other side has it.
    Column("attempted", Boolean, nullable=False, default=False),
    Column("arrived", Boolean, nullable=False, default=False),
    UniqueConstraint("handoff_id", "direction", "key", name="uq_tiledesk_carried_key"),
)

history = Table(
    "tiledesk_handoff_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("handoff_id", String(32), ForeignKey("tiledesk_handoffs.id"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("note", Text),
)

hook_secrets = Table(
    "tiledesk_hook_secrets",
    metadata,
    Column("subscription_id", String(64), primary_key=True),
    Column("event", String(120), nullable=False),
    Column("target", Text, nullable=False),
    Column("secret", String(120), nullable=False),
)

versions = Table("tiledesk_ledger_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))


def migrate(connection: Connection) -> int:
    """Create what is missing; bring an older schema to this one. Returns the version found before."""
    found = 0
    if inspect(connection).has_table(versions.name):
        found = int(connection.execute(text("SELECT MAX(version) FROM tiledesk_ledger_version")).scalar() or 0)
    if found < VERSION:
        metadata.create_all(connection)
        connection.execute(versions.insert().values(version=VERSION))
    return found
