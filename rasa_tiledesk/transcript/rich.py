"""What a bot's message holds besides words: buttons, cards, images and attachments, in any shape they come in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rasa_tiledesk.transcript.outline import outline
from rasa_tiledesk.transcript.plain import words_of

__all__ = ["Attached", "Button", "Card", "attached", "buttons_in", "cards_in", "mapping_in", "text_in"]

# Of an element: what a card has a place for, and what tells nobody anything.
_PLACED = ("title", "subtitle", "image_url", "image", "buttons", "default_action")


@dataclass(frozen=True)
class Button:
    """A choice the bot offered; `chosen` when the user's next words were a click on it."""

    title: str
    payload: str = ""
    url: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Card:
    """One element of a carousel.

    Attributes:
        lines: what else it says, such as `price: 59`.
    """

    title: str
    subtitle: str = ""
    image: str = ""
    buttons: tuple[Button, ...] = ()
    lines: tuple[str, ...] = ()


class Attached(NamedTuple):
    """What an attachment is made of; `files` and `images` are links."""

    files: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    buttons: tuple[Button, ...] = ()


def buttons_in(value: Any) -> Iterator[Button]:
    """The buttons in a list of them."""
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Mapping):
            payload, url = text_in(item.get("payload")), text_in(item.get("url"))
            title = text_in(item.get("title")) or payload or url
            if title.strip():
                yield Button(title, payload, url)
        elif isinstance(item, str) and item.strip():
            yield Button(item)


def cards_in(value: Any) -> Iterator[Card]:
    """The cards in a list of them."""
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Mapping):
            action = mapping_in(item.get("default_action"))
            link = text_in(action.get("url"))
            more = {name: held for name, held in item.items() if name not in _PLACED and held not in (None, "", [], {})}
            card = Card(
                title=text_in(item.get("title")),
                subtitle=text_in(item.get("subtitle")),
                image=text_in(item.get("image_url")) or text_in(item.get("image")),
                buttons=tuple(buttons_in(item.get("buttons"))),
                lines=(*(outline(more) if more else ()), *([link] if link else [])),
            )
            if card != Card(""):
                yield card


def attached(value: Any) -> Attached:
    """What is in `attachment`, which is a link, a {type, payload} or a template of cards and buttons."""
    if isinstance(value, str):
        return Attached(files=(value,)) if value.strip() else Attached()
    if not isinstance(value, Mapping) or not value:
        return Attached()
    payload = mapping_in(value.get("payload"))
    link = text_in(payload.get("src")) or text_in(payload.get("url")) or text_in(value.get("url"))
    if link.strip():
        return Attached(images=(link,)) if value.get("type") == "image" else Attached(files=(link,))
    cards, buttons = tuple(cards_in(payload.get("elements"))), tuple(buttons_in(payload.get("buttons")))
    words = text_in(payload.get("text"))
    if cards or buttons:
        return Attached(cards=(*([Card(words)] if words.strip() else []), *cards), buttons=buttons)
    return Attached(files=("\n".join(outline(value)),))


def text_in(value: Any) -> str:
    """A text or a number as text; "" for anything else."""
    return value if isinstance(value, str) else words_of(value) if isinstance(value, (int, float)) else ""


def mapping_in(value: Any) -> Mapping[str, Any]:
    """A mapping; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
