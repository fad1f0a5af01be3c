"""A ledger of version 1, with handoffs in each of its states, is taken over: each turn once, nobody stranded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rasa_tiledesk.errors import TiledeskNotFound
from rasa_tiledesk.ledger import Duty, End, Handoff, Ledger, Life
from rasa_tiledesk.ledger.database import Database
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.transcript import Message
from tests.databases import DURABLE, ledger_url
from tests.unit.conftest import Clock, World, conversation
from tests.unit.version_1 import OldLedger, Row, history_of, opening

EVENTS = conversation(6)
TURNS = [f"turn {number}" for number in range(6)]
FIRST_NATIVE = 1000


class Before:
    """What version 1 left behind: its ledger, and what was at Tiledesk and Rasa then."""

    def __init__(self, tiledesk: FakeTiledesk, rasa: FakeRasa, url: str) -> None:
        self.tiledesk, self.rasa, self.url, self.clock = tiledesk, rasa, url, Clock()
        self.ledger = OldLedger(url, now=self.clock())
        self.history = history_of(EVENTS)
        self.last_key = self.history[-1].key
        self._desk = World(tiledesk, rasa, self.clock, None).desk  # type: ignore[arg-type]
        self.user = self._desk.sign_in_anonymously(name="Jane Doe").id
        self._numbers = itertools.count()

    def request(self, messages: Sequence[Message] = (), *, routed: bool = True) -> str:
        """A request opened by our line, with these messages of ours in it."""
        request_id = self.request_id()
        first = {**opening(1_700_000_000_000), "sender": self.user}
        self._desk.open_request(request_id, first, temporary=True, department_id=self._department, language="en")
        for message in messages:
            self.post(request_id, message)
        if routed:
            self._desk.assign(request_id, self._department)
        return request_id

    def request_id(self) -> str:
        return f"support-group-{self.tiledesk.project_id}-old{next(self._numbers)}"

    def post(self, request_id: str, message: Message) -> None:
        self._desk.send_message(request_id, {**message.body, "sender": message.body["sender"] or self.user})

    def handoff(self, state: str, request_id: str, out: Sequence[Row], **more: Any) -> None:
        """The handoff of ann's, whose bot is paused where it is open or has to be given back."""
        given = {"last_key": self.last_key, "department": self._department, "requester_id": self.user, **more}
        handoff_id = self.ledger.handoff("ann", state, request_id=request_id, out=out, **given)
        slot = {"event": "slot", "name": "tiledesk_handoff", "value": handoff_id, "timestamp": 1_700_000_100.0}
        pause = {"event": "pause", "timestamp": 1_700_000_100.0}
        if state != "asked" and (state not in ("failed", "failing") or more.get("to_user")):
            self.rasa.add("ann", [*EVENTS, slot, pause])
        else:
            self.rasa.add("ann", EVENTS)

    def all_out(self, *stages: str) -> list[Row]:
        """The line that opened it, and the history, as far as these stages go; the rest is waiting."""
        stage = [*stages, *["waiting"] * (1 + len(self.history) - len(stages))]
        natives = [(FIRST_NATIVE + n, m.key, m.body, stage[n + 1]) for n, m in enumerate(self.history)]
        return [(0, "opening", opening(1_700_000_000_000), stage[0]), *natives]

    def later(self, text: str, stage: str, *, place: int = 0) -> Row:
        """What the user wrote while an agent had the conversation; Rasa has logged it."""
        at = 1_700_000_200.0 + place
        event = {"event": "user", "text": text, "timestamp": at, "message_id": f"l{place}", "parse_data": {}}
        event["input_channel"] = "callback"
        self.rasa.add("ann", [event])
        (message,) = history_of([event])
        return FIRST_NATIVE + len(self.history) + place, message.key, message.body, stage

    @property
    def _department(self) -> str:
        return self._desk.department(None).id

    def world(self) -> World:
        return World(self.tiledesk, self.rasa, self.clock, Ledger(self.url, clock=self.clock, per_minute=10_000))


@pytest.fixture(params=DURABLE)
def before(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Before]:
    with FakeTiledesk() as tiledesk, FakeRasa() as rasa, ledger_url(request.param, tmp_path) as url:
        made = Before(tiledesk, rasa, url)
        yield made
        made.ledger.close()


HEARD_UP_TO = {"channel", "last_key", "last_at"}  # stays, should an agent open the request again


def carried_on(before: Before, *, seconds: float = 100) -> tuple[World, Handoff]:
    """The ledger migrated, and a worker of this version at work."""
    world = before.world()
    world.work(world.worker(), seconds=seconds)
    return world, world.now(world.ledger.handoffs.of_sender("ann")[0])


def texts(world: World, handoff: Handoff) -> list[str]:
    return [message["text"] for message in world.said(handoff)]


def heard(world: World) -> list[str]:
    return [str(message["text"]) for message in world.rasa.delivered["callback"]]


def with_bot(world: World) -> bool:
    """Whether the bot answers ann again, and no slot says otherwise."""
    slots = [event for event in world.rasa.events("ann") if event.get("name") == "tiledesk_handoff"]
    return not world.rasa.paused("ann") and (not slots or slots[-1]["value"] is None)


