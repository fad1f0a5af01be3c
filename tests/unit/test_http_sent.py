"""Nothing was sent, or perhaps something was: behind proxies and TLS that drop at every stage."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.http import Http, NoAnswer, NotSent
from stack.processes import free_port
from tests.unit.sockets import OK, Serve, answering, read, server

TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    return authority


@contextmanager
def tls_server(authority: trustme.CA, serve: Serve) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def handshake(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            serve(wrapped)

    with server(handshake) as url:
        yield url.replace("http:", "https:")


def post(url: str) -> int:
    return Http().call("POST", url, json={"text": "hello"}, deadline=Deadline(10)).status


class TestTls:
    def test_a_certificate_that_nobody_vouches_for_means_not_sent(
        self, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with tls_server(authority, answering(OK)) as url, pytest.raises(NotSent, match="TLS failed"):
            post(url)

    def test_a_ca_bundle_that_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
        with pytest.raises(NotSent, match="REQUESTS_CA_BUNDLE"):
            post("https://127.0.0.1/")

    def test_a_ca_bundle_that_is_none_means_not_sent(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("no certificate")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with server(answering(OK)) as url, pytest.raises(NotSent):
            post(url.replace("http:", "https:"))

    def test_what_breaks_tls_after_the_handshake_is_no_proof_that_nothing_was_sent(self, trusted: trustme.CA) -> None:
        seen: list[bytes] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trusted.issue_cert("127.0.0.1").configure_cert(context)

        def serve(connection: socket.socket) -> None:
            raw = connection.dup()
            with context.wrap_socket(connection, server_side=True) as wrapped, raw:
                seen.append(read(wrapped))
                raw.sendall(b"this is no TLS record")
                raw.recv(1)

        with server(serve) as url, pytest.raises(NoAnswer):
            post(url.replace("http:", "https:"))
        assert seen[0].endswith(b'{"text": "hello"}')

    def test_a_handshake_cut_short_means_not_sent(self) -> None:
        def serve(connection: socket.socket) -> None:
            connection.recv(10)

        with server(serve) as url, pytest.raises(NotSent):
            post(url.replace("http:", "https:"))

    def test_a_whole_call_is_answered(self, trusted: trustme.CA) -> None:
        with tls_server(trusted, answering(OK)) as url:
            assert post(url) == 200


def test_two_lengths_in_an_answer_are_no_proof_that_nothing_was_sent() -> None:
    with server(answering(TWO_LENGTHS)) as url, pytest.raises(NoAnswer):
        post(url)


class TestPlainProxy:
    URL = "http://tiledesk.invalid/"

    def test_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(NotSent, match="refused"):
            post(self.URL)

    @pytest.mark.parametrize("raw", [b"", b"HTT", OK[:-1], TWO_LENGTHS, b"SSH-2.0\r\n"])
    def test_what_it_read_it_may_have_passed_on(self, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
        with server(answering(raw)) as proxy:
            monkeypatch.setenv("http_proxy", proxy)
            with pytest.raises(NoAnswer):
                post(self.URL)

    def test_what_it_did_not_read_it_may_have_passed_on_for_all_we_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(lambda connection: None) as proxy:
            monkeypatch.setenv("http_proxy", proxy)
            with pytest.raises(NoAnswer):
                post(self.URL)


def relay(target: int, *, up: int | None = None, down: int | None = None) -> Serve:
    """A proxy that takes a CONNECT to anywhere for one to this port, and drops all after so many bytes a way."""

    def serve(connection: socket.socket) -> None:
        head = read(connection)
        assert head.startswith(b"CONNECT ")
        with socket.create_connection(("127.0.0.1", target), timeout=10) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(upstream, connection, down), daemon=True)
            back.start()
            copy(connection, upstream, up)
            back.join(10)

    return serve


def copy(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    """Until the limit or the end, and then both sockets are of no more use."""
    left = 1 << 30 if limit is None else limit
    with suppress(OSError):
        while left and (data := source.recv(min(left, 65536))):
            target.sendall(data)
            left -= len(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class TestTunnel:
    URL = "https://127.0.0.1:1/"  # where nobody listens: only the proxy leads on

    def test_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(NotSent, match="refused"):
            post(self.URL)

    @pytest.mark.parametrize(
        "raw", [b"", b"HTT", b"HTTP/1.1 200 OK\r\nX-Cut: o", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0\r\n"]
    )
    def test_a_tunnel_that_never_stood_means_not_sent(self, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
        with server(answering(raw)) as proxy:
            monkeypatch.setenv("https_proxy", proxy)
            with pytest.raises(NotSent):
                post(self.URL)

    def test_a_proxy_that_lets_nobody_through_is_quoted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(answering(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")) as proxy:
            monkeypatch.setenv("https_proxy", proxy)
            with pytest.raises(NotSent, match="407 Who are you"):
                post(self.URL)

    def test_a_whole_call_is_answered(self, trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
        with tls_server(trusted, answering(OK)) as url, server(relay(port(url))) as proxy:
            monkeypatch.setenv("https_proxy", proxy)
            assert post(self.URL) == 200

    @pytest.mark.parametrize("raw", [b"", OK[:-1], TWO_LENGTHS])
    def test_behind_the_tunnel_only_an_answer_proves_anything(
        self, trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch, raw: bytes
    ) -> None:
        with tls_server(trusted, answering(raw)) as url, server(relay(port(url))) as proxy:
            monkeypatch.setenv("https_proxy", proxy)
            with pytest.raises(NoAnswer):
                post(self.URL)

    @pytest.mark.parametrize("way", ["up", "down"])
    def test_wherever_it_drops_what_counts_as_not_sent_was_not_read(
        self, trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        """The handshake takes some 500 bytes up and 1,500 down; the request some 300 up."""
        outcomes: list[str] = []
        for limit in [0, 1, 100, *range(300, 2400, 100), 1_000_000]:
            seen: list[bytes] = []
            outcome = drop(trusted, monkeypatch, seen, {way: limit})
            assert outcome != "not sent" or not any(seen), limit
            outcomes.append(outcome)
        assert outcomes[0] == "not sent"
        assert outcomes[-1] == "answered"
        assert "perhaps sent" in outcomes


def drop(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, seen: list[bytes], limits: dict[str, int]) -> str:
    """What became of a call through a tunnel that drops; `seen` gets what the server read."""

    def serve(connection: socket.socket) -> None:
        seen.append(read(connection))
        connection.sendall(OK)

    with tls_server(authority, serve) as url, server(relay(port(url), **limits)) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        try:
            post(TestTunnel.URL)
        except NotSent:
            return "not sent"
        except NoAnswer:
            return "perhaps sent"
        return "answered"


def port(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])
