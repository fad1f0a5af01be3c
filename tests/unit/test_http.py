"""Whether a failed call can have reached the other side, shown with real sockets."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.http import Http, NoAnswer, NotSent
from stack.processes import free_port

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[str]:
    """Hands each connection, in a thread of its own, to `serve`, then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection:
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read(connection: socket.socket) -> bytes:
    """A whole request: closing with some of it unread would reset the connection."""
    data, wanted = b"", None
    while wanted is None or len(data) < wanted:
        chunk = connection.recv(65536)
        if not chunk:
            break
        data += chunk
        if wanted is None and b"\r\n\r\n" in data:
            length = re.search(rb"(?i)content-length: (\d+)", data)
            wanted = data.index(b"\r\n\r\n") + 4 + (int(length.group(1)) if length else 0)
    return data


def answering(raw: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(raw)

    return serve


def silent(connection: socket.socket) -> None:
    read(connection)
    connection.recv(1)  # until the caller gives up


def resetting(connection: socket.socket) -> None:
    read(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class TestNotSent:
    def test_refused(self) -> None:
        with pytest.raises(NotSent, match="refused"):
            Http().call("POST", f"http://127.0.0.1:{free_port()}/", json={})

    def test_unknown_host(self) -> None:
        with pytest.raises(NotSent):
            Http().call("POST", "http://nowhere.invalid/", json={})

    def test_no_time_left(self) -> None:
        with server(answering(OK)) as url, pytest.raises(NotSent, match="no time left"):
            Http().call("POST", url, json={}, deadline=Deadline(0))

    def test_a_server_that_speaks_no_tls(self) -> None:
        with server(lambda connection: connection.sendall(b"what?\r\n")) as url, pytest.raises(NotSent, match="TLS"):
            Http().call("POST", url.replace("http:", "https:"), json={})

    def test_an_url_that_is_none(self) -> None:
        for url in ("api.tiledesk.com/v3", "http://", "ftp://example.com/"):
            with pytest.raises(NotSent):
                Http().call("GET", url)

    def test_the_url_is_not_shown(self) -> None:
        with pytest.raises(NotSent) as caught:
            Http().call("GET", f"http://127.0.0.1:{free_port()}/secret-id", params={"token": "s3cret"})
        assert "secret-id" not in str(caught.value)
        assert "s3cret" not in str(caught.value)


class TestNoAnswer:
    def test_silence_times_out(self) -> None:
        with server(silent) as url, pytest.raises(NoAnswer) as caught:
            Http(read_timeout=0.1).call("POST", url, json={})
        assert caught.value.timed_out

    def test_a_reset_is_no_timeout(self) -> None:
        with server(resetting) as url, pytest.raises(NoAnswer) as caught:
            Http().call("POST", url, json={})
        assert not caught.value.timed_out

    def test_closing_without_an_answer(self) -> None:
        with server(answering(b"")) as url, pytest.raises(NoAnswer) as caught:
            Http().call("POST", url, json={})
        assert not caught.value.timed_out

    def test_an_answer_cut_short(self) -> None:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
        with server(answering(raw)) as url, pytest.raises(NoAnswer) as caught:
            Http().call("POST", url, json={})
        assert not caught.value.timed_out

    def test_a_length_that_was_promised_and_not_kept(self) -> None:
        with server(answering(OK.replace(b"Length: 2", b"Length: 9"))) as url, pytest.raises(NoAnswer):
            Http().call("POST", url, json={})

    def test_a_body_that_stalls_times_out(self) -> None:
        def stall(connection: socket.socket) -> None:
            read(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            connection.recv(1)

        with server(stall) as url, pytest.raises(NoAnswer) as caught:
            Http(read_timeout=0.1).call("GET", url)
        assert caught.value.timed_out

    def test_a_body_that_trickles_ends_with_the_deadline(self) -> None:
        gone = threading.Event()

        def trickle(connection: socket.socket) -> None:
            read(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                while not gone.wait(0.02):
                    connection.sendall(b"1\r\nx\r\n")

        with server(trickle) as url, pytest.raises(NoAnswer) as caught:
            Http().call("GET", url, deadline=Deadline(0.3))
        gone.set()
        assert caught.value.timed_out

    def test_what_is_not_http(self) -> None:
        with server(answering(b"SSH-2.0-OpenSSH_9.2\r\n")) as url, pytest.raises(NoAnswer):
            Http().call("POST", url, json={})

    def test_a_kept_connection_that_died_in_between(self) -> None:
        """The server closed an idle connection; the call may or may not have been read: nobody can tell."""
        served = threading.Semaphore(0)

        def serve(connection: socket.socket) -> None:
            read(connection)
            connection.sendall(OK)
            read(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            served.release()

        http = Http()
        with server(serve) as url:
            assert http.call("GET", url).status == 200
            with pytest.raises(NoAnswer):
                http.call("POST", url, json={})
            assert served.acquire(timeout=2)


class TestAnswers:
    def test_an_answer_is_read_whole(self) -> None:
        with server(answering(OK)) as url:
            answer = Http().call("GET", url)
        assert (answer.status, answer.body) == (200, b"{}")

    def test_a_redirect_is_not_followed(self) -> None:
        raw = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
        with server(answering(raw)) as url:
            assert Http().call("POST", url, json={}).status == 302

    def test_a_login_in_netrc_does_not_replace_our_header(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: object
    ) -> None:
        netrc = f"{tmp_path}/netrc"
        with open(netrc, "w") as file:  # noqa: PTH123
            file.write("machine 127.0.0.1 login somebody password s3cret\n")
        monkeypatch.setenv("NETRC", netrc)
        seen: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            seen.append(read(connection))
            connection.sendall(OK)

        with server(serve) as url:
            Http().call("GET", url, headers={"Authorization": "JWT ours"})
            Http().call("GET", url)
        assert b"JWT ours" in seen[0]
        assert b"Authorization" not in seen[1]

    def test_cookies_are_not_kept(self) -> None:
        seen: list[bytes] = []

        def serve(connection: socket.socket) -> None:
            seen.append(read(connection))
            connection.sendall(OK.replace(b"Content", b"Connection: close\r\nSet-Cookie: connect.sid=x\r\nContent", 1))

        http = Http()
        with server(serve) as url:
            for _ in range(2):
                http.call("GET", url)
        assert not any(b"Cookie" in one for one in seen)
