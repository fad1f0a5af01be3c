"""What a client that asks gets of what agents said, and who may ask."""

from __future__ import annotations

from typing import Any

from rasa_tiledesk.handoff.to_user.inbox import may_read, messages_after, token_of


def said(number: int, **more: Any) -> dict[str, Any]:
    metadata = {"tiledesk_message": f"m{number}"}
    return {"event": "bot", "text": f"word {number}", "timestamp": float(number), "metadata": metadata, **more}


EVENTS: list[dict[str, Any]] = [
    {"event": "user", "text": "hello", "metadata": {"tiledesk_message": "not the bot's"}},
    {"event": "bot", "text": "the bot's own"},
    {"event": "bot", "text": "the bot's own", "metadata": None},
    {"event": "bot", "text": "the bot's own", "metadata": {"tiledesk_message": ""}},
    said(1, data={"image": "https://x.y/a.png", "buttons": [], "custom": None}),
    said(2, data=None),
    said(3),
]


def test_it_is_what_came_from_tiledesk_each_with_its_id_time_text_and_what_else_it_shows() -> None:
    assert messages_after(EVENTS, None) == [
        {"id": "m1", "timestamp": 1.0, "text": "word 1", "image": "https://x.y/a.png"},
        {"id": "m2", "timestamp": 2.0, "text": "word 2"},
        {"id": "m3", "timestamp": 3.0, "text": "word 3"},
    ]


def test_it_goes_on_behind_the_message_that_the_client_has_and_begins_anew_where_that_is_not_there() -> None:
    found = [[one["id"] for one in messages_after(EVENTS, after)] for after in ("m1", "m2", "m3", "gone", "")]
    assert found == [["m2", "m3"], ["m3"], [], ["m1", "m2", "m3"], ["m1", "m2", "m3"]]


def test_a_token_opens_one_conversation_and_no_other() -> None:
    token = token_of("s3cret", "ann")
    assert may_read(f"Bearer {token}", "s3cret", "ann")
    assert may_read(f"bearer  {token} ", "s3cret", "ann")
    for header, secret, sender in [
        (f"Bearer {token}", "s3cret", "bob"),
        (f"Bearer {token}", "another", "ann"),
        (f"Basic {token}", "s3cret", "ann"),
        (token, "s3cret", "ann"),
        (f"Bearer {token[:-1]}", "s3cret", "ann"),
        ("Bearer é\ud800", "s3cret", "ann"),
        ("", "s3cret", "ann"),
    ]:
        assert not may_read(header, secret, sender), header
    assert len(token_of("s3cret", "\ud800")) == 64, "whatever Rasa takes for an id"
