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
from rasa_tiledesk.handoff.conversation import Ask
from rasa_tiledesk.handoff.ledger import Handoff
from rasa_tiledesk.settings import Requester
from rasa_tiledesk.tiledesk import TiledeskClient
from rasa_tiledesk.transcript import Redactor

__all__ = ["about", "tell"]

logger = logging.getLogger(__name__)

_LONGEST = 500


def about(ask: Ask, requester: Requester, remove: Redactor) -> dict[str, str]:
    """The request's attributes: bot, channel, language, e-mail and the chosen slots."""
    known: dict[str, str | None] = {
        "rasa_bot": _bot(ask),
        "rasa_channel": ask.channel,
        "rasa_language": ask.slot("language"),
        "rasa_email": ask.slot(requester.email_slot),
    }
    for name in requester.slots:
        value = ask.slots.get(name)
        if value is not None:
            # MongoDB takes a dot in a name for a path.
            known[f"rasa_slot_{name.replace('.', '_')}"] = remove.text(_in_words(value))[:_LONGEST]
    return {name: value for name, value in known.items() if value}


def tell(handoff: Handoff, desk: TiledeskClient) -> None:
    """Tell Tiledesk; safe to repeat. Not being able to is logged: it must not keep the user from a human."""
    known = handoff.context["about"]
    try:
        if known:
            desk.set_attributes(handoff.request_id, known)
        if "rasa_bot" in known:
            desk.set_tag(handoff.request_id, known["rasa_bot"])
        if handoff.context["named"]:
            # Who was here before may have been a guest then.
            contact = desk.request(handoff.request_id).contact_id
            desk.set_contact(contact, name=handoff.context["user_name"])
    except TiledeskError as error:
        logger.warning("handoff %s: agents see less of the user than they could: %s", handoff.id, error)


def _bot(ask: Ask) -> str | None:
    """The `assistant_id` of config.yml, which Rasa 3.5 and later writes to every event."""
    for event in reversed(ask.events[-20:]):
        metadata = event.get("metadata")
        found = metadata.get("assistant_id") if isinstance(metadata, Mapping) else None
        if isinstance(found, str) and found.strip():
            return found.strip()[:_LONGEST]
    return None


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
