"""What we rely on in Rasa's HTTP API: one suite for FakeRasa and, with the marker `live`, the real Rasa server.

The real one is the stack's, without an action server; RASA_PYTHON and RASA_MODEL name another Rasa and its model.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest
import requests

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError
from rasa_tiledesk.http import Http
from rasa_tiledesk.rasa.client import RasaClient
from rasa_tiledesk.testing.conversations import load
from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.trackers.rasa_api import RasaApiReader
from rasa_tiledesk.trackers.reading import events_among

TOKEN = "t&k n"
GOODBYE = "Goodbye, and thank you for stopping by."  # the example bot's answer to `goodbye`


@dataclass(frozen=True)
class Rasa:
    """A Rasa server with a token, and a callback channel whose messages we see."""

    url: str
    delivered: Callable[[str], list[dict[str, Any]]]
    hold_channel: Callable[[], AbstractContextManager[threading.Event]]
    restart: Callable[[str], None]

    def client(self, token: str | None = TOKEN) -> RasaClient:
        return RasaClient(self.url, token=token, http=Http(read_timeout=30))


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.live)])
def rasa(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rasa]:
    if request.param == "real":
        yield from real_rasa(tmp_path_factory.mktemp("rasa"))
        return
    with FakeRasa(token=TOKEN) as fake:
        fake.answers = {"goodbye": [{"text": GOODBYE}]}
        sent = fake.delivered["callback"]
        yield Rasa(
            fake.url,
            lambda sender: [message for message in sent if message["recipient_id"] == sender],
            fake.hold_channel,
            fake.restart,
        )


def real_rasa(folder: Path) -> Iterator[Rasa]:
    from stack.callbacks import callback_listener
    from stack.processes import Child, free_port, started

    if "RASA_PYTHON" in os.environ:
        python, model = os.environ["RASA_PYTHON"], os.environ["RASA_MODEL"]
    else:
        from stack.rasa import ENVIRONMENT, install

        model, python = str(install()), str(ENVIRONMENT.python)
    port, actions_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    # The example bot's domain lists action_session_start, so Rasa asks an action server for it.
    command = [python, "-m", "rasa_sdk", "--actions", "rasa_tiledesk.actions", "--port", str(actions_port)]
    actions = Child("the action server", command, log=folder / "actions.log", cwd=folder)
    with callback_listener() as callbacks, started(actions, lambda: _answers(actions_port), seconds=120):
        (folder / "credentials.yml").write_text(f"rest:\ncallback:\n  url: {callbacks.url}\n")
        (folder / "endpoints.yml").write_text(
            "tracker_store: {type: SQL, dialect: sqlite, db: rasa.db}\n"
            f"action_endpoint:\n  url: http://127.0.0.1:{actions_port}/webhook\n"
        )
        command = [python, "-m", "rasa", "run", "--enable-api", "--auth-token", TOKEN, "--model", model]
        command += ["--interface", "127.0.0.1", "--port", str(port)]
        command += ["--endpoints", "endpoints.yml", "--credentials", "credentials.yml"]
        env = {**os.environ, "RASA_TELEMETRY_ENABLED": "false"}
        child = Child("Rasa", command, log=folder / "rasa.log", cwd=folder, env=env)

        def ready() -> bool:
            return requests.get(f"{url}/status", params={"token": TOKEN}, timeout=2).ok

        def restart(sender: str) -> None:
            said = {"sender": sender, "message": "/restart"}
            requests.post(f"{url}/webhooks/callback/webhook", json=said, timeout=30).raise_for_status()

        with started(child, ready, seconds=240):
            yield Rasa(url, callbacks.messages, callbacks.hold, restart)


def _answers(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok


@pytest.fixture
def client(rasa: Rasa) -> Iterator[RasaClient]:
    opened = rasa.client()
    yield opened
    opened.close()


@pytest.fixture
def sender() -> str:
    return f"user-{uuid4().hex}"


def user(text: str, channel: str = "callback") -> dict[str, Any]:
    event = {"event": "user", "text": text, "input_channel": channel, "message_id": uuid4().hex}
    return {**event, "parse_data": {"intent": {"name": "inform"}}}


def meet(client: RasaClient, sender: str, channel: str) -> None:
    """The user writes first: a session begins, then comes the message."""
    client.append_events(sender, [{"event": "action", "name": "action_session_start"}, {"event": "session_started"}])
    client.append_events(sender, [user("a human, please", channel)])


def recorded() -> list[dict[str, Any]]:
    """The recorded conversation without what Rasa would not take back: see the test of that name."""
    return [event for event in load("shop") if event["event"] != "user" or event["parse_data"]["intent"]["name"]]


def kinds(state: dict[str, Any]) -> list[str]:
    return [event["event"] for event in state["events"]]


def test_makes_up_a_session_for_an_unknown_sender(client: RasaClient, sender: str) -> None:
    first, second = client.tracker(sender), client.tracker(sender)

    assert kinds(first) == ["action", "session_started", "action"]
    assert first["events"][0]["timestamp"] < second["events"][0]["timestamp"], "it was kept"
    assert first["latest_input_channel"] is None
    assert first["paused"] is False


def test_adds_events_in_order_after_a_session_start(client: RasaClient, sender: str) -> None:
    client.append_events(sender, [user("one"), {"event": "bot", "text": "two", "data": {"image": "https://i/1.png"}}])
    client.append_events(sender, [{"event": "agent", "text": "three"}])

    events = client.tracker(sender)["events"]
    assert [event["event"] for event in events] == ["action", "session_started", "action", "user", "bot", "agent"]
    assert [event["text"] for event in events[3:]] == ["one", "two", "three"]
    assert events[4]["data"] == {"image": "https://i/1.png"}
    assert all(event["metadata"]["assistant_id"] for event in events)


def test_keeps_the_time_and_metadata_of_an_event(client: RasaClient, sender: str) -> None:
    event = {"event": "bot", "text": "hi", "timestamp": 1795371246.7552056, "metadata": {"tiledesk": {"id": "7"}}}
    client.append_events(sender, [user("one")])
    client.append_events(sender, [event])

    stored = client.tracker(sender)["events"][-1]
    assert stored["timestamp"] == 1795371246.7552056
    assert stored["metadata"]["tiledesk"] == {"id": "7"}


def test_gives_a_recorded_conversation_back(client: RasaClient, sender: str) -> None:
    client.append_events(sender, recorded())

    wanted = [(event["event"], event["timestamp"], event.get("text")) for event in recorded()]
    found = client.tracker(sender)["events"]
    assert [(event["event"], event["timestamp"], event.get("text")) for event in found] == wanted


def test_answers_with_the_state_after_the_events(client: RasaClient, sender: str) -> None:
    state = client.append_events(sender, [user("one", "rest"), user("two", "callback"), {"event": "pause"}])

    assert state["sender_id"] == sender
    assert state["latest_input_channel"] == "callback"
    assert state["latest_message"]["text"] == "two"
    assert state["paused"] is True


@pytest.mark.parametrize(
    ("events", "paused"),
    [
        (["pause"], True),
        (["pause", "resume"], False),
        (["pause", "session_started"], False),
        (["pause", "restart"], False),
        (["pause", "rewind"], False),
        (["session_started", "pause"], True),
    ],
)
def test_keeps_the_pause_as_the_tracker_does(client: RasaClient, sender: str, events: list[str], paused: bool) -> None:
    client.append_events(sender, [user("a human, please")])

    for event in events:
        state = client.append_events(sender, [{"event": event}])
    assert state["paused"] is paused
    assert client.tracker(sender)["paused"] is paused


def test_shows_the_events_that_are_asked_for(client: RasaClient, sender: str) -> None:
    client.append_events(sender, [user("one"), {"event": "restart"}, user("two")])

    assert kinds(client.tracker(sender))[-3:] == ["user", "restart", "user"]
    assert kinds(client.tracker(sender, include_events="AFTER_RESTART")) == ["user"]
    assert client.tracker(sender, include_events="NONE")["events"] is None


def test_delivers_bot_events_to_the_users_channel(rasa: Rasa, client: RasaClient, sender: str) -> None:
    buttons = [{"title": "Yes", "payload": "/affirm"}]
    meet(client, sender, "callback")
    client.append_events(sender, [{"event": "pause"}])
    said: list[dict[str, Any]] = [
        {"event": "bot", "text": "Hi, this is Ann", "data": {"buttons": buttons}},
        {"event": "agent", "text": "x"},
    ]
    client.append_events(sender, said, output_channel="latest", side_effects=True)

    messages = rasa.delivered(sender)
    assert [(message["text"], message.get("buttons")) for message in messages] == [("Hi, this is Ann", buttons)]
    assert kinds(client.tracker(sender))[-2:] == ["bot", "agent"]


def test_loses_sight_of_what_began_a_conversation(client: RasaClient, sender: str) -> None:
    first = client.append_events(sender, [user("first")])
    second = client.append_events(sender, [{"event": "bot", "text": "second"}])

    assert first["latest_input_channel"] == "callback"
    assert second["latest_input_channel"] is None
    assert kinds(second) == ["session_started", "action", "bot"]
    assert kinds(client.tracker(sender)) == ["action", "session_started", "action", "user", "bot"]


def test_only_records_without_side_effects(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    client.append_events(sender, [{"event": "bot", "text": "quiet"}], output_channel="latest")

    assert rasa.delivered(sender) == []


@pytest.mark.parametrize("channel", ["latest", "rest", "nowhere", None])
def test_drops_what_a_channel_cannot_push(rasa: Rasa, client: RasaClient, sender: str, channel: str | None) -> None:
    meet(client, sender, "rest")
    said = [{"event": "bot", "text": "lost"}]
    state = client.append_events(sender, said, output_channel=channel, side_effects=True)

    assert rasa.delivered(sender) == []
    assert state["events"][-1]["text"] == "lost"


@pytest.mark.parametrize(
    "event",
    [
        {"event": "flow_started", "flow_id": "f"},
        {"event": "slot", "name": "topic"},
        {"event": "slot", "value": 1},
        {"event": "entities"},
        {"event": "bot", "text": "my card is 4242", "timestamp": "today"},
        {"event": "bot", "text": "my card is 4242", "metadata": "m"},
        {"event": "user", "text": 5},
        {"text": "my card is 4242"},
        {"event": "user", "text": "my card is 4242", "parse_data": {"intent": {"name": None}}},
    ],
)
def test_refuses_what_its_schema_does_not_take(client: RasaClient, sender: str, event: dict[str, Any]) -> None:
    with pytest.raises(RasaApiError, match="BadRequest: Failed to validate the events format") as refused:
        client.append_events(sender, [user("fine"), event])

    assert refused.value.status == 400
    assert "4242" not in str(refused.value)
    assert "user" not in kinds(client.tracker(sender)), "one bad event refuses all"


def test_takes_every_event_of_its_schema(client: RasaClient, sender: str) -> None:
    names = ["user_featurization", "cancel_reminder", "active_loop", "loop_interrupted", "reset_slots", "followup"]
    names += ["export", "undo", "pause", "resume", "bot", "agent", "rewind", "restart", "session_started"]
    client.append_events(sender, [user("one")])
    filled: dict[str, dict[str, Any]] = {
        "active_loop": {"name": None},
        "loop_interrupted": {"is_interrupted": True},
        "followup": {"name": "x"},
    }
    for name in names:
        client.append_events(sender, [{"event": name, **filled.get(name, {})}])

    assert kinds(client.tracker(sender))[-len(names) :] == names


@pytest.mark.parametrize("event", [{"event": "user", "text": "no parse_data"}, {"event": "action"}])
def test_fails_over_an_event_that_its_schema_takes(client: RasaClient, sender: str, event: dict[str, Any]) -> None:
    with pytest.raises(RasaApiError, match="answered 500: ConversationError"):
        client.append_events(sender, [event])
    assert kinds(client.tracker(sender)) == ["action", "session_started", "action"]


def test_writes_older_events_as_today(client: RasaClient, sender: str) -> None:
    client.append_events(sender, [user("one"), {"event": "form", "name": "f"}, {"event": "form_validation"}])

    assert kinds(client.tracker(sender))[-2:] == ["active_loop", "loop_interrupted"]


def test_refuses_an_empty_list(client: RasaClient, sender: str) -> None:
    with pytest.raises(RasaApiError, match="answered 500: ConversationError") as refused:
        client.append_events(sender, [])
    assert refused.value.status == 500


@pytest.mark.parametrize("token", [None, "wrong"])
def test_refuses_another_token(rasa: Rasa, sender: str, token: str | None) -> None:
    client = rasa.client(token)

    for call in (lambda: client.tracker(sender), lambda: client.append_events(sender, [user("x")]), client.check):
        with pytest.raises(RasaApiError, match=r"401: NotAuthenticated.*relay\.rasa_token") as refused:
            call()
        assert refused.value.status == 401
        assert "wrong" not in str(refused.value)


def test_takes_the_token_in_the_query_only(rasa: Rasa, sender: str) -> None:
    answer = Http().call(
        "GET", f"{rasa.url}/conversations/{sender}/tracker", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status == 401


def test_says_its_version(client: RasaClient) -> None:
    assert client.check() == "3.6.21"


@pytest.mark.parametrize(
    "sender_id",
    [
        "whatsapp:+49(30)1",
        "U01/C02_1712.5",
        "a//b/",
        "/a",
        "a@b.c;d=e,f*g!h$i&j'k~l",
        "auth0|5f7c",
        "100%",
        "a%20b",
        'a"b<c>d[e]f\\g^h`i{j}k|l',
    ],
)
def test_takes_the_sender_id_as_it_stands_in_the_path(client: RasaClient, sender_id: str) -> None:
    unique = f"{sender_id}{uuid4().hex}"

    assert client.append_events(unique, [user("one")])["sender_id"] == unique
    assert client.tracker(unique)["sender_id"] == unique


@pytest.mark.parametrize("sent", ["a%20b", "auth0%7C5f7c"])
def test_does_not_decode_paths(rasa: Rasa, sent: str) -> None:
    unique = uuid4().hex
    answer = Http().call("GET", f"{rasa.url}/conversations/{sent}{unique}/tracker", params={"token": TOKEN})
    assert f'"sender_id":"{sent}{unique}"' in answer.body.decode().replace(" ", "")


@pytest.mark.parametrize("sender_id", ["anna müller", "Zoë", "+39 333 1", "a?b", "a#b", "a\tb", "a\x7fb"])
def test_cannot_name_the_others_whatever_is_sent(rasa: Rasa, sender_id: str) -> None:
    server = urlsplit(rasa.url)
    target = f"/conversations/{sender_id}/tracker?token={quote(TOKEN)}"
    with socket.create_connection((str(server.hostname), int(str(server.port))), timeout=30) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: rasa\r\nConnection: close\r\n\r\n".encode())
        try:
            answer = connection.makefile("rb").read()
        except ConnectionResetError:
            answer = b""

    assert b" 200 " not in answer.partition(b"\r\n")[0]
    assert not RasaClient.can_name(sender_id)


def test_makes_the_bot_answer_an_intent_on_the_users_channel(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    client.append_events(sender, [{"event": "action", "name": "action_listen"}])
    state = client.trigger_intent(sender, "goodbye", {"order_number": "1"})

    assert [message["text"] for message in rasa.delivered(sender)] == [GOODBYE]
    external = next(event for event in state["events"] if event.get("text") == "EXTERNAL: goodbye")
    assert external["input_channel"] == "callback"
    assert external["message_id"] is None
    assert external["metadata"]["is_external"] is True
    assert external["parse_data"]["intent"]["name"] == "goodbye"
    assert external["parse_data"]["entities"] == [{"entity": "order_number", "value": "1"}]
    bot_turn = [event.get("name") or event["text"] for event in state["events"] if event["event"] in ("action", "bot")]
    assert bot_turn[-3:] == ["utter_goodbye", GOODBYE, "action_listen"]
    assert state["events"][-1]["timestamp"] == client.tracker(sender)["events"][-1]["timestamp"]


def test_only_notes_an_intent_while_the_bot_is_paused(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    client.append_events(sender, [{"event": "pause"}, {"event": "action", "name": "action_listen"}])
    state = client.trigger_intent(sender, "goodbye")

    assert rasa.delivered(sender) == []
    assert state["events"][-1]["text"] == "EXTERNAL: goodbye"
    assert state["paused"] is True


def test_knows_only_the_intents_of_its_domain(client: RasaClient, sender: str) -> None:
    with pytest.raises(RasaApiError, match=r"/trigger_intent answered 404: NotFound") as refused:
        client.trigger_intent(sender, "no_such_intent")

    assert refused.value.setup is False
    assert "enable-api" not in str(refused.value)


@pytest.mark.parametrize("how", ["append_events", "trigger_intent"])
def test_sends_before_it_saves_and_gives_up_when_the_caller_hangs_up(
    rasa: Rasa, client: RasaClient, sender: str, how: str
) -> None:
    """The user has the words, the conversation never does, and what would have come after them is not sent."""
    meet(client, sender, "callback")
    client.append_events(sender, [{"event": "action", "name": "action_listen"}])
    before = client.tracker(sender)["events"]
    said = [{"event": "bot", "text": GOODBYE}, {"event": "bot", "text": "two"}]
    with rasa.hold_channel() as taken, ThreadPoolExecutor(1) as threads:
        if how == "append_events":
            call = threads.submit(
                client.append_events, sender, said, output_channel="latest", side_effects=True, deadline=Deadline(1)
            )
        else:
            call = threads.submit(client.trigger_intent, sender, "goodbye", deadline=Deadline(1))
        with pytest.raises(RasaApiError, match="no answer within") as failed:
            call.result(timeout=30)
        assert taken.is_set()
        # The lock is free although the channel still has not said anything.
        after = client.append_events(sender, [{"event": "agent", "text": "next"}], deadline=Deadline(20))

    assert failed.value.sent is True
    assert [message["text"] for message in rasa.delivered(sender)] == [GOODBYE]
    assert kinds(client.tracker(sender)) == [*(event["event"] for event in before), "agent"]
    assert after["events"][-1]["text"] == "next"


def test_saves_when_the_caller_waits_for_a_slow_channel(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    with ThreadPoolExecutor(1) as threads:
        with rasa.hold_channel() as taken:
            said = [{"event": "bot", "text": "slow"}]
            call = threads.submit(client.append_events, sender, said, output_channel="latest", side_effects=True)
            assert taken.wait(30)
            assert kinds(client.tracker(sender))[-1] == "user"
            assert not call.done()
        assert call.result(timeout=30)["events"][-1]["text"] == "slow"


def test_forgets_who_hung_up_while_waiting_for_the_lock(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    with ThreadPoolExecutor(1) as threads:
        with rasa.hold_channel() as taken:
            said = [{"event": "bot", "text": "slow"}]
            call = threads.submit(client.append_events, sender, said, output_channel="latest", side_effects=True)
            assert taken.wait(30)
            with pytest.raises(RasaApiError, match="no answer within"):
                client.append_events(sender, [{"event": "agent", "text": "late"}], deadline=Deadline(0.5))
        call.result(timeout=30)
    client.append_events(sender, [{"event": "agent", "text": "next"}])

    texts = [event.get("text") for event in client.tracker(sender)["events"]]
    assert texts[-2:] == ["slow", "next"]


def test_hears_a_restart_while_the_bot_is_paused(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    events = [{"event": "slot", "name": "order_number", "value": "1"}, {"event": "pause"}]
    client.append_events(sender, [*events, {"event": "action", "name": "action_listen"}])
    rasa.restart(sender)

    state = client.tracker(sender)
    told = [event.get("name") or event.get("text") or event["event"] for event in state["events"]]
    begun = ["action_restart", "restart", "action_session_start", "session_started", "action_listen"]
    assert [event for event in told if event != "user_featurization"][-6:] == ["/restart", *begun]
    assert state["paused"] is False
    assert state["slots"]["order_number"] is None


def test_knows_no_latest_channel_after_a_restart(rasa: Rasa, client: RasaClient, sender: str) -> None:
    meet(client, sender, "callback")
    client.append_events(sender, [{"event": "action", "name": "action_listen"}])
    rasa.restart(sender)
    said = [{"event": "bot", "text": "ended"}]
    state = client.append_events(sender, said, output_channel="latest", side_effects=True)

    assert state["latest_input_channel"] is None
    assert rasa.delivered(sender) == []
    client.append_events(sender, said, output_channel="callback", side_effects=True)
    assert [message["text"] for message in rasa.delivered(sender)] == ["ended"]


def test_is_read_as_a_tracker_store(rasa: Rasa, client: RasaClient, sender: str) -> None:
    reader = RasaApiReader(rasa.url, TOKEN)
    assert reader.events(sender, deadline=Deadline(10)) == []

    client.append_events(sender, recorded())
    assert reader.events(sender, deadline=Deadline(10)) == events_among(client.tracker(sender)["events"])
    reader.close()
