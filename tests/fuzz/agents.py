"""Whatever agents write and webhooks say: the user sees a person's words, and no private note."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from rasa_tiledesk.handoff.to_user.shown import shown
from rasa_tiledesk.handoff.to_user.webhooks import request_of
from rasa_tiledesk.handoff.to_user.words import is_a_persons, taking_part
from rasa_tiledesk.ledger import Ledger
from tests.fuzz.answers import JSON, Said, desk_of
from tests.fuzz.telling import ACCOUNT, REQUEST, SECRET, Target, silent

__all__ = ["TARGETS"]

WORDS = st.text(alphabet="![]()</a>& \n\\=\"'s", max_size=40) | st.sampled_from(["<p>hi", "![](/a)", "[a](http://x)"])
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"_id": st.uuids().map(str), "recipient": st.just(REQUEST), "createdAt": st.just("2026-11-24T12:00:00.000Z")},
        optional={
            "sender": st.sampled_from([ACCOUNT, "system", "bot_1"]) | JSON,
            "senderFullname": WORDS | JSON,
            "text": WORDS | JSON,
            "type": st.sampled_from(["text", "html", "image", "file", "gallery", "private", "new"]) | JSON,
            "status": JSON,
            "metadata": st.fixed_dictionaries({"src": WORDS | JSON}) | JSON,
            "attributes": st.fixed_dictionaries(
                {}, optional={"attachment": JSON, "subtype": JSON, "privateFor": JSON, "messagelabel": JSON}
            )
            | JSON,
            "channel": JSON,
            "request": JSON,
        },
    )
    | JSON,
    max_size=6,
)


def agents(records: list[Any]) -> None:
    """What reaches the user is words of a person; a private note is none, whatever else it holds."""
    ledger = Ledger("sqlite://")
    handoff, _ = ledger.handoffs.begin("h", "ann", REQUEST, {}, [], asked_by="", lease="l", seconds=9)
    notes = [
        {
            "_id": "n",
            "recipient": REQUEST,
            "sender": ACCOUNT,
            "createdAt": "2026-11-24T12:00:00Z",
            "text": SECRET,
            **how,
        }
        for how in (
            {"type": "private"},
            {"attributes": {"subtype": "private"}},
            {"attributes": '{"subtype":"private"}'},
        )
    ]
    request = {"request_id": REQUEST, "status": 200, "participants": [ACCOUNT]}
    with silent():
        desk = desk_of(Said(200, json.dumps([*records, *notes]).encode(), {}))
        there = taking_part(
            desk_of(Said(200, json.dumps(request).encode(), {})).request(REQUEST), desk.messages(REQUEST)
        )
        for message in desk.messages(REQUEST):
            if is_a_persons(message, handoff) and message.sender in there:
                found = shown(message, desk.public_link)
                assert message.id != "n"
                assert all(event["text"] or event["data"] for event in found.events)
                json.dumps(found.events)
    ledger.close()


def webhooks(body: Any) -> None:
    with silent(ValueError):
        request_of(body, ACCOUNT)


TARGETS = [
    Target("agents", RECORDS, agents),
    Target("webhooks", st.fixed_dictionaries({"payload": JSON}) | JSON, webhooks),
]
