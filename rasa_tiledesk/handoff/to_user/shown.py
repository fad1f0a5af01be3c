"""What an agent sent → what the user gets to see: texts, links and pictures, which every channel can show.

An agent's chat writes links as they come from Tiledesk's upload, relative to its address with the official compose file
(`API_BASEIMAGE_URL=/api/`; tiledesk-server 2.19.16, seen): as `metadata.src`, and as Markdown in texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from rasa_tiledesk.handoff.to_user.html_text import html_text
from rasa_tiledesk.tiledesk import Message

__all__ = ["Shown", "shown"]

LinkOf = Callable[[object], Optional[str]]
"""A link as users can open it; None for what is none."""

_SOURCED = ("image", "file", "video", "audio", "frame")
_TYPES = ("text", "html", "gallery", *_SOURCED)

# ![words](target), ![](target), [words](target); parentheses may stand in a target, as in `a%20(1).pdf`
_MARKDOWN = re.compile(r"(!?)\[([^\[\]\n]*)\]\(((?:[^\s()]|\([^\s()]*\))+)\)")

_WORD_JOINER = "\u2060"


@dataclass(frozen=True)
class Shown:
    """What the user sees of a message.

    Attributes:
        events: Rasa's bot events, in order; each with one picture at most.
        whole: nothing is missing of what was sent.
    """

    events: Sequence[Mapping[str, Any]]
    whole: bool


def shown(message: Message, link_of: LinkOf) -> Shown:
    """What the user sees of an agent's message: text, pictures, other files as links, cards as all of these.

    A message of a type that is not known is not shown: it may be no word to the user.
    """
    if message.type not in _TYPES:
        return Shown([], whole=False)
    sent, metadata = message.text.strip(), message.metadata or {}
    text, pictures, whole = _read(html_text(sent, link_of) if message.type == "html" else sent, link_of)
    link = link_of(metadata.get("src"))
    if link is None:
        whole = whole and message.type not in _SOURCED
    elif message.type == "image":
        pictures.insert(0, link)
        text = "" if text in (link, metadata.get("src"), metadata.get("name")) else text
    elif link not in text:
        text = f"{text}\n{link}"
    else:
        alone = _MARKDOWN.fullmatch(text)  # so the agents' chat names a file; few channels know Markdown
        text = f"{alone[2]}\n{link}" if alone and alone[3] == link else text
    attachment = message.attributes.get("attachment")
    buttons, links = _buttons(attachment, link_of)
    events = _events(message.sender_name, "\n".join([text, *links]), pictures, buttons)
    for card in _cards(attachment):
        picture = _in(card.get("preview"), "src")
        lines = [line.strip() for line in (card.get("title"), card.get("description")) if isinstance(line, str)]
        buttons, links = _buttons(card, link_of)
        link = link_of(picture)
        seen = _events(message.sender_name, "\n".join([*lines, *links]), [link] if link else [], buttons)
        events += seen
        whole = whole and bool(seen) and not (picture and link is None)
    empty = not sent and message.type in ("text", "html")
    return Shown(events, whole and (bool(events) or empty))


def _read(text: str, link_of: LinkOf) -> tuple[str, list[str], bool]:
    """(the text with links that can be opened, its pictures, whether all of them can be shown)."""
    pictures: list[str] = []
    lost = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal lost
        is_picture, words, target = found.groups()
        link = link_of(target)
        if is_picture and link is not None:
            pictures.append(link)
            return ""
        lost = lost or bool(is_picture)
        return found[0] if link is None else f"[{words}]({link})"

    return _MARKDOWN.sub(replaced, text).strip(), pictures, not lost


def _events(
    name: str, text: str, pictures: Sequence[str], buttons: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
    first, *others = [*dict.fromkeys(pictures)] or [""]
    data = {key: value for key, value in (("image", first), ("buttons", list(buttons))) if value}
    events = [_event(name, text.strip(), data)] if text.strip() or data else []
    return [*events, *(_event(name, "", {"image": picture}) for picture in others)]


def _event(name: str, text: str, data: Mapping[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {"event": "bot", "text": text or None, "metadata": {"tiledesk_agent": name}}
    return {**event, "data": data} if data else event


def _cards(attachment: Any) -> list[Mapping[str, Any]]:
    gallery = _in(attachment, "gallery")
    return [card for card in gallery if isinstance(card, Mapping)] if isinstance(gallery, list) else []


def _buttons(of: Any, link_of: LinkOf) -> tuple[list[dict[str, str]], list[str]]:
    """(buttons, links in words): a click says the button's title, and never runs as one of the bot's intents."""
    found = _in(of, "buttons")
    buttons, links = [], []
    for button in found if isinstance(found, list) else []:
        title = _in(button, "value")
        if not isinstance(title, str) or not title.strip():
            continue
        link = link_of(button.get("link"))
        if link is not None:
            links.append(f"{title}: {link}")
        else:
            buttons.append({"title": title, "payload": _said(title)})
    return buttons, links


def _said(title: str) -> str:
    return _WORD_JOINER + title if title.lstrip().startswith("/") else title


def _in(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
