"""A user and agents who talk, on the fakes: what each does, and what reached whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.handoff.to_agents.say import Saying
from rasa_tiledesk.handoff.to_user.voice import SLOT
from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.ledger import Duty, Handoff
from rasa_tiledesk.responses import AGENT_JOINED
from rasa_tiledesk.testing.fake_tiledesk import Call
from rasa_tiledesk.testing.rasa_events import last_session
from tests.unit.conftest import World, conversation

SEND = "POST /{project}/requests/{request}/messages"
LIST = "GET /{project}/requests/{request}/messages"
REQUEST = "GET /{project}/requests/{request}"
ENDED = "The conversation with my colleague has ended. I'm back to help you."
UNSENT = "Your last words did not reach my colleague any more. Please say them again."


def asks(world: World, sender: str = "ann", *, channel: str = "callback", **slots: Any) -> Handoff:
    """The user has said three things and gets a human; Rasa takes what the action answers."""
    if not world.rasa.events(sender):
        world.rasa.add(sender, [{**event, "input_channel": channel} for event in conversation(3)])
    answer = world.ask(world.rasa.events(sender), sender, **slots)
    assert answer.handoff is not None
    pauses(world, answer.handoff)
    return answer.handoff


def pauses(world: World, handoff: Handoff) -> None:
    """Rasa takes what the action answers: the slot, the pause."""
    answered = [{"event": "slot", "name": SLOT, "value": handoff.id}, {"event": "pause"}]
    answered.append({"event": "action", "name": "action_listen"})
    world.rasa.add(handoff.sender_id, world.rasa._timed(answered))


def live(world: World, worker: Worker, sender: str = "ann", *, channel: str = "callback") -> Handoff:
    """A handoff that agents see, with the bot paused."""
    handoff = asks(world, sender, channel=channel)
    world.work(worker, seconds=2)
    world.rasa.delivered.clear()
    return world.now(handoff)


def says(
    world: World,
    text: str,
    *,
    sender: str = "ann",
    intent: str | None = None,
    sure: float = 1.0,
    key: str | None = None,
    saying: Saying | None = None,
    unheard: bool = False,
) -> bool:
    """The user says something, and the action carries it, unless no action server runs (`unheard`).

    Returns:
        Whether the slot stays.
    """
    world.rasa.says(sender, text, intent=intent, message_id=key)
    if intent is not None:
        world.rasa.events(sender)[-1]["parse_data"]["intent"]["confidence"] = sure
    return unheard or carries(world, sender=sender, saying=saying)


def carries(world: World, *, sender: str = "ann", saying: Saying | None = None, deadline: float = 4.0) -> bool:
    """The action carries what the user said last."""
    events = last_session(world.rasa.events(sender))
    say = (saying or world.saying()).say
    return say(sender, events, {}, paused=world.rasa.paused(sender), deadline=Deadline(deadline))


def restarts(world: World, sender: str = "ann", *, unheard: bool = False) -> None:
    """The user writes `/restart`: the action hears it before Rasa restarts."""
    if not unheard:
        said = {"event": "user", "text": "/restart", "message_id": "restart", "timestamp": world.clock.seconds}
        events = [*last_session(world.rasa.events(sender)), {**said, "parse_data": {"intent": {"name": "restart"}}}]
        world.saying().say(sender, events, {}, paused=world.rasa.paused(sender), deadline=Deadline(4))
    world.rasa.restart(sender)


def heard(world: World, channel: str = "callback") -> list[str]:
    """What reached the user, but for the line that somebody has joined."""
    told = [message for message in world.rasa.delivered[channel] if message.get("utter_action") != AGENT_JOINED]
    return [str(message.get("text")) for message in told]


def users_words(world: World, handoff: Handoff) -> list[str]:
    """What agents see of what came behind the history."""
    return [message["text"] for message in world.said(handoff)][3:]


def resumed(world: World, sender: str = "ann") -> int:
    """How often the bot was given back."""
    return sum(event["event"] == "resume" for event in world.rasa.events(sender))


def triggered(world: World, sender: str = "ann") -> list[str]:
    """What the bot was made to answer."""
    said = [str(event.get("text")) for event in world.rasa.events(sender) if event["event"] == "user"]
    return [text for text in said if text.startswith("EXTERNAL: ")]


def bodies(world: World, handoff: Handoff) -> list[Any]:
    """The texts that the ledger keeps."""
    steps = [step for lane in (Duty.TO_AGENTS, Duty.TO_USER) for step in world.ledger.lanes.all_steps(handoff.id, lane)]
    return [step.body for step in steps if step.body]


def comes_to_rest(world: World, worker: Worker, *handoffs: Handoff) -> bool:
    """Whether, when agents have closed what is open, nothing is due any more and no text is left."""
    for handoff in handoffs:
        if world.now(handoff).is_open:
            world.tiledesk.close_as_agent(handoff.request_id)
    world.work(worker, seconds=150)
    return world.is_at_rest()


def refusing(*texts: str) -> Callable[[Call], None]:
    """Tiledesk refuses, in its own words, to store messages in which one of these stands."""

    def decide(call: Call) -> None:
        if call.route == SEND and any(text in str(call.body) for text in texts):
            # MongoDB cannot cast this: routes/message.js answers 500 with the reason, as to much that it refuses.
            object.__setattr__(call, "raw", json.dumps({**call.body, "status": "unknown"}).encode())

    return decide


def texts_of(messages: Sequence[dict[str, Any]]) -> list[str]:
    """Their texts."""
    return [str(message["text"]) for message in messages]
