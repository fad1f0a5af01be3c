"""The comparison that demo and live tests trust sees what is missing, doubled, misplaced or misattributed."""

from __future__ import annotations

from stack.agent import Message
from stack.comparison import compare, said_by_bot, said_by_user

USER = "guest-1"


def message(text: str, sender: str = "bot", image: str = "") -> Message:
    return Message(sender=sender, name="", text=text, image=image, time=0, raw={})


TURNS = [
    said_by_user("Hi"),
    *said_by_bot([{"text": "Hello", "buttons": [{"title": "Products", "payload": "/products"}]}]),
    said_by_user("Products"),
    *said_by_bot([{"text": "Look:"}, {"image": "https://x/y.png"}]),
]
MESSAGES = [
    message("Hi", USER),
    message("Hello\n• Products ← chosen"),
    message("Products", USER),
    message("Look:", image="https://x/y.png"),
]


def matched(messages: list[Message]) -> list[tuple[bool, bool]]:
    return [(row.turn is not None, row.message is not None) for row in compare(TURNS, messages, user=USER)]


BOTH, MISSING, STRANGE = (True, True), (True, False), (False, True)


def test_the_same_on_both_sides() -> None:
    assert matched(MESSAGES) == [BOTH] * 4


def test_a_missing_message_is_one_row_and_the_rest_still_fits() -> None:
    assert matched(MESSAGES[:1] + MESSAGES[2:]) == [BOTH, MISSING, BOTH, BOTH]


def test_a_doubled_message_is_strange() -> None:
    assert matched([*MESSAGES, MESSAGES[-1]]) == [*[BOTH] * 4, STRANGE]


def test_swapped_messages_are_seen() -> None:
    assert STRANGE in matched([MESSAGES[1], MESSAGES[0], *MESSAGES[2:]])


def test_the_wrong_sender_is_seen() -> None:
    assert matched([message("Hi", "bot"), *MESSAGES[1:]])[0] == STRANGE


def test_a_picture_and_a_payload_belong_to_the_text_before_them() -> None:
    turns = list(
        said_by_bot([{"text": "Look:"}, {"image": "https://x/y.png"}, {"text": "Next"}, {"custom": {"a": "b"}}])
    )
    assert [turn.traces for turn in turns] == [("Look:", "https://x/y.png"), ("Next", "b")]
