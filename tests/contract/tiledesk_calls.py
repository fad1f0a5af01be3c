"""What the contract tests of Tiledesk share: clients, lines, calls without the client, and waiting."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any, Callable

import pytest

from rasa_tiledesk.http import Http
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import AgentLogin, BasicLogin, BotCredential, Credential, EndUser, TiledeskClient

UNKNOWN = "5e2c35c8f0dbc10017bb3aac"

CREDENTIALS: dict[str, Callable[[FakeTiledesk], Credential]] = {
    "login": lambda desk: AgentLogin(*desk.owner),
    "basic": lambda desk: BasicLogin(*desk.owner),
    "bot": lambda desk: BotCredential(*desk.bot),
}
every_credential = pytest.mark.parametrize("kind", CREDENTIALS)


def client_of(desk: FakeTiledesk, kind: str = "login", **other: Any) -> TiledeskClient:
    return TiledeskClient(
        other.get("url", desk.url),
        other.get("project_id", desk.project_id),
        credential=other.get("credential") or CREDENTIALS[kind](desk),
        sleep=lambda _: None,
    )


def new_id(desk: FakeTiledesk) -> str:
    return f"support-group-{desk.project_id}-{uuid.uuid4().hex}"


def line(sender: str, text: str = "Hello", **fields: object) -> dict[str, object]:
    return {"sender": sender, "senderFullname": "Jane", "text": text, "channel": {"name": "rasa"}, **fields}


def opened(desk: FakeTiledesk, client: TiledeskClient, user: EndUser, *, temporary: bool = True) -> str:
    request_id = new_id(desk)
    client.open_request(request_id, line(user.id), temporary=temporary)
    return request_id


def owner_token(desk: FakeTiledesk) -> str:
    email, password = desk.owner
    return "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()


def raw(
    desk: FakeTiledesk, method: str, path: str, body: object = None, *, token: str | None = "owner", wait: float = 10.0
) -> tuple[int, Any]:
    """A call as it is, without the client: the status, and the JSON or the text."""
    headers = {"Authorization": owner_token(desk) if token == "owner" else token} if token else {}
    path = path.replace("{p}", desk.project_id)
    answer = Http().call(method, desk.url + path, json=body, headers=headers, read_timeout=wait)
    try:
        return answer.status, json.loads(answer.body)
    except ValueError:
        return answer.status, answer.body.decode()


def silence(desk: FakeTiledesk) -> float:
    """Seconds after which no answer will come."""
    return 0.15 if isinstance(desk, FakeTiledesk) else 1.0


def texts(client: TiledeskClient, request_id: str) -> list[str]:
    return [message.text for message in client.messages(request_id)]


def eventually(probe: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether the probe says yes in time; the real server does some things after it has answered."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if probe():
            return True
        time.sleep(0.02)
    return probe()
