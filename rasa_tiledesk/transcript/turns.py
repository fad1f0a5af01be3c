"""Rasa's raw events → turns: what the user saw, in the order it was seen.

State events (restart, rewind, undo, session_started, slot, ...) erase what the bot knows, not what was said: they are
passed over, and so is every type of event that is unknown to us (rasa 3.6.21, shared/core/events.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["Button", "Card", "Turn", "read_turns"]

Who = Literal["user", "bot", "agent"]

# `/intent`, `/intent{"entity": "value"}`, `/intent@0.9{...}`: what a button sends (rasa 3.6.21, regex_message_handler).
_PAYLOAD = re.compile(r"/[^\s{(@]+(@[\d.]+)?\s*([{(].*)?", re.DOTALL)

# Sent by clients and channels, never typed or said by people (Rasa Pro's voice channels, AudioCodes).
_MACHINE_TEXTS = ("/session_start", "/session_end", "/vaig_event_start", "/vaig_event_end")
_SILENCE = ("/silence_timeout", "/vaig_event_noUserInput")
_KEYPAD = "/vaig_event_DTMF"


@dataclass(frozen=True)
class Button:
    """A choice the bot offered; `chosen` when the user's next words were a click on it."""

    title: str
    payload: str = ""
    url: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Card:
    """One element of a carousel."""

    title: str
    subtitle: str = ""
    image: str = ""
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One thing that was said.

    Attributes:
        key: the same for the same Rasa event wherever it was read from; unique within a conversation.
        who: user, bot or agent.
        at: seconds since 1970, UTC; 0.0 when Rasa recorded none.
        text: the words, "" when there were none.
        clicked: the text is the title of a button the user clicked.
        agent: the name of the agent of an earlier handoff who said it, where it is known.
        new_session: the first turn after a session began.
        restarted: the first turn after the conversation was restarted.
        raw: what of the event's data the message cannot show, for programs that read Tiledesk.
    """

    key: str
    who: Who
    at: float
    text: str = ""
    buttons: tuple[Button, ...] = ()
    cards: tuple[Card, ...] = ()
    images: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    custom: Any = None
    clicked: bool = False
    agent: str = ""
    new_session: bool = False
    restarted: bool = False
    raw: Mapping[str, Any] | None = None


def read_turns(events: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """Read what was said out of raw tracker events; never raises on the content of an event."""
    turns: list[Turn] = []
    seen: Counter[str] = Counter()
    offers: dict[str, int] = {}  # a button's payload → the turn that offered it last
    new_session = restarted = False
    for event in events:
        if not isinstance(event, Mapping):
            continue
        if _begins_session(event):
            new_session = True
            continue
        if event.get("event") == "restart":
            restarted = True
            continue
        turn = _read_turn(event)
        if turn is None:
            continue
        if turn.who == "user":
            turn = _resolve_click(turn, turns, offers)
        seen[turn.key] += 1
        if seen[turn.key] > 1:
            turn = replace(turn, key=f"{turn.key}.{seen[turn.key]}")
        offers.update((button.payload, len(turns)) for button in _offered(turn) if button.title)
        if new_session or restarted:  # few are: copying every turn would cost much
            turn = replace(turn, new_session=new_session, restarted=restarted)
        turns.append(turn)
        new_session = restarted = False
    return turns


def _begins_session(event: Mapping[str, Any]) -> bool:
    # A bot's own action_session_start may leave out session_started, so either marks the beginning.
    return event.get("event") == "session_started" or (
        event.get("event") == "action" and event.get("name") == "action_session_start"
    )


def _read_turn(event: Mapping[str, Any]) -> Turn | None:
    kind = event.get("event")
    if kind == "user":
        return _read_user(event)
    if kind == "bot" or kind == "agent":
        return _read_said(event, "agent" if _agent(event) else kind)
    return None


def _agent(event: Mapping[str, Any]) -> str:
    """The agent whose words a bot event carries: so an earlier handoff's answers reached the user."""
    return _text(_mapping(event.get("metadata")).get("tiledesk_agent"))


def _read_user(event: Mapping[str, Any]) -> Turn | None:
    text = _text(event.get("text"))
    metadata = _mapping(event.get("metadata"))
    if text.startswith("EXTERNAL: ") or metadata.get("is_external"):  # reminders and trigger_intent: nobody typed this
        return None
    command = text.split("{")[0].strip()
    images, files = _brought(metadata)
    if command in _MACHINE_TEXTS or not (text.strip() or images or files):
        return None
    identity = _text(event.get("message_id"))
    if command in _SILENCE:
        shown = "[silence]"
    elif command == _KEYPAD:
        shown = f"[keys pressed] {_entity(event, 'value') or _text(metadata.get('value'))}".strip()
    else:
        shown = text
    return Turn(
        key=_key("user", event, identity or text),
        who="user",
        at=_seconds(event),
        text=shown if shown.strip() else "",
        images=images,
        attachments=files,
    )


