"""The client of Tiledesk's REST API. Knows nothing of Rasa.

Facts in these modules marked "seen" were observed on a running tiledesk-server 2.19.16 on 2026-11-22.
"""

from __future__ import annotations

from rasa_tiledesk.tiledesk.client import TiledeskClient
from rasa_tiledesk.tiledesk.credentials import AgentLogin, BasicLogin, BotCredential, Credential
from rasa_tiledesk.tiledesk.model import (
    ASSIGNED,
    CLOSED,
    TEMP,
    UNASSIGNED,
    Agent,
    Department,
    EndUser,
    Message,
    Request,
    Subscription,
)

__all__ = [
    "ASSIGNED",
    "CLOSED",
    "TEMP",
    "UNASSIGNED",
    "Agent",
    "AgentLogin",
    "BasicLogin",
    "BotCredential",
    "Credential",
    "Department",
    "EndUser",
    "Message",
    "Request",
    "Subscription",
    "TiledeskClient",
]
