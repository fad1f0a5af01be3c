"""What agents are told of the user beside the conversation: attributes and a tag of the request, a name of the contact.

The e-mail address is an attribute of the request and never the contact's e-mail: to that, Tiledesk 2.19.16 mails a copy
of every message that is not the user's, bot's lines and agents' answers alike, with a link that opens the conversation
(pubmodules/emailNotification/requestNotification.js:730-850). Users of this channel are never "online" to it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from rasa_tiledesk.errors import TiledeskError
from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.handoff.history import OPENING_ATTRIBUTES
from rasa_tiledesk.ledger import Handoff
from rasa_tiledesk.settings import Requester
from rasa_tiledesk.tiledesk import TiledeskClient
from rasa_tiledesk.transcript import Redactor
from rasa_tiledesk.transcript.plain import plain
from rasa_tiledesk.transcript.render import neutral

__all__ = ["about", "introduction", "tell"]

logger = logging.getLogger(__name__)

_LONGEST = 500
_SLOT = "rasa_slot_"


def about(ask: Ask, requester: Requester, remove: Redactor) -> dict[str, str]:
    """The request's attributes: bot, channel, language, e-mail and the chosen slots."""
    known: dict[str, str | None] = {
        "rasa_bot": ask.assistant(),
        "rasa_channel": ask.channel,
        "rasa_language": ask.slot("language"),
        "rasa_email": ask.slot(requester.email_slot),
    }
    for name in requester.slots:
        value = ask.slots.get(name)
        if value is not None:
            # MongoDB takes a dot in a name for a path.
            known[f"{_SLOT}{name.replace('.', '_')}"] = remove.text(_in_words(value))[:_LONGEST]
    return {name: value for name, value in known.items() if value}


def introduction(facts: Mapping[str, Any], remove: Redactor) -> list[str]:
    """The lines by which a request is opened: attributes of a request are shown nowhere (dashboard 2.7.173, seen)."""
    known = facts["about"]
    lines = {"Bot": facts["bot_name"], "User": facts["user_name"], "E-mail": known.get("rasa_email")}
    lines.update(Channel=facts["channel"], Language=facts["language"])
    slots = {name[len(_SLOT) :]: value for name, value in known.items() if name.startswith(_SLOT)}
    said = {name: " ".join(remove.text(str(value)).split()) for name, value in {**lines, **slots}.items() if value}
    return [f"{name}: {neutral(value)}" for name, value in said.items() if value]


def tell(handoff: Handoff, desk: TiledeskClient) -> None:
    """Tell Tiledesk; safe to repeat. Not being able to is logged: it must not keep the user from a human."""
    facts = handoff.facts
    known = facts.get("about") or {}
    by_line = facts.get("import") != "direct"  # then the request has that line's text and attributes
    attributes = {**dict.fromkeys(OPENING_ATTRIBUTES if by_line else ()), **known}
    try:
        if facts.get("first_text") and by_line:
            desk.set_first_text(handoff.request_id, facts["first_text"])
        if attributes:
            desk.set_attributes(handoff.request_id, attributes)
        if "rasa_bot" in known:
            desk.set_tag(handoff.request_id, known["rasa_bot"])
        if facts.get("named"):
            # Who was here before may have been a guest then.
            contact = desk.request(handoff.request_id).contact_id
            desk.set_contact(contact, name=facts["user_name"])
    except TiledeskError as error:
        logger.warning("handoff %s: agents see less of the user than they could: %s", handoff.id, error)


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
