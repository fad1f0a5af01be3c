"""What agents say → what the user gets. Everything that is not plainly an agent's word to the user is left out.

A private note that reaches a user is an incident, so this lets through rather than filters out: a message without a
subtype, from a person's account, that is not our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rasa_tiledesk.handoff.ledger import Handoff
from rasa_tiledesk.tiledesk import Message

__all__ = ["agent_joined", "chat_closed", "for_the_user"]

# Accounts of people have MongoDB ids; end users, bots and the system have others.
_ACCOUNT = re.compile(r"[0-9a-f]{24}")

_JOINED = ("TOUCHING_OPERATOR", "MEMBER_JOINED_GROUP")


def for_the_user(message: Message, handoff: Handoff) -> dict[str, Any] | None:
    """The bot event that carries an agent's message to the user; None when it is not for the user.

    Left out: our own messages, the user's, bots' and the system's, private notes (subtype ``private``), info lines
    (``info``, ``info/support``), whatever has another subtype, and what is empty (tiledesk-server 2.19.16; its web
    widget hides the same, utils-message.ts:132-137).
    """
    attributes = message.attributes
    if "rasa" in attributes or attributes.get("subtype"):
        return None
    if message.sender == handoff.requester_id or not _ACCOUNT.fullmatch(message.sender):
        return None
    data: dict[str, Any] = {}
    text = message.text.strip()
    link = (message.metadata or {}).get("src") if isinstance(message.metadata, Mapping) else None
    if isinstance(link, str) and link.startswith(("http://", "https://")):
        if message.type == "image":
            data["image"] = link
            text = "" if text in (link, (message.metadata or {}).get("name")) else text
        elif link not in text:  # few channels can show a file, all can show a link
            text = f"{text}\n{link}" if text else link
    buttons = _buttons(attributes.get("attachment"))
    if buttons:
        data["buttons"] = buttons
    if not text and not data:
        return None
    event: dict[str, Any] = {"event": "bot", "text": text or None, "metadata": {"tiledesk_agent": message.sender_name}}
    return {**event, "data": data} if data else event


def agent_joined(messages: Sequence[Message]) -> bool:
    """Whether an agent has been given the request."""
    return any(_label(message) in _JOINED for message in messages)


def chat_closed(messages: Sequence[Message]) -> bool:
    """Whether the request seems to have been closed; the request itself knows."""
    return any(_label(message) == "CHAT_CLOSED" for message in messages)


def _label(message: Message) -> str | None:
    label = message.attributes.get("messagelabel")
    return label.get("key") if message.sender == "system" and isinstance(label, Mapping) else None


def _buttons(attachment: Any) -> list[dict[str, str]]:
    found = attachment.get("buttons") if isinstance(attachment, Mapping) else None
    buttons = []
    for button in found if isinstance(found, list) else []:
        title = button.get("value") if isinstance(button, Mapping) else None
        if isinstance(title, str) and title:
            link = button.get("link")
            buttons.append({"title": title, "payload": link if isinstance(link, str) and link else title})
    return buttons
