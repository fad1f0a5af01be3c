from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaApiError
from rasa_tiledesk.http import Http
from rasa_tiledesk.rasa.client import RasaClient
from rasa_tiledesk.testing.fake_rasa import FakeRasa

TOKEN = "s3cret&token"


@pytest.fixture
def rasa() -> Iterator[FakeRasa]:
    with FakeRasa(token=TOKEN) as server:
        yield server


@pytest.fixture
def client(rasa: FakeRasa) -> Iterator[RasaClient]:
    opened = RasaClient(rasa.url + "/", token=TOKEN)
    yield opened
    opened.close()


def failure(client: RasaClient, deadline: Deadline | None = None) -> RasaApiError:
    with pytest.raises(RasaApiError) as caught:
        client.append_events("ann", [{"event": "bot", "text": "private words"}], deadline=deadline)
    assert "private" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "ann" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_nobody_there_is_safe_to_repeat() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = failure(RasaClient(f"http://127.0.0.1:{closed.getsockname()[1]}", token=TOKEN))

    assert (error.status, error.sent, error.setup) == (None, False, False)
    assert "Connection refused" in str(error)
    assert "relay.rasa_url" in str(error)


def test_no_time_left_is_safe_to_repeat(client: RasaClient, rasa: FakeRasa) -> None:
    error = failure(client, Deadline(0))

    assert (error.status, error.sent) == (None, False)
    assert rasa.requests == []


def test_no_answer_may_have_taken_effect(client: RasaClient, rasa: FakeRasa) -> None:
    rasa.fail_next("hang")
    error = failure(client, Deadline(0.3))

    assert (error.status, error.sent, error.setup) == (None, True, False)
    assert "no answer within" in str(error)


@pytest.mark.parametrize(("fault", "kept"), [("reset", 0), ("lost", 1)])
def test_a_broken_connection_may_have_taken_effect(client: RasaClient, rasa: FakeRasa, fault: str, kept: int) -> None:
    rasa.fail_next(fault)
    error = failure(client)

    assert (error.status, error.sent) == (None, True)
    assert [event["event"] for event in rasa.events("ann")].count("bot") == kept


@pytest.mark.parametrize("status", [409, 500, 502, 503])
def test_a_failure_is_told_in_rasas_words(client: RasaClient, rasa: FakeRasa, status: int) -> None:
    rasa.fail_next(status)
    error = failure(client)

    assert error.status == status
    assert f"answered {status}: ConversationError: An unexpected error occurred. Error: as told" in str(error)
    client.tracker("ann")  # the next call is fine


@pytest.mark.parametrize(
    ("status", "setup"), [(401, True), (403, True), (404, False), (409, False), (500, False), (503, False)]
)
def test_what_waiting_does_not_mend_is_told_apart(client: RasaClient, rasa: FakeRasa, status: int, setup: bool) -> None:
    rasa.fail_next(status)

    assert failure(client).setup is setup


