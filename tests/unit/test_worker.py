"""The threads of a worker: whatever hangs, what has nothing to do with it goes on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from rasa_tiledesk.handoff.to_user.news import Newsroom
from rasa_tiledesk.handoff.worker import Runs, Worker
from rasa_tiledesk.ledger import Duty, Ledger, Work
from tests.contract.ledgers import live, saying


@dataclass
class Hangs:
    """A duty that takes until the test is over."""

    over: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(self, work: Work) -> Any:
        self.begun.release()
        self.over.wait(30)


@dataclass
class Done:
    """A duty that is done at once."""

    ledger: Ledger
    duties: list[Duty] = field(default_factory=list)
    new: threading.Event = field(default_factory=threading.Event)

    def run(self, work: Work) -> Any:
        self.ledger.lanes.leave(work)
        self.duties.append(work.duty)
        self.new.set()


class NoNews:
    """Nobody has any."""

    def run_once(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("hanging", "goes_on"),
    [
        ({Duty.LISTEN, Duty.TO_AGENTS}, Duty.TO_USER),
        ({Duty.CARE, Duty.TO_USER}, Duty.TO_AGENTS),
        ({Duty.CARE, Duty.TO_USER}, Duty.LISTEN),
    ],
    ids=["Tiledesk hangs", "Rasa hangs", "Rasa hangs, and agents speak"],
)
def test_what_hangs_in_all_conversations_keeps_nothing_else_waiting(hanging: set[Duty], goes_on: Duty) -> None:
    ledger, hangs = Ledger("sqlite://"), Hangs()
    done = Done(ledger)
    handoffs = [live(ledger, f"user-{number}") for number in range(10)]
    for handoff in handoffs:
        for duty in Duty:  # nothing is due but what hangs
            work = ledger.lanes.claim("me", seconds=60, handoff_id=handoff.id, duty=duty)
            if work is not None:
                ledger.lanes.leave(work, again_in=0 if duty in hanging else None)
    duties: dict[Duty, Runs] = {duty: hangs if duty in hanging else done for duty in Duty}
    worker = Worker(ledger, duties, cast(Newsroom, NoNews()), name="w")
    worker.start()
    try:
        for _ in range(5):  # all the threads that it can have
            assert hangs.begun.acquire(timeout=10)
        if goes_on is Duty.LISTEN:
            ledger.handoffs.hint(handoffs[0].request_id)
        elif goes_on is Duty.TO_AGENTS:
            ledger.words.say("user-0", "k", None, saying("k"), lease=None, seconds=20)
        else:
            ledger.handoffs.tell(handoffs[0].id, saying("k")(handoffs[0], True).steps)
        worker.wake()
        assert done.new.wait(10), "it waits for what hangs"
        assert set(done.duties) == {goes_on}
    finally:
        hangs.over.set()
        worker.stop()
        ledger.close()
