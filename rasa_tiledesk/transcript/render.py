"""A turn in words: everything the user saw in it as lines an agent can read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from rasa_tiledesk.transcript.outline import outline
from rasa_tiledesk.transcript.plain import plain
from rasa_tiledesk.transcript.rich import Button, Card
from rasa_tiledesk.transcript.turns import Turn

__all__ = ["UNSHOWN", "in_words", "neutral", "one_line", "storable"]

UNSHOWN = "[This message could not be shown.]"

_WORD_JOINER = "\u2060"
_CUSTOM_LIMIT = 2_000  # characters
_NAME_LIMIT = 100


def in_words(turn: Turn) -> str:
    """The text of a turn and, line by line, its buttons, cards, images, attachments and custom payload."""
    lines = [turn.text] if turn.text.strip() else []
    lines += [f"• {_button(button)}" for button in turn.buttons]
    for card in turn.cards:
        lines += _card(card)
    lines += [f"[image] {_link(image)}" for image in turn.images]
    for attachment in turn.attachments:
        first, *more = _link(attachment).splitlines() or [""]
        lines += [f"[attachment] {first}", *(f"  {line}" for line in more)]
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


def one_line(name: str) -> str:
    """A name as it may stand before what somebody says: on one line, harmless, not too long; "" when none is left.

    A name comes from a slot or from a channel, so users choose it: with a line break it could forge a line of the
    summary, and with `${LABEL}` replace it.
    """
    seen = (" " if char.isspace() else char for char in storable(name) if char.isspace() or _in_a_name(char))
    return neutral(" ".join("".join(seen).split())[:_NAME_LIMIT].strip())


def storable(text: str) -> str:
    """The text without what is no character: half of a surrogate pair, which comes back as another, and NUL."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "")


def _in_a_name(char: str) -> bool:
    # Of what is not seen itself, a joiner holds an emoji together; the others turn the direction of what follows.
    return char in "\u200c\u200d" or unicodedata.category(char) not in ("Cc", "Cf")


def _button(button: Button) -> str:
    words = f"{button.title} ({button.url})" if button.url and button.url != button.title else button.title
    return f"{words} ← chosen" if button.chosen else words


def _card(card: Card) -> Iterator[str]:
    first, *more = [part for part in (card.title, card.subtitle, *card.lines) if part.strip()] or [""]
    yield f"▸ {first}".rstrip()
    yield from (f"  {line}" for part in more for line in part.splitlines())
    if card.image:
        yield f"  [image] {_link(card.image)}"
    for button in card.buttons:
        yield f"  • {_button(button)}"


def _link(link: str) -> str:
    return f"{link[:40]}… ({len(link)} characters)" if link.startswith("data:") else link


def _custom(value: object) -> Iterator[str]:
    text = "\n".join(outline(plain(value)))
    yield text if len(text) <= _CUSTOM_LIMIT else text[:_CUSTOM_LIMIT] + "…"
