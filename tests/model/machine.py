"""Users, agents, webhooks, networks, clocks and kills in any order that hypothesis can think of."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rasa_tiledesk.testing import FakeRasa, FakeTiledesk, Fault
from tests.model.world import SENDER, START, World

__all__ = ["Handoffs"]

SEND = "POST /{project}/requests/{request}/messages"
ROUTES = (
    *[SEND] * 4,
    "GET /{project}/requests/{request}/messages",
    "GET /{project}/requests/{request}",
    "GET /{project}/requests",
    "PUT /{project}/requests/{request}/assign",
    "PUT /{project}/requests/{request}/closeg",
)
FAULTS = (
    Fault.reset(),
    Fault.reset(after=True),
    Fault.answer(500),
    Fault.answer(502, after=True),
    Fault.answer(302),
    Fault.answer(408),
    Fault.answer(429, retry_after=3),
    Fault.garbage(after=True),
    *[Fault.late(answer=504)] * 3,
)

SERVERS = st.sampled_from([0, 1])
STEPS = st.one_of(st.none(), st.integers(0, 25))


def told(act: Any) -> Any:
    """Writes the step into the story, and gives a server that was to die its life back."""

    @functools.wraps(act)
    def acted(self: Handoffs, **given: Any) -> None:
        self.story.append(f"{act.__name__}({', '.join(f'{name}={value}' for name, value in given.items())})")
        try:
            act(self, **given)
        finally:
            if self.world is not None:
                self.world.life.steps = None

    return acted


class Handoffs(RuleBasedStateMachine):
    """One user, any number of handoffs."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.story: list[str] = []
        ticks = itertools.count()
        # No two things happen in one millisecond there.
        self.tiledesk = FakeTiledesk(clock=lambda: (self.world.seconds if self.world else START) + next(ticks) / 1000)
        self.rasa = FakeRasa(clock=lambda: self.world.rasas_time() if self.world else START)
        self.rasa.__enter__()

    @initialize(
        skew=st.sampled_from([0.0, -90.0, 90.0]),
        direct=st.sampled_from([False, False, True]),
        free=st.booleans(),
        begun=st.sampled_from(["live", "live", "live", "asked", "nothing"]),
    )
    @told
    def begin(self, skew: float, direct: bool, free: bool, begun: str) -> None:
        settings: dict[str, Any] = {
            "history": {"import": "direct" if direct else "staged"},
            "availability": {"wait_limit": {"after": 100, "then": "tell"}},
            "relay": {"idle_limit": 3000},
        }
        self.world = World(self.tiledesk, self.rasa, settings, skew=skew)
        self.tiledesk.set_available(self.tiledesk.owner_id, free)
        self.rasa.says(SENDER, "hello")
        if begun != "nothing":
            self.world.ask(0)
        if begun == "live":
            self.world.passes(4)

    def _there(self) -> World:
        assert self.world is not None
        return self.world

    def _request(self) -> str | None:
        known = self._there().ledger.handoffs.of_sender(SENDER)
        ids = [one.request_id for one in known if one.request_id in self.tiledesk._desk.store.requests]
        return ids[-1] if ids else None

    def _status(self) -> int:
        request = self._request()
        return int(self.tiledesk._desk.store.requests[request]["status"]) if request else 0

    # The user

    @rule(server=SERVERS, lost=st.booleans(), dies=STEPS)
    @told
    def asks(self, server: int, lost: bool, dies: int | None) -> None:
        self._there().life.steps = dies
        self._there().ask(server, answer_is_lost=lost)

    @rule(server=SERVERS, dies=STEPS)
    @told
    def says(self, server: int, dies: int | None) -> None:
        self._there().life.steps = dies
        self._there().user_says(server)

    @rule(server=SERVERS)
    @told
    def goes_back(self, server: int) -> None:
        self._there().user_says(server, intent="back_to_bot", words="back to the bot")

    @rule(server=SERVERS)
    @told
    def restarts(self, server: int) -> None:
        self._there().user_restarts(server)

    # The agent

    @precondition(lambda self: self._status() in (100, 200))
    @rule()
    @told
    def agent_says(self) -> None:
        self._there().agent_says(str(self._request()))

    @precondition(lambda self: self._status() in (100, 200))
    @rule()
    @told
    def agent_notes(self) -> None:
        self._there().agent_notes(str(self._request()))

    @precondition(lambda self: self._status() in (100, 200))
    @rule(last_words=st.booleans(), tells=st.booleans())
    @told
    def agent_closes(self, last_words: bool, tells: bool) -> None:
        if last_words:
            self._there().agent_says(str(self._request()))
        self.tiledesk.close_as_agent(str(self._request()), message=tells)

    @precondition(lambda self: self._status() == 1000)
    @rule(speaks=st.booleans())
    @told
    def agent_opens_again(self, speaks: bool) -> None:
        self.tiledesk.reopen_as_agent(str(self._request()))
        if speaks:
            self._there().agent_says(str(self._request()))

    @precondition(lambda self: self._status() in (100, 200))
    @rule()
    @told
    def admin_deletes(self) -> None:
        self._there().deleted = True
        self.tiledesk.delete_request(str(self._request()))

    # What goes wrong

    @rule(route=st.sampled_from(ROUTES), fault=st.sampled_from(FAULTS), count=st.integers(1, 3))
    @told
    def tiledesk_fails(self, route: str, fault: Fault, count: int) -> None:
        self.tiledesk.fail(route, *[fault] * count)

    @rule(faults=st.lists(st.sampled_from(["reset", "lost", 500, 503]), min_size=1, max_size=3))
    @told
    def rasa_fails(self, faults: list[Any]) -> None:
        self.rasa.fail_next(*faults)
        self._there().slow |= "lost" in faults

    @rule()
    @told
    def late_calls_arrive(self) -> None:
        self.tiledesk.let_late_calls_through(at_least=0)

    @rule()
    @told
    def action_servers_stop_hearing(self) -> None:
        self._there().actions_up = not self._there().actions_up

    @rule(times=st.integers(1, 3))
    @told
    def webhook(self, times: int) -> None:
        request = self._request()
        for _ in range(times if request else 0):
            self._there().ledger.handoffs.hint(str(request))

    # Time, and work

    @rule(server=SERVERS, most=st.integers(1, 6), dies=STEPS)
    @told
    def works_a_little(self, server: int, most: int, dies: int | None) -> None:
        self._there().life.steps = dies
        self._there().work(server, most=most)

    @rule(seconds=st.sampled_from([1.0, 3.0, 12.0, 35.0, 120.0]), work=st.booleans())
    @told
    def time_passes(self, seconds: float, work: bool) -> None:
        self._there().passes(seconds, work=work, stride=1.0 if seconds < 20 else seconds / 10)

    def teardown(self) -> None:
        try:
            if self.world is not None:
                self.world.heal()
                wrong = self.world.verdict()
                assert not wrong, "\n".join([*wrong, "after:", *self.story])
        finally:
            if self.world is not None:
                self.world.close()
            self.tiledesk.close()
            self.rasa.__exit__(None, None, None)
