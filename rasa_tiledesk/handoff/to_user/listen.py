"""Listening to agents: what Tiledesk has becomes steps for the user, and the end of the request the end of the handoff.

A webhook is only a hint that there is something to read. What is delivered is read from Tiledesk, in its order, so
that webhooks which are lost, repeated, late, in any order or forged change nothing. Whether the request is closed is
read before its messages: then they are all there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskNotFound
from rasa_tiledesk.handoff.live import bot_line
from rasa_tiledesk.handoff.to_user.news import Newsroom
from rasa_tiledesk.handoff.to_user.shown import Shown, shown
from rasa_tiledesk.handoff.to_user.webhooks import Announcing
from rasa_tiledesk.handoff.to_user.words import is_a_persons, taken_by, taking_part
from rasa_tiledesk.ledger import HUSH_KEY, Duty, End, Handoff, Kind, Ledger, Life, NewStep, Work
from rasa_tiledesk.responses import AGENT_JOINED
from rasa_tiledesk.tiledesk import Message, Request, TiledeskClient

__all__ = ["Listening"]

SECONDS = 20.0
SWEEP_SECONDS = 3600.0  # how often to read a conversation of which nobody has told any news
# Where no login of ours is shown all conversations: as rarely as it is quiet.
POLL_SECONDS, IDLE_POLL_SECONDS, LONGEST_POLL_SECONDS = 2.0, 10.0, 60.0
IDLE_AFTER_MS = 300_000
LATE_SECONDS = 30.0  # what an agent said just before the close may be stored after it
WATCH_MS = 24 * 3600 * 1000  # how long a closed request is looked at, in case an agent opens it again
SURE = 2  # so many times in a row the request must be unknown before it is taken for deleted

_UNSEEN = (Life.ASKED, Life.OPEN)

_TOO_LATE = "[This did not reach the user: they have gone on without this conversation.]"
_STRANGER = "[One message did not reach the user: who wrote it takes no part in this conversation.]"
_UNSHOWN = "[Your last message could not be shown to the user, or not all of it: texts, links, images and files can.]"


@dataclass(frozen=True)
class Listening:
    """Hears what agents say.

    Attributes:
        desk: Tiledesk.
        ledger: what was heard.
        newsroom: tells of news, where it can.
        announcing: whether webhooks do, where there are any.
    """

    desk: TiledeskClient
    ledger: Ledger
    newsroom: Newsroom
    jitter: Callable[[], float] = random.random
    announcing: Announcing | None = None

    def run(self, work: Work) -> None:
        """Read the request, write down what is new, and say when to look again.

        Raises:
            TiledeskError: it could not be read.
        """
        desk, handoff = self.desk.within(Deadline(SECONDS)), work.handoff
        if handoff.life in _UNSEEN and handoff.facts.get("import") != "direct":
            # Only we change it now, with every message of the history; there is a call to listen when agents see it.
            self.ledger.lanes.leave(work)
            return
        try:
            request = desk.request(handoff.request_id)
        except TiledeskNotFound:
            # What was never opened, or is over, is missed by nobody.
            if handoff.is_open and work.attempts < SURE:
                raise
            self.ledger.handoffs.end(handoff.id, End.DELETED)
            self.ledger.lanes.leave(work)
            return
        changed = request.updated_at.isoformat()
        if changed != handoff.heard or (request.closed and handoff.is_open):
            handoff = self._hear(work, request, desk.messages(handoff.request_id), changed)
        self.ledger.lanes.leave(work, again_in=self._pause(handoff, work.now))

    def _hear(self, work: Work, request: Request, messages: Sequence[Message], changed: str) -> Handoff:
        handoff = work.handoff
        words = self._unheard(handoff, messages)
        there = taking_part(request, messages)
        if any(message.sender not in there for message in words):  # they may have joined since it was read
            there |= taking_part(self.desk.within(Deadline(SECONDS)).request(handoff.request_id), ())
        seen = [(message, shown(message, self.desk.public_link)) for message in words if message.sender in there]
        new = [message for message, what in seen if what.events or not what.whole]
        steps = [step for message, what in seen for step in _deliveries(message, what)]
        strangers = [message for message in words if message.sender not in there]
        lines = [self._line(handoff, "stranger", message, _STRANGER) for message in strangers]
        lines += [self._line(handoff, "unshown", message, _UNSHOWN) for message, what in seen if not what.whole]
        name = new[0].sender_name if new else taken_by(handoff, request)
        joined = name is not None
        if joined and not handoff.joined and handoff.is_open:
            steps.insert(0, NewStep("joined", Kind.SAY, {"response": AGENT_JOINED, "more": {"agent": name}}))
        again = not handoff.is_open and handoff.end is End.AGENT and not request.closed and bool(new)
        if again:
            steps.insert(0, NewStep(f"{HUSH_KEY}/{handoff.ended}", Kind.HUSH))
        late = [self._line(handoff, "late", message, _TOO_LATE) for message in (*new, *strangers)]
        notice = self.announcing.notice(work) if self.announcing and new else None
        handoff = self.ledger.handoffs.heard(
            handoff,
            steps,
            heard=changed,
            joined=joined,
            spoke=bool(new),
            end=End.AGENT if request.closed else None,
            opened_again=again,
            just_closed=request.closed and self._has_just_ended(handoff),
            to_agents=lines,
            too_late=late,
            notice=notice,
        )
        if self.announcing and notice:
            self.announcing.look(notice)
        return handoff

    def _unheard(self, handoff: Handoff, messages: Sequence[Message]) -> list[Message]:
        """What a person said and nothing has become of yet, neither for the user nor for the agents."""
        known = {step.key for step in self.ledger.lanes.all_steps(handoff.id, Duty.TO_USER)}
        told = {step.key for step in self.ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)}
        return [
            message
            for message in messages
            if is_a_persons(message, handoff)
            and message.id not in known
            and told.isdisjoint(f"{what}/{message.id}" for what in ("late", "stranger", "unshown"))
        ]

    def _line(self, handoff: Handoff, what: str, message: Message, text: str) -> NewStep:
        return bot_line(handoff, f"{what}/{message.id}", text, self.ledger.now())

    def _has_just_ended(self, handoff: Handoff) -> bool:
        return handoff.end is End.AGENT and self.ledger.now() - (handoff.ended or 0) < LATE_SECONDS * 1000

    def _pause(self, handoff: Handoff, now: int) -> float | None:
        told = self.newsroom.sees_all()
        if handoff.is_open and told:
            return SWEEP_SECONDS * (0.5 + self.jitter() / 2)
        if handoff.is_open:
            quiet = now - handoff.spoke
            return POLL_SECONDS if quiet < IDLE_AFTER_MS else min(LONGEST_POLL_SECONDS, IDLE_POLL_SECONDS * quiet / 3e5)
        age = now - (handoff.ended or now)
        if age < LATE_SECONDS * 1000:
            return LATE_SECONDS
        return max(LATE_SECONDS, age / 10_000) if handoff.end is End.AGENT and age < WATCH_MS and not told else None


def _deliveries(message: Message, what: Shown) -> Iterator[NewStep]:
    """One bot event holds one image, so a message may be several."""
    for number, event in enumerate(what.events, start=1):
        key = message.id if number == 1 else f"{message.id}/{number}"
        yield NewStep(key, Kind.DELIVER, {"event": event})