def ends(world: World, handoff: Handoff) -> Handoff:
    """The agent closes it."""
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(world.worker(), seconds=120)
    return world.now(handoff)


@pytest.mark.parametrize("direct", [False, True])
def test_an_ask_whose_action_was_killed_before_anything_was_sent(before: Before, direct: bool) -> None:
    if direct:
        out = [row for row in before.all_out() if row[0]]
        before.handoff("asked", before.request_id(), out, requester_id=None, **{"import": "direct"})
    else:
        before.handoff("asked", before.request_id(), before.all_out("attempted"), requester_id=None)
    world, handoff = carried_on(before)
    assert (handoff.life, texts(world, handoff)) == (Life.LIVE, TURNS)
    assert world.rasa.paused("ann"), "the action that would have done so was killed"
    assert ends(world, handoff).end is End.AGENT
    assert with_bot(world)
    assert heard(world)[-1] == "Bye, colleague."


def test_an_import_with_older_turns_to_be_folded(before: Before) -> None:
    natives = [(FIRST_NATIVE + n, message.key, message.body, "waiting") for n, message in enumerate(before.history[4:])]
    out = [(0, "opening", {}, "arrived"), *natives]
    before.handoff("importing", before.request(routed=False), out, older=True)
    world, handoff = carried_on(before)
    said = texts(world, handoff)
    assert handoff.life is Life.LIVE
    assert said[-2:] == TURNS[4:]
    assert all(turn in said[0] for turn in TURNS[:4])
    assert [request["request_id"] for request in world.tiledesk.requests()] == [handoff.request_id]


@pytest.mark.parametrize("came", [True, False])
def test_an_import_half_sent_whose_last_answer_never_came(before: Before, came: bool) -> None:
    request_id = before.request(before.history[: 3 if came else 2], routed=False)
    out = before.all_out("arrived", "arrived", "arrived", "attempted")
    before.handoff("importing", request_id, [*out, before.later("hello?", "waiting")])
    world, handoff = carried_on(before)
    assert (handoff.life, texts(world, handoff)) == (Life.LIVE, [*TURNS, "hello?"])


def test_an_import_that_its_user_left_before_agents_saw_it_gives_the_words_since_back(before: Before) -> None:
    request_id = before.request(before.history[:2], routed=False)
    out = [*before.all_out("arrived", "arrived", "arrived"), before.later("hello?", "waiting")]
    before.handoff("importing", request_id, out)
    world = before.world()
    world.ledger.handoffs.end(world.ledger.handoffs.of_sender("ann")[0].id, End.FAILED)
    (returned,) = world.ledger.lanes.returned(world.ledger.handoffs.of_sender("ann")[0].id)
    assert returned.body["message"]["text"] == "hello?"


def test_a_live_one_with_words_waiting_both_ways(before: Before) -> None:
    request_id = before.request(before.history)
    answer = before.tiledesk.agent_says(request_id, "How can I help?")
    event = {"event": "bot", "text": "How can I help?", "data": {}, "metadata": {"tiledesk_agent": "Tina"}}
    joined: Row = (1, "joined", {"response": "utter_tiledesk_agent_joined"}, "arrived")
    words = [before.later("one", "waiting"), before.later("two", "waiting", place=1)]
    before.handoff(
        "live",
        request_id,
        [*before.all_out(*["arrived"] * 7), *words],
        to_user=[joined, (2, answer["_id"], {"event": event}, "waiting")],
    )
    world, handoff = carried_on(before, seconds=400)
    assert (handoff.life, texts(world, handoff)) == (Life.LIVE, [*TURNS, "one", "two"])
    assert heard(world) == ["How can I help?"]
    assert not with_bot(world)
    assert ends(world, handoff).end is End.AGENT
    assert with_bot(world)
    assert heard(world)[1:] == ["Bye, colleague."]
    world.clock.seconds += 25 * 3600  # so long an agent may open it again
    world.work(world.worker(), seconds=60)
    assert world.is_at_rest()


def test_a_live_one_that_its_agent_closed_meanwhile_asks_for_the_words_that_wait(before: Before) -> None:
    request_id = before.request(before.history)
    before.handoff("live", request_id, [*before.all_out(*["arrived"] * 7), before.later("one", "waiting")])
    before.tiledesk.close_as_agent(request_id)
    world, handoff = carried_on(before)
    assert handoff.life is Life.OVER
    assert with_bot(world)
    assert heard(world)[0] == "Bye, colleague."
    assert "say them again" in heard(world)[1]


