"""A turn in words: everything the user saw in it as lines an agent can read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rasa_tiledesk.transcript.turns import Button, Card, Turn

__all__ = ["in_words", "neutral", "storable"]

_WORD_JOINER = "\u2060"
_CUSTOM_LIMIT = 2_000


def in_words(turn: Turn, *, with_images: bool) -> str:
    """The text of a turn and, line by line, its buttons, cards, attachments and custom payload.

    Args:
        turn: what to show.
        with_images: name the images too; False where they are shown as images.
    """
    lines = [turn.text] if turn.text.strip() else []
    lines += [f"• {_button(button)}" for button in turn.buttons]
    for card in turn.cards:
        lines += _card(card)
    if with_images:
        lines += [f"[image] {_link(image)}" for image in turn.images]
    lines += [f"[attachment] {_link(attachment)}" for attachment in turn.attachments]
    if turn.custom is not None:
        lines += _custom(turn.custom)
    return neutral("\n".join(lines))


def neutral(text: str) -> str:
    r"""The same words, made harmless: Tiledesk executes `\close` and replaces a text that holds `${LABEL}`.

    An invisible word joiner behind the backslash or the dollar sign stops both (tiledesk-server 2.19.16:
    pubmodules/messageActions/messageActionsInterceptor.js takes everything behind the first backslash as the name of
    an action; pubmodules/messageTransformer/messageTransformerInterceptor.js looks for a dollar sign and a brace).
    """
    return storable(text).replace("\\", "\\" + _WORD_JOINER).replace("${", "$" + _WORD_JOINER + "{")


def storable(text: str) -> str:
    """The text without what is no character: half of a surrogate pair, which comes back as another, and NUL."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "")


def _button(button: Button) -> str:
    words = f"{button.title} ({button.url})" if button.url and button.url != button.title else button.title
    return f"{words} ← chosen" if button.chosen else words


def _card(card: Card) -> Iterator[str]:
    yield "▸ " + " – ".join(part for part in (card.title, card.subtitle) if part)
    if card.image:
        yield f"  [image] {_link(card.image)}"
    for button in card.buttons:
        yield f"  • {_button(button)}"


def _link(link: str) -> str:
    return f"{link[:40]}… ({len(link)} characters)" if link.startswith("data:") else link


def _custom(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and all(isinstance(item, (str, int, float, bool)) for item in value.values()):
        yield from (f"{name}: {item}" for name, item in value.items())
        return
    text = json.dumps(value, ensure_ascii=False, default=str)
    yield text if len(text) <= _CUSTOM_LIMIT else text[:_CUSTOM_LIMIT] + "…"
