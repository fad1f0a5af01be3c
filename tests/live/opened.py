"""Which request a user's ask has become. Tests share a project: what is new there may be another test's."""

from __future__ import annotations

from contextlib import closing

from rasa_tiledesk.ledger import Handoff, Ledger, Life
from stack.rasa import Bot
from tests.waiting import until

__all__ = ["request_of"]


def request_of(bot: Bot, sender: str, *, seconds: float = 60) -> str:
    """The request of this user's open handoff, as soon as agents have it."""
    found: list[Handoff] = []

    def assigned() -> bool:
        handoff = ledger.handoffs.open_of(sender)
        found[:] = [handoff] if handoff is not None and handoff.life is Life.LIVE else []
        return bool(found)

    with closing(Ledger(f"sqlite:///{bot.folder / 'tiledesk_handoffs.db'}")) as ledger:
        until(assigned, f"the assignment of what {sender} asked", seconds=seconds)
    return found[0].request_id
