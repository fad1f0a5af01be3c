"""An agent as the agents' chat has one: signed in to chat21, listening and writing by MQTT."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from stack.agent import Agent, Message
from stack.chat21 import APP, Chat21Server

__all__ = ["ChatAgent", "chat_agent"]

Inbox = list[Message]


class ChatAgent(Agent):
    """An agent of a project with the chat open.

    The login and the topics are those of Tiledesk's chat, chat21-ionic 3.4.28 (seen in 2026-11).

    Args:
        server: Tiledesk with chat21.
        project_id: the project.
        email: the agent's login.
        password: the agent's login.
    """

    def __init__(self, server: Chat21Server, project_id: str, email: str, password: str) -> None:
        super().__init__(server.url, project_id, email, password)
        self._chat21 = f"{server.chat21_url}/{self.id}"
        answer = self._http.post(f"{server.url}/chat21/native/auth/createCustomToken", timeout=30)
        answer.raise_for_status()
        self._token = str(answer.json()["token"])
        self._arrived = threading.Condition()
        self._inboxes: dict[str, Inbox] = defaultdict(list)
        self._listening = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"agent-{uuid.uuid4().hex}")
        self._client.username_pw_set("JWT", self._token)
        self._client.on_connect = lambda client, *_: client.subscribe(f"apps/{APP}/users/{self.id}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", server.mqtt_port)
        self._client.loop_start()
        if not self._listening.wait(30):
            self.close_chat()
            raise TimeoutError("RabbitMQ did not let the agent listen")

    def close_chat(self) -> None:
        """Close the chat: nothing arrives any more."""
        self._client.disconnect()
        self._client.loop_stop()

    def inbox(self, request_id: str) -> Inbox:
        """What arrived of a conversation, in the order of arrival; Tiledesk's own notices and own words included."""
        with self._arrived:
            return list(self._inboxes[request_id])

    def wait_for(self, request_id: str, happened: Callable[[Inbox], object], *, seconds: float = 20) -> Inbox:
        """The inbox, as soon as `happened` says yes to it.

        Raises:
            TimeoutError: it did not in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: happened(self._inboxes[request_id]), timeout=seconds):
                raise TimeoutError(f"not in the agent's inbox within {seconds:.0f} s")
            return list(self._inboxes[request_id])

    def history(self, request_id: str) -> Inbox:
        """What the chat shows of a conversation when it is opened: chat21's newest 200 messages, oldest first."""
        url = f"{self._chat21}/conversations/{request_id}/messages"
        answer = self._http.get(url, headers={"Authorization": self._token}, timeout=30)
        answer.raise_for_status()
        return sorted(map(_message, answer.json()["result"]), key=lambda message: message.time)

    def say(
        self,
        request_id: str,
        text: str,
        *,
        type: str = "text",  # noqa: A002  (chat21's name)
        metadata: Mapping[str, object] | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        """Write into a conversation; returns when RabbitMQ has it."""
        message = {
            "text": text,
            "type": type,
            "metadata": dict(metadata or {}),
            "attributes": dict(attributes or {}),
            "sender_fullname": self.name,
            "recipient_fullname": "Guest",
            "channel_type": "group",
        }
        topic = f"apps/{APP}/outgoing/users/{self.id}/messages/{request_id}/outgoing"
        self._client.publish(topic, json.dumps(message), qos=1).wait_for_publish(timeout=30)

    def say_privately(self, request_id: str, text: str) -> None:
        """Write what only agents may read, among the messages."""
        self.say(request_id, text, attributes={"subtype": "private"})

    def send_image(self, request_id: str, src: str, *, text: str = "", width: int = 120, height: int = 80) -> None:
        """Send a picture that was uploaded before."""
        name = src.rsplit("/", 1)[-1]
        metadata = {"src": src, "width": width, "height": height, "type": "image/png", "name": name}
        self.say(request_id, text, type="image", metadata=metadata)

    def send_file(self, request_id: str, src: str, *, name: str) -> None:
        """Send a file that was uploaded before: the text is a link in Markdown, as the agents' chat writes it."""
        metadata = {"src": src, "name": name, "type": "application/pdf"}
        self.say(request_id, f"[{name}]({src})", type="file", metadata=metadata)

    def _take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        *_, kind, request_id, event = message.topic.split("/")
        if (kind, event) != ("messages", "clientadded"):
            return
        with self._arrived:
            self._inboxes[request_id].append(_message(json.loads(message.payload)))
            self._arrived.notify_all()


@contextlib.contextmanager
def chat_agent(server: Chat21Server, project_id: str, email: str, password: str) -> Iterator[ChatAgent]:
    """An agent whose chat is open until the block ends."""
    agent = ChatAgent(server, project_id, email, password)
    try:
        yield agent
    finally:
        agent.close_chat()


def _message(raw: dict[str, Any]) -> Message:
    metadata = raw.get("metadata") or {}
    return Message(
        sender=raw["sender"],
        name=raw.get("sender_fullname", ""),
        text=raw.get("text", ""),
        image=metadata.get("src", "") if raw.get("type") == "image" else "",
        time=int(raw["timestamp"]),
        raw=raw,
    )