def test_a_server_without_api_is_told() -> None:
    with FakeRasa(api=False) as closed:
        client = RasaClient(closed.url)
        for call in (client.check, lambda: client.tracker("ann"), lambda: client.trigger_intent("ann", "greet")):
            with pytest.raises(RasaApiError, match="--enable-api") as refused:
                call()
            assert (refused.value.status, refused.value.setup) == (404, True)
            assert "ann" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "words", "setup"),
    [
        ("200 OK", r"answered 200 \(check relay\.rasa_url: is that Rasa\?\)", True),
        ("302 Found", r"answered 302 \(check relay\.rasa_url: is that Rasa\?\)", True),
        ("502 Bad Gateway", r"answered 502 \(check relay\.rasa_url: is that Rasa\?\)", False),
    ],
)
def test_another_server_is_told(answer: str, words: str, setup: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        page = b"<h1>It works!</h1>"

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = f"HTTP/1.1 {answer}\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode() + page)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(RasaApiError, match=words) as failed:
            RasaClient(f"http://127.0.0.1:{listener.getsockname()[1]}").check()
        thread.join()
    assert failed.value.setup is setup


@pytest.mark.parametrize(
    "sender_id",
    ["", "a b", "+39 333 1", "anna müller", "Zoë", "a?b", "a#b", "..", "a/../b", "./a", "a/.", "a\nb", "a\x7f"],
)
def test_a_sender_id_that_rasa_cannot_be_told_is_not_sent(client: RasaClient, rasa: FakeRasa, sender_id: str) -> None:
    """It would be another conversation: the wrong user would read the agent's answer."""
    with pytest.raises(RasaApiError, match="cannot name this sender id") as refused:
        client.append_events(sender_id, [{"event": "pause"}])

    assert (refused.value.sent, refused.value.setup) == (False, True)
    assert "spaces" in str(refused.value)
    assert rasa.requests == []


def test_the_token_is_in_no_log_and_no_repr(
    client: RasaClient, rasa: FakeRasa, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.tracker("ann")

    assert "/conversations/ann/tracker" in caplog.text  # urllib3 does write the URL at DEBUG
    assert "s3cret" not in caplog.text
    assert TOKEN not in repr(client)


def test_reading_waits_for_no_lock_and_adding_does(client: RasaClient, rasa: FakeRasa) -> None:
    rasa.says("ann", "a human, please")
    with ThreadPoolExecutor(1) as threads:
        with rasa.busy("ann"):
            adding = threads.submit(client.append_events, "ann", [{"event": "agent", "text": "hello"}])
            assert [event["event"] for event in client.tracker("ann")["events"]][-1] == "user"
            assert not adding.done()
        assert adding.result(timeout=5)["events"][-1]["text"] == "hello"


def test_one_client_serves_many_threads(rasa: FakeRasa) -> None:
    client = RasaClient(rasa.url, token=TOKEN, http=Http(pool=2))
    rasa.says("ann", "hi")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: client.append_events("ann", [{"event": "bot", "text": str(n)}]), range(40)))

    said = [event["text"] for event in rasa.events("ann") if event["event"] == "bot"]
    assert sorted(said, key=int) == [str(n) for n in range(40)]


def test_the_query_stays_quoted_where_the_path_is_not(client: RasaClient, rasa: FakeRasa) -> None:
    """Also when it looks like the end of a path: the token has an `&`."""
    rasa.says("auth0|5f7c%3F", "hello")
    client.append_events("auth0|5f7c%3F", [{"event": "pause"}])

    assert rasa.requests == [("POST", "/conversations/auth0|5f7c%3F/tracker/events")]
    assert rasa.paused("auth0|5f7c%3F")


def test_the_bot_of_the_fake_answers_what_it_hears(client: RasaClient, rasa: FakeRasa) -> None:
    rasa.bot_answers = True
    rasa.says("ann", "hello")
    client.append_events("ann", [{"event": "pause"}])
    rasa.says("ann", "a human?")
    rasa.restart("ann")
    rasa.says("ann", "hello again")

    told = [message["text"] for message in rasa.delivered["callback"]]
    assert told == ["answer to hello", "answer to hello again"]
    assert [event["text"] for event in rasa.events("ann") if event["event"] == "bot"] == told


def test_a_slow_channel_of_the_fake_takes_each_message_before_it_saves(client: RasaClient, rasa: FakeRasa) -> None:
    rasa.channel_latency = 60
    rasa.says("ann", "hello")
    with pytest.raises(RasaApiError, match="no answer within"):
        client.append_events(
            "ann",
            [{"event": "bot", "text": "one"}, {"event": "bot", "text": "two"}],
            output_channel="latest",
            side_effects=True,
            deadline=Deadline(0.3),
        )
    with rasa.busy("ann"):  # it has given up
        assert [message["text"] for message in rasa.delivered["callback"]] == ["one"]
        assert "bot" not in [event["event"] for event in rasa.events("ann")]


def test_a_channel_may_be_silent_for_as_long_as_the_deadline_says() -> None:
    with FakeRasa() as rasa:
        rasa.says("ann", "hello")
        rasa.channel_latency = 0.4
        client = RasaClient(rasa.url, http=Http(read_timeout=0.1))
        said = [{"event": "bot", "text": "hi"}]
        client.append_events("ann", said, output_channel="latest", side_effects=True, deadline=Deadline(10))
        assert [event["text"] for event in rasa.events("ann") if event["event"] == "bot"] == ["hi"]
