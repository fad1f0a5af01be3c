"""Rasa's HTTP API. Knows nothing of Tiledesk."""

from __future__ import annotations

from rasa_tiledesk.rasa.client import RasaClient

__all__ = ["RasaClient"]
