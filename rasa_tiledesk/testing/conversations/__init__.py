"""Recorded conversations: raw events exactly as the real Rasa wrote them into its tracker store.

`shop` (83 events, rasa 3.6.21, REST channel, SQLite): a greeting with buttons, a button click
(``/choose_topic{"topic": "returns"}``), an image, a form with two slots, a message the bot did not understand
(fallback, then ``rewind``), a custom payload, an ``EXTERNAL:`` event, ``/restart``, and a second session (the first
one expired), with emoji and right-to-left text throughout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(name: str) -> list[dict[str, Any]]:
    """The events of the recorded conversation `name`, oldest first; a fresh copy on every call.

    Raises:
        FileNotFoundError: there is no such recording.
    """
    events: list[dict[str, Any]] = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    return events