def _brought(metadata: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(images, files) that the channel put into the message's metadata, as `image` and `attachments`."""
    image, given = _text(metadata.get("image")), metadata.get("attachments")
    images, files = [image] if image else [], []
    for item in given if isinstance(given, list) else []:
        if isinstance(item, str) or (isinstance(item, Mapping) and (item.get("url") or item.get("payload"))):
            more_files, more_images = _attachments(item)
            images += more_images
            files += more_files
    return tuple(dict.fromkeys(images)), tuple(dict.fromkeys(files))


def _read_said(event: Mapping[str, Any], who: Who) -> Turn | None:
    data = _mapping(event.get("data"))
    text = _text(event.get("text"))
    buttons = tuple(_buttons(data.get("buttons"))) + tuple(_buttons(data.get("quick_replies")))
    image = _text(data.get("image"))
    attachments, more_images = _attachments(data.get("attachment"))
    images = tuple(dict.fromkeys(item for item in (image, *more_images) if item))  # Rasa gives an image twice
    turn = Turn(
        key=_key(who, event, text + json.dumps(data, sort_keys=True, default=str)),
        who=who,
        at=_seconds(event),
        text=text,
        buttons=buttons,
        cards=tuple(_cards(data.get("elements"))),
        images=images,
        attachments=tuple(item for item in attachments if item not in images),
        custom=data.get("custom") or None,
        raw={name: value for name, value in data.items() if value} or None,
        agent=_agent(event),
    )
    shown = turn.text.strip() or turn.buttons or turn.cards or turn.images or turn.attachments or turn.custom
    return turn if shown else None


def _resolve_click(turn: Turn, before: list[Turn], offers: Mapping[str, int]) -> Turn:
    """Show a button's payload as the title the user saw, and mark the button in the turn that offered it."""
    position = offers.get(turn.text) if _PAYLOAD.fullmatch(turn.text) else None
    if position is None:
        return turn
    offer = before[position]
    button = next(button for button in _offered(offer) if button.payload == turn.text and button.title)
    before[position] = replace(
        offer,
        buttons=_choose(offer.buttons, button),
        cards=tuple(replace(card, buttons=_choose(card.buttons, button)) for card in offer.cards),
    )
    return replace(turn, text=button.title, clicked=True, raw={"payload": turn.text})


def _offered(turn: Turn) -> tuple[Button, ...]:
    return (*turn.buttons, *(button for card in turn.cards for button in card.buttons))


def _choose(buttons: tuple[Button, ...], chosen: Button) -> tuple[Button, ...]:
    return tuple(replace(button, chosen=button.chosen or button is chosen) for button in buttons)


def _buttons(value: Any) -> Iterator[Button]:
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Mapping):
            payload, url = _text(item.get("payload")), _text(item.get("url"))
            title = _text(item.get("title")) or payload or url
            if title:
                yield Button(title, payload, url)
        elif isinstance(item, str) and item:
            yield Button(item)


def _cards(value: Any) -> Iterator[Card]:
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Mapping):
            card = Card(
                title=_text(item.get("title")),
                subtitle=_text(item.get("subtitle")),
                image=_text(item.get("image_url")),
                buttons=tuple(_buttons(item.get("buttons"))),
            )
            if card != Card(""):
                yield card


def _attachments(value: Any) -> tuple[list[str], list[str]]:
    """(links of files, links of images) of `attachment`, which is a link, a {type, payload} or a template of cards."""
    if isinstance(value, str):
        return [value] if value else [], []
    if not isinstance(value, Mapping):
        return [], []
    payload = _mapping(value.get("payload"))
    link = _text(payload.get("src")) or _text(payload.get("url")) or _text(value.get("url"))
    if link:
        return ([], [link]) if value.get("type") == "image" else ([link], [])
    return ["\n".join(_template_lines(payload)) or json.dumps(value, ensure_ascii=False, default=str)], []


def _template_lines(payload: Mapping[str, Any]) -> Iterator[str]:
    for card in _cards(payload.get("elements")):
        yield " – ".join(part for part in (card.title, card.subtitle) if part)
    yield from (button.title for button in _buttons(payload.get("buttons")))


def _entity(event: Mapping[str, Any], name: str) -> str:
    found = _mapping(event.get("parse_data")).get("entities")
    items = [_mapping(item) for item in found] if isinstance(found, list) else []
    return " ".join(_text(item.get("value")) for item in items if item.get("entity") == name)


def _key(who: Who, event: Mapping[str, Any], content: str) -> str:
    # Not rounded: every store keeps the double (DynamoDB's nine digits after the point are finer than it is today).
    material = f"{who}\x00{_seconds(event)!r}\x00{content}"
    return hashlib.sha256(material.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _seconds(event: Mapping[str, Any]) -> float:
    try:
        value = float(event.get("timestamp") or 0.0)
    except (TypeError, ValueError):
        return 0.0
    return value if 0.0 <= value < 1e11 else 0.0  # NaN fails the comparison too


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
