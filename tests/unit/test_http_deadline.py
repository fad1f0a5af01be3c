"""A call ends with its deadline, whatever the other side does, shown with real sockets."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.http import Http, NoAnswer, NotSent
from tests.unit.sockets import OK, Trickle, answering, read, server

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"", b"H", id="status line"),
        pytest.param(HEAD + b"X-Long: ", b"x", id="headers"),
        pytest.param(HEAD + b"Content-Length: 100000\r\n\r\n", b"x", id="body of known length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1", id="a chunk's length"),
        pytest.param(HEAD + b"\r\n", b"x", id="body until close"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="100 again and again"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 100000\r\n\r\n", b"x", id="redirect"),
    ],
)
def test_the_deadline_ends_a_call_whose_answer_still_trickles(start: bytes, piece: bytes) -> None:
    trickle = Trickle(start, piece)
    with server(trickle) as url, pytest.raises(NoAnswer) as caught:
        Http().call("POST", url, json={}, deadline=Deadline(1.0, clock=trickle.clock))
    assert caught.value.timed_out
    assert trickle.cut.wait(10)


def test_the_deadline_ends_a_proxys_answer_to_connect_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    trickle = Trickle(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")
    with server(trickle) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(NotSent):
            Http().call("POST", "https://tiledesk.invalid/", json={}, deadline=Deadline(1.0, clock=trickle.clock))
    assert trickle.cut.wait(10)


def test_the_deadline_ends_a_handshake_without_an_answer() -> None:
    gave_up = threading.Event()

    def accept_only(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass
        gave_up.set()

    with server(accept_only) as url, pytest.raises(NotSent, match="no connection in time"):
        Http(connect_timeout=60).call("GET", url.replace("http:", "https:"), deadline=Deadline(0.1))
    assert gave_up.wait(10)


def test_the_deadline_ends_the_sending_of_a_long_request_that_nobody_reads() -> None:
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        over.wait(10)

    with server(serve) as url, pytest.raises(NoAnswer) as caught:
        Http(read_timeout=60).call("POST", url, json="x" * 20_000_000, deadline=Deadline(0.2, clock=lambda: 0.0))
    over.set()
    assert caught.value.timed_out


class TestPlaces:
    def test_waiting_for_a_place_ends_with_the_deadline_and_nothing_is_sent(self) -> None:
        arrived, over = threading.Semaphore(0), threading.Event()

        def slow(connection: socket.socket) -> None:
            read(connection)
            arrived.release()
            over.wait(10)
            connection.sendall(OK)

        http = Http(pool=1)
        with server(slow) as url, ThreadPoolExecutor(1) as threads:
            first = threads.submit(http.call, "GET", url)
            assert arrived.acquire(timeout=10)
            try:
                with pytest.raises(NotSent, match="taken"):
                    http.call("GET", url, deadline=Deadline(0.05))
            finally:
                over.set()
            assert first.result(10).status == 200
        assert not arrived.acquire(blocking=False)

    def test_a_place_is_given_back_however_a_call_ends(self) -> None:
        http = Http(pool=1)
        with server(answering(b"")) as url:
            for _ in range(3):
                with pytest.raises(NoAnswer):
                    http.call("GET", url, deadline=Deadline(5))
        for bad in ("http://", "http://nowhere.invalid/"):
            with pytest.raises(NotSent):
                http.call("GET", bad, deadline=Deadline(5))
        with server(answering(OK)) as url:
            assert http.call("GET", url, deadline=Deadline(5)).status == 200
