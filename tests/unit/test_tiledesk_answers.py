"""What the client makes of an answer: of Tiledesk, of what stands before it, and of what nobody would send."""

from __future__ import annotations

import contextlib
import json
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import (
    TiledeskError,
    TiledeskForbidden,
    TiledeskNonsense,
    TiledeskNotFound,
    TiledeskRateLimited,
    TiledeskRefused,
    TiledeskServerError,
    TiledeskTooLarge,
    TiledeskUnauthorized,
    TiledeskUncertain,
)
from rasa_tiledesk.http import Answer, Http
from rasa_tiledesk.tiledesk import AgentLogin, BasicLogin, Credential, Request, TiledeskClient
from rasa_tiledesk.tiledesk.transport import Transport

NOON = 1_800_000_000.0
REQUEST = "support-group-p-0123456789abcdef"
HELLO = {"sender": "u", "text": "Hello"}


class Canned:
    """Answers every call with the same bytes."""

    credential: Credential = BasicLogin("a@b.c", "x")

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response_only(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> TiledeskClient:
        return TiledeskClient(self.url, "p", credential=self.credential, sleep=lambda _: None, clock=lambda: NOON)

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class TestAnswers:
    def test_a_redirect_says_where_to_and_names_the_url(self) -> None:
        with (
            Canned(301, b"", Location="https://user:pw@api.example.com/v3/requests/secret-id?token=x") as client,
            pytest.raises(TiledeskNonsense, match=r"redirects to api\.example\.com .*tiledesk\.url") as caught,
        ):
            client.departments()
        assert "secret-id" not in str(caught.value)
        assert "pw" not in str(caught.value)

    def test_a_proxys_web_page_is_named_by_its_title(self) -> None:
        page = b"<html><head><title>502 Bad\n Gateway</title></head></html>"
        with (
            Canned(502, page) as client,
            pytest.raises(TiledeskServerError, match=r"502 Bad Gateway.*tiledesk\.url") as caught,
        ):
            client.departments()
        assert not caught.value.own_words

    def test_a_web_page_as_success_is_nonsense(self) -> None:
        with Canned(200, b"<html>") as client, pytest.raises(TiledeskNonsense, match=r"not JSON.*tiledesk\.url"):
            client.departments()

    def test_another_shape_is_nonsense(self) -> None:
        for body in (b"{}", b"[{}]", b"null", b'["x"]'):
            with Canned(200, body) as client, pytest.raises(TiledeskNonsense):
                client.departments()

    def test_success_false_is_a_refusal(self) -> None:
        with (
            Canned(200, b'{"success":false,"msg":"Please pass email and password."}') as client,
            pytest.raises(TiledeskRefused, match="Please pass email"),
        ):
            client.is_open()

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b'{"success":false,"msg":"one"}', "one"),
            (b'{"success":false,"message":"two"}', "two"),
            (b'{"error":"three"}', "three"),
            (b'{"err":"four"}', "four"),
            (b'{"success":false,"msg":{"errorCode":1010,"msg":"five"}}', "five"),
            (
                b'{"errors":[{"msg":"Invalid value","param":"email","value":"jane@example.com"}]}',
                "email: Invalid value",
            ),
            (b'{"errors":["six"]}', "six"),
            (b'{"errors":[[1],{"param":1}]}', "invalid; body: invalid"),
            (b'{"success":false}', "no reason given"),
            (b'{"success":false,"msg":7}', "no reason given"),
            (b'{"msg":{"msg":{"msg":"too deep"}}}', "no reason given"),
            (b'{"msg":' * 300 + b"1" + b"}" * 300, "no reason given"),
            (b'{"errors":[' + b"[" * 300 + b"]" * 300 + b"]}", "invalid"),
        ],
    )
    def test_every_shape_of_refusal_is_read(self, body: bytes, words: str) -> None:
        with Canned(422, body) as client, pytest.raises(TiledeskRefused) as caught:
            client.departments()
        assert caught.value.detail == words
        assert caught.value.own_words

    def test_a_404_of_a_web_server_names_the_url(self) -> None:
        with (
            Canned(404, b"<title>Not Found</title>") as client,
            pytest.raises(TiledeskNotFound, match=r"tiledesk\.url"),
        ):
            client.check_credential()

    def test_an_unknown_role_problem_says_what_is_needed(self) -> None:
        with (
            Canned(403, b'{"success":false,"msg":"you dont have the required role."}') as client,
            pytest.raises(TiledeskForbidden, match="needs the role agent"),
        ):
            client.check_credential()

    @pytest.mark.parametrize("token", ["a\\nb", "\\u20ac", ""])
    def test_a_token_that_no_header_can_carry_is_nonsense(self, token: str) -> None:
        canned = Canned(200, f'{{"token":"{token}"}}'.encode())
        canned.credential = AgentLogin("a@b.c", "x")
        with canned as client, pytest.raises(TiledeskNonsense, match="lacks the token"):
            client.departments()


