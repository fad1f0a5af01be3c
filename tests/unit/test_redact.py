"""What must not leave: each kind, in every spelling, and nothing more than that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rasa_tiledesk.transcript import Button, Card, Redactor, Rule, Turn, finders, patterns, read_turns
from rasa_tiledesk.transcript.patterns import pattern_problem
from tests.counting import calls, lines


def said(entity: str, value: Any, text: str | None = None, *, start: int = 0, end: int = 0) -> dict[str, Any]:
    found = {"entity": entity, "value": value, "start": start, "end": end}
    return {"event": "user", "text": text or str(value), "timestamp": 1.0, "parse_data": {"entities": [found]}}


def passport(value: Any) -> Redactor:
    return Redactor([Rule("entity", "passport")], [said("passport", value)])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("my card is 4242424242424242.", "my card is •••• 4242."),
        ("4242 4242 4242 4242 12/27 123", "•••• 4242 12/27 123"),
        ("3782-822463-10005", "•••• 0005"),
        ("4242\u00a04242\u20114242 – 4242", "•••• 4242"),
        ("4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", "•••• 4242"),
        ("4242\n4242\n4242\n4242", "•••• 4242"),
        ("٤٢٤٢ ٤٢٤٢ ٤٢٤٢ ٤٢٤٢", "•••• 4242"),
        ("４２４２４２４２４２４２４２４２", "•••• 4242"),
        ("42\u200b42424242\u00ad424242", "•••• 4242"),
        ("4242424242424241", "4242424242424241"),
        ("order 10002345 of 2026-11-22 14:30, 59.90 EUR", "order 10002345 of 2026-11-22 14:30, 59.90 EUR"),
        ("42424242424242424242424242", "42424242424242424242424242"),
        ("6304000000000000000", "•••• 0000"),
        ("6304000000000000003", "6304000000000000003"),
        ("63040000000000000000", "63040000000000000000"),
        ("4242/4242/4242/4242", "•••• 4242"),
        ("4242, 4242, 4242, 4242", "•••• 4242"),
        ("4242:4242|4242 · 4242", "•••• 4242"),
        ("4242•4242*4242+4242", "•••• 4242"),
        ("4,2,4,2,4,2,4,2,4,2,4,2,4,2,4,2", "•••• 4242"),
        ("42/42/42/42/42/42/42/42", "•••• 4242"),
        ("3782/822463/10005", "•••• 0005"),
        ("4242&nbsp;4242&#160;4242&#xA0;4242", "•••• 4242"),
        ("4242%204242%204242%204242", "•••• 4242"),
        ("".join(f"{digit}\ufe0f\u20e3" for digit in "4242424242424242"), "•••• 4242"),
        (" ".join(f"{digit}\ufe0f\u20e3" for digit in "4242424242424242"), "•••• 4242"),
        ("\\u0034242424242424242", "•••• 4242"),
        ("22.11.2026, 14:30:15 and 30.11.2026, 14:30:20", "22.11.2026, 14:30:15 and 30.11.2026, 14:30:20"),
    ],
)
def test_cards(text: str, left: str) -> None:
    assert Redactor([Rule("card")]).text(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("DE89 3704 0044 0532 0130 00 please", "DE•• •••• 3000 please"),
        ("IBAN:gb29nwbk60161331926819", "IBAN:GB•• •••• 6819"),
        ("IBANDE89370400440532013000", "IBANDE•• •••• 3000"),
        ("NO93-8601-1117-947", "NO•• •••• 7947"),
        ("DE88 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"),
        ("AB12 CD34 of the catalogue", "AB12 CD34 of the catalogue"),
        ("DE89/3704/0044/0532/0130/00", "DE•• •••• 3000"),
        ("DE89%203704%200044%200532%200130%2000", "DE•• •••• 3000"),
    ],
)
def test_ibans(text: str, left: str) -> None:
    assert Redactor([Rule("iban")]).text(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail ann.o'hara+x@mail.example.co.uk, now", "mail •••@•••, now"),
        ("https://x.y/?email=ann%40example.com&a=1", "https://x.y/?email=•••@•••&a=1"),
        ("<a@b.io> and c @ d.org", "<•••@•••> and •••@•••"),
        ("josé@müller.de", "•••@•••"),
        ("ann＠example.com", "•••@•••"),
        ("2 pairs @ 5.30 each, @home", "2 pairs @ 5.30 each, @home"),
        ("a&b@x.io, a=b@x.io", "•••@•••, •••@•••"),
        ("jose\u0301@mu\u0308ller.de", "•••@•••"),
        ("संपर्क@उदाहरण.भारत, почта@пример.рф, คน@ไทย.ไทย, 用户@例子.中国", "•••@•••, •••@•••, •••@•••, •••@•••"),
        ("ann%2540example.com", "•••@•••"),
        ("ann&#64;example.com, ann&commat;example.com", "•••@•••, •••@•••"),
        ("ann\\u0040example.com", "•••@•••"),
        ("https://x.y/?mail=a%26b%40x.io&n=1", "https://x.y/?mail=•••@•••&n=1"),
        ("ann@ex%61mple.c%6Fm", "•••@•••"),
        ("mailto:ann@x.io?subject=hi", "mailto:•••@•••?subject=hi"),
    ],
)
def test_emails(text: str, left: str) -> None:
    assert Redactor([Rule("email")]).text(text) == left


@pytest.mark.parametrize(
    ("country", "text", "left"),
    [
        ("", "call +49 (176) 123-456-78 now", "call •••• 78 now"),
        ("", "0049 176 12345678, 001 650 253 0000", "•••• 78, •••• 00"),
        ("", "＋49 176 12345678", "•••• 78"),
        ("", "0176 12345678 and order 10002345", "0176 12345678 and order 10002345"),
        ("DE", "0176 12345678 and order 10002345", "•••• 78 and order 10002345"),
        ("US", "(650) 253-0000 on 2026-11-22 14:30", "•••• 00 on 2026-11-22 14:30"),
        ("", "tel=%2B4917612345678&x=1", "tel=•••• 78&x=1"),
        ("", "+49_176_12345678 or +49,176,12345678", "•••• 78 or •••• 78"),
        ("", "&#43;49&nbsp;176&nbsp;12345678", "•••• 78"),
        ("DE", "0176_12345678, 1,500,000 EUR", "•••• 78, 1,500,000 EUR"),
    ],
)
def test_phones(country: str, text: str, left: str) -> None:
    assert Redactor([Rule("phone", country)]).text(text) == left


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        ("C01X00T47", "it is c01x 00t-47!", "it is ••••!"),
        ("C01X00T47", "idC01X00T47x", "id••••x"),
        ("c01x00t47", "Ｃ０１Ｘ００Ｔ４７", "••••"),
        (1234567, "no. 1 234 567, ١٢٣٤٥٦٧", "no. ••••, ••••"),
        (1234567.0, "1234567", "••••"),
        ("José", "JOSÉ, jose and Jose\u0301's", "••••, •••• and ••••'s"),
        ("straße", "STRASSE 1", "•••• 1"),
        ("Ann Lee", "ann  lee, AnnLee, Ann-Lee", "••••, ••••, ••••"),
        ("Ann", "Ann, Annual and an n", "••••, Annual and an n"),
        ("王小明", "我叫王小明。", "我叫••••。"),
        ("محمد", "سمعت محمد", "سمعت ••••"),
        (["x", {"deep": ["ABC-123"]}], "abc 123", "••••"),
        ("no", "no, not now", "no, not now"),
        ("7", "7 of 17", "7 of 17"),
        (True, "True", "True"),
        (None, "None", "None"),
        ("👍🏽", "👍🏽 ok", "👍🏽 ok"),
        (
            "München",
            r'/x{"city": "M\u00fcnchen"} M%C3%BCnchen M%FCnchen M&uuml;nchen',
            '/x{"city": "••••"} •••• •••• ••••',
        ),
        ("M%C3%BCnchen", "München", "••••"),
        ("Tom & Co", "Tom &amp; Co, Tom%20%26%20Co", "••••, ••••"),
        ("abc%41def", "abc%41def", "••••"),
        ('say "abc"', r"say \"abc\"", r"••••\""),
        ({"deep": [1234567, {"x": 7654321.0}]}, "1234567 7654321", "•••• ••••"),
    ],
)
def test_values_of_entities(value: Any, text: str, left: str) -> None:
    assert passport(value).text(text) == left


def test_an_entitys_words_are_removed_as_they_were_said_too() -> None:
    text = "fly to the big apple"
    remove = Redactor([Rule("entity", "city")], [said("city", "New York", text, start=7, end=20)])
    assert remove.text("the Big Apple is New York") == "•••• is ••••"


def test_slots_are_removed_with_all_values_they_ever_had() -> None:
    events = [
        {"event": "slot", "name": "iban", "value": "first-1"},
        {"event": "slot", "name": "other", "value": "keep-1"},
    ]
    remove = Redactor([Rule("slot", "iban")], events, {"iban": "second-2", "other": "keep-2"})
    assert remove.text("first-1 second-2 keep-1 keep-2") == "•••• •••• keep-1 keep-2"


@pytest.mark.parametrize("events", [[None], [{"event": "user", "parse_data": 1}], [{"event": "slot"}], ["x"]])
def test_events_of_any_shape_are_read(events: list[Any]) -> None:
    odd = [*events, {"event": "user", "parse_data": {"entities": [1, {"entity": ["x"]}]}}]
    odd += [{"event": "slot", "name": ["x"]}, {"event": "entities", "entities": {}}]
    assert Redactor([Rule("entity", "a"), Rule("slot", "b")], odd).text("as it is") == "as it is"


def test_patterns_are_the_bots_own() -> None:
    remove = Redactor([Rule("pattern", r"(?i)PIN[: ]*\d+"), Rule("pattern", ".{0,2}§")])
    assert remove.text("pin: 1234, a§") == "••••,••••"


def test_no_rule_cuts_in_two_what_another_finds() -> None:
    rules = [Rule("pattern", r"PIN \d{4}"), Rule("pattern", r"1000"), Rule("card"), Rule("iban")]
    remove = Redactor(rules)
    assert remove.text("PIN 3782 822463 10005") == "••••"
    assert remove.text("37828224631000 5, DE89 3704 0044 0532 0130 00") == "•••• 0005, DE•• •••• 3000"


def test_what_stays_visible_is_no_value_that_must_not() -> None:
    remove = Redactor([Rule("card"), Rule("slot", "pin")], [], {"pin": "4242"})
    assert remove.text("4242 4242 4242 4242") == "•••• ••••"


def test_everything_that_a_turn_shows_or_carries() -> None:
    secret = "4242424242424242"
    button = Button(secret, f'/x{{"card": "{secret}"}}', f"https://x.y/{secret}")
    turn = Turn(
        "key",
        "bot",
        1.0,
        secret,
        buttons=(button,),
        cards=(Card(secret, secret, f"https://x.y/{secret}", (button,)),),
        images=(f"https://x.y/{secret}.png",),
        attachments=(f"https://x.y/{secret}.pdf",),
        custom={secret: [int(secret), {"deep": secret}, None, True, 1.5]},
        raw={"custom": {secret: secret}, "payload": secret},
    )
    left = Redactor([Rule("card")]).turn(turn)
    assert secret not in repr(left)
    assert (left.key, left.at, left.who) == (turn.key, turn.at, turn.who)
    assert left.custom == {"•••• 4242": ["•••• 4242", {"deep": "•••• 4242"}, None, True, 1.5]}


def test_names_that_become_one_keep_their_values() -> None:
    assert Redactor([Rule("email")]).value({"a@x.io": 1, "b@x.io": 2}) == {"•••@•••": 1, "•••@•••'": 2}


def test_a_dry_run_says_what_where_and_how_often_but_not_what_it_is() -> None:
    turns = read_turns(
        [{"event": "bot", "text": "a@x.io, b@x.io, 4242424242424242", "data": {"custom": {"m": "c@x.io"}}}]
    )
    report = Redactor([Rule("email"), Rule("card")]).report(turns)
    assert [(turn.key, kind, count) for turn, kind, count in report] == [
        (turns[0].key, "card", 1),
        (turns[0].key, "email", 3),
    ]
    assert Redactor([]).report(turns) == []


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"PIN \d+", None),
        (r"(?<=code )\w{4,8}\b", None),
        ("(", "not a regular expression"),
        ("a*", "at least one character"),
        (r"\b", "at least one character"),
        ("(?=1)", "at least one character"),
        ("(a|aa)+$", "too long"),
        (r"^(\d|\d\d)+$", "too long"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused(pattern: str, problem: str | None) -> None:
    told = pattern_problem(pattern)
    assert told is None if problem is None else problem in str(told)


def test_what_takes_too_long_to_check_does_not_leave_and_does_not_hold_up(caplog: pytest.LogCaptureFixture) -> None:
    remove = Redactor([Rule("pattern", "(x|xx)+y$")])
    secret = "x" * 60
    assert [remove.text(f"{secret} {number}") for number in range(10)] == ["••••"] * 10
    assert "took too long" in caplog.text
    assert secret not in caplog.text
    assert remove.text("xxy") == "••••"


@pytest.mark.parametrize("unit", ["a", "4", "4 ", "@", "a@", "a.", "DE89", "+49 176 ", "0 ", "ab1"])
def test_the_work_grows_with_the_text_and_no_faster(unit: str) -> None:
    """Counted in calls, which are the same on any machine; an expression that runs away never comes to the end."""
    rules = [Rule("card"), Rule("iban"), Rule("email"), Rule("phone", "DE"), Rule("entity", "passport")]
    remove = Redactor(rules, [said("passport", "aaaaaaab"), said("passport", "444444445")])
    remove.text(unit * 10)  # what is made at the first use is made
    short, long = (calls(lambda: remove.text(unit * (length // len(unit)))) for length in (300, 3_000))  # noqa: B023
    assert long < 12 * short + 1_000


def test_phone_numbers_need_their_package_and_a_country_that_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finders.phone_problem(None) is None
    assert finders.phone_problem("DE") is None
    assert "not a country" in str(finders.phone_problem("Germany"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "rasa-tiledesk[phone]" in str(finders.phone_problem(None))


def test_patience_is_short() -> None:
    assert patterns.PATIENCE <= 0.1


def test_what_a_reader_puts_together_is_one_whatever_fields_of_a_turn_it_stands_in() -> None:
    remove = Redactor([Rule("card"), Rule("iban"), Rule("slot", "name")], [], {"name": "Anna Lee"})
    card = remove.turn(Turn("1", "bot", 1.0, cards=(Card("4242 4242", "4242 4242"),))).cards[0]
    assert (card.title, card.subtitle) == ("•••• 4242", "••••")
    listed = remove.turn(
        Turn("1", "bot", 1.0, custom=["DE89 3704", "0044 0532", "0130 00", {"x": [4242, 4242, 4242, 4242]}])
    )
    assert listed.custom == ["DE•• •••• 3000", "••••", "••••", {"x": ["•••• 4242", "••••", "••••", "••••"]}]
    named = remove.turn(Turn("1", "bot", 1.0, "by Anna", buttons=(Button("Lee"), Button("no"))))
    assert (named.text, [button.title for button in named.buttons]) == ("by ••••", ["••••", "no"])


def test_numbers_in_a_list_that_are_no_card_stay() -> None:
    prices = [12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95]
    assert Redactor([Rule("card")]).turn(Turn("1", "bot", 1.0, custom=prices)).custom == prices


def test_a_pattern_finds_what_is_read_as_well_as_what_is_written() -> None:
    remove = Redactor([Rule("pattern", r"^PIN \d{4}$"), Rule("pattern", "code%20[a-z]+")])
    assert remove.text("PIN%201234") == "••••"
    assert remove.text("code%20abc") == "••••"
    turn = remove.turn(Turn("1", "bot", 1.0, "PIN 1234", buttons=(Button("PIN 5678"),)))
    assert (turn.text, turn.buttons[0].title) == ("••••", "••••")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a" * 1_000, "a" * 10),
        ("a" * 1_000, "a####"),
        ("a#" * 500, "a#"),
        ("a#" * 499 + "aa", "a#"),
        ("a " * 500 + "b", "a "),
    ],
)
def test_a_value_is_searched_in_a_time_that_grows_with_the_text_and_not_with_the_value(value: str, text: str) -> None:
    """Counted in lines of Python, which are the same on any machine."""
    remove = Redactor([Rule("slot", "x")], [], {"x": value})
    assert lines(lambda: remove.text(text * (30_000 // len(text)))) < 30_000 * 40


def test_the_limits_that_the_documentation_names() -> None:
    """Each with its example; who mends one takes it out of docs/redaction.md."""
    rules = [Rule("card"), Rule("email"), Rule("phone"), Rule("slot", "x")]
    remove = Redactor(rules, [], {"x": "secret"})
    page = (Path(__file__).parents[2] / "docs" / "redaction.md").read_text()
    examples = re.findall(r"^- .*?stays?: `(.+?)`$", page, re.MULTILINE)
    assert len(examples) >= 6
    for example in examples:
        assert remove.text(example) == example
