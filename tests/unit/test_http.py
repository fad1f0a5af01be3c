"""Whether a failed call can have reached the other side, shown with real sockets."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.http import Answer, Http, NoAnswer, NotSent
from stack.processes import free_port
from tests.unit.sockets import OK, answering, read, server


def silent(connection: socket.socket) -> None:
    read(connection)
    connection.recv(1)  # until the caller gives up


def resetting(connection: socket.socket) -> None:
    read(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_PIECES = [
    *(b"HTTP/1.1 ", b"200 OK\r\n", b"302 Found\r\n", b"100 Continue\r\n\r\n", b"204 \r\n", b"\r\n", b"\r\n\r\n", b"{}"),
    *(b"Content-Length: 2\r\n", b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    *(b"Content-Encoding: gzip, br\r\n", b"Location: http://[x\r\n", b"Set-Cookie: a=b; expires=\xb2\r\n"),
    *(b"Content-Type: text/html; charset=\r\n", b": no name\r\n", b"Connection: close\r\n"),
]


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
        labels = f"http://{'a' * 64}.example/"  # one is longer than 63
        for url in ("api.tiledesk.com/v3", "http://", "ftp://example.com/", "http://[x/", "http://a:b/", labels):
            with pytest.raises(NotSent):
                Http().call("GET", url)

    def test_a_header_that_cannot_be_sent(self) -> None:
        for value in ("a\nb", "\u20ac"):
            with server(answering(OK)) as url, pytest.raises(NotSent):
                Http().call("POST", url, json={}, headers={"Authorization": value})

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

    @pytest.mark.parametrize("location", [b"http://[x", b"//[", b"\xff\xfe", b"http://" + b"a" * 64 + b"/"])
    def test_a_redirect_to_nowhere_is_returned_too(self, location: bytes) -> None:
        raw = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
        with server(answering(raw)) as url:
            assert Http().call("POST", url, json={}).status == 302

    def test_what_is_said_to_be_gzip_and_is_not_cannot_be_read(self) -> None:
        raw = OK.replace(b"Content", b"Content-Encoding: gzip\r\nContent", 1)
        with server(answering(raw)) as url, pytest.raises(NoAnswer, match="cannot be read"):
            Http().call("GET", url)

    def test_gzip_is_unpacked(self) -> None:
        body = gzip.compress(b"[1]")
        raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with server(answering(raw)) as url:
            assert Http().call("GET", url).json() == [1]

    @pytest.mark.parametrize("length", [b"\xb2", b"-1", b"2, 2", b"0x2", b""])
    def test_a_length_that_is_no_number_does_no_harm(self, length: bytes) -> None:
        with server(answering(OK.replace(b": 2", b": " + length))) as url:
            try:
                assert Http().call("GET", url).body == b"{}"
            except NoAnswer:
                assert length == b"-1"  # as urllib3 has it

    @pytest.mark.parametrize("body", [b"[" * 200_000, b"{", b"\xff", b"", b'{"a":' * 200_000])
    def test_a_body_that_cannot_be_read_as_json_is_a_value_error(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r".+"):
            Answer(200, {}, body).json()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.sampled_from(_PIECES) | st.binary(max_size=8), max_size=12).map(b"".join))
    def test_whatever_comes_back_is_an_answer_or_none(self, raw: bytes) -> None:
        with server(answering(raw)) as url, contextlib.suppress(NoAnswer):
            assert isinstance(Http().call("POST", url, json={}, deadline=Deadline(5)), Answer)

    def test_a_login_in_netrc_or_in_the_url_does_not_replace_our_header(
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
            Http().call("GET", url.replace("//", "//somebody:s3cret@"), headers={"Authorization": "JWT ours"})
        assert b"JWT ours" in seen[0]
        assert b"Authorization" not in seen[1]
        assert b"JWT ours" in seen[2]

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