@pytest.mark.parametrize(
    ("ending", "end"),
    [("user", End.USER), ("user's restart", End.RESTART), (None, None)],
    ids=["user", "restart", "no"],
)
def test_a_live_one_whose_user_has_left_is_ended_as_they_wished(
    before: Before, ending: str | None, end: End | None
) -> None:
    request_id = before.request(before.history)
    out = [*before.all_out(*["arrived"] * 7), before.later("back to the bot", "waiting")]
    before.handoff("live", request_id, out, **({"ending": ending} if ending else {}))
    world, handoff = carried_on(before)
    assert handoff.end is end
    assert texts(world, handoff) == [*TURNS, "back to the bot"]
    assert with_bot(world) is (end is not None)
    assert heard(world) == (["Bye, colleague."] if end else [])
    assert world.desk.request(request_id).closed is (end is not None)


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize("said", ["waiting", "attempted"])
def test_a_closed_one_whose_user_was_not_told_yet(before: Before, by_user: bool, said: str) -> None:
    request_id = before.request(before.history)
    if not by_user:
        before.tiledesk.close_as_agent(request_id)
    before.handoff(
        "closed",
        request_id,
        [*before.all_out(*["arrived"] * 7), before.later("one", said)],
        to_user=[(1, "ended", {"response": "utter_tiledesk_ended"}, "waiting")],
        **({"ending": "user"} if by_user else {}),
    )
    world, handoff = carried_on(before)
    assert handoff.life is Life.OVER
    assert with_bot(world)
    assert heard(world)[0] == "Bye, colleague."
    if by_user:
        assert texts(world, handoff) == [*TURNS, "one"]
    else:
        assert texts(world, handoff) == TURNS
        assert "say them again" in heard(world)[1], "nobody reads it in a closed request"
    assert len(heard(world)) == (1 if by_user else 2)
    assert world.desk.request(request_id).closed


def test_a_closed_one_that_was_told_is_left_alone(before: Before) -> None:
    request_id = before.request(before.history)
    before.tiledesk.close_as_agent(request_id)
    told: Row = (1, "ended", {}, "arrived")
    before.handoff("closed", request_id, before.all_out(*["arrived"] * 7), to_user=[told], due=False)
    world, handoff = carried_on(before)
    assert (handoff.life, handoff.end, set(handoff.facts) - HEARD_UP_TO) == (Life.OVER, End.AGENT, set())
    assert heard(world) == []
    assert world.is_at_rest()


@pytest.mark.parametrize("told", [True, False])
def test_one_that_was_failing_is_closed_and_its_user_told_where_no_action_did(before: Before, told: bool) -> None:
    request_id = before.request(before.history[:1], routed=False)
    failed: Row = (1, "failed", {"response": "utter_tiledesk_failed"}, "waiting")
    before.handoff("failing", request_id, before.all_out("arrived", "arrived"), to_user=[] if told else [failed])
    world, handoff = carried_on(before)
    assert (handoff.life, handoff.end) == (Life.FAILED, End.FAILED)
    assert texts(world, handoff) == TURNS[:1], "nothing is sent any more"
    assert world.desk.request(request_id).closed
    assert len(heard(world)) == (0 if told else 1)
    assert with_bot(world)
    assert world.is_at_rest()


def test_one_that_failed_stays_so_and_keeps_nothing_of_the_user(before: Before) -> None:
    before.handoff("failed", before.request_id(), before.all_out(*["arrived"] * 7), due=False)
    world, handoff = carried_on(before)
    assert (handoff.life, set(handoff.facts) - HEARD_UP_TO) == (Life.FAILED, set())
    assert world.is_at_rest()
    with pytest.raises(TiledeskNotFound):
        world.desk.request(handoff.request_id)


def test_what_is_not_of_a_handoff_comes_along_and_the_old_tables_go(before: Before) -> None:
    before.handoff("failed", before.request_id(), [])
    world, handoff = carried_on(before)
    assert world.ledger.hooks.all() == {"hook": "s3cret"}
    assert [(life, note) for _, life, note in world.ledger.handoffs.history(handoff.id)] == [(Life.FAILED, None)]
    assert not {"tiledesk_handoffs", "tiledesk_carried", "tiledesk_hook_secrets"} & set(before.ledger.tables())


def test_a_process_of_version_1_refuses_what_was_migrated(before: Before) -> None:
    assert before.ledger.opens()
    Ledger(before.url).close()
    assert not before.ledger.opens()


class Died(BaseException):
    """As if the process had been killed: the database takes its transaction back."""


def test_a_process_that_dies_in_the_middle_leaves_what_the_next_one_migrates(before: Before) -> None:
    """Each dies one statement later than the one before."""
    request_id = before.request(before.history[:2], routed=False)
    out = before.all_out("arrived", "arrived", "arrived")
    before.handoff("importing", request_id, [*out, before.later("hello?", "waiting")])
    for die_at in itertools.count():
        database = Database(before.url, clock=before.clock)
        made = itertools.count()

        def dies(*_: Any, at: int = die_at, made: Iterator[int] = made) -> None:
            if next(made) == at:
                raise Died

        sa.event.listen(database._engine, "before_cursor_execute", dies)
        try:
            ledger = Ledger(database)
        except Died:
            continue
        finally:
            database.close()
        ledger.close()
        break
    assert die_at > 20
    world, handoff = carried_on(before)
    assert (handoff.life, texts(world, handoff)) == (Life.LIVE, [*TURNS, "hello?"])
    assert "tiledesk_handoffs" not in before.ledger.tables()
    assert len(world.ledger.lanes.all_steps(handoff.id, Duty.TO_AGENTS)) == 9
