"""How a handoff moves from one state of its life to the next, inside one transaction with what follows from it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from rasa_tiledesk.ledger.records import OPEN_LIVES, Duty, End, Handoff, Kind, Life, NewStep, Stage
from rasa_tiledesk.ledger.rows import UNFINISHED, add_steps, digest, lane_steps, wake
from rasa_tiledesk.ledger.schema import duties, handoffs, history, steps

__all__ = ["HUSH_KEY", "answer_returned", "come_to", "end_in", "leave_unsaid", "note", "open_again_in", "rest"]

HUSH_KEY = "hush"  # the first step of to_user: the user hears that they are being connected, and the bot is paused

_BEFORE = {Life.OPEN: (Life.ASKED,), Life.LIVE: (Life.ASKED, Life.OPEN)}
_KEPT = ("last_key", "last_at", "channel")  # should an agent open the request again
_FAILED = (End.FAILED, End.TOO_LATE)
_CLOSED_BY_TILEDESK = (End.AGENT, End.DELETED, End.LOST)

Now = ColumnElement[int]


def note(connection: Connection, handoff_id: str, now: Now, life: Life, words: str | None = None) -> None:
    """Write a move into the history; no texts, secrets or ids."""
    connection.execute(history.insert().values(handoff_id=handoff_id, at=now, life=life.value, note=words))


def come_to(connection: Connection, handoff: Handoff, life: Life, now: Now) -> None:
    """Go on to OPEN or LIVE, unless it is there or has ended."""
    if handoff.life not in _BEFORE[life]:
        return
    connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(life=life.value, spoke=now))
    note(connection, handoff.id, now, life)
    wake(connection, handoff.id, Duty.CARE, now)
    if life is Life.LIVE:
        wake(connection, handoff.id, Duty.LISTEN, now)


def end_in(
    connection: Connection, handoff: Handoff, end: End, now: Now, *, words: str | None = None, last: str | None = None
) -> bool:
    """End an open handoff: return what no agent will get, close the request, give the user back.

    Args:
        connection: a transaction that holds the handoff's row.
        handoff: as it is now.
        end: what ended it.
        now: the time.
        words: for the history, by default the end's own.
        last: the key of the user's words that end it, which ask for no answer.

    Returns:
        Whether it was open.
    """
    if not handoff.is_open:
        return False
    life = Life.FAILED if end in _FAILED else Life.OVER
    values = {"life": life.value, "end": end.value, "ended": now, "open_for": None}
    connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(**values))
    note(connection, handoff.id, now, life, words or end.value)
    if handoff.life is not Life.LIVE or end in (*_FAILED, *_CLOSED_BY_TILEDESK):
        leave_unsaid(connection, handoff.id, last)
    if end not in _CLOSED_BY_TILEDESK:
        add_steps(connection, handoff.id, Duty.TO_AGENTS, [NewStep("close", Kind.CLOSE)])
    _give_back(connection, handoff.id)
    looked_after = and_(duties.c.handoff_id == handoff.id, duties.c.duty == Duty.CARE.value)
    connection.execute(update(duties).where(looked_after).values(due=None))
    # Agents' words may have come meanwhile, which nobody has heard yet.
    for duty in (Duty.TO_AGENTS, Duty.TO_USER, Duty.LISTEN):
        wake(connection, handoff.id, duty, now)
    return True


def leave_unsaid(connection: Connection, handoff_id: str, last: str | None) -> None:
    """What waits for agents is not sent any more: the user's words since the ask are returned, the rest is dropped."""
    mine = lane_steps(handoff_id, Duty.TO_AGENTS)
    route = select(func.max(steps.c.position)).where(mine & (steps.c.kind == Kind.ROUTE.value))
    route_at = int(connection.execute(route).scalar() or 0)
    waiting = and_(mine, steps.c.stage == Stage.WAITING.value)
    since = and_(steps.c.speaker == "user", steps.c.position > route_at, steps.c.key != (last or ""))
    connection.execute(update(steps).where(waiting & since).values(stage=Stage.RETURNED.value))
    connection.execute(update(steps).where(waiting).values(stage=Stage.DONE.value, body="{}"))


def _give_back(connection: Connection, handoff_id: str) -> None:
    mine = lane_steps(handoff_id, Duty.TO_USER)
    # Whom nobody has told that a human comes, and whose bot nobody can have paused, is with the bot.
    untold = and_(steps.c.stage == Stage.WAITING.value, steps.c.tries == 0)
    hush = and_(mine, steps.c.key == HUSH_KEY, untold)
    if connection.execute(update(steps).where(hush).values(stage=Stage.DONE.value, body="{}")).rowcount:
        return
    backs = select(func.count()).select_from(steps).where(mine & (steps.c.kind == Kind.GIVE_BACK.value))
    number = int(connection.execute(backs).scalar_one()) + 1
    add_steps(connection, handoff_id, Duty.TO_USER, [NewStep(f"end/{number}", Kind.GIVE_BACK)])


def answer_returned(connection: Connection, handoff: Handoff, now: Now) -> None:
    """See to it that the user's words that reached nobody are answered, once the bot is back.

    Looked for at every end: some may have reached no action server either.
    """
    mine = lane_steps(handoff.id, Duty.TO_AGENTS)
    words = and_(mine, steps.c.stage == Stage.RETURNED.value, steps.c.body != "{}")
    last = connection.execute(select(steps.c.key).where(words).order_by(steps.c.position.desc()).limit(1)).scalar()
    back = and_(lane_steps(handoff.id, Duty.TO_USER), steps.c.kind == Kind.GIVE_BACK.value, UNFINISHED)
    if connection.execute(select(steps.c.key).where(back)).first():
        return  # the end of the step that gives the user back comes here again
    if add_steps(connection, handoff.id, Duty.TO_USER, [NewStep(f"answer/{last or handoff.ended}", Kind.ANSWER)]):
        wake(connection, handoff.id, Duty.TO_USER, now)


def open_again_in(connection: Connection, handoff: Handoff, now: Now) -> bool:
    """An agent has opened the request again: take the handoff up where the sender has no newer one."""
    newer = or_(
        handoffs.c.open_for == digest(handoff.sender_id),
        and_(handoffs.c.sender_key == digest(handoff.sender_id), handoffs.c.created > handoff.created),
    )
    if handoff.end is not End.AGENT or connection.execute(select(handoffs.c.id).where(newer)).first():
        return False
    values: dict[str, Any] = {"life": Life.LIVE.value, "end": None, "ended": None, "spoke": now}
    values["open_for"] = digest(handoff.sender_id)
    connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(**values))
    note(connection, handoff.id, now, Life.LIVE, "opened again by an agent")
    wake(connection, handoff.id, Duty.CARE, now)
    return True


def rest(connection: Connection, handoff: Handoff) -> None:
    """Forget what is known of people in a handoff that is over and has nothing left to do.

    Up to where the conversation was heard stays, in case an agent opens the request again.
    """
    mine = steps.c.handoff_id == handoff.id
    unread = and_(steps.c.stage == Stage.RETURNED.value, steps.c.body != "{}")
    if handoff.life in OPEN_LIVES or connection.execute(select(steps.c.key).where(mine, UNFINISHED | unread)).first():
        return
    kept = {name: value for name, value in handoff.facts.items() if name in _KEPT}
    connection.execute(update(handoffs).where(handoffs.c.id == handoff.id).values(facts=json.dumps(kept)))
