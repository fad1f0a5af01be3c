"""What a person reads of a piece of HTML."""

from __future__ import annotations

import pytest

from rasa_tiledesk.handoff.to_user.html_text import html_text


def link_of(link: object) -> str | None:
    return f"https://x.y{link}" if isinstance(link, str) and link.startswith("/") else None


BLOCKS = ["article", "blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ol", "p", "pre", "tr", "ul"]


@pytest.mark.parametrize("tag", BLOCKS)
def test_a_block_is_a_line_of_its_own(tag: str) -> None:
    bullet = "• " if tag == "li" else ""
    lines = [line for line in html_text(f"a<{tag}>b</{tag}>c", link_of).splitlines() if line]
    assert lines == ["a", f"{bullet}b", "c"]


@pytest.mark.parametrize("tag", ["br", "hr"])
def test_what_parts_lines_parts_them(tag: str) -> None:
    assert html_text(f"a<{tag}>b<{tag}/>c", link_of).split() == ["a", "b", "c"]


@pytest.mark.parametrize("tag", ["script", "style", "title", "template"])
def test_what_nobody_reads_is_left_out_and_what_follows_is_read(tag: str) -> None:
    assert html_text(f"a<{tag}>b</{tag}> c</{tag}> d", link_of) == "a c d"


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("see <a href='/a'>this</a>.", "see this (https://x.y/a)."),
        ("<a href='/a'>https://x.y/a</a>", "https://x.y/a"),
        ("<a href='javascript:x'>this</a>", "this"),
        ("<a>this</a></a> <a href='/b'></a>", "this (https://x.y/b)"),
        ("<a href='/a'>one <a href='/b'>two</a></a>", "one two (https://x.y/b) (https://x.y/a)"),
        ("<img src='/a (1).png'>!", "![](https://x.y/a %281%29.png)!"),
        ("<img src='blob:1'>!", "!"),
        ("a <b>bold</b>\n  <i>word</i>", "a bold word"),
        ("<p>a</p><p></p><p></p><p>b</p>", "a\n\nb"),
        ("1 &lt; 2 &amp; 3", "1 < 2 & 3"),
    ],
)
def test_links_stand_behind_their_words_and_pictures_are_markdown(source: str, read: str) -> None:
    assert html_text(source, link_of) == read
