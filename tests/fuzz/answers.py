"""Whatever Tiledesk, Rasa or a proxy answers: what was asked for, or an error of ours without what the call carried."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Callable

from hypothesis import strategies as st

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.http import Answer, Http, NoAnswer, NotSent
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.tiledesk import BasicLogin, TiledeskClient
from tests.fuzz.telling import ACCOUNT, REQUEST, SECRET, Target, silent
from tests.unit.sockets import answering, server

__all__ = ["JSON", "TARGETS", "Said", "desk_of"]

LEAVES = st.sampled_from(
    [REQUEST, f"a {REQUEST}.", f"eyJ{SECRET}.{SECRET}.{SECRET}", f"JWT eyJ{SECRET}.x", None, 1, ""]
)
_NAMES = (
    "_id id request_id status lead snapshot participants participatingAgents attributes createdAt updatedAt sender "
    "recipient text isopen default name success msg message error err errors param value token user request channel "
    "event target tracker events sender_id version reason metadata"
)
NAMES = st.sampled_from(_NAMES.split())
JSON = st.recursive(
    LEAVES | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=25,
)
PAGES = st.builds("<html><title>{}</title>{}".format, st.text(max_size=9), st.just(SECRET))
DEEP = [b"[" * 200_000, b'{"msg":' * 900 + b"1" + b"}" * 900, b'{"status":1e999,"request_id":"r"}', b"1" * 5000]
BODIES = (JSON.map(json.dumps) | PAGES).map(str.encode) | st.binary(max_size=40) | st.sampled_from(DEEP)
STATUS = st.sampled_from([200, 200, 200, 101, 204, 302, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 999])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Date": st.text(max_size=30) | st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
        "Retry-After": st.text(max_size=12) | st.integers().map(str),
        "Location": st.text(max_size=12) | st.sampled_from([f"https://u:{SECRET}@x.y/{SECRET}", f"//[{SECRET}"]),
    },
)


class Said(Http):
    """Answers every call with this."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._answer = Answer(status, headers, body)

    def call(self, *_: Any, **__: Any) -> Answer:
        return self._answer


def desk_of(http: Http) -> TiledeskClient:
    return TiledeskClient("http://x", ACCOUNT, credential=BasicLogin("a@b.c", SECRET), http=http, sleep=lambda _: None)


HELLO = {"sender": "u", "text": SECRET}
CALLS: list[Callable[[TiledeskClient, RasaClient], object]] = [
    lambda desk, _: desk.departments(),
    lambda desk, _: desk.department(None),
    lambda desk, _: desk.is_open(),
    lambda desk, _: desk.request(REQUEST),
    lambda desk, _: desk.requests(channel="rasa"),
    lambda desk, _: desk.messages(REQUEST),
    lambda desk, _: desk.send_message(REQUEST, HELLO),
    lambda desk, _: desk.send_messages(REQUEST, [HELLO]),
    lambda desk, _: desk.open_request(REQUEST, HELLO, temporary=True),
    lambda desk, _: desk.assign(REQUEST, "d"),
    lambda desk, _: desk.close(REQUEST),
    lambda desk, _: desk.set_attributes(REQUEST, {"a": SECRET}),
    lambda desk, _: desk.set_first_text(REQUEST, SECRET),
    lambda desk, _: desk.available_agents("d"),
    lambda desk, _: desk.subscriptions(),
    lambda desk, _: desk.subscribe("e", "http://x"),
    lambda desk, _: desk.sign_in_anonymously(name="Jane"),
    lambda desk, _: desk.sign_in_signed("ann", project_secret=SECRET * 6, name="Jane"),
    lambda desk, _: desk.check_credential(),
    lambda _, rasa: rasa.tracker("ann"),
    lambda _, rasa: rasa.append_events("ann", [{"event": "bot", "text": SECRET}]),
    lambda _, rasa: rasa.trigger_intent("ann", "hi", {"a": SECRET}),
    lambda _, rasa: rasa.check(),
]


def answers(said: tuple[Any, int, bytes, dict[str, str]]) -> None:
    call, status, body, headers = said
    http = Said(status, body, headers)
    with silent():
        call(desk_of(http), RasaClient("http://x", token=SECRET, http=http))


HEAD = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 500\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 x\r\n", b"HTTP/9 2\r\n"),
        *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Content-Encoding: br, deflate\r\n"),
        *(b"Location: http://[x\r\n", b": \r\n", b" folded\r\n", b"Content-Type: a/b; charset=x\r\n", b"\r\n", b"\x00"),
        *(
            b"5\r\nhello\r\n0\r\n\r\n",
            b"zz\r\n",
            b"ffffffffffffffff\r\n",
            b"{}",
            b"\x1f\x8b\x08",
            b"HTTP/1.1 100 C\r\n\r\n",
        ),
    ]
)


def bytes_on_the_wire(parts: list[bytes]) -> None:
    with server(answering(b"".join(parts))) as url, silent(NotSent, NoAnswer):
        answer = Http(connect_timeout=5, read_timeout=5).call("POST", url, json=HELLO, deadline=Deadline(5))
        with contextlib.suppress(ValueError):  # it is no JSON
            answer.json()


TARGETS = [
    Target("answers", st.tuples(st.sampled_from(CALLS), STATUS, BODIES, HEADERS), answers),
    Target("wire", st.lists(HEAD | st.binary(max_size=9), max_size=9), bytes_on_the_wire),
]
