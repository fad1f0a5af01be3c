"""The words of a piece of HTML: what a person reads, without tags."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Callable

__all__ = ["html_text"]

_BLOCKS = frozenset(
    ("article", "blockquote", "br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "tr", "ul")
)
_UNREAD = frozenset(("script", "style", "title", "template"))


def html_text(source: str, link_of: Callable[[object], str | None]) -> str:
    """The words, a line for each block, each link behind its words; pictures as Markdown. "" for what is no HTML.

    Args:
        source: HTML.
        link_of: a link as users can open it; None for what is none.
    """
    words = _Words(link_of)
    try:
        words.feed(source)
        words.close()
    except (AssertionError, NotImplementedError):  # of a declaration that is none, as Python's version has it
        return ""
    lines = [" ".join(line.split()) for line in "".join(words.found).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Words(HTMLParser):
    def __init__(self, link_of: Callable[[object], str | None]) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._link_of = link_of
        self._links: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.found.append("\n• " if tag == "li" else "\n")
        elif tag == "img":
            link = self._link_of(dict(attrs).get("src"))
            if link is not None:
                self.found.append(f"![]({link.replace('(', '%28').replace(')', '%29')})")
        elif tag == "a":
            self._links.append(self._link_of(dict(attrs).get("href")) or "")
        elif tag in _UNREAD:
            self._unread += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.found.append("\n")
        elif tag == "a" and self._links:
            link = self._links.pop()
            if link and self.found[-1:] != [link]:
                self.found.append(f" ({link})")
        elif tag in _UNREAD:
            self._unread = max(0, self._unread - 1)

    def handle_data(self, data: str) -> None:
        if not self._unread:
            # Line breaks in the source are blanks to a reader.
            self.found.append(re.sub(r"\s+", " ", data))
