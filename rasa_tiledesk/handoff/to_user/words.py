"""Whose words are for the user. Everything that is not plainly an agent's word to the user is left out.

A private note that reaches a user is an incident, so this lets through rather than filters out: a message without a
subtype, that is not our own, from the account of a person who takes part in the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rasa_tiledesk.ledger import Handoff
from rasa_tiledesk.tiledesk import Message, Request

__all__ = ["is_a_persons", "taken_by", "taking_part"]

# Accounts of people have MongoDB ids; end users, bots and the system have others.
_ACCOUNT = re.compile(r"[0-9a-f]{24}")


def is_a_persons(message: Message, handoff: Handoff) -> bool:
    """Whether a person with an account said it for all to read.

    Not so: our own messages, the user's, bots' and the system's, private notes (subtype ``private``, and should a
    version write them otherwise, type ``private`` or ``privateFor``), info lines (``info``, ``info/support``), and
    whatever has another subtype (tiledesk-server 2.19.16; its web widget hides the same, utils-message.ts:132-137).
    """
    attributes = message.attributes
    if "rasa" in attributes or attributes.get("subtype") or attributes.get("privateFor") or message.type == "private":
        return False
    return message.sender != handoff.requester_id and _ACCOUNT.fullmatch(message.sender) is not None


def taking_part(request: Request, messages: Iterable[Message]) -> set[str]:
    """The ids of all who take part in the request, or once did: their words may be found only when they have left.

    Tiledesk stores a message from any sender that its poster names, so an account alone proves nothing. Who takes part
    stands in the request before they can speak, and chat21 writes a line for each who joins (tiledesk-server 2.19.16
    with chat21, seen). An owner or admin who has not joined cannot write in the agents' chat either; what is posted in
    their name by REST is not delivered. Without chat21, which no agent's screen is without, those who have left are not
    known.
    """
    return {*request.participants, *request.participant_agents, *filter(None, map(_joined, messages))}


def taken_by(handoff: Handoff, request: Request) -> str | None:
    """The name of an agent who has taken a request that nobody had; None where nobody has, or a machine assigned it.

    Tiledesk's own lines do not tell the one from the other (conciergeBot.js:181-196 of tiledesk-server 2.19.16); that
    nobody was free is known from the answer to `assign`.
    """
    if not handoff.facts.get("queued") or not request.participant_agents:
        return None
    return request.names.get(request.participant_agents[-1], "")


def _joined(message: Message) -> str | None:
    label = message.attributes.get("messagelabel")
    if message.sender != "system" or not isinstance(label, Mapping) or label.get("key") != "MEMBER_JOINED_GROUP":
        return None
    parameters: Any = label.get("parameters")
    return str(parameters.get("member_id")) if isinstance(parameters, Mapping) else None
