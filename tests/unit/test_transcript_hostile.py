"""Whatever an event holds: the transcript never raises, and Tiledesk and its chat engine take each message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rasa_tiledesk.tiledesk.outgoing import checked
from rasa_tiledesk.transcript import (
    Card,
    Message,
    Redactor,
    Rule,
    Speaker,
    Speakers,
    Turn,
    fold,
    in_scope,
    read_turns,
    to_messages,
)
from rasa_tiledesk.transcript.split import BODY_LIMIT

BY = Speakers(Speaker("u-1", "Ann"), Speaker("bot_1", "Bot"), Speaker("agent_1", "Agent"))
RULES = [*map(Rule, ("card", "iban", "email", "phone")), Rule("entity", "passport"), Rule("slot", "secret")]


def nested(depth: int, *, mapping: bool = True) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"more": value} if mapping else [value]
    return value


LINKS = [
    "http://[oops",
    "https://exa℀mple.com",
    "https://x.y/a\x00.png",
    "http://[::1",
    "//[",
    "http://\ud800.y/a.png",
    "data:" + "A" * 5_000,
    "http://x.y/" + "é" * 3_000,
    "http://x.y/" + "👍" * 1_900,
    "https:\\close",
    "http://x.y:99999999/a",
    "https://x.y/" + "/" * 1_000,
]
NUMBERS = [10**400, -(10**400), float("nan"), float("inf"), -0.0, 1e300, 1j, 2**63, True]
ODD = [nested(60), nested(60, mapping=False), {1: "a", "1": "b", None: "c", (2,): "d"}, b"bytes", {1}]

# What stands for values that no failing test could print.
UNPRINTABLE = {"<huge>": 10**5_000, "<deep>": nested(5_000), "<deep list>": nested(3_000, mapping=False)}


def filled(value: Any) -> Any:
    """The value with those in their places."""
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item) for item in value]
    return UNPRINTABLE.get(value, value) if isinstance(value, str) else value


links = st.sampled_from(LINKS) | st.text(max_size=30).map("http://".__add__) | st.text("[]:/@%\\?#.℀\x00", max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([*NUMBERS, *UNPRINTABLE])
    | st.floats()
    | st.text(max_size=20)
    | links
)
values = st.recursive(
    scalars | st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)
buttons = st.lists(st.dictionaries(st.sampled_from(["title", "payload", "url"]), values) | values, max_size=3)
elements = st.lists(
    st.dictionaries(st.sampled_from(["title", "subtitle", "image_url", "price", "default_action"]), values) | values,
    max_size=3,
)
attachment = st.fixed_dictionaries(
    {"type": st.sampled_from(["image", "file", "template"]) | values},
    optional={
        "url": links,
        "payload": st.fixed_dictionaries({}, optional={"src": links, "elements": elements}) | values,
    },
)
data = st.fixed_dictionaries(
    {},
    optional={
        "image": links | values,
        "attachment": attachment | links | values,
        "buttons": buttons | values,
        "quick_replies": buttons | values,
        "elements": elements | values,
        "custom": values,
    },
)
events = st.lists(
    st.fixed_dictionaries(
        {"event": st.sampled_from(["user", "bot", "agent", "slot", "entities", "session_started", "restart"]) | values},
        optional={
            "text": st.text(max_size=40) | values,
            "timestamp": st.sampled_from(NUMBERS) | st.floats(0, 2e9) | values,
            "message_id": values,
            "data": data | values,
            "metadata": st.fixed_dictionaries(
                {}, optional={"tiledesk_agent": values, "image": links, "attachments": values, "is_external": values}
            )
            | values,
            "parse_data": st.fixed_dictionaries({"entities": values}) | values,
            "entities": values,
            "name": st.just("secret") | values,
            "value": values,
        },
    )
    | values,
    max_size=6,
)


def is_taken(message: Message) -> None:
    body = checked(message.body)
    assert len(json.dumps(body)) < BODY_LIMIT, "chat21-http takes no more"
    json.dumps(body, allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert body["text"].strip()
    assert body["senderFullname"].strip()


@given(events)
@example([{"event": "bot", "text": "x", "timestamp": 10**400, "data": {"image": "http://[oops"}}])
@example([{"event": "bot", "text": "<huge>", "data": {"image": "https://exa℀mple.com", "custom": "<deep>"}}])
@example([{"event": "user", "text": "x", "metadata": {"attachments": ["http://[oops"], "image": "http://[oops"}}])
def test_no_event_ends_a_handoff(events: list[Any]) -> None:
    events = filled(events)
    turns = read_turns(events)
    remove = Redactor(RULES, events, {"secret": [event for event in events if not isinstance(event, dict)]})
    redacted = [remove.turn(turn) for turn in turns]
    for chosen in (turns, in_scope(redacted, "all", last=5, hours=1), in_scope(redacted, "session")):
        for message in [*to_messages(chosen, BY), *fold(chosen, BY, before_ms=10_000)]:
            is_taken(message)
    remove.report(turns)
    for event in events:
        remove.value(event)


@pytest.mark.parametrize("link", LINKS)
def test_a_link_of_any_shape_is_shown_and_the_turns_around_it_too(link: str) -> None:
    events = [
        {"event": "user", "text": "before", "timestamp": 1.0},
        {"event": "bot", "text": "words", "timestamp": 2.0, "data": {"image": link}},
        {"event": "user", "text": "behind", "timestamp": 3.0},
    ]
    before, shown, behind = to_messages(read_turns(events), BY)
    assert (before.body["text"], behind.body["text"]) == ("before", "behind")
    assert shown.body["text"].startswith("words")
    assert "[image]" in shown.body["text"] or shown.body["metadata"]["src"]
    is_taken(shown)


@pytest.mark.parametrize("timestamp", [10**400, "1e999", float("nan"), float("inf"), -5, [1], "²", 1j])
def test_a_time_that_is_none_is_no_time(timestamp: Any) -> None:
    (turn,) = read_turns([{"event": "user", "text": "hi", "timestamp": timestamp}])
    assert turn.at == 0.0


def test_what_is_too_deep_or_too_long_is_shown_as_far_as_it_can_be() -> None:
    custom = {"a": nested(5_000), "b": 10**5_000, "c": "kept", 1: float("nan")}
    (message,) = to_messages(read_turns([{"event": "bot", "data": {"custom": custom}}]), BY)
    assert "c: kept" in message.body["text"]
    assert "b: [a number of about 5000 digits]" in message.body["text"]
    json.loads(message.body["attributes"]["rasa"]["data"], parse_constant=pytest.fail)


def test_a_turn_that_cannot_be_read_costs_itself_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Text(str):
        def startswith(self, *_: Any) -> bool:
            raise RuntimeError("secret words")

    events = [{"event": "user", "text": text, "timestamp": 1.0} for text in ("a", Text("b"), "c")]
    turns = read_turns(events)
    assert [turn.text for turn in turns] == ["a", "[This message could not be read.]", "c"]
    assert len({turn.key for turn in turns}) == 3
    assert turns == read_turns(events)
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("who", ["user", "bot"])
def test_who_said_what_cannot_be_read_is_known(who: str) -> None:
    class Text(str):
        def strip(self, *_: Any) -> str:
            raise RuntimeError

    (turn,) = read_turns([{"event": who, "text": Text("b"), "timestamp": 7.0}])
    assert (turn.who, turn.at, turn.text) == (who, 7.0, "[This message could not be read.]")


def test_a_turn_that_cannot_be_shown_costs_itself_and_says_so() -> None:
    class Value:
        def __str__(self) -> str:
            raise RuntimeError("secret words")

    turns = [Turn("1", "bot", 1.0, "a"), Turn("2", "bot", 2.0, cards=Value()), Turn("3", "bot", 3.0, "c")]  # type: ignore[arg-type]
    said = [message.body["text"] for message in to_messages(turns, BY)]
    assert said == ["a", "[This message could not be shown.]", "c"]
    assert "[This message could not be shown.]" in fold(turns, BY, before_ms=0)[0].body["text"]


def test_what_could_not_be_checked_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    remove = Redactor([Rule("card")])
    monkeypatch.setattr(remove, "_across", [lambda _: 1 / 0])
    assert remove.text("secret") == "••••"
    turn = remove.turn(Turn("1", "bot", 1.0, "secret", cards=(Card("secret"),)))
    assert (turn.text, turn.cards) == ("••••", (Card("••••"),))


FULL = {
    "buttons": [{"title": "👍" * 2_000, "payload": "/x" * 2_000}] * 3,
    "image": "https://x.y/" + "é" * 1_900,
    "custom": {"text": "👍\\\n" * 6_000},
}


@pytest.mark.parametrize(
    "text", ["👍" * 30_000, "\x01" * 30_000, "\x7f" * 30_000, "\\ " * 30_000, "${A}" * 20_000, "né " * 20_000, "x"]
)
def test_a_message_stays_under_what_the_chat_engine_takes_raw_data_and_names_included(text: str) -> None:
    by = Speakers(*(Speaker("i" * 60, "👍" * 5_000) for _ in range(3)))
    events: list[Any] = [
        {"event": "bot", "text": text, "timestamp": 1.0, "data": FULL},
        {"event": "user", "text": text},
    ]
    turns = read_turns(events)
    messages = [*to_messages(turns, by), *fold(turns, by, before_ms=0)]
    for message in messages:
        is_taken(message)
    assert sum(message.body["text"].count("👍") for message in to_messages(turns[1:], by)) == text.count("👍")


@pytest.mark.parametrize(("size", "kept"), [(19_000, True), (21_000, False)])
def test_raw_data_is_kept_whole_or_not_at_all(size: int, kept: bool) -> None:
    (turn,) = read_turns([{"event": "bot", "text": "x", "data": {"custom": {"a": "x" * size}}}])
    (message, *_) = to_messages([turn], BY)
    assert ("data" in message.body["attributes"]["rasa"]) is kept
