from __future__ import annotations

import copy
from typing import Any

import pytest

from rasa_tiledesk.rasa.respond import fill, variations
from tests.responses_said import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=str)
def test_says_what_rasa_would(case: Case) -> None:
    domain = {"utter_x": copy.deepcopy(case.variations)}
    chosen = variations(domain, "utter_x", channel=case.channel, slots=case.slots)

    assert [fill(one, case.slots, case.extra) for one in chosen] == case.expected()
    assert domain == {"utter_x": case.variations}, "the domain is the caller's"


@pytest.mark.parametrize("listed", [None, "text", {"text": "x"}, ["text", None]])
def test_a_response_that_is_none_is_not_said(listed: Any) -> None:
    assert variations({"utter_x": listed}, "utter_x", channel=None, slots={}) == []
    assert variations({}, "utter_x", channel=None, slots={}) == []


@pytest.mark.parametrize("condition", ["slots.plan is 'gold'", {"plan": "gold"}, [5], 1])
def test_a_condition_that_rasa_does_not_know_never_holds(condition: Any) -> None:
    listed = [{"text": "gold", "condition": condition}, {"text": "plain"}]

    assert variations({"utter_x": listed}, "utter_x", channel=None, slots={"plan": "gold"}) == [{"text": "plain"}]


@pytest.mark.parametrize("text", ["a { lone brace, {name}", "}", "{}", "{\n}"])
def test_where_rasa_fails_the_text_is_said_as_it_is(text: str) -> None:
    assert fill({"text": text}, {"name": "Bo"}) == {"text": text}
