"""What the user gets to see of what an agent sends: pictures, files, cards, links; and what is told of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasa_tiledesk.handoff.to_user.shown import Shown, shown
from rasa_tiledesk.tiledesk import AgentLogin, Message, TiledeskClient
from tests.unit.conftest import World
from tests.unit.talking import comes_to_rest, heard, live, users_words

DESK = TiledeskClient("https://desk.example.com:8443/api", "6b033f74e190691435feb289", credential=AgentLogin("e", "p"))
AT = "https://desk.example.com:8443"


def sent(text: str | None = "", kind: str = "text", src: object = None, **attributes: Any) -> Shown:
    record = {
        "_id": "1",
        "recipient": "r",
        "sender": "a",
        "senderFullname": "Mia",
        "text": text,
        "type": kind,
        "attributes": attributes,
        "metadata": None if src is None else {"src": src, "name": "i.png"},
        "createdAt": "2026-11-24T12:00:00.000Z",
    }
    return shown(Message.read(record), DESK.public_link)


def seen(what: Shown) -> list[tuple[str | None, str | None]]:
    """(text, image) of each event."""
    return [(event["text"], event.get("data", {}).get("image")) for event in what.events]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (sent("i.png", "image", "/api/images?path=a.png"), [(None, f"{AT}/api/images?path=a.png")]),
        (sent("", "image", "/api/images?path=a b.png"), [(None, f"{AT}/api/images?path=a%20b.png")]),
        (sent("look", "image", "https://x.y/i.png"), [("look", "https://x.y/i.png")]),
        (sent("![i.png](/api/images?path=a)", "image", "/api/images?path=a"), [(None, f"{AT}/api/images?path=a")]),
        (sent("/api/images?path=a", "image", "/api/images?path=a"), [(None, f"{AT}/api/images?path=a")]),
        (sent("[i.png](/api/files?path=a)", "file", "/api/files?path=a"), [(f"i.png\n{AT}/api/files?path=a", None)]),
        (
            sent("see [it](/api/files?path=a)", "file", "/api/files?path=a"),
            [(f"see [it]({AT}/api/files?path=a)", None)],
        ),
        (sent("the form", "file", "/api/files?path=a"), [(f"the form\n{AT}/api/files?path=a", None)]),
        (sent("", "video", "/api/files?path=a.mp4"), [(f"{AT}/api/files?path=a.mp4", None)]),
        (sent("", "audio", "https://x.y/a.mp3"), [("https://x.y/a.mp3", None)]),
        (sent("", "frame", "https://x.y/map"), [("https://x.y/map", None)]),
        (
            sent("[a](/api/files?path=a%20(1).pdf) [b](https://x.y/b)"),
            [(f"[a]({AT}/api/files?path=a%20(1).pdf) [b](https://x.y/b)", None)],
        ),
        (sent("this: ![](/api/images?path=a)"), [("this:", f"{AT}/api/images?path=a")]),
        (
            sent("![](/i?path=a) and ![b](/i?path=b)"),
            [("and", f"{AT}/i?path=a"), (None, f"{AT}/i?path=b")],
        ),
        (
            sent("[mail](mailto:a@b.c) [x](#top) [not closed](/api"),
            [("[mail](mailto:a@b.c) [x](#top) [not closed](/api", None)],
        ),
        (
            sent("<b>Hi</b> Ann,<br>see <a href='/api/files?path=a'>this</a> &amp; <i>that</i>", "html"),
            [(f"Hi Ann,\nsee this ({AT}/api/files?path=a) & that", None)],
        ),
        (
            sent("<ul><li>one</li><li>two</li></ul><script>x()</script><img src='/i?path=(a)'>", "html"),
            [("• one\n\n• two", f"{AT}/i?path=%28a%29")],
        ),
        (sent("2 < 3 & so on", "text"), [("2 < 3 & so on", None)]),
        (sent(""), []),
        (sent(None), []),
        (sent("  ", "html"), []),
    ],
)
def test_texts_pictures_and_files_are_shown_whole(what: Shown, expected: list[Any]) -> None:
    assert seen(what) == expected
    assert what.whole


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (sent("look", "image", "data:image/png;base64,AAAA"), [("look", None)]),
        (sent("", "image"), []),
        (sent("", "file", 7), []),
        (sent("", "frame"), []),
        (sent("<iframe src='https://x.y'></iframe>", "html"), []),
        (sent("", "gallery"), []),
        (sent("![a](data:image/png;base64,AA) there"), [("![a](data:image/png;base64,AA) there", None)]),
        (sent("a text of a type of next year", "form"), []),
        (sent("", "sticker", "https://x.y/s.png"), []),
    ],
)
def test_what_cannot_be_shown_is_not_taken_for_shown(what: Shown, expected: list[Any]) -> None:
    assert seen(what) == expected
    assert not what.whole


CARDS = [
    {
        "preview": {"src": "/api/images?path=a"},
        "title": "Shoe",
        "description": "59 €",
        "buttons": [{"type": "url", "value": "Shop", "link": "/shop"}, {"type": "text", "value": "/take"}],
    },
    {"title": "Hat"},
]


def test_a_gallery_is_shown_as_pictures_lines_links_and_buttons() -> None:
    what = sent("Choose:", "gallery", attachment={"type": "gallery", "gallery": CARDS})
    assert seen(what) == [
        ("Choose:", None),
        (f"Shoe\n59 €\nShop: {AT}/shop", f"{AT}/api/images?path=a"),
        ("Hat", None),
    ]
    assert what.events[1]["data"]["buttons"] == [{"title": "/take", "payload": "\u2060/take"}]
    assert what.whole


@pytest.mark.parametrize("card", [{}, {"preview": {"src": "blob:1"}, "title": "x"}, {"title": 7, "buttons": "x"}])
def test_a_card_that_cannot_be_shown_whole_is_missed(card: dict[str, Any]) -> None:
    what = sent("Choose:", "gallery", attachment={"gallery": [*CARDS, card, "no card"]})
    assert len(what.events) >= 3
    assert not what.whole


json = st.recursive(
    st.none() | st.integers() | st.text(max_size=12) | st.sampled_from(["![](/a)", "<p>", "https://x.y/"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["gallery", "buttons", "value", "link", "preview", "src", "title"]), inner)
    ),
    max_leaves=12,
)


@given(
    text=st.text(alphabet="![]()</a>& \n\\=\"'s", max_size=60),
    kind=st.sampled_from(["text", "html", "image", "file", "gallery", "video", "new"]),
    src=json,
    attachment=json,
)
def test_nothing_that_an_agent_sends_is_an_error(text: str, kind: str, src: object, attachment: object) -> None:
    what = sent(text, kind, src, attachment=attachment)
    assert all(event["text"] or event["data"] for event in what.events)
    assert what.events or not what.whole or not text.strip()


def test_a_long_text_of_brackets_is_read_in_no_time() -> None:
    assert sent("[" * 100_000).whole
    assert sent("![](" * 25_000).whole
    assert sent("[](a" + "b" * 100_000).whole
    assert sent("<" * 20_000, "html").events


def test_a_relative_link_leads_to_files_url_where_there_is_one() -> None:
    desk = TiledeskClient("http://tiledesk:3000", "p", credential=AgentLogin("e", "p"), files_url="https://x.y/desk")
    assert desk.public_link("/api/images?path=a") == "https://x.y/desk/api/images?path=a"
    assert desk.public_link("https://other/a") == "https://other/a"
    for link in ("//other/a", "ftp://x/a", "javascript:x", "", None, 7, {"a": 1}):
        assert desk.public_link(link) is None


def test_a_message_of_several_pictures_reaches_the_user_once_and_in_order(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    say = world.tiledesk.agent_says
    say(handoff.request_id, "Choose:", type="gallery", attributes={"attachment": {"gallery": CARDS}})
    world.rasa.fail_next("lost")
    world.work(worker, seconds=5)
    say(handoff.request_id, "well?")
    world.work(worker, seconds=15)
    url = world.tiledesk.url
    assert heard(world) == ["Choose:", f"Shoe\n59 €\nShop: {url}/shop", "Hat", "well?"]
    images = [message.get("image") for message in world.rasa.delivered["callback"] if message.get("image")]
    assert images == [f"{url}/api/images?path=a"]
    assert comes_to_rest(world, worker, handoff)


def test_an_agent_is_told_once_of_what_could_not_be_shown(world: World) -> None:
    worker = world.worker()
    handoff = live(world, worker)
    world.tiledesk.agent_says(handoff.request_id, "a form", type="form")
    world.work(worker, seconds=5)
    world.tiledesk.agent_says(handoff.request_id, "hello")
    world.work(worker, seconds=5)
    assert heard(world) == ["hello"]
    (told,) = users_words(world, handoff)
    assert "could not be shown" in told
    assert comes_to_rest(world, worker, handoff)
