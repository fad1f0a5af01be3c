"""Thousands of generated messages: the real Tiledesk takes every one and gives it back as it was sent."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rasa_tiledesk.http import Http
from rasa_tiledesk.tiledesk import AgentLogin, TiledeskClient
from rasa_tiledesk.transcript import Redactor, Rule, Speaker, Speakers, read_turns, to_messages
from stack.tiledesk import LiveProject

pytestmark = pytest.mark.live

COUNT = 4_000  # of ten thousand none was taken otherwise (2026-11-24), and they take four minutes
A_REQUEST = 250  # the stand-in for MongoDB gets slow on long conversations
SEED = 20261122

WORDS = [
    *("hello", "my order", "\\close", "\\agent now", "${LABEL_FIRST_MSG}", "{{user}}", "C:\\temp\\new", "<b>bold</b>"),
    *(
        "שלום עולם",
        "مرحبا \u200f٣",
        "👩‍👩‍👧‍👦",
        "e\u0301",
        "नमस्ते",
        "\x00",
        "\x07",
        "\ud83d",
        "\u2028",
        "\n\n",
        "\t",
        " ",
    ),
    *("4242 4242 4242 4242", "ann@example.com", "DE89 3704 0044 0532 0130 00", "[link](https://x.y)", "x" * 3_000),
    *("null", "true", "0", "$where", "a.b.c", '{"event": "bot"}', "'; DROP TABLE x; --", "%00%0d%0a", "&amp;"),
]


def some(chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 6)))


def payload(chance: random.Random, depth: int = 3) -> Any:
    kind = chance.randint(0, 7 if depth else 5)
    if kind == 6:
        return [payload(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    if kind == 7:
        return {some(chance)[:30]: payload(chance, depth - 1) for _ in range(chance.randint(0, 3))}
    return (None, True, chance.randint(-(10**20), 10**20), chance.uniform(-1e300, 1e300), float("nan"), some(chance))[
        kind
    ]


def event(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(["user", "user", "bot", "bot", "bot", "agent", "session_started", "restart", "slot"])
    made: dict[str, Any] = {"event": kind, "text": some(chance), "metadata": {}}
    if kind == "user":
        return {**made, "message_id": uuid.UUID(int=chance.getrandbits(128)).hex}
    if chance.random() < 0.3:
        made["metadata"] = {"tiledesk_agent": some(chance)[:40]}
    link = f"https://x.y/{chance.randint(0, 99)}.png?{some(chance)[:50]}"
    button = {"title": some(chance), "payload": some(chance), "url": link}
    rich: dict[str, Any] = {
        "buttons": [button],
        "quick_replies": [button, some(chance)],
        "elements": [{"title": some(chance), "subtitle": some(chance), "image_url": link, "buttons": [button]}],
        "image": link,
        "attachment": {"type": "file", "payload": {"src": link}},
        "custom": payload(chance),
        "odd": payload(chance),
    }
    made["data"] = {name: value for name, value in rich.items() if chance.random() < 0.3}
    return made


def bodies(user: str) -> Iterator[Mapping[str, Any]]:
    chance = random.Random(SEED)
    by = Speakers(Speaker(user, "Ann"), Speaker("bot_rasa-1", "Bot"), Speaker("agent_rasa-1", "Agent"))
    remove = Redactor([Rule("card"), Rule("iban"), Rule("email")])
    at = 1_700_000_000.0
    while True:
        events = []
        for _ in range(100):
            at += chance.choice([0.0, 0.0005, 1.0, 3600.0])
            events.append({**event(chance), "timestamp": at})
        for message in to_messages([remove.turn(turn) for turn in read_turns(events)], by):
            yield message.body


def test_every_generated_message_is_taken_and_given_back_as_it_was(project: LiveProject) -> None:
    desk = TiledeskClient(
        project.url, project.project_id, credential=AgentLogin(*project.owner), http=Http(read_timeout=60)
    )
    user = desk.sign_in_anonymously(name="Ann").id
    made = bodies(user)
    compared = 0
    while compared < COUNT:
        request = f"support-group-{project.project_id}-{uuid.uuid4().hex}"
        opening = {"sender": user, "senderFullname": "Ann", "text": "hello", "channel": {"name": "rasa"}}
        desk.open_request(request, opening, temporary=True)
        sent = [next(made) for _ in range(A_REQUEST)]
        desk.send_messages(request, sent)
        stored = {message.attributes["rasa"]["key"]: message for message in desk.messages(request)[1:]}
        assert len(stored) == len(sent)
        for body in sent:
            message = stored[body["attributes"]["rasa"]["key"]]
            kept = {name: message.attributes.get(name) for name in body["attributes"]}
            assert (message.sender, message.sender_name) == (body["sender"], body["senderFullname"])
            assert (message.type, message.text) == (body["type"], body["text"])
            assert kept == body["attributes"]
            assert (message.metadata or {}) == body.get("metadata", {})
        assert not desk.request(request).closed
        compared += len(sent)
    assert compared >= COUNT
