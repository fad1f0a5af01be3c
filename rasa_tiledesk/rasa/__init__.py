"""Rasa's HTTP API, and what Rasa would say of a response. Knows nothing of Tiledesk."""

from __future__ import annotations

from rasa_tiledesk.rasa.client import RasaClient
from rasa_tiledesk.rasa.respond import fill, variations

__all__ = ["RasaClient", "fill", "variations"]
