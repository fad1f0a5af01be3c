"""A Tiledesk server for tests: real HTTP on a free port, in memory, behaving as tiledesk-server 2.19.16 was seen to.

    with FakeTiledesk() as desk:
        bot_under_test(url=desk.url, project_id=desk.project_id, email=desk.owner[0], password=desk.owner[1])
        (request,) = desk.requests()
        desk.agent_says(request["request_id"], "Hello, how can I help?")

It keeps the real one's traps: no idempotency, `/messages/multi` in any order, inputs that are never answered, refusals
in five shapes. The project's contract tests run the same suite against both.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Callable

from rasa_tiledesk.testing._desk_chat21 import Chat21
from rasa_tiledesk.testing._desk_hooks import Hooks
from rasa_tiledesk.testing._desk_http import DeskServer, Fault
from rasa_tiledesk.testing._desk_people import Member, People, Principal
from rasa_tiledesk.testing._desk_routes import Call, Routes
from rasa_tiledesk.testing._desk_state import Desk
from rasa_tiledesk.testing._desk_store import TEMP

__all__ = ["Call", "FakeAgent", "FakeTiledesk", "Fault"]


@dataclass(frozen=True)
class FakeAgent:
    """An agent of the project, who can sign in."""

    id: str
    name: str
    email: str
    password: str = field(repr=False)


class FakeTiledesk:
    """A fake Tiledesk with one project; use it as a context manager.

    Args:
        seed: makes all ids, secrets and scramblings.
        clock: seconds since 1970; what messages, requests and answers are stamped with.
        hook_pauses: seconds before each of the two repeats of a webhook that failed. The real server's are 2 and 4.
        chat21: have chat21 behind it, as real installations do: what reaches the agents is then another thing than what
            Tiledesk has stored. Messages go from status 0 to 150 and 200, and chat21 adds its lines.

    Attributes:
        url: the API's base, for ``tiledesk.url``.
        project_id: the project, for ``tiledesk.project_id``.
        owner: e-mail and password of the project's owner, its only agent at first.
        bot: id and secret of an external bot of the project.
        project_secret: signs end users' tokens, for ``tiledesk.requester.project_secret``.
        default_department: the id of the department that requests go to when none is named.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        clock: Callable[[], float] = time.time,
        hook_pauses: Sequence[float] = (2.0, 4.0),
        chat21: bool = False,
    ) -> None:
        rng = random.Random(seed)
        self._people = People(f"{rng.getrandbits(96):024x}", clock, rng)
        self._owner = self._people.add_account("Olive Owner", "owner", available=True)
        self._hooks = Hooks(self._people, hook_pauses)
        self._desk = Desk(self._people, clock, rng, self._hooks.publish, chat21=chat21)
        self._server = DeskServer(Routes(self._people, self._desk, self._hooks), clock)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self.project_id = self._people.project_id
        self.owner = (self._owner.email, self._owner.password)
        self.bot = (self._people.bot_id, self._people.bot_secret)
        self.project_secret = self._people.project_secret
        self.default_department = self._desk.routing.default_department

    def __enter__(self) -> FakeTiledesk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; calls that it never answers are let go at once."""
        self._server.close()
        self._hooks.close()

    # The project

    @property
    def owner_id(self) -> str:
        """The owner's id as an agent."""
        return self._owner.person

    def add_agent(self, name: str, *, available: bool = True, role: str = "agent") -> FakeAgent:
        """Add an agent, who belongs to every department; the name gets the surname Agent."""
        with self._server.lock:
            member = self._people.add_account(f"{name} Agent", role, available=available)
        return FakeAgent(member.person, member.name, member.email, member.password)

    def add_stranger(self) -> FakeAgent:
        """Add an account that can sign in and does not belong to the project."""
        with self._server.lock:
            account = self._people.add_account("Sam Stranger", "agent", available=False, member=False)
        return FakeAgent(account.person, account.name, account.email, account.password)

    def add_department(self, name: str, *, bot: bool = False) -> str:
        """Add a department to which all agents belong, with the bot answering first if asked; returns its id."""
        with self._server.lock:
            return self._desk.routing.add_department(name, bot_id=self.bot[0] if bot else None)

    def set_available(self, agent_id: str, available: bool) -> None:
        """Say whether an agent takes requests."""
        with self._server.lock:
            self._people.members[agent_id].available = available

    def set_open(self, is_open: bool) -> None:
        """Be within operating hours, or not."""
        with self._server.lock:
            self._desk.routing.is_open = is_open

    def sign_everybody_out(self) -> None:
        """Make all tokens that sign-ins have returned invalid, as a new GLOBAL_SECRET would."""
        with self._server.lock:
            self._people.sign_everybody_out()

    # The agents

    def agent_says(
        self,
        request_id: str,
        text: str,
        *,
        agent: FakeAgent | None = None,
        attributes: Mapping[str, object] | None = None,
        **fields: object,
    ) -> dict[str, Any]:
        """Say something as an agent, the owner by default; returns the message as Tiledesk writes it.

        Args:
            request_id: where.
            text: what.
            agent: who.
            attributes: of the message; ``{"subtype": "private"}`` makes it a note.
            fields: more of the message, such as `type` and `metadata`.
        """
        person, name = (agent.id, agent.name) if agent else (self._owner.person, self._owner.name)
        body: dict[str, Any] = {"text": text, "sender": person, "senderFullname": name, **fields}
        if attributes is not None:
            body["attributes"] = dict(attributes)
        with self._server.lock:
            self._desk.store.find(request_id)
            return self._desk.agent_says(request_id, self._principal(self._people.members[person]), body)

    def agent_note(self, request_id: str, text: str) -> dict[str, Any]:
        """Leave a note that only agents may see, among the messages."""
        return self.agent_says(request_id, text, attributes={"subtype": "private"})

    def close_as_agent(self, request_id: str, *, message: bool = True) -> None:
        """Close a request as the owner; without `message`, no line "Chat closed" comes, as when Tiledesk fails then."""
        with self._server.lock:
            self._desk.close(request_id, self._principal(self._owner), as_member=True, message=message)

    def reopen_as_agent(self, request_id: str) -> None:
        """Open a closed request again, as the dashboard does."""
        with self._server.lock:
            self._desk.reopen(request_id)

    def delete_request(self, request_id: str) -> None:
        """Delete a request and what was said in it, as the owner; what is posted to it next opens a new one."""
        with self._server.lock:
            self._desk.delete(request_id, self._principal(self._owner))

    def join(self, request_id: str, agent: FakeAgent) -> None:
        """Let an agent take part too; a closed request is open again then, without a word (requestService.js:1755)."""
        with self._server.lock:
            self._desk.routing.join(request_id, agent.id)

    def leave(self, request_id: str, agent: FakeAgent | None = None) -> None:
        """Let an agent leave, the owner by default; the request waits for another when it was the last."""
        with self._server.lock:
            self._desk.routing.leave(request_id, agent.id if agent else self.owner_id)

    def add_raw_message(self, request_id: str, message: Mapping[str, object]) -> None:
        """Put a record into the list of a request's messages as it is, as somebody with the database's password can."""
        with self._server.lock:
            self._desk.store.find(request_id)
            self._desk.store.messages(request_id).append(dict(message))

    def requests(self) -> list[dict[str, Any]]:
        """The open requests that agents see, oldest first: none that is still TEMP."""
        with self._server.lock:
            found = [request for request in self._desk.store.open.values() if request["status"] != TEMP]
            return [self._desk.store.json(request) for request in found]

    def messages(self, request_id: str) -> list[dict[str, Any]]:
        """All messages of a request, as the server lists them."""
        with self._server.lock:
            return list(self._desk.store.messages(request_id))

    # chat21

    def agents_chat(self, request_id: str, agent: FakeAgent | None = None) -> list[dict[str, Any]]:
        """What an agent's chat shows of a request, the owner's by default: what chat21 has delivered, in its order.

        They are as chat21 writes them: `message_id`, `sender`, `sender_fullname`, `text`, `type`, `metadata`,
        `attributes`, and `timestamp` in ms, which is the `clienttimestamp` or else when chat21 got it.
        """
        with self._server.lock:
            return self._chat().inbox(request_id, agent.id if agent else self.owner_id)

    def chat21_stalled(self) -> contextlib.AbstractContextManager[None]:
        """Let chat21-server stand still inside the block: messages stay at status 150, and reach nobody until its end.

        Who is assigned meanwhile never gets those that were under way then.
        """
        return self._between(self._chat().stall, self._chat().resume)

    def chat21_down(self) -> contextlib.AbstractContextManager[None]:
        """Let chat21-http-server be away inside the block: agents never get what is posted then; it stays at 0."""
        return self._between(self._chat().go_down, self._chat().come_back)

    @contextlib.contextmanager
    def _between(self, begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
        with self._server.lock:
            begin()
        try:
            yield
        finally:
            with self._server.lock:
                end()

    def _chat(self) -> Chat21:
        if self._desk.chat is None:
            raise RuntimeError("this needs FakeTiledesk(chat21=True)")
        return self._desk.chat

    @staticmethod
    def _principal(member: Member) -> Principal:
        return Principal("user", member.person, member.name, member.email, member.phone)

    # The test

    @property
    def faults(self) -> Callable[[Call], Fault | None] | None:
        """Asked about every call what is to go wrong with it; None for nothing. Called from many threads."""
        return self._server.faults

    @faults.setter
    def faults(self, decide: Callable[[Call], Fault | None] | None) -> None:
        self._server.faults = decide

    def fail(self, route: str, *faults: Fault | None) -> None:
        """Let the route's next calls go wrong, one fault a call; None lets one pass.

        Args:
            route: such as ``POST /{project}/requests/{request}/messages``.
            faults: in the order of the calls.
        """
        with self._server.lock:
            self._server.planned.setdefault(route, deque()).extend(faults)

    def let_late_calls_through(self, *, at_least: int = 1) -> int:
        """Let the calls that `Fault.late` holds take effect, in the order in which they came.

        Args:
            at_least: wait for so many, ten seconds at most: a caller that gave up may be ahead of its own call.

        Returns:
            How many there were.
        """
        return self._server.late.let_through(at_least)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Refuse connections inside the block, as a server that is not running does."""
        self._server.refuse()
        try:
            yield
        finally:
            self._server.listen()

    def count(self, route: str) -> int:
        """How many calls of the route have come, such as ``POST /auth/signin``, whatever became of them."""
        with self._server.lock:
            return self._server.counts[route]

    def wait_for_webhooks(self, seconds: float = 10.0) -> bool:
        """Wait until every webhook so far is delivered or given up; whether that was in time."""
        return self._hooks.wait_idle(seconds)
