"""Rows of the tables as records, and what several nouns of the ledger do inside one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import and_, case, select, update
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.elements import ColumnElement

from rasa_tiledesk.ledger.records import Duty, End, Handoff, Kind, Life, NewStep, Stage, Step
from rasa_tiledesk.ledger.schema import duties, handoffs, steps

__all__ = [
    "UNFINISHED",
    "add_steps",
    "digest",
    "handoff_of",
    "insert_handoff",
    "lane_steps",
    "lock",
    "step_of",
    "wake",
]

UNFINISHED = steps.c.stage.in_([Stage.WAITING.value, Stage.SENT.value])


def digest(sender_id: str) -> str:
    """What stands for a sender id where a database must compare and index it."""
    return hashlib.sha256(sender_id.encode("utf-8", "surrogatepass")).hexdigest()


def handoff_of(row: Row[Any]) -> Handoff:
    """The handoff in a row."""
    return Handoff(
        id=row.id,
        sender_id=row.sender_id,
        request_id=row.request_id,
        life=Life(row.life),
        created=row.created,
        spoke=row.spoke,
        facts=json.loads(row.facts),
        requester_id=row.requester_id,
        end=None if row.end is None else End(row.end),
        ended=row.ended,
        joined=bool(row.joined),
        heard=row.heard,
        looked=row.looked,
        asked_by=row.asked_by,
    )


def insert_handoff(
    connection: Connection,
    values: Mapping[str, Any],
    *,
    due: Mapping[Duty, Any] | None = None,
    lease: str | None = None,
    until: Any = 0,
) -> Handoff:
    """Write down a new handoff and its duties.

    Args:
        connection: a transaction.
        values: of the handoff's columns those that are not as for a new, open one.
        due: when a duty is; any other never.
        lease: who holds its lane to the agents.
        until: for how long.
    """
    sender = digest(values["sender_id"])
    fresh = {"sender_key": sender, "open_for": sender, "facts": "{}", "joined": False, "looked": 0, "asked_by": ""}
    connection.execute(handoffs.insert().values(**{**fresh, **values}))
    for duty in Duty:
        held = lease is not None and duty is Duty.TO_AGENTS
        work = {"due": (due or {}).get(duty), "lease": lease if held else None, "lease_until": until if held else 0}
        row = {"handoff_id": values["id"], "duty": duty.value, "woken": 0, "hinted": 0, "attempts": 0, **work}
        connection.execute(duties.insert().values(**row))
    return handoff_of(connection.execute(select(handoffs).where(handoffs.c.id == values["id"])).one())


def step_of(row: Row[Any]) -> Step:
    """The step in a row."""
    return Step(
        position=row.position,
        key=row.key,
        kind=Kind(row.kind),
        speaker=row.speaker,
        body=json.loads(row.body),
        stage=Stage(row.stage),
        sent=row.sent,
        tries=row.tries,
        refusals=row.refusals,
        refused_since=row.refused_since,
        why=row.why,
    )


def lane_steps(handoff_id: str, lane: Duty) -> ColumnElement[bool]:
    """The condition that a step is in this lane of this handoff."""
    return and_(steps.c.handoff_id == handoff_id, steps.c.lane == lane.value)


def lock(connection: Connection, condition: ColumnElement[bool]) -> Handoff | None:
    """Read the handoff and put writers of it in line; SQLite has one writer anyway."""
    row = connection.execute(select(handoffs).where(condition).with_for_update()).first()
    return None if row is None else handoff_of(row)


def add_steps(connection: Connection, handoff_id: str, lane: Duty, new: Iterable[NewStep]) -> list[str]:
    """Write down steps, those without a place behind all others; the keys of those that were not there before.

    The caller holds the handoff's row.
    """
    wanted = list(new)
    if not wanted:
        return []
    there = connection.execute(
        select(steps.c.key, steps.c.position).where(lane_steps(handoff_id, lane)).order_by(steps.c.position)
    ).all()
    known, last = {row.key for row in there}, there[-1].position if there else 0
    rows: list[dict[str, Any]] = []
    for step in wanted:
        if step.key in known:
            continue
        known.add(step.key)
        position = last + 1 if step.position is None else step.position
        last = max(last, position)
        rows.append(_row(handoff_id, lane, step, position))
    if rows:
        connection.execute(steps.insert(), rows)
    return [str(row["key"]) for row in rows]


def wake(connection: Connection, handoff_id: str, duty: Duty, now: ColumnElement[int], *, hinted: bool = False) -> None:
    """There is work now, and whether a webhook says so. What failed is not due any sooner by that."""
    one = and_(duties.c.handoff_id == handoff_id, duties.c.duty == duty.value)
    late = and_(duties.c.attempts == 0, duties.c.due.is_(None) | (duties.c.due > now))
    due = case((late, now), else_=duties.c.due)
    values: dict[str, Any] = {"woken": duties.c.woken + 1, "due": due}
    if hinted:
        values["hinted"] = now
    connection.execute(update(duties).where(one).values(**values))


def _row(handoff_id: str, lane: Duty, step: NewStep, position: int) -> dict[str, Any]:
    return {
        "handoff_id": handoff_id,
        "lane": lane.value,
        "position": position,
        "key": step.key,
        "kind": step.kind.value,
        "speaker": step.speaker,
        "body": json.dumps(step.body),
        "stage": Stage.WAITING.value,
        "sent": 0,
        "tries": 0,
        "refusals": 0,
        "refused_since": 0,
        "why": None,
    }