class TestWhoSaysNo:
    """Only Tiledesk's own words are a refusal; what a proxy says leaves open what became of the call."""

    PAGE = b"<html><head><title>No</title></head></html>"
    JSON = b'{"success":false,"msg":"No."}'

    @pytest.mark.parametrize("status", [300, 302, 307, 400, 402, 405, 408, 409, 418, 421, 422, 425, 451, 499])
    def test_a_proxys_no_to_a_message_is_uncertain(self, status: int) -> None:
        with Canned(status, self.PAGE) as client, pytest.raises(TiledeskNonsense, match=r"tiledesk\.url") as caught:
            client.send_message(REQUEST, HELLO)
        assert (caught.value.status, caught.value.own_words) == (status, False)

    @pytest.mark.parametrize(
        "body", [b"", b"No.", b"[]", b"null", b'"No."', b"{}", b'{"detail":"No."}', b"[" * 200_000]
    )
    def test_so_is_a_body_in_none_of_tiledesks_shapes(self, body: bytes) -> None:
        with Canned(400, body) as client, pytest.raises(TiledeskNonsense) as caught:
            client.send_message(REQUEST, HELLO)
        assert not caught.value.own_words

    @pytest.mark.parametrize("status", [302, 408, 421, 425])
    def test_what_tiledesk_never_answers_is_uncertain_in_its_shape_too(self, status: int) -> None:
        with Canned(status, self.JSON) as client, pytest.raises(TiledeskUncertain):
            client.send_message(REQUEST, HELLO)

    @pytest.mark.parametrize("status", [400, 409, 418, 422])
    def test_tiledesks_own_no_is_a_refusal(self, status: int) -> None:
        with Canned(status, self.JSON) as client, pytest.raises(TiledeskRefused, match="No") as caught:
            client.send_message(REQUEST, HELLO)
        assert (caught.value.status, caught.value.own_words) == (status, True)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, TiledeskUnauthorized),
            (403, TiledeskForbidden),
            (404, TiledeskNotFound),
            (413, TiledeskTooLarge),
            (429, TiledeskRateLimited),
            (500, TiledeskServerError),
            (503, TiledeskServerError),
        ],
    )
    def test_these_go_by_the_status_and_tell_whose_words_they_are(
        self, status: int, error: type[TiledeskError]
    ) -> None:
        for body, own in [
            (self.JSON, True),
            (b'{"err":"Request entity too large","limit":9}', True),
            (self.PAGE, False),
        ]:
            with Canned(status, body) as client, pytest.raises(error) as caught:
                client.send_message(REQUEST, HELLO)
            assert (type(caught.value), caught.value.own_words) == (error, own)

    @pytest.mark.parametrize("body", [b"Project not found with id: p", b"<p>Invalid project id: v3</p>"])
    def test_only_tiledesk_knows_its_projects(self, body: bytes) -> None:
        with Canned(400, body) as client, pytest.raises(TiledeskNonsense):
            client.departments()

    @pytest.mark.parametrize(
        ("location", "words"),
        [("http://[x", "no URL"), ("", "the same host"), ("/x", "the same host"), ("//support-group-1/", r"to \.\.\.")],
    )
    def test_a_redirect_to_nowhere_is_told_too(self, location: str, words: str) -> None:
        with Canned(302, b"", Location=location) as client, pytest.raises(TiledeskNonsense, match=words):
            client.departments()


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            (" 7 ", 7.0),
            ("\u00b2", None),
            ("-1", None),
            ("1e9", None),
            ("9" * 5000, None),
            ("", None),
            ("soon", None),
            (formatdate(NOON + 90, usegmt=True), 90.0),
            (formatdate(NOON - 90, usegmt=True), 0.0),
            (formatdate(NOON + 90, usegmt=True).replace(" GMT", ""), 90.0),
            (formatdate(NOON + 90), 90.0),  # -0000
            ("Fri, 99 Jan 2027 08:00:00 GMT", None),
            ("Fri, 15 Jan 99999999999999999999 08:00:00 GMT", None),
            ("Fri, 01 Jan 0001 00:00:00 +2359", 0.0),
        ],
    )
    def test_is_read_or_left(self, value: str, seconds: float | None) -> None:
        with Canned(429, b"", Retry_After=value) as client, pytest.raises(TiledeskRateLimited) as caught:
            client.departments()
        assert caught.value.retry_after == seconds

    def test_a_date_is_by_tiledesks_clock(self) -> None:
        headers = {
            "Retry_After": formatdate(NOON - 3600 + 90, usegmt=True),
            "Date": formatdate(NOON - 3600, usegmt=True),
        }
        with Canned(429, b"", **headers) as client, pytest.raises(TiledeskRateLimited) as caught:
            client.departments()
        assert caught.value.retry_after == pytest.approx(90, abs=1)


