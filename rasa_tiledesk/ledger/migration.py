"""How an older ledger becomes this one, open handoffs included.

Version 1 had one list of messages each way and no lanes. Its tables have other names and go last, when the new ones are
there for good: MySQL ends a transaction where a table is made or dropped. So a process that dies here leaves the old
ledger whole, or the new one, and the next one begins again or only clears away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, inspect, select, text
from sqlalchemy.engine import Connection, Row

from rasa_tiledesk.errors import LedgerError
from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.ledger.life import HUSH_KEY, answer_returned, end_in, leave_unsaid, rest
from rasa_tiledesk.ledger.records import Duty, End, Handoff, Kind, Life, NewStep, Stage
from rasa_tiledesk.ledger.rows import UNFINISHED, add_steps, insert_handoff, wake
from rasa_tiledesk.ledger.schema import (
    VERSION,
    duties,
    handoffs,
    history,
    hook_secrets,
    metadata,
    secrets,
    steps,
    versions,
)

__all__ = ["migrate"]

_OLD = ("tiledesk_carried", "tiledesk_handoff_history", "tiledesk_handoffs", "tiledesk_hook_secrets")
_LIVES = {
    "asked": Life.ASKED,
    "importing": Life.OPEN,
    "live": Life.LIVE,
    "closed": Life.OVER,
    "failing": Life.FAILED,
    "failed": Life.FAILED,
}
_ENDS = {"user": End.USER, "user's restart": End.RESTART}
_SAID_OVER = {"ended": "closed", "failed": "failing"}  # what the user is to be told of, before the state says so
_TO_USER = {"ended": Kind.GIVE_BACK, "failed": Kind.GIVE_BACK, "joined": Kind.SAY, "waiting": Kind.SAY}
_FIRST_NATIVE = 1000  # the newest turns' places; before them a summary of older ones, and the line that opened it at 0


def migrate(database: Database) -> None:
    """Create what is missing; bring an older schema to this one. Any number of servers may do so at once.

    Raises:
        LedgerError: the ledger is of a newer version.
    """
    with database.reading() as connection:
        found, leftovers = _version(connection), _leftovers(connection)
    if found > VERSION:
        raise LedgerError(f"the ledger's schema is version {found}, newer than this rasa-tiledesk knows ({VERSION})")
    if found < VERSION:
        with database.alone() as connection:
            found = _version(connection)
            if found < VERSION:
                metadata.create_all(connection)
                if found == 1:
                    _from_version_1(connection, database)
                connection.execute(versions.insert().values(version=VERSION))
    if leftovers:
        with database.alone() as connection:
            for name in _leftovers(connection):
                connection.execute(text(f"DROP TABLE {name}"))


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(versions.name):
        return 0
    return int(connection.execute(select(func.max(versions.c.version))).scalar() or 0)


def _leftovers(connection: Connection) -> list[str]:
    there = inspect(connection)
    return [name for name in _OLD if there.has_table(name)]


def _from_version_1(connection: Connection, database: Database) -> None:
    for table in (history, steps, duties, handoffs, hook_secrets, secrets):  # what an earlier try may have left
        connection.execute(table.delete())
    for row in connection.execute(text("SELECT * FROM tiledesk_handoffs ORDER BY created, id")).all():
        _handoff(connection, row, database)
    # The keys of its turns were made without a secret, and what is said next must be recognised by them.
    connection.execute(secrets.insert().values(name="turns", value=""))
    for row in connection.execute(text("SELECT * FROM tiledesk_hook_secrets")).all():
        connection.execute(hook_secrets.insert().values(**row._mapping))


def _handoff(connection: Connection, row: Row[Any], database: Database) -> None:
    context = json.loads(row.context)
    carried = _rows_of(connection, "tiledesk_carried", row.id, "position")
    out, to_user = ([one for one in carried if one.direction == way] for way in ("out", "in"))
    is_open = row.open_for is not None
    state = next((_SAID_OVER[one.key] for one in to_user if is_open and one.key in _SAID_OVER), row.state)
    life, ending = _LIVES[state], _ENDS.get(context.get("ending") or "")
    end = {Life.OVER: ending or End.AGENT, Life.FAILED: End.FAILED}.get(life)
    made = {
        "id": row.id,
        "sender_id": row.sender_id,
        "sender_key": row.sender_key,
        "open_for": row.open_for if end is None else None,
        "request_id": row.request_id,
        "requester_id": row.requester_id,
        "life": life.value,
        "end": None if end is None else end.value,
        "facts": json.dumps(_facts(context, row.created)),
        "created": row.created,
        "ended": None if end is None else row.updated,
        "spoke": row.updated,
        "joined": any(one.key == "joined" for one in to_user),
    }
    handoff = insert_handoff(connection, made)
    for moved in _rows_of(connection, "tiledesk_handoff_history", row.id, "id"):
        values = {"handoff_id": row.id, "at": moved.at, "life": _LIVES[moved.state].value, "note": moved.note}
        connection.execute(history.insert().values(**values))
    now = int(connection.execute(select(database.now())).scalar_one())
    for step in [*_to_agents(row, context, out, now), *_to_user(row, to_user, now)]:
        connection.execute(steps.insert().values(handoff_id=row.id, **step))
    _go_on(connection, handoff, database, ending, left=row.due is not None)


def _rows_of(connection: Connection, table: str, handoff_id: str, order: str) -> Sequence[Row[Any]]:
    found = text(f"SELECT * FROM {table} WHERE handoff_id = :id ORDER BY {order}")  # noqa: S608 - names of ours
    return connection.execute(found, {"id": handoff_id}).all()


def _go_on(connection: Connection, handoff: Handoff, database: Database, ending: End | None, *, left: bool) -> None:
    """What was under way goes on; an end of which only a part was done is done now."""
    now = database.now()
    if handoff.is_open and ending is not None:
        end_in(connection, handoff, ending, now)
        return
    if handoff.end in (End.AGENT, End.FAILED):
        leave_unsaid(connection, handoff.id, None)
        answer_returned(connection, handoff, now)
    if left and handoff.end in (*_ENDS.values(), End.FAILED):
        add_steps(connection, handoff.id, Duty.TO_AGENTS, [NewStep("close", Kind.CLOSE)])
    unfinished = select(steps.c.lane).where(steps.c.handoff_id == handoff.id, UNFINISHED).distinct()
    due = [Duty(lane) for lane in connection.execute(unfinished).scalars()]
    due += [Duty.CARE] if handoff.is_open else []
    due += [Duty.LISTEN] if handoff.life is Life.LIVE else []
    for duty in due:
        wake(connection, handoff.id, duty, now)
    rest(connection, handoff)


def _facts(context: Mapping[str, Any], created: int) -> dict[str, Any]:
    kept = {name: value for name, value in context.items() if name not in ("texts", "older", "opened_by", "ending")}
    texts = context.get("texts") or {}
    return {**kept, "responses": {name: [words] for name, words in texts.items()}, "last_at": created / 1000}


def _to_agents(row: Row[Any], context: Mapping[str, Any], out: Sequence[Row[Any]], now: int) -> list[dict[str, Any]]:
    """The lane, with the steps that version 1 had in code or in its context."""
    lane = Duty.TO_AGENTS
    history_ends = (one.position for one in out if one.key.partition("/")[0] == context.get("last_key"))
    route_at = 1 + max(history_ends, default=0)
    made = []
    for one in out:
        body = json.loads(one.body)
        who = body["attributes"]["rasa"]["who"] if body else ""
        later: dict[str, Any] = {"said": {}} if who == "user" and one.position >= route_at else {}
        made.append(
            _step(
                lane,
                one.position if one.position < route_at else one.position + 1,
                one.key,
                Kind.MESSAGE if one.position else Kind.OPEN,
                _stage(one),
                now,
                speaker=who if who in ("user", "bot") else "",
                body={"message": body, **later} if body else {},
            )
        )
    under_way = row.state in ("asked", "importing")
    made.append(_step(lane, route_at, "route", Kind.ROUTE, Stage.WAITING if under_way else Stage.DONE, now))
    if context["import"] == "direct":
        maybe = Stage.WAITING if row.requester_id is None else Stage.SENT
        made.append(_step(lane, 0, "open", Kind.OPEN, maybe if row.state == "asked" else Stage.DONE, now))
    elif under_way and context.get("older"):
        native = [one for one in out if _FIRST_NATIVE <= one.position < route_at]
        times = (json.loads(one.body)["attributes"]["clienttimestamp"] for one in native)
        older = {"native": [one.key for one in native], "starts": min(times, default=0)}
        made.append(_step(lane, 1, "history", Kind.HISTORY, Stage.WAITING, now, body=older))
    return made


def _to_user(row: Row[Any], to_user: Sequence[Row[Any]], now: int) -> list[dict[str, Any]]:
    lane = Duty.TO_USER
    # Of an ask that is not answered nobody has told the user, and its action will not do so any more.
    made = [_step(lane, 0, HUSH_KEY, Kind.HUSH, Stage.WAITING if row.state == "asked" else Stage.DONE, now)]
    for one in to_user:
        kind = _TO_USER.get(one.key, Kind.DELIVER)
        made.append(_step(lane, one.position, one.key, kind, _stage(one), now, body=json.loads(one.body)))
    return made


def _stage(row: Row[Any]) -> Stage:
    return Stage.DONE if row.arrived else Stage.SENT if row.attempted else Stage.WAITING


def _step(
    lane: Duty,
    position: int,
    key: str,
    kind: Kind,
    stage: Stage,
    now: int,
    *,
    speaker: str = "",
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    sent = stage is Stage.SENT
    return {
        "lane": lane.value,
        "position": position,
        "key": key,
        "kind": kind.value,
        "speaker": speaker,
        "body": json.dumps(body or {}),
        "stage": stage.value,
        "sent": now if sent else 0,
        "tries": int(sent),
        "refusals": 0,
        "refused_since": 0,
    }
