"""While a handoff is live, on fakes with real sockets: both sides hear each other, once, in order, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.conversation import Ask
from rasa_tiledesk.handoff.ledger import Handoff, State
from rasa_tiledesk.handoff.pace import Pace
from rasa_tiledesk.handoff.say import Saying
from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.responses import texts_of
from rasa_tiledesk.testing import Fault
from tests.unit.conftest import World, conversation

SEND = "POST /{project}/requests/{request}/messages"
LIST = "GET /{project}/requests/{request}/messages"


def live(world: World, worker: Worker, sender: str = "ann") -> Handoff:
    """A handoff whose history is imported, with the bot paused."""
    if not world.rasa.events(sender):
        world.rasa.says(sender, "hello")
        world.rasa.add(sender, [{"event": "pause", "timestamp": 1_700_000_000.5}])
    handoff = world.ask(conversation(3), sender, worker=worker).handoff
    assert handoff is not None
    world.work(worker, seconds=0)
    world.rasa.delivered.clear()
    return world.ledger.handoff(handoff.id)


def heard(world: World) -> list[str]:
    """What reached the user."""
    return [str(message["text"]) for message in world.rasa.delivered["callback"]]


def says(
    world: World, worker: Worker, text: str, at: float, *, ends: str | None = None, missed: Sequence[Any] = ()
) -> bool:
    """The user says something; as the action has it."""
    saying = Saying(worker._carrier.settings, world.desk, world.ledger, Pace(clock=world.clock), "action", lambda: None)
    event = {"event": "user", "text": text, "timestamp": at, "message_id": f"m{at}"}
    return saying.say("ann", [*conversation(3), *missed, event], {}, ends=ends, deadline=Deadline(4))


def users_words(world: World, handoff: Handoff) -> list[str]:
    return [message["text"] for message in world.said(handoff)][3:]


def test_an_agents_words_reach_the_user_once_and_in_order(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    for number in range(5):
        world.tiledesk.agent_says(handoff.request_id, f"answer {number}")
    world.work(worker, seconds=10)
    assert heard(world) == [f"answer {number}" for number in range(5)]
    in_tracker = [event for event in world.rasa.events("ann") if event.get("text") == "answer 0"]
    assert in_tracker[0]["metadata"]["tiledesk_agent"]


@pytest.mark.parametrize(
    "message",
    [
        {"attributes": {"subtype": "private"}},
        {"attributes": {"subtype": "info"}},
        {"attributes": {"subtype": "info/support"}},
        {"attributes": {"subtype": "of next year"}},
        {"attributes": {"rasa": {"key": "x"}}},
        {"sender": "system"},
        {"sender": "bot_5e2c35c8f0dbc10017bb3aac"},
        {"sender": "somebody"},
        {"text": "  "},
    ],
)
def test_what_is_not_an_agents_word_to_the_user_never_reaches_them(world: World, message: dict[str, Any]) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    fields = {"text": "secret", **message}
    text = fields.pop("text")
    if fields.get("sender"):
        world.desk.send_message(handoff.request_id, {"sender": fields["sender"], "senderFullname": "X", "text": text})
    else:
        world.tiledesk.agent_says(handoff.request_id, text, **fields)
    world.tiledesk.agent_note(handoff.request_id, "a note")
    world.work(worker, seconds=70)
    assert heard(world) == []


def test_images_files_and_buttons_come_along(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    say = world.tiledesk.agent_says
    say(handoff.request_id, "i.png", type="image", metadata={"src": "https://x.y/i.png", "name": "i.png"})
    say(handoff.request_id, "the form", type="file", metadata={"src": "https://x.y/a.pdf", "type": "application/pdf"})
    say(handoff.request_id, "Yes?", attributes={"attachment": {"buttons": [{"type": "text", "value": "Yes"}]}})
    world.work(worker, seconds=5)
    image, file, buttons = world.rasa.delivered["callback"]
    assert image["image"] == "https://x.y/i.png"
    assert file["text"] == "the form\nhttps://x.y/a.pdf"
    assert buttons["buttons"] == [{"title": "Yes", "payload": "Yes"}]


@pytest.mark.parametrize("fault", ["lost", "reset", "hang", 500])
def test_an_answer_of_rasa_that_is_lost_doubles_nothing(world: World, fault: str | int) -> None:
    world.read_timeout = 0.5 if fault == "hang" else 5.0
    worker = world.worker()
    handoff = live(world, worker)
    for number in range(3):
        world.tiledesk.agent_says(handoff.request_id, f"answer {number}")
    world.rasa.fail_next(fault)
    world.work(worker, seconds=30)
    assert heard(world) == ["answer 0", "answer 1", "answer 2"]


def test_what_rasa_can_never_deliver_is_told_to_the_agent_and_keeps_nothing_else_back(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.rasa.refusing.add("callback")
    world.tiledesk.agent_says(handoff.request_id, "refused")
    world.work(worker, seconds=600)
    world.rasa.refusing.clear()
    world.tiledesk.agent_says(handoff.request_id, "fine")
    world.work(worker, seconds=60)
    assert heard(world)[-1] == "fine"
    assert any("could not be delivered" in text for text in users_words(world, handoff))


def test_a_channel_that_cannot_be_written_to_is_told_to_the_agent_once(world: World) -> None:
    worker = world.worker()
    world.rasa.says("ann", "hello", channel="rest")
    world.rasa.add("ann", [{"event": "pause", "timestamp": 1_700_000_000.5}])
    handoff = live(world, worker)
    for text in ("one", "two"):
        world.tiledesk.agent_says(handoff.request_id, text)
    world.work(worker, seconds=30)
    told = [text for text in users_words(world, handoff) if "cannot be written to" in text]
    assert len(told) == 1
    assert "'rest'" in told[0]
    assert {"one", "two"} <= {event.get("text") for event in world.rasa.events("ann")}


def test_the_users_words_go_out_in_one_call(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    before = {route: world.tiledesk.count(route) for route in (SEND, LIST, "POST /auth/signin")}
    assert says(world, worker, "hello?", 1_800_000_000.0)
    assert users_words(world, handoff) == ["hello?"]
    assert world.tiledesk.count(SEND) == before[SEND] + 1
    assert world.tiledesk.count(LIST) == before[LIST]
    assert not any(message.body for message in world.ledger.messages(handoff.id))


def test_the_same_message_twice_is_one(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    for _ in range(3):
        says(world, worker, "hello?", 1_800_000_000.0)
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["hello?"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["hang", "reset", "answer", "garbage"])
def test_what_could_not_be_sent_at_once_comes_later_once_and_before_what_follows(
    world: World, kind: str, after: bool
) -> None:
    world.read_timeout = 0.5 if kind == "hang" else 5.0
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.fail(SEND, Fault(kind, status=502, after=after))
    says(world, worker, "one", 1_800_000_000.0)
    says(world, worker, "two", 1_800_000_001.0)
    world.work(worker, seconds=20)
    says(world, worker, "three", 1_800_000_002.0)
    world.work(worker, seconds=20)
    assert users_words(world, handoff) == ["one", "two", "three"]


def test_what_was_logged_while_no_action_server_ran_is_caught_up_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.rasa.add("ann", [*conversation(3)[2:], {"event": "pause", "timestamp": 1_700_000_100.0}])
    world.rasa.says("ann", "is anybody there?")
    world.rasa.says("ann", "hello?")
    again = world.worker(name="restarted")
    world.work(again, seconds=400)
    assert users_words(world, handoff) == ["is anybody there?", "hello?"]


def test_what_no_action_server_heard_comes_before_what_is_said_next(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, worker, "one", 1_800_000_000.0)
    missed = [
        {"event": "user", "text": text, "timestamp": at, "message_id": f"m{at}"}
        for text, at in (("one", 1_800_000_000.0), ("two", 1_800_000_001.0), ("three", 1_800_000_002.0))
    ]
    says(world, worker, "four", 1_800_000_003.0, missed=missed)
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["one", "two", "three", "four"]


def test_what_is_said_now_is_carried_whatever_rasas_clock_says_and_whatever_came_before(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    saying = Saying(worker._carrier.settings, world.desk, world.ledger, Pace(clock=world.clock), "action", lambda: None)
    events = [  # of a new session, and an hour behind
        {"event": "user", "text": text, "timestamp": world.clock.seconds - 3600, "message_id": text}
        for text in ("unknown", "now")
    ]
    assert saying.say("ann", events, {}, ends=None, deadline=Deadline(4))
    world.work(worker, seconds=5)
    assert users_words(world, handoff)[-1] == "now"


def test_a_bot_that_a_new_session_has_woken_is_paused_again(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=20)
    world.rasa.add("ann", [{"event": "session_started", "timestamp": 1_800_000_100.0}])
    world.work(worker, seconds=400)
    pauses = [event for event in world.rasa.events("ann") if event["event"] == "pause"]
    assert len(pauses) == 2
    assert handoff.state is State.LIVE


def test_when_the_agent_closes_the_user_is_told_and_given_back_exactly_once(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "bye")
    world.tiledesk.close_as_agent(handoff.request_id)
    world.rasa.fail_next("lost", 500)
    world.work(worker, seconds=60)
    assert heard(world) == ["bye", "The conversation with my colleague has ended. I'm back to help you."]
    closed = world.ledger.handoff(handoff.id)
    assert closed.state is State.CLOSED
    assert world.ledger.history(handoff.id)[-1][2] == "by the agent"
    last = world.rasa.events("ann")[-3:]
    assert [event["event"] for event in last] == ["slot", "resume", "action"]
    assert (last[0]["value"], last[2]["name"]) == (None, "action_listen")
    assert sum(event["event"] == "resume" for event in world.rasa.events("ann")) == 1
    assert not says(world, worker, "thanks", 1_800_000_500.0)


@pytest.mark.parametrize("ends", ["user", "user's restart"])
def test_when_the_user_ends_it_the_request_is_closed_and_the_bot_is_back(world: World, ends: str) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    says(world, worker, "back to the bot", 1_800_000_000.0, ends=ends)
    world.work(worker, seconds=5)
    assert users_words(world, handoff) == ["back to the bot"]
    assert world.desk.request(handoff.request_id).closed
    assert world.ledger.handoff(handoff.id).state is State.CLOSED
    assert sum(event["event"] == "resume" for event in world.rasa.events("ann")) == 1


def test_a_user_who_ends_it_before_an_agent_sees_it_leaves_nothing_open(world: World) -> None:
    worker = world.worker()
    world.rasa.says("ann", "hello")
    handoff = world.ask(conversation(3), worker=worker).handoff
    assert handoff is not None
    says(world, worker, "no, stop", 1_800_000_000.0, ends="user")
    world.work(worker, seconds=5)
    assert world.ledger.handoff(handoff.id).state is State.CLOSED
    assert world.tiledesk.requests() == []


def test_a_user_who_goes_back_while_tiledesk_is_away_does_not_wait_for_it(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    with world.tiledesk.away():
        says(world, worker, "back to the bot", 1_800_000_000.0, ends="user")
        world.work(worker, seconds=5)
        assert sum(event["event"] == "resume" for event in world.rasa.events("ann")) == 1
    world.work(worker, seconds=60)
    assert world.desk.request(handoff.request_id).closed
    assert users_words(world, handoff) == ["back to the bot"]
    assert sum(event["event"] == "resume" for event in world.rasa.events("ann")) == 1


def test_a_channel_that_refuses_the_last_words_does_not_keep_the_bot_silent_for_ever(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.rasa.refusing.add("callback")
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=400)
    assert sum(event["event"] == "resume" for event in world.rasa.events("ann")) == 1
    assert heard(world) == []


def test_a_direct_handoff_is_listened_to_as_well(world: World) -> None:
    world.settings = {"history": {"import": "direct"}}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]


def test_second_and_third_handoffs_of_a_conversation_work(world: World) -> None:
    worker = world.worker()
    for number in range(3):
        handoff = live(world, worker)
        world.tiledesk.agent_says(handoff.request_id, f"agent {number}")
        world.work(worker, seconds=5)
        assert f"agent {number}" in heard(world)
        world.tiledesk.close_as_agent(handoff.request_id)
        world.work(worker, seconds=70)
    assert world.ledger.counts() == {State.CLOSED: 3}


def test_the_end_of_one_handoff_does_not_wake_the_bot_in_the_next(world: World) -> None:
    worker = world.worker()
    first = live(world, worker)
    world.tiledesk.close_as_agent(first.request_id)
    world.rasa.fail_next(*[500] * 6)
    world.work(worker, seconds=8)
    assert world.ledger.handoff(first.id).state is State.CLOSED
    second = world.ask(conversation(3), worker=worker).handoff
    assert second is not None
    world.work(worker, seconds=120)
    assert not [event for event in world.rasa.events("ann") if event["event"] == "resume"]


def test_a_bot_that_hands_over_again_and_again_is_stopped(world: World, caplog: pytest.LogCaptureFixture) -> None:
    outcomes = []
    for _ in range(6):
        answer = world.ask(conversation(3))
        outcomes.append(answer.outcome.value)
        if answer.handoff is not None:
            world.ledger.move(world.ledger.move(answer.handoff, State.LIVE), State.CLOSED)
    assert outcomes == ["connected"] * 4 + ["failed"] * 2
    assert "again and again" in caplog.text


def test_the_bots_own_words_and_buttons_are_used_when_no_action_runs(world: World) -> None:
    menu = [{"title": "Menü", "payload": "/menu"}]
    own = [{"text": "für Web", "channel": "web"}, {"text": "Tschüss", "buttons": menu}]
    texts = texts_of({"responses": {"utter_tiledesk_ended": own}})
    worker = world.worker()
    world.rasa.says("ann", "hello")
    asking = world.asking(worker.hand_on)
    handoff = asking.ask(Ask("ann", conversation(3), {}, "callback", texts), Deadline(8)).handoff
    assert handoff is not None
    world.work(worker, seconds=0)
    world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=5)
    told = world.rasa.delivered["callback"][-1]
    assert (told["text"], told["buttons"]) == ("Tschüss", menu)


def test_a_user_in_the_queue_hears_so_once_and_then_that_somebody_came(world: World) -> None:
    world.settings = {"availability": {"wait_limit": 60}}
    world.tiledesk.set_available(world.tiledesk.owner_id, False)
    worker = world.worker()
    handoff = live(world, worker)
    world.work(worker, seconds=200)
    assert [message["utter_action"] for message in world.rasa.delivered["callback"]] == ["utter_tiledesk_still_waiting"]
    world.tiledesk.set_available(world.tiledesk.owner_id, True)
    world.desk.assign(handoff.request_id, world.tiledesk.default_department)
    world.work(worker, seconds=30)
    assert world.rasa.delivered["callback"][-1]["utter_action"] == "utter_tiledesk_agent_joined"


def test_a_hint_is_heeded_at_once_and_a_wrong_one_changes_nothing(world: World) -> None:
    world.settings = {"relay": {"receive": "webhook", "public_url": "https://bot.example.com"}}
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=0)
    assert heard(world) == []
    assert world.ledger.hint(handoff.request_id)
    assert not world.ledger.hint("support-group-unknown")
    world.work(worker, seconds=0)
    assert heard(world) == ["hello"]
    world.tiledesk.agent_says(handoff.request_id, "lost webhook")
    world.work(worker, seconds=61)
    assert heard(world) == ["hello", "lost webhook"]
