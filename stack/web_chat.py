"""A web page with Rasa's socketio channel: it stays connected, and shows what is pushed to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import socketio

__all__ = ["WebChat", "web_chat"]


class WebChat:
    """One user's page.

    Args:
        url: of the Rasa server.
        sender: the session id, which Rasa takes as the sender id.
    """

    def __init__(self, url: str, sender: str) -> None:
        self._sender = sender
        self._messages: list[dict[str, Any]] = []
        self._joined = threading.Event()
        self._client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self._client.on("connect", self._join)
        self._client.on("session_confirm", lambda *_: self._joined.set())
        self._client.on("bot_uttered", self._messages.append)
        self._client.connect(url, transports=["websocket"], wait_timeout=20)
        if not self._joined.wait(20):
            raise TimeoutError("Rasa did not confirm the session")

    def tell(self, text: str) -> None:
        """Say something; returns when Rasa has dealt with it."""
        self._client.call("user_uttered", {"message": text, "session_id": self._sender}, timeout=90)

    def messages(self) -> list[dict[str, Any]]:
        """What was pushed, in the order of arrival."""
        return list(self._messages)

    def close(self) -> None:
        """Close the page."""
        self._client.disconnect()

    def _join(self) -> None:
        self._client.emit("session_request", {"session_id": self._sender})


@contextlib.contextmanager
def web_chat(url: str, sender: str) -> Iterator[WebChat]:
    """A page, open until the block ends."""
    page = WebChat(url, sender)
    try:
        yield page
    finally:
        page.close()
