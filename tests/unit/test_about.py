"""What agents are told of the user: never an error, whatever the bot keeps in its slots."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.to_agents.about import about
from rasa_tiledesk.settings import Requester
from rasa_tiledesk.transcript import Redactor, Rule
from tests.unit.test_transcript_hostile import nested


def told(value: Any) -> dict[str, str]:
    return about(Ask("ann", [], {"my.order": value}), Requester(slots=["my.order"]), Redactor([Rule("card")]))


@pytest.mark.parametrize(
    "value",
    [nested(5_000), nested(5_000, mapping=False), 10**5_000, {(1,): 2}, {1: [float("nan")]}, {"a": {1, 2}}],
    ids=["deep", "deep list", "huge", "odd name", "no number", "set"],
)
def test_a_slot_of_any_shape_is_told_and_ends_no_handoff(value: Any) -> None:
    assert 0 < len(told(value)["rasa_slot_my_order"]) <= 500


def test_a_slot_is_told_in_words_without_what_must_not_leave() -> None:
    assert told("A 7") == {"rasa_slot_my_order": "A 7"}
    assert told({"no": 7, "für": [True, None]}) == {"rasa_slot_my_order": '{"no": 7, "für": [true, null]}'}
    assert told(["4242 4242 4242 4242"]) == {"rasa_slot_my_order": '["•••• 4242"]'}
    assert told(None) == told("") == {}