class TestClock:
    def test_is_unknown_before_the_first_answer_and_without_a_date(self) -> None:
        for headers in ({}, {"Date": "now"}, {"Date": ""}):
            with Canned(200, b"[]", **headers) as client:
                assert client.clock_offset is None
                client.departments()
                assert client.clock_offset is None

    @pytest.mark.parametrize(("status", "body"), [(200, b"[]"), (500, b""), (401, b"Unauthorized")])
    def test_is_learnt_from_any_answer(self, status: int, body: bytes) -> None:
        with Canned(status, body, Date=formatdate(NOON + 60, usegmt=True)) as client:
            with contextlib.suppress(TiledeskError):
                client.departments()
            assert client.clock_offset == pytest.approx(60.5)
            assert client.within(Deadline(5)).clock_offset == client.clock_offset

    def test_is_that_of_the_middle_of_the_call(self) -> None:
        times = iter([NOON, NOON + 4])
        transport = Transport(
            "http://x", "p", Said(200, b"[]", Date=formatdate(NOON + 2, usegmt=True)), clock=lambda: next(times)
        )
        transport.call("GET", "/{project}/departments")
        assert transport.clock_offset == pytest.approx(0.5)  # a Date has whole seconds: half of one has gone by


class Said(Http):
    """Answers every call with this."""

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        self._answer = Answer(status, headers, body)

    def call(self, *_: Any, **__: Any) -> Answer:
        return self._answer


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_NAMES = (
    "_id id request_id status lead snapshot participants attributes createdAt sender recipient text isopen default "
    "name success msg message error err errors token user request channel event target"
)
_KEYS = st.sampled_from(_NAMES.split())
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=8), max_leaves=25
)
_BODIES = st.one_of(
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(_KEYS, _JSON, max_size=20).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from(
        [b"[" * 200_000, b'{"msg":' * 900 + b"1" + b"}" * 900, b'{"status":1e999,"request_id":"r"}', b"1" * 5000]
    ),
)
_CALLS = [
    lambda client: client.departments(),
    lambda client: client.is_open(),
    lambda client: client.request(REQUEST),
    lambda client: client.messages(REQUEST),
    lambda client: client.send_message(REQUEST, HELLO),
    lambda client: client.send_messages(REQUEST, [HELLO]),
    lambda client: client.available_agents("d"),
    lambda client: client.subscriptions(),
    lambda client: client.sign_in_anonymously(name="Jane"),
    lambda client: client.check_credential(),
]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(_CALLS),
    st.sampled_from([200, 200, 200, 101, 204, 302, 400, 401, 403, 404, 413, 422, 429, 500, 502, 999]),
    _BODIES,
    st.fixed_dictionaries({}, optional=dict.fromkeys(("Date", "Retry-After", "Location"), st.text(max_size=20))),
)
def test_whatever_is_answered_is_read_or_an_error_of_ours(
    call: Any, status: int, body: bytes, headers: dict[str, str]
) -> None:
    http = Said(status, body, **headers)
    client = TiledeskClient("http://x", "p", credential=BasicLogin("a@b.c", "x"), http=http, sleep=lambda _: None)
    with contextlib.suppress(TiledeskError):
        call(client)


@pytest.mark.parametrize(
    ("body", "hint"), [(b'{"msg": "no"}', "check tiledesk.department"), (b"<html>502</html>", "a web page answered")]
)
def test_what_an_assignment_that_failed_is_due_to_is_the_department_unless_something_else_answered(
    body: bytes, hint: str
) -> None:
    client = TiledeskClient(
        "http://x", "p", credential=BasicLogin("a@b.c", "x"), http=Said(502, body), sleep=lambda _: None
    )
    with pytest.raises(TiledeskError) as caught:
        client.within(Deadline(0.1)).assign(REQUEST, "d")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("told", "requester"),
    [
        ({"lead": {"lead_id": "a"}, "snapshot": {"lead": {"lead_id": "b"}}}, "a"),
        ({"lead": "5e2c", "snapshot": {"lead": {"lead_id": "b"}, "requester": {"uuid_user": "c"}}}, "b"),
        ({"snapshot": {"requester": {"uuid_user": "c", "id_user": "d"}}}, "c"),
        ({"snapshot": {"requester": {"id_user": "d"}}}, "d"),
        ({"snapshot": {"requester": "d"}}, ""),
        ({}, ""),
    ],
)
def test_a_requester_is_found_wherever_tiledesk_tells_it(told: dict[str, Any], requester: str) -> None:
    assert Request.read({"request_id": "r", "status": 100, **told}).requester_id == requester
