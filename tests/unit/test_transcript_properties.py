"""Whatever a conversation holds: nothing is lost, doubled, reordered or left in that must not leave."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import luhn

from rasa_tiledesk.transcript import Redactor, Rule, Speaker, Speakers, fold, in_scope, read_turns, to_messages
from rasa_tiledesk.transcript.split import json_size, split_text

BY = Speakers(Speaker("u-1", "Ann"), Speaker("bot_1", "Bot"), Speaker("agent_1", "Agent"))
FIXED = [Rule("card"), Rule("iban"), Rule("email"), Rule("phone", "DE"), Rule("pattern", r"PIN \d+")]
RULES = [*FIXED, Rule("entity", "passport"), Rule("slot", "secret")]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
data = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("buttons", "quick_replies", "elements", "attachment", "image", "custom"), json_values),
)
texts = st.text(max_size=40) | st.sampled_from(
    [
        "/silence_timeout",
        "/vaig_event_DTMF{}",
        "/session_start",
        "EXTERNAL: x",
        "a\n\nb",
        "שלום",
        "👩‍👩‍👧‍👦",
        "\\close ${A}",
        "{}",
    ]
)
any_event = st.fixed_dictionaries(
    {
        "event": st.sampled_from(
            ["user", "bot", "agent", "slot", "entities", "rewind", "session_started", "restart", "action", "odd"]
        )
    },
    optional={
        "text": texts | json_values,
        "timestamp": st.floats(0, 2e9) | json_values,
        "message_id": json_values,
        "data": data | json_values,
        "metadata": st.fixed_dictionaries({"tiledesk_agent": st.text(max_size=5)}) | json_values,
        "parse_data": st.fixed_dictionaries({"entities": json_values}) | json_values,
        "name": st.sampled_from(["secret", "action_session_start"]) | json_values,
        "value": json_values,
    },
)
any_events = st.lists(any_event | json_values, max_size=12)


@given(any_events, st.booleans())
def test_messages_are_valid_ordered_and_each_turn_comes_once(events: list[Any], continued: bool) -> None:
    remove = Redactor(RULES, events)
    turns = [remove.turn(turn) for turn in read_turns(events)]
    messages = to_messages(turns, BY, continued=continued)
    stamps = [message.body["attributes"]["clienttimestamp"] for message in messages]
    assert stamps == sorted(set(stamps))
    assert len({message.key for message in messages}) == len(messages)
    said = [message for message in messages if not message.key.endswith("/begin")]
    assert [message.key for message in said if "/" not in message.key] == [turn.key for turn in turns]
    for message in messages:
        assert message.body["sender"]
        assert message.body["senderFullname"]
        assert message.body["text"]
        json.dumps(message.body, allow_nan=False).encode("utf-8")
    fold(turns, BY, before_ms=0)
    remove.report(turns)


@given(any_events, st.sampled_from(["session", "all"]), st.none() | st.integers(1, 5))
def test_what_is_in_scope_is_the_end_of_the_conversation(events: list[Any], scope: Any, last: int | None) -> None:
    turns = read_turns(events)
    chosen = in_scope(turns, scope, last=last)
    assert chosen == turns[len(turns) - len(chosen) :]


@given(any_events)
def test_redacting_twice_changes_nothing(events: list[Any]) -> None:
    remove = Redactor(RULES, events)
    for turn in read_turns(events):
        once = remove.turn(turn)
        assert repr(remove.turn(once)) == repr(once)  # NaN is not itself
        assert remove.report([once]) == []


@given(st.text(alphabet="4 -.•@ab1+0D\u0664é\u2060\n", max_size=60))
def test_redacting_text_that_is_nearly_something_twice_changes_nothing(text: str) -> None:
    remove = Redactor(RULES, [{"event": "slot", "name": "secret", "value": ["ab14", "éa", "44 44"]}])
    assert remove.text(remove.text(text)) == remove.text(text)


@st.composite
def cards(draw: st.DrawFn) -> str:
    digits = draw(st.text("0123456789", min_size=12, max_size=18))
    return digits + luhn.calc_check_digit(digits)


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country, length = draw(st.sampled_from([("DE", 18), ("BE", 12), ("FR", 23), ("NO", 11), ("PL", 24)]))
    account = draw(st.text("0123456789", min_size=length, max_size=length))
    number = int("".join(str(int(char, 36)) for char in account + country) + "00")
    return f"{country}{98 - number % 97:02d}{account}"


emails = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?@[a-z]{1,8}\.(com|org|co\.uk)", fullmatch=True)
words = st.text(st.characters(categories=["L"]), min_size=1, max_size=12) | st.sampled_from(
    ["12/27", "7 pairs", "no. 31"]
)


@st.composite
def secrets(draw: st.DrawFn) -> tuple[str, str]:
    """(kind, value), of which nothing but the last four characters may be seen."""
    kind = draw(st.sampled_from(["card", "iban", "email", "entity", "slot"]))
    made = {"card": cards(), "iban": ibans(), "email": emails}.get(
        kind, st.from_regex(r"[A-Z]{2}[0-9]{6,9}", fullmatch=True)
    )
    return kind, draw(made)


def spelt(draw: st.DrawFn, value: str) -> str:
    """The value as people may write it: in groups, in either case, in other digits."""
    if "@" in value:
        return draw(st.sampled_from([value, value.upper(), value.replace("@", "%40"), value.replace("@", "＠")]))
    gap = draw(st.sampled_from(["", " ", "-", "\u00a0", " - ", "\u2013", "\u200b", "\n", "."]))
    size = draw(st.integers(1, 6))
    value = gap.join(value[place : place + size] for place in range(0, len(value), size))
    digits = draw(st.sampled_from([0x30, 0x660, 0x966, 0xFF10]))
    value = "".join(chr(digits + int(char)) if char in "0123456789" else char for char in value)
    return draw(st.sampled_from([value, value.lower()]))


def carried(place: str, text: str) -> dict[str, Any]:
    """An event that holds the text at one of the places where a turn may."""
    if place == "user":
        return {"event": "user", "text": text}
    rich: dict[str, dict[str, Any]] = {
        "button": {"buttons": [{"title": text, "payload": f"/x{{{text}}}"}]},
        "reply": {"quick_replies": [{"title": "ok", "payload": text}]},
        "card": {
            "elements": [{"title": text, "subtitle": text, "buttons": [{"title": "x", "url": f"https://x.y/{text}"}]}]
        },
        "image": {"image": f"https://x.y/a.png?{text}"},
        "attachment": {"attachment": {"type": "file", "payload": {"src": f"https://x.y/?a={text}"}}},
        "custom": {"custom": {"deep": [{"x": text}], text: 1}},
    }
    inside = rich.get(place, {})
    return {"event": "agent" if place == "agent" else "bot", "text": "" if inside else text, "data": inside}


PLACES = ["user", "bot", "agent", "button", "reply", "card", "image", "attachment", "custom"]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    hidden = draw(st.lists(secrets(), min_size=1, max_size=3))
    events: list[dict[str, Any]] = []
    for kind, value in hidden:
        for _ in range(draw(st.integers(1, 3))):
            before, behind = draw(words), draw(words)
            text = f"{before} {spelt(draw, value)}, {behind}"
            events.append(carried(draw(st.sampled_from(PLACES)), text))
        if kind == "entity":
            event = {
                "event": "user",
                "text": value,
                "parse_data": {"entities": [{"entity": "passport", "value": value}]},
            }
            events.insert(draw(st.integers(0, len(events))), event)
        elif kind == "slot":
            event = {"event": "slot", "name": "secret", "value": draw(st.sampled_from([value, [value], {"x": value}]))}
            events.insert(draw(st.integers(0, len(events))), event)
    return [{**event, "timestamp": 1.0 + place} for place, event in enumerate(events)], hidden


def plain(text: str) -> str:
    """Letters and digits alone, as a reader of any script would copy them."""
    chars = unicodedata.normalize("NFKC", text).casefold()
    return "".join(str(unicodedata.decimal(char, char)) for char in chars if char.isalnum())


@settings(deadline=None)
@given(conversations())
def test_what_must_not_leave_is_in_no_message_wherever_and_however_it_was_said(
    conversation: tuple[list[dict[str, Any]], list[tuple[str, str]]],
) -> None:
    events, hidden = conversation
    remove = Redactor(RULES, events)
    turns = [remove.turn(turn) for turn in read_turns(events)]
    messages = [*to_messages(turns, BY), *fold(turns, BY, before_ms=10_000)]
    shown = [message.body["text"] for message in messages]
    shown += [str(json.loads(message.body["attributes"]["rasa"].get("data", "null"))) for message in messages]
    shown += [str(message.body.get("metadata")) for message in messages]
    for kind, value in hidden:
        kept = value if kind in ("entity", "slot", "email") else value[:-4]
        for text in shown:
            assert plain(kept.replace("@", "")) not in plain(text.replace("%40", "")), (kind, text)


@given(st.text(max_size=400), st.integers(12, 100))
def test_splitting_loses_no_word_and_keeps_the_limit(text: str, limit: int) -> None:
    parts = list(split_text(text, limit))
    assert all(json_size(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@given(
    st.lists(st.sampled_from(["👩‍👩‍👧‍👦", "e\u0301", "👍🏽", "🇩🇪", "नि", "a"]), min_size=1, max_size=60),
    st.integers(70, 200),
)
def test_splitting_leaves_whole_what_a_reader_sees_as_one(seen: list[str], limit: int) -> None:
    rest = "".join(seen)
    for part in split_text(rest, limit):
        while seen and part.startswith(seen[0]):
            part = part[len(seen[0]) :]
            seen = seen[1:]
        assert part == ""
    assert seen == []
