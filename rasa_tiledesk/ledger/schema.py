"""The ledger's tables.

Times are ms since 1970 by the database's clock, in whole numbers, so that every database compares them alike. Texts
live in `body` and `facts` only, and only until what they were for is done.
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
)
from sqlalchemy.dialects import mysql

__all__ = [
    "VERSION",
    "duties",
    "handoffs",
    "history",
    "hook_secrets",
    "metadata",
    "news",
    "secrets",
    "steps",
    "versions",
]

VERSION = 2

metadata = MetaData()

# MySQL's TEXT ends at 64 kB; a turn may be longer.
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql").with_variant(mysql.LONGTEXT(), "mariadb")

handoffs = Table(
    "tiledesk_handoff",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sender_id", LongText, nullable=False),
    # A digest, since MySQL compares texts without regard to case and indexes only short ones.
    Column("sender_key", String(64), nullable=False),
    # The sender's digest while the handoff is open, NULL afterwards: unique, so at most one is open.
    Column("open_for", String(64), unique=True),
    Column("request_id", String(255), nullable=False, unique=True),
    Column("requester_id", String(255)),
    Column("life", String(16), nullable=False),
    Column("end", String(64)),
    Column("facts", LongText, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("spoke", BigInteger, nullable=False),
    Column("joined", Boolean, nullable=False),
    Column("heard", String(40)),
    Column("looked", BigInteger, nullable=False),
    # Which ask has promised it to the user: only that one may take it back.
    Column("asked_by", String(32), nullable=False),
    Index("ix_tiledesk_handoff_sender", "sender_key", "created"),
    Index("ix_tiledesk_handoff_requester", "requester_id"),
    Index("ix_tiledesk_handoff_life", "life", "created"),
    Index("ix_tiledesk_handoff_ended", "ended"),
)

duties = Table(
    "tiledesk_duty",
    metadata,
    Column("handoff_id", String(32), ForeignKey("tiledesk_handoff.id"), primary_key=True),
    Column("duty", String(16), primary_key=True),
    # When somebody should take it up next; NULL when nothing is to be done.
    Column("due", BigInteger),
    # How often somebody has said that there is work: who leaves it sees whether that happened meanwhile.
    Column("woken", Integer, nullable=False),
    # When a webhook last said so; 0 for never.
    Column("hinted", BigInteger, nullable=False),
    # Who works on it, and until when nobody else may.
    Column("lease", String(80)),
    Column("lease_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Index("ix_tiledesk_duty_due", "due"),
)

steps = Table(
    "tiledesk_step",
    metadata,
    Column("handoff_id", String(32), ForeignKey("tiledesk_handoff.id"), primary_key=True),
    Column("lane", String(16), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("key", String(120), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("speaker", String(8), nullable=False),
    Column("body", LongText, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("refused_since", BigInteger, nullable=False),
    Column("why", Text),
    UniqueConstraint("handoff_id", "lane", "key", name="uq_tiledesk_step_key"),
)

history = Table(
    "tiledesk_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("handoff_id", String(32), ForeignKey("tiledesk_handoff.id"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("life", String(16), nullable=False),
    Column("note", Text),
)

hook_secrets = Table(
    "tiledesk_hook_secret",
    metadata,
    Column("subscription_id", String(64), primary_key=True),
    Column("event", String(120), nullable=False),
    Column("target", Text, nullable=False),
    Column("secret", String(120), nullable=False),
)

# Who asks Tiledesk for news of all conversations of a project, and up to when it has heard them.
news = Table(
    "tiledesk_news",
    metadata,
    Column("project_id", String(40), primary_key=True),
    Column("due", BigInteger, nullable=False),
    Column("lease", String(80)),
    Column("lease_until", BigInteger, nullable=False),
    # By Tiledesk's clock.
    Column("heard", BigInteger, nullable=False),
    # How many words of agents no webhook announced: in all, and since the last one that did.
    Column("missed", Integer, nullable=False),
    Column("missed_in_a_row", Integer, nullable=False),
)

# Made once, at random: what a turn's key is keyed by, so that no key confirms a guess of what was redacted.
secrets = Table(
    "tiledesk_secret",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(120), nullable=False),
)

versions = Table("tiledesk_ledger_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))
