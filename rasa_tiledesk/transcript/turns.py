"""Rasa's raw events → turns: what the user saw, in the order it was seen.

State events (restart, rewind, undo, session_started, slot, ...) erase what the bot knows, not what was said: they are
passed over, and so is every type of event that is unknown to us (rasa 3.6.21, shared/core/events.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rasa_tiledesk.transcript.plain import plain
from rasa_tiledesk.transcript.rich import Attached, Button, Card, attached, buttons_in, cards_in, mapping_in, text_in

__all__ = ["Turn", "Who", "keyed", "moment_of", "read_turns"]

logger = logging.getLogger(__name__)

Who = Literal["user", "bot", "agent"]

# `/intent`, `/intent{"entity": "value"}`, `/intent@0.9{...}`: what a button sends (rasa 3.6.21, regex_message_handler).
_PAYLOAD = re.compile(r"/[^\s{(@]+(@[\d.]+)?\s*([{(].*)?", re.DOTALL)

# Sent by clients and channels, never typed or said by people (Rasa Pro's voice channels, AudioCodes).
_MACHINE_TEXTS = ("/session_start", "/session_end", "/vaig_event_start", "/vaig_event_end")
_SILENCE = ("/silence_timeout", "/vaig_event_noUserInput")
_KEYPAD = "/vaig_event_DTMF"

_UNREADABLE = "[This message could not be read.]"


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


def read_turns(events: Iterable[Mapping[str, Any]], *, secret: bytes = b"") -> list[Turn]:
    """Read what was said out of raw tracker events; never raises on the content of an event.

    Args:
        events: raw tracker events.
        secret: makes the keys ones that only its owner can compute. A key is a hash of the turn, redacted or not: who
            sees it could else try all of a few thousand guesses, such as every PIN of four digits.
    """
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
        try:
            turn = _read_turn(event)
        except Exception as error:  # one odd event must not cost the user the handoff
            logger.warning("a turn could not be read: %s", type(error).__name__)
            turn = _unreadable(event)
        if turn is None:
            continue
        if turn.who == "user":
            turn = _resolve_click(turn, turns, offers)
        key = keyed(turn.key, secret) if secret else turn.key
        seen[key] += 1
        if seen[key] > 1:
            key = f"{key}.{seen[key]}"
        offers.update((button.payload, len(turns)) for button in _offered(turn) if button.title)
        if key != turn.key or new_session or restarted:  # without a secret few are: copying every turn costs much
            turn = replace(turn, key=key, new_session=new_session, restarted=restarted)
        turns.append(turn)
        new_session = restarted = False
    return turns


def keyed(key: str, secret: bytes) -> str:
    """The key that `read_turns` gives with the secret for what it gives this key without."""
    return hmac.new(secret, key.encode(), hashlib.sha256).hexdigest()[:20]


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


def _unreadable(event: Mapping[str, Any]) -> Turn:
    who: Who = "user" if event.get("event") == "user" else "bot"
    return Turn(_key(who, event, "unreadable"), who, moment_of(event), _UNREADABLE)


def _agent(event: Mapping[str, Any]) -> str:
    """The agent whose words a bot event carries: so an earlier handoff's answers reached the user."""
    return text_in(mapping_in(event.get("metadata")).get("tiledesk_agent"))


def _read_user(event: Mapping[str, Any]) -> Turn | None:
    text = text_in(event.get("text"))
    metadata = mapping_in(event.get("metadata"))
    if text.startswith("EXTERNAL: ") or metadata.get("is_external"):  # reminders and trigger_intent: nobody typed this
        return None
    command = text.split("{")[0].strip()
    brought = _brought(metadata)
    if command in _MACHINE_TEXTS or not (text.strip() or any(brought)):
        return None
    identity = text_in(event.get("message_id"))
    if command in _SILENCE:
        shown = "[silence]"
    elif command == _KEYPAD:
        shown = f"[keys pressed] {_entity(event, 'value') or text_in(metadata.get('value'))}".strip()
    else:
        shown = text
    return Turn(
        key=_key("user", event, identity or text),
        who="user",
        at=moment_of(event),
        text=shown if shown.strip() else "",
        buttons=brought.buttons,
        cards=brought.cards,
        images=brought.images,
        attachments=brought.files,
    )


def _brought(metadata: Mapping[str, Any]) -> Attached:
    """What the channel put into the message's metadata, as `image` and `attachments`."""
    image, given = text_in(metadata.get("image")), plain(metadata.get("attachments"))
    found = [Attached(images=(image,) if image.strip() else ())]
    for item in given if isinstance(given, list) else []:
        if isinstance(item, str) or (isinstance(item, Mapping) and (item.get("url") or item.get("payload"))):
            found.append(attached(item))
    return Attached(
        files=tuple(dict.fromkeys(file for each in found for file in each.files)),
        images=tuple(dict.fromkeys(image for each in found for image in each.images)),
        cards=tuple(card for each in found for card in each.cards),
        buttons=tuple(button for each in found for button in each.buttons),
    )


def _read_said(event: Mapping[str, Any], who: Who) -> Turn | None:
    data = plain(mapping_in(event.get("data")))
    text = text_in(event.get("text"))
    image = text_in(data.get("image"))
    more = attached(data.get("attachment"))
    # Rasa gives an image twice.
    images = tuple(dict.fromkeys(item for item in (image, *more.images) if item.strip()))
    turn = Turn(
        key=_key(who, event, text + json.dumps(data, sort_keys=True)),
        who=who,
        at=moment_of(event),
        text=text,
        buttons=(*buttons_in(data.get("buttons")), *buttons_in(data.get("quick_replies")), *more.buttons),
        cards=(*cards_in(data.get("elements")), *more.cards),
        images=images,
        attachments=tuple(item for item in more.files if item not in images),
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


def _entity(event: Mapping[str, Any], name: str) -> str:
    found = mapping_in(event.get("parse_data")).get("entities")
    items = [mapping_in(item) for item in found] if isinstance(found, list) else []
    return " ".join(text_in(item.get("value")) for item in items if item.get("entity") == name)


def _key(who: Who, event: Mapping[str, Any], content: str) -> str:
    # Not rounded: every store keeps the double (DynamoDB's nine digits after the point are finer than it is today).
    material = f"{who}\x00{moment_of(event)!r}\x00{content}"
    return hashlib.sha256(material.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def moment_of(event: Mapping[str, Any]) -> float:
    """When it was, in seconds since 1970; 0.0 when Rasa recorded no time, or none that can be."""
    try:
        value = float(event.get("timestamp") or 0.0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return value if 0.0 <= value < 1e11 else 0.0  # NaN fails the comparison too
