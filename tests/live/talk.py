"""A user who talks to an agent by the real Tiledesk with chat21: what both do, and what each has of the other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasa_tiledesk.handoff.ask import Outcome
from rasa_tiledesk.ledger import Handoff
from rasa_tiledesk.testing import FakeRasa
from stack.agent import Message
from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent, chat_agent
from stack.tiledesk import LiveProject
from tests.live.own_actions import User, action_server, conversation, endpoints_file, key_of
from tests.waiting import until

__all__ = ["JOINED", "PACE", "Talk", "begun", "chat_of", "queued"]

JOINED = "Olive Owner has joined"
PACE = 0.15  # seconds: what is written faster than 100 ms apart, chat21 itself may shuffle


@dataclass
class Talk:
    """A user whose conversation an agent has in the chat."""

    user: User
    agent: ChatAgent
    project: LiveProject
    handoff: Handoff

    @property
    def id(self) -> str:
        """The request."""
        return self.handoff.request_id

    def agent_says(self, *texts: str, who: ChatAgent | None = None) -> None:
        """The agent writes, at the pace of somebody who is quick."""
        for text in texts:
            (who or self.agent).say(self.id, text)
            threading.Event().wait(PACE)

    def user_heard(self, *texts: str) -> None:
        """The user has heard this, and nothing else, each once and in this order."""
        with contextlib.suppress(AssertionError):  # what they have heard instead says more than that it took too long
            until(lambda: len(self.user.heard()) >= len(texts))
        assert self.user.heard() == list(texts)

    def user_saw(self, picture: str) -> bool:
        """Whether the user was shown this picture, once."""
        return [message.get("image") for message in self.user.messages()].count(picture) == 1

    def user_read(self, words: str) -> bool:
        """Whether the user was told something with these words in it, once."""
        return sum(words in str(message.get("text")) for message in self.user.messages()) == 1

    def agent_heard(self, *texts: str, seconds: float = 20) -> None:
        """The user's words are in the agent's chat, each once."""
        inbox = self.agent.wait_for(self.id, lambda inbox: set(texts) <= set(chat_of(inbox)), seconds=seconds)
        assert sorted(text for text in chat_of(inbox) if text in texts) == sorted(texts)

    def agent_was_told(self, words: str) -> None:
        """The bot has told the agents about the conversation in these words, once."""
        inbox = self.agent.wait_for(self.id, lambda inbox: any(words in text for text in chat_of(inbox)))
        assert sum(words in text for text in chat_of(inbox)) == 1

    def is_heard(self) -> bool:
        """Whether all that Tiledesk has was looked at."""
        heard = self.user.now(self.handoff).heard
        return heard is not None and heard >= self.user.server.desk.request(self.id).updated_at.isoformat()

    def tiledesk_has(self) -> list[str]:
        """The texts of the request as Tiledesk, which we read, has them."""
        return [str(one["text"]) for one in self.project.messages(self.id)]

    def has_line(self, key: str, member: str = "") -> bool:
        """Whether Tiledesk has written such a line of its own."""
        labels = [(one.get("attributes") or {}).get("messagelabel") or {} for one in self.project.messages(self.id)]
        return any(
            label.get("key") == key and member in ("", (label.get("parameters") or {}).get("member_id"))
            for label in labels
        )


def chat_of(messages: Sequence[Message]) -> list[str]:
    """What was said, as the agent's chat sorts it."""
    return [message.text for message in sorted(messages, key=lambda one: one.time) if message.sender != "system"]


def begun(user: User, project: LiveProject, agent: ChatAgent, turns: int = 3) -> Talk:
    """A handoff that the agent has in the chat."""
    user.has_said(conversation(turns))
    handoff = user.hand_over()
    agent.wait_for(handoff.request_id, lambda inbox: any(key_of(message) for message in inbox))
    return Talk(user, agent, project, handoff)


@contextlib.contextmanager
def queued(folder: Path, rasa: FakeRasa, chat21: Chat21Server, **availability: Any) -> Iterator[Talk]:
    """A user of a project whose only agent is not there now."""
    project = chat21.bootstrap()
    project.set_available(project.owner_id, False)
    endpoints = endpoints_file(folder, project, rasa, availability=availability)
    with action_server(endpoints) as parts, chat_agent(chat21, project.project_id, *project.owner) as agent:
        user = User(rasa, parts).has_said(conversation(3))
        answer = user.ask()
        assert answer.outcome is Outcome.QUEUED  # by which the action says utter_tiledesk_queued
        assert answer.handoff is not None
        yield Talk(user, agent, project, user.assigned(answer.handoff))
