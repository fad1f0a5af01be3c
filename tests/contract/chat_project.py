"""A project on a real Tiledesk with chat21, with the controls that FakeTiledesk has for its agents' chats."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent
from stack.project import LiveAgent, LiveProject
from tests.contract.tiledesk_calls import eventually

__all__ = ["ChatProject"]


class ChatProject(LiveProject):
    """A new project, whose owner has the chat open; other agents open it when they are first looked at.

    Args:
        server: Tiledesk with chat21.
    """

    def __init__(self, server: Chat21Server) -> None:
        super().__init__(server.url)
        self._server = server
        self._chats: dict[str, ChatAgent] = {}
        self._chat(*self.owner)

    def agents_chat(self, request_id: str, agent: LiveAgent | None = None) -> list[dict[str, Any]]:
        """What an agent's chat shows: what it reads when it is opened, and what has come since, by `timestamp`."""
        chat = self._chat(agent.email, agent.password) if agent else self._chat(*self.owner)
        notes = [message.raw for message in (*chat.history(request_id), *chat.inbox(request_id))]
        return sorted({note["message_id"]: note for note in notes}.values(), key=lambda note: float(note["timestamp"]))

    def agent_says(
        self,
        request_id: str,
        text: str,
        *,
        agent: LiveAgent | None = None,
        attributes: Mapping[str, object] | None = None,
        **fields: object,
    ) -> dict[str, Any]:
        """Say something in the chat; returns the message as Tiledesk has it when chat21 has brought it there."""
        chat = self._chat(agent.email, agent.password) if agent else self._chat(*self.owner)
        known = {message["_id"] for message in self.messages(request_id)}
        chat.say(request_id, text, attributes=attributes, **fields)  # type: ignore[arg-type]
        found: list[dict[str, Any]] = []

        def stored() -> bool:
            found[:] = [m for m in self.messages(request_id) if m["_id"] not in known and m["text"] == text]
            return bool(found)

        assert eventually(stored, 20.0)
        return found[0]

    def close_chats(self) -> None:
        """Close the agents' chats."""
        with contextlib.ExitStack() as stack:
            for chat in self._chats.values():
                stack.callback(chat.close_chat)

    def _chat(self, email: str, password: str) -> ChatAgent:
        if email not in self._chats:
            self._chats[email] = ChatAgent(self._server, self.project_id, email, password)
        return self._chats[email]
