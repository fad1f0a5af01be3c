"""Rasa's events become turns, and turns become messages, as the user saw them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from rasa_tiledesk.testing.conversations import load
from rasa_tiledesk.transcript import Speaker, Speakers, Turn, fold, in_scope, read_turns, to_messages
from rasa_tiledesk.transcript.render import in_words, neutral
from rasa_tiledesk.transcript.split import MAX_TEXT, json_size, split_text
from rasa_tiledesk.transcript.turns import keyed

BY = Speakers(Speaker("u-1", "Ann"), Speaker("bot_1", "Bot"), Speaker("agent_1", "Agent"))


def user(text: Any, at: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"event": "user", "text": text, "timestamp": at, "message_id": f"m{at}", **more}


def bot(text: Any, at: float = 1.0, **data: Any) -> dict[str, Any]:
    return {"event": "bot", "text": text, "timestamp": at, "data": data, "metadata": {}}


def words(events: list[dict[str, Any]]) -> list[str]:
    return [f"{turn.who}: {in_words(turn)}" for turn in read_turns(events)]


def test_what_only_changes_state_is_no_turn_and_hides_none() -> None:
    events = [
        {"event": "action", "name": "action_session_start"},
        {"event": "session_started"},
        user("hello", 1.0),
        {"event": "rewind"},
        {"event": "undo"},
        {"event": "slot", "name": "a", "value": 1},
        bot("hi", 2.0),
        {"event": "restart"},
        {"event": "flow_started", "flow_id": "of Rasa Pro"},
        {"event": "something of next year"},
        {"no": "event"},
    ]
    assert words(events) == ["user: hello", "bot: hi"]


def test_a_click_is_shown_as_the_title_and_marked_where_it_was_offered() -> None:
    payload = '/choose_topic{"topic": "returns"}'
    events = [
        bot("Which?", 1.0, buttons=[{"title": "Returns", "payload": payload}, {"title": "Other", "payload": "/other"}]),
        user(payload, 2.0),
    ]
    assert words(events) == ["bot: Which?\n• Returns ← chosen\n• Other", "user: Returns"]
    assert read_turns(events)[1].clicked


def test_a_click_goes_to_the_latest_offer_with_that_payload() -> None:
    offer = [{"title": "Yes", "payload": "/affirm"}]
    turns = read_turns([bot("A?", 1.0, buttons=offer), bot("B?", 2.0, buttons=offer), user("/affirm", 3.0)])
    assert [turn.buttons[0].chosen for turn in turns[:2]] == [False, True]


def test_a_payload_nobody_offered_and_a_slash_in_words_stay_as_they_are() -> None:
    assert words([user("/restart", 1.0), user("/ or not", 2.0)]) == ["user: /restart", "user: / or not"]


def test_what_nobody_typed_is_left_out() -> None:
    events = [
        user("EXTERNAL: reminder", 1.0),
        user("x", 2.0, metadata={"is_external": True}),
        user("/session_start", 3.0),
        user("/vaig_event_start{}", 4.0),
        user(None, 5.0),
        user("  ", 6.0),
        bot(None, 7.0),
    ]
    assert words(events) == []


def test_rich_content_is_readable_line_by_line() -> None:
    event = bot(
        "Look",
        quick_replies=[{"title": "Quick", "payload": "/q"}],
        elements=[
            {
                "title": "Shoe",
                "subtitle": "red",
                "image_url": "https://x.y/s.png",
                "price": "59 EUR",
                "old_price": None,
                "default_action": {"type": "web_url", "url": "https://x.y/shoe"},
                "buttons": [{"title": "Buy", "url": "https://x.y/buy"}],
            }
        ],
        attachment={"type": "file", "payload": {"src": "https://x.y/a.pdf"}},
        custom={"price": 59, "stock": True},
    )
    assert words([event]) == [
        "bot: Look\n• Quick\n▸ Shoe\n  red\n  price: 59 EUR\n  https://x.y/shoe\n  [image] https://x.y/s.png\n"
        "  • Buy (https://x.y/buy)\n"
        "[attachment] https://x.y/a.pdf\nprice: 59\nstock: True"
    ]


@pytest.mark.parametrize("again", ["https://x.y/i.png", {"type": "image", "payload": {"src": "https://x.y/i.png"}}])
def test_an_image_that_rasa_gives_twice_is_one_image(again: object) -> None:
    (turn,) = read_turns([bot(None, image="https://x.y/i.png", attachment=again)])
    assert (turn.images, turn.attachments) == (("https://x.y/i.png",), ())
    (message,) = to_messages([turn], BY)
    assert message.body["type"] == "image"
    assert message.body["metadata"] == {"src": "https://x.y/i.png", "type": "image/png"}
    assert message.body["text"] == "https://x.y/i.png"


def test_an_images_link_is_neither_executed_nor_changed_by_the_way() -> None:
    (message,) = to_messages(read_turns([bot(None, image="https://x.y/\\close?${A}\ud83d")]), BY)
    assert message.body["text"] == "https://x.y/\\\u2060close?$\u2060{A}\ufffd"
    assert message.body["metadata"]["src"] == "https://x.y/\\close?${A}\ufffd"


def test_what_a_channel_brings_along_in_metadata_comes_with_the_users_words() -> None:
    given = [{"type": "image", "url": "https://x.y/a.png"}, {"type": "file", "payload": {"url": "https://x.y/b.pdf"}}]
    (turn,) = read_turns([user("look", metadata={"attachments": given})])
    assert (turn.text, turn.images, turn.attachments) == ("look", ("https://x.y/a.png",), ("https://x.y/b.pdf",))
    (turn,) = read_turns([user(None, metadata={"image": "https://x.y/a.png"})])
    assert to_messages([turn], BY)[0].body["type"] == "image"


def test_an_image_that_is_no_link_is_described_not_sent() -> None:
    (message,) = to_messages(read_turns([bot("see", image="data:image/png;base64," + "A" * 100_000)]), BY)
    assert message.body["type"] == "text"
    assert len(message.body["text"]) < 200


def test_an_agents_turn_of_an_earlier_handoff_is_the_agents() -> None:
    events = [{"event": "agent", "text": "I am Joe", "timestamp": 1.0}]
    assert to_messages(read_turns(events), BY)[0].body["senderFullname"] == "Agent (earlier)"


@pytest.mark.parametrize(
    "text",
    ["${A", "$${A}}", r"\\a", r"\close", r"a \agent b", r"C:\temp", "${LABEL_FIRST_MSG}", "a ${X} ${Y}", r"\${A}"],
)
def test_text_that_tiledesk_would_execute_is_neutral_and_reads_the_same(text: str) -> None:
    harmless = neutral(text)
    assert "${" not in harmless
    assert all(harmless[place + 1 : place + 2] == "\u2060" for place, char in enumerate(harmless) if char == "\\")
    assert harmless.replace("\u2060", "") == text


def test_times_are_the_turns_own_and_strictly_increase() -> None:
    turns = read_turns([user("a", 2.0), bot("b", 2.0), bot("c", 1.0), user("d", 9.5)])
    stamps = [message.body["attributes"]["clienttimestamp"] for message in to_messages(turns, BY)]
    assert stamps == [2000, 2001, 2002, 9500]


def test_keys_are_the_same_wherever_the_event_was_read_from() -> None:
    events = load("shop")
    again = json.loads(json.dumps(events))
    for event in again:
        event["metadata"] = {"another": "model"}
        event["timestamp"] = Decimal(event["timestamp"]).quantize(Decimal("1.000000000"))  # as DynamoDB has it
    assert [turn.key for turn in read_turns(events)] == [turn.key for turn in read_turns(again)]


def test_equal_turns_at_the_same_time_have_keys_of_their_own() -> None:
    turns = read_turns([bot("ok", 1.0), bot("ok", 1.0), bot("ok", 1.0)])
    assert len({turn.key for turn in turns}) == 3


def test_the_recorded_conversation_reads_as_the_user_saw_it() -> None:
    turns = read_turns(load("shop"))
    assert sum(turn.new_session for turn in turns) >= 2
    assert any(turn.clicked for turn in turns)
    assert sum(bool(turn.images) for turn in turns) >= 1
    assert not any("EXTERNAL" in turn.text for turn in turns)


def test_scope_keeps_the_session_the_last_turns_or_the_last_hours() -> None:
    turns = [
        Turn("1", "user", 0.0, "a"),
        Turn("2", "bot", 10.0, "b", new_session=True),
        Turn("3", "user", 7200.0, "c"),
    ]
    assert [turn.key for turn in in_scope(turns, "session")] == ["2", "3"]
    assert [turn.key for turn in in_scope(turns, "all")] == ["1", "2", "3"]
    assert [turn.key for turn in in_scope(turns, "all", last=1)] == ["3"]
    assert [turn.key for turn in in_scope(turns, "all", hours=1)] == ["3"]
    assert in_scope([], "session") == []


def test_older_turns_fold_into_one_text_before_the_others() -> None:
    turns = [Turn("1", "user", 60.0, "hi"), Turn("2", "bot", 61.0, "two\nlines")]
    (summary,) = fold(turns, BY, before_ms=100_000)
    assert summary.body["text"] == (
        "Earlier in this conversation (2 messages, times in UTC):\n"
        "1970-01-01 00:01  Ann: hi\n1970-01-01 00:01  Bot: two\n    lines"
    )
    assert summary.body["attributes"]["clienttimestamp"] < 100_000
    assert fold([], BY, before_ms=1) == []
    (unreadable,) = fold([], BY, before_ms=1, unreadable=True)
    assert "could not be read" in unreadable.body["text"]


def test_a_summary_that_is_too_long_is_several_in_order() -> None:
    parts = fold([Turn(str(n), "user", 1.0 + n, "x" * 500) for n in range(200)], BY, before_ms=10_000)
    assert len(parts) > 1
    assert all(len(part.body["text"]) <= MAX_TEXT for part in parts)
    stamps = [part.body["attributes"]["clienttimestamp"] for part in parts]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] < 10_000


def test_a_turn_that_is_too_long_is_several_messages_with_nothing_lost() -> None:
    text = " ".join(f"word{n}" for n in range(20_000))
    messages = to_messages([Turn("k", "user", 1.0, text)], BY)
    assert len(messages) > 1
    assert " ".join(message.body["text"] for message in messages) == text
    assert len({message.key for message in messages}) == len(messages)


def test_a_silence_and_keys_of_a_voice_channel_are_shown() -> None:
    digit = {"entities": [{"entity": "value", "value": 7}]}
    events = [
        user("/silence_timeout", 1.0),
        user("/vaig_event_noUserInput", 2.0),
        user("/vaig_event_DTMF", 3.0, parse_data=digit),
        user("/vaig_event_DTMF", 4.0, metadata={"value": "8"}),
        user('{"typed": 1}', 5.0),
    ]
    assert words(events) == [
        *("user: [silence]", "user: [silence]", "user: [keys pressed] 7", "user: [keys pressed] 8"),
        'user: {"typed": 1}',
    ]


def test_end_to_end_texts_are_shown_once() -> None:
    events = [{"event": "action", "name": None, "action_text": "Hi there"}, bot("Hi there", 1.0)]
    assert words(events) == ["bot: Hi there"]


def test_a_bots_text_keeps_its_lines_its_direction_and_its_emoji() -> None:
    text = "one\n\ntwo\nשלום עולם \u200f👩‍👩‍👧‍👦"
    (message,) = to_messages(read_turns([bot(text)]), BY)
    assert message.body["text"] == text


def test_an_agents_words_that_the_bot_delivered_are_the_agents_and_marked_as_earlier() -> None:
    event = {**bot("I am Joe", 1.0), "metadata": {"tiledesk_agent": "Joe"}}
    (turn,) = read_turns([event])
    assert (turn.who, turn.agent) == ("agent", "Joe")
    (message,) = to_messages([turn], BY)
    assert message.body["senderFullname"] == "Joe (earlier)"
    assert message.body["sender"] == BY.agent.id
    assert message.body["attributes"]["rasa"]["who"] == "agent"
    assert "Joe (earlier): I am Joe" in fold([turn], BY, before_ms=0)[0].body["text"]


def test_where_a_session_or_a_restart_began_there_is_a_line_with_a_key_of_its_own() -> None:
    events = [
        {"event": "session_started"},
        user("a", 1.0),
        {"event": "action", "name": "action_session_start"},
        {"event": "session_started"},
        user("b", 90_000.0),
        {"event": "restart"},
        user("c", 90_001.0),
    ]
    turns = read_turns(events)
    messages = to_messages(turns, BY)
    assert [message.body["text"] for message in messages] == [
        "a",
        "A new session began, 1970-01-02 01:00 UTC",
        "b",
        "The conversation was restarted, 1970-01-02 01:00 UTC",
        "c",
    ]
    assert [message.key for message in messages[1::2]] == [f"{turns[1].key}/begin", f"{turns[2].key}/begin"]
    assert messages[1].body["attributes"]["subtype"] == "info"
    assert messages[2].body["attributes"]["clienttimestamp"] == 90_000_000
    assert to_messages(turns, BY, continued=True)[0].body["text"].startswith("A new session began")
    assert "— A new session began, 1970-01-02 01:00 UTC —" in fold(turns, BY, before_ms=0)[0].body["text"]


def test_a_custom_payload_is_readable_and_kept_as_it_was() -> None:
    custom = {"map.point": {"$lat": 1.5, "lon": [2, 3]}}
    (message,) = to_messages(read_turns([bot(None, custom=custom)]), BY)
    assert message.body["text"] == "map.point:\n  $lat: 1.5\n  lon:\n    - 2\n    - 3"
    assert json.loads(message.body["attributes"]["rasa"]["data"]) == {"custom": custom}


def test_an_unknown_custom_payload_is_lines_that_anybody_can_read() -> None:
    custom = {
        "type": "order",
        "items": [{"name": "Shoe", "sizes": [41, 42]}, {"name": "Sock", "note": "two\nlines"}, ["a", ["b"]], "end"],
        "total": {"amount": 59.5, "paid": False, "by": None},
        "none": [],
    }
    (message,) = to_messages(read_turns([bot(None, custom=custom)]), BY)
    assert message.body["text"].splitlines() == [
        "type: order",
        "items:",
        *("  - name: Shoe", "    sizes:", "      - 41", "      - 42"),
        *("  - name: Sock", "    note:", "      two", "      lines"),
        *("  - - a", "    - - b", "  - end"),
        "total:",
        *("  amount: 59.5", "  paid: False", "  by: –"),
        "none: –",
    ]
    (message,) = to_messages(read_turns([bot(None, custom=[{"x": "y" * 3_000}])]), BY)
    assert message.body["text"] == ("- x: " + "y" * 3_000)[:2_000] + "…"


def test_a_template_is_cards_and_buttons_and_a_click_on_them_is_known() -> None:
    elements = [{"title": "Shoe", "subtitle": "red", "buttons": [{"title": "Buy", "payload": "/buy"}]}]
    template = {"type": "template", "payload": {"template_type": "generic", "elements": elements}}
    choice = {"type": "template", "payload": {"text": "Sure?", "buttons": [{"title": "Yes", "payload": "/yes"}]}}
    events = [bot(None, 1.0, attachment=template), user("/buy", 2.0), bot(None, 3.0, attachment=choice)]
    assert words(events) == ["bot: ▸ Shoe\n  red\n  • Buy ← chosen", "user: Buy", "bot: • Yes\n▸ Sure?"]


def test_an_attachment_of_no_known_shape_is_told_in_lines() -> None:
    assert words([bot(None, attachment={"type": "map", "at": [1, 2]})]) == [
        "bot: [attachment] type: map\n  at:\n    - 1\n    - 2"
    ]


def test_all_images_of_a_turn_are_shown_the_first_as_an_image() -> None:
    given = [{"type": "image", "url": f"https://x.y/{name}.png"} for name in "abc"]
    (message,) = to_messages(read_turns([user("look", metadata={"attachments": given})]), BY)
    assert message.body["metadata"]["src"] == "https://x.y/a.png"
    assert message.body["text"] == "look\n[image] https://x.y/b.png\n[image] https://x.y/c.png"


def test_each_message_says_who_speaks_and_through_what() -> None:
    turns = read_turns([{"event": "session_started"}, user("a", 1.0), bot("b", 2.0), {"event": "agent", "text": "c"}])
    messages = [*to_messages(turns, BY, continued=True), *fold(turns, BY, before_ms=0)]
    assert [(message.body["sender"], message.body["senderFullname"]) for message in messages] == [
        *(("bot_1", "Bot"), ("u-1", "Ann"), ("bot_1", "Bot"), ("agent_1", "Agent (earlier)"), ("bot_1", "Bot"))
    ]
    assert {json.dumps(message.body["channel"]) for message in messages} == {'{"name": "rasa"}'}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ann\n2026-11-22 14:30  Bot: yes", "Ann 2026-11-22 14:30 Bot: yes"),
        ("Ann\r\u2028\x85\x0b x", "Ann x"),
        ("${LABEL}", "$\u2060{LABEL}"),
        ("\\close", "\\\u2060close"),
        ("\u202eAnn\u2066 \x00\ud800", "Ann \ufffd"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("x" * 1_000, "x" * 100),
        (" \n ", "?"),
    ],
)
def test_a_name_forges_no_line_and_replaces_none(name: str, shown: str) -> None:
    assert Speaker("id", name).name == shown
    by = Speakers(*(Speaker("id", name) for _ in range(3)))
    turns = [Turn("1", "user", 60.0, "hi"), Turn("2", "agent", 61.0, "ho", agent=name)]
    (summary,) = fold(turns, by, before_ms=0)
    assert len(summary.body["text"].splitlines()) == 3
    assert "${" not in summary.body["text"]
    names = [message.body["senderFullname"] for message in to_messages(turns, by)]
    assert len(names) == 2
    assert not [name for name in names if "${" in name]


def test_no_turn_forges_another_in_the_summary_wherever_it_is_cut() -> None:
    forged = "\r\n".join(["1970-01-01 00:01  Bot: I owe you 1,000 EUR"] * 3_000)
    parts = fold([Turn("1", "user", 60.0, forged), Turn("2", "bot", 61.0, "no")], BY, before_ms=0)
    told = [line for part in parts for line in part.body["text"].splitlines()]
    assert len(parts) > 1
    assert [line for line in told if not line.startswith("    ")][1:] == [
        "1970-01-01 00:01  Ann: 1970-01-01 00:01  Bot: I owe you 1,000 EUR",
        "1970-01-01 00:01  Bot: no",
    ]


@pytest.mark.parametrize("end", ["\n", " ", "\n\n  \n", " " * 100])
def test_a_split_text_has_no_empty_part(end: str) -> None:
    text = "x" * (MAX_TEXT - 5) + end + end
    messages = to_messages([Turn("k", "user", 1.0, text)], BY)
    assert all(message.body["text"].strip() for message in messages)
    assert "".join(message.body["text"] for message in messages).strip() == text.strip()


def test_a_text_is_cut_into_parts_of_bytes_between_what_is_seen_as_one() -> None:
    family = "👩‍👩‍👧‍👦"
    parts = list(split_text(family * 3_000))
    assert all(json_size(part) <= MAX_TEXT and set(part.split(family)) == {""} for part in parts)
    assert "".join(parts) == family * 3_000
    flags = "🇩🇪" * 5_000
    assert all(set(part.split("🇩🇪")) == {""} for part in split_text(flags, 1_211))


def test_what_stops_tiledesk_from_executing_is_not_cut_off() -> None:
    for limit in range(40, 60):
        _, *others = split_text(neutral("\\x" * 40), limit)
        assert others
        assert not [part for part in others if part.startswith("\u2060")]


@pytest.mark.parametrize("name", ["text", "data", "timestamp"])
def test_a_key_tells_turns_apart_by_all_that_they_hold(name: str) -> None:
    one = bot("a", 1.0, custom={"x": 1})
    other = {**one, name: {"text": "b", "data": {}, "timestamp": 2.0}[name]}
    assert read_turns([one])[0].key != read_turns([other])[0].key


def test_a_key_does_not_change_with_the_order_in_which_a_store_keeps_names() -> None:
    one, other = bot("a", 1.0, custom={"x": 1, "y": 2}), bot("a", 1.0, custom={"y": 2, "x": 1})
    assert read_turns([one])[0].key == read_turns([other])[0].key
    assert read_turns([bot("hi", 1.5, buttons=[{"title": "A"}])])[0].key == "c02cf7e09a174c41101a"


def test_a_key_with_a_secret_confirms_no_guess() -> None:
    pins = [bot(f"your PIN is {pin}", 1.0) for pin in ("1234", "1234", "4321")]
    plain = [turn.key for turn in read_turns(pins)]
    keys = [turn.key for turn in read_turns(pins, secret=b"of the ledger")]
    assert not {*plain} & {*keys}
    assert keys == [turn.key for turn in read_turns(pins, secret=b"of the ledger")]
    assert len({*keys}) == 3
    assert keys[1] == f"{keys[0]}.2"
    assert keys != [turn.key for turn in read_turns(pins, secret=b"another")]
    assert keys[0] == keyed(plain[0], b"of the ledger")
