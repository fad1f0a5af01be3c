"""What the user is told outside an action, in the bot's own words: conditions, channels and slots as Rasa has them."""

from __future__ import annotations

from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.ledger import Handoff
from tests.unit.conftest import World, conversation

OWN: dict[str, Any] = {
    "utter_tiledesk_agent_joined": [{"text": "{agent} is here, {name}"}],
    "utter_tiledesk_idle": [
        {"text": "idle"},
        {"text": "idle, golden one", "condition": [{"type": "slot", "name": "plan", "value": "gold"}]},
    ],
    "utter_tiledesk_ended": [{"text": "over"}, {"text": "over, on your channel", "channel": "callback"}],
    "utter_tiledesk_unsent": [{"text": "say it again, {name}", "buttons": [{"title": "Go on", "payload": "/go"}]}],
}


def live(world: World, responses: dict[str, Any]) -> Handoff:
    """A handoff that agents have, whose slots are known to Rasa."""
    events = conversation(3)
    slots = [("name", "Ann"), ("plan", "gold")]
    world.rasa.add(
        "ann", [*events, *({"event": "slot", "name": n, "value": v, "timestamp": 1.7e9 + 4} for n, v in slots)]
    )
    handoff = world.asking().ask(Ask("ann", events, {"name": "Ann"}, "callback", responses), Deadline(8)).handoff
    assert handoff
    pause = [{"event": "slot", "name": "tiledesk_handoff", "value": handoff.id}, {"event": "pause"}]
    world.rasa.add("ann", [{**event, "timestamp": 1.7e9 + 5} for event in pause])
    world.work(world.worker(), seconds=5)
    return world.now(handoff)


def told(world: World) -> list[str]:
    return [str(message["text"]) for message in world.rasa.delivered["callback"]]


def write(world: World, handoff: Handoff, text: str) -> None:
    """The user writes; the action runs."""
    world.rasa.says("ann", text)
    world.saying().say("ann", world.rasa.events("ann"), {}, paused=True, deadline=Deadline(4))


def test_a_quiet_conversation_is_warned_and_ended_in_the_bots_own_words(world: World) -> None:
    world.settings = {"relay": {"idle_limit": 300}}
    handoff = live(world, OWN)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(world.worker(), seconds=400)
    assert told(world) == ["Olive Owner is here, Ann", "hello", "idle, golden one", "over, on your channel"]


def test_words_that_reached_nobody_are_asked_for_again_in_the_bots_own_words(world: World) -> None:
    handoff = live(world, OWN)
    world.tiledesk.close_as_agent(handoff.request_id)
    write(world, handoff, "one more thing")
    world.work(world.worker(), seconds=120)
    assert told(world) == ["over, on your channel", "say it again, Ann"]
    assert world.rasa.delivered["callback"][-1]["buttons"] == [{"title": "Go on", "payload": "/go"}]


def test_a_bot_without_responses_speaks_ours_then_too(world: World) -> None:
    world.settings = {"relay": {"idle_limit": 300}}
    handoff = live(world, {})
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(world.worker(), seconds=400)
    assert [text.partition(".")[0].partition("?")[0] for text in told(world)] == [
        "A colleague has joined the conversation",
        "hello",
        "Are you still there",
        "The conversation with my colleague has ended",
    ]
