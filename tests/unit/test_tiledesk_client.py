"""What the client does when calls go wrong: only the fake can show that."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import (
    TiledeskDisconnected,
    TiledeskError,
    TiledeskNonsense,
    TiledeskRateLimited,
    TiledeskRefused,
    TiledeskServerError,
    TiledeskTimeout,
    TiledeskUnauthorized,
    TiledeskUncertain,
    TiledeskUnreachable,
)
from rasa_tiledesk.http import Http
from rasa_tiledesk.testing import FakeTiledesk, Fault
from rasa_tiledesk.tiledesk import AgentLogin, BasicLogin, BotCredential, EndUser, TiledeskClient
from rasa_tiledesk.tiledesk.credentials import Signer
from rasa_tiledesk.tiledesk.outgoing import BODY_LIMIT
from stack.processes import free_port

REQUEST = "support-group-p-0123456789abcdef"
POST = "POST /{project}/requests/{request}/messages"
GET = "GET /{project}/requests/{request}/messages"
SIGN_IN = "POST /auth/signin"


@pytest.fixture
def desk() -> Iterator[FakeTiledesk]:
    with FakeTiledesk() as fake:
        yield fake


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(desk: FakeTiledesk, pauses: list[float]) -> TiledeskClient:
    return client_of(desk.url, desk, pauses)


def client_of(url: str, desk: FakeTiledesk, pauses: list[float], *, read_timeout: float = 1.0) -> TiledeskClient:
    return TiledeskClient(
        url,
        desk.project_id,
        credential=AgentLogin(*desk.owner),
        http=Http(read_timeout=read_timeout),
        sleep=pauses.append,
        jitter=lambda: 0.5,
    )


@pytest.fixture
def jane(client: TiledeskClient) -> EndUser:
    user = client.sign_in_anonymously(name="Jane")
    client.open_request(REQUEST, line(user.id), temporary=True)
    return user


def line(sender: str, text: str = "Hello", **fields: object) -> dict[str, object]:
    return {"sender": sender, "senderFullname": "Jane", "text": text, **fields}


UNCERTAIN: Sequence[tuple[Fault, type[TiledeskError]]] = [
    (Fault.hang(after=True), TiledeskTimeout),
    (Fault.hang(), TiledeskTimeout),
    (Fault.reset(after=True), TiledeskDisconnected),
    (Fault.reset(), TiledeskDisconnected),
    (Fault.answer(502, after=True), TiledeskServerError),
    (Fault.answer(500), TiledeskServerError),
    (Fault.answer(302), TiledeskNonsense),
    (Fault.answer(400, after=True), TiledeskNonsense),
    (Fault.answer(408, after=True), TiledeskNonsense),
    (Fault.answer(425), TiledeskNonsense),
    (Fault.garbage(after=True), TiledeskNonsense),
]


class TestRepeating:
    @pytest.mark.parametrize(("fault", "error"), UNCERTAIN)
    def test_a_message_is_never_posted_again_after_an_unknown_outcome(
        self,
        desk: FakeTiledesk,
        client: TiledeskClient,
        jane: EndUser,
        pauses: list[float],
        fault: Fault,
        error: type[TiledeskError],
    ) -> None:
        before = desk.count(POST)
        desk.fail(POST, fault)
        with pytest.raises(error) as caught:
            client.send_message(REQUEST, line(jane.id, "Once"))
        assert isinstance(caught.value, TiledeskUncertain)
        assert (desk.count(POST) - before, pauses) == (1, [])
        assert [one["text"] for one in desk.messages(REQUEST)].count("Once") == int(fault.after)

    @pytest.mark.parametrize(("fault", "error"), UNCERTAIN)
    def test_what_only_reads_is_repeated(
        self,
        desk: FakeTiledesk,
        client: TiledeskClient,
        jane: EndUser,
        pauses: list[float],
        fault: Fault,
        error: type[TiledeskError],
    ) -> None:
        desk.fail(GET, fault, fault)
        assert [one.text for one in client.messages(REQUEST)] == ["Hello"]
        assert desk.count(GET) == 3
        assert pauses == [pytest.approx(0.3), pytest.approx(0.6)]

    def test_a_call_is_made_three_times_at_most(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail(GET, *[Fault.answer(503)] * 5)
        with pytest.raises(TiledeskServerError):
            client.messages(REQUEST)
        assert desk.count(GET) == 3

    def test_looking_for_requests_is_repeated(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        desk.fail("GET /{project}/requests", Fault.answer(503))
        assert client.requests(channel="rasa") == []
        assert desk.count("GET /{project}/requests") == 2

    def test_making_giving_a_secret_and_removing_a_webhook_are_repeated(
        self, desk: FakeTiledesk, client: TiledeskClient
    ) -> None:
        calls = [
            "POST /{project}/subscriptions",
            *(f"{how} /{{project}}/subscriptions/{{subscription}}" for how in ("PUT", "DELETE")),
        ]
        for call in calls:
            desk.fail(call, Fault.answer(503))
        hook = client.subscribe("message.create", "http://127.0.0.1:9/").id
        client.set_secret(hook, "s" * 32)
        client.unsubscribe(hook)
        assert [desk.count(call) for call in calls] == [2, 2, 2]
        assert client.subscriptions() == []

    def test_what_was_never_sent_is_repeated_even_a_message(self, desk: FakeTiledesk, pauses: list[float]) -> None:
        client = TiledeskClient(
            f"http://127.0.0.1:{free_port()}", "p", credential=BasicLogin("a@b.c", "x"), sleep=pauses.append
        )
        with pytest.raises(TiledeskUnreachable, match=r"refused.*tiledesk\.url"):
            client.send_message(REQUEST, line("x"))
        assert len(pauses) == 2

    def test_a_rate_limit_is_waited_for_even_by_a_message(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, pauses: list[float]
    ) -> None:
        desk.fail(POST, Fault.answer(429, retry_after=7))
        client.send_message(REQUEST, line(jane.id, "Once"))
        assert pauses == [7.0]
        assert [one["text"] for one in desk.messages(REQUEST)] == ["Hello", "Once"]

    def test_a_rate_limit_longer_than_the_deadline_is_raised_at_once(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, pauses: list[float]
    ) -> None:
        desk.fail(POST, Fault.answer(429, retry_after=60))
        with pytest.raises(TiledeskRateLimited) as caught:
            client.within(Deadline(5)).send_message(REQUEST, line(jane.id))
        assert (caught.value.retry_after, pauses) == (60.0, [])

    @pytest.mark.parametrize("status", [403, 404, 413])
    def test_a_refusal_is_not_repeated(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, status: int
    ) -> None:
        desk.fail(GET, Fault.answer(status))
        with pytest.raises(TiledeskRefused) as caught:
            client.messages(REQUEST)
        assert (caught.value.status, desk.count(GET)) == (status, 1)

    def test_closing_looks_before_it_closes_again(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        close = "PUT /{project}/requests/{request}/closeg"
        desk.fail(close, Fault.reset(after=True))
        client.close(REQUEST)
        assert desk.count(close) == 1
        assert [one["text"] for one in desk.messages(REQUEST)].count("Chat closed") == 1

    def test_closing_is_done_again_when_it_was_not_done(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail("PUT /{project}/requests/{request}/closeg", Fault.reset())
        client.close(REQUEST)
        assert client.request(REQUEST).closed

    def test_assigning_is_repeated(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        desk.fail("PUT /{project}/requests/{request}/assign", Fault.reset(after=True))
        assert client.assign(REQUEST, desk.default_department).participants == (desk.owner_id,)


class TestDeadline:
    def test_a_hanging_call_ends_with_the_deadline(self, desk: FakeTiledesk, jane: EndUser) -> None:
        client = client_of(desk.url, desk, [], read_timeout=30)
        client.departments()
        desk.fail(GET, Fault.hang())
        deadline = Deadline(0.2)
        with pytest.raises(TiledeskTimeout):
            client.within(deadline).messages(REQUEST)
        assert desk.count(GET) == 1
        assert deadline.expired()

    def test_nothing_is_sent_after_the_deadline(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        before = desk.count(POST)
        with pytest.raises(TiledeskUnreachable, match="no time left"):
            client.within(Deadline(0)).send_message(REQUEST, line(jane.id))
        assert desk.count(POST) == before

    def test_a_slow_answer_within_the_deadline_is_waited_for(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail(POST, Fault.slow(0.05))
        assert client.send_message(REQUEST, line(jane.id, "Late")).text == "Late"

    def test_pauses_fit_in_the_deadline(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser, pauses: list[float]
    ) -> None:
        desk.fail(GET, *[Fault.answer(503)] * 3)
        with pytest.raises(TiledeskServerError):
            client.within(Deadline(0.25)).messages(REQUEST)
        assert (desk.count(GET), pauses) == (1, [])


class TestToken:
    def test_one_sign_in_serves_all_threads_and_copies(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: client.within(Deadline(5)).departments(), range(32)))
        assert desk.count(SIGN_IN) == 1

    def test_a_stale_token_is_renewed_once_and_the_message_arrives_once(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.sign_everybody_out()
        client.send_message(REQUEST, line(jane.id, "Once"))
        assert desk.count(SIGN_IN) == 2
        assert [one["text"] for one in desk.messages(REQUEST)] == ["Hello", "Once"]

    def test_threads_that_meet_a_stale_token_sign_in_once_more_together(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.sign_everybody_out()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: client.messages(REQUEST), range(16)))
        assert desk.count(SIGN_IN) == 2

    def test_a_token_that_stays_refused_is_renewed_once_only(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        desk.fail(GET, *[Fault.answer(401)] * 5)
        with pytest.raises(TiledeskUnauthorized, match=r"tiledesk\.email"):
            client.messages(REQUEST)
        assert (desk.count(SIGN_IN), desk.count(GET)) == (2, 2)

    def test_a_sign_in_of_another_thread_is_waited_for_within_the_deadline(self) -> None:
        asked, over = threading.Event(), threading.Event()

        def sign_in(login: AgentLogin, deadline: Deadline) -> str:
            asked.set()
            over.wait(10)
            return "JWT new"

        signer = Signer(AgentLogin("a@b.c", "x"), sign_in, project_id="p")
        with ThreadPoolExecutor(1) as threads:
            other = threads.submit(signer.header, Deadline(10))
            assert asked.wait(10)
            try:
                assert signer.renew("JWT old")
                with pytest.raises(TiledeskUnreachable, match="another call's sign-in"):
                    signer.header(Deadline(0.01))
            finally:
                over.set()
            assert other.result(10) == "JWT new"

    def test_threads_that_wait_for_one_sign_in_share_its_refusal_and_the_next_call_asks_again(self) -> None:
        asked, waiting, over = threading.Event(), threading.Event(), threading.Event()
        tries: list[str] = []

        def sign_in(login: AgentLogin, deadline: Deadline) -> str:
            tries.append(login.email)
            asked.set()
            over.wait(10)
            raise TiledeskServerError("POST /auth/signin", "broken", status=500)

        def clock() -> float:
            waiting.set()
            return 0.0

        signer = Signer(AgentLogin("a@b.c", "x"), sign_in, project_id="p")
        late = Deadline(10, clock=clock)
        waiting.clear()
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(signer.header, Deadline(10))]
            assert asked.wait(10)
            both.append(threads.submit(signer.header, late))
            assert waiting.wait(10)
            over.set()
            for one in both:
                with pytest.raises(TiledeskServerError):
                    one.result(10)
        assert len(tries) == 1
        with pytest.raises(TiledeskServerError):
            signer.header(Deadline(10))
        assert len(tries) == 2

    def test_who_waited_for_a_sign_in_that_got_no_answer_asks_by_itself(self) -> None:
        asked, waiting, over = threading.Event(), threading.Event(), threading.Event()

        def sign_in(login: AgentLogin, deadline: Deadline) -> str:
            if over.is_set():
                return "JWT new"
            asked.set()
            over.wait(10)
            raise TiledeskTimeout("POST /auth/signin", "no answer in time")

        def clock() -> float:
            waiting.set()
            return 0.0

        signer = Signer(AgentLogin("a@b.c", "x"), sign_in, project_id="p")
        patient = Deadline(10, clock=clock)
        waiting.clear()
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(signer.header, Deadline(10))
            assert asked.wait(10)
            second = threads.submit(signer.header, patient)
            assert waiting.wait(10)
            over.set()
            with pytest.raises(TiledeskTimeout):
                first.result(10)
            assert second.result(10) == "JWT new"

    def test_a_bot_and_a_basic_login_never_sign_in(self, desk: FakeTiledesk) -> None:
        for credential in (BotCredential(*desk.bot), BasicLogin(*desk.owner)):
            TiledeskClient(desk.url, desk.project_id, credential=credential).check_credential()
        assert desk.count(SIGN_IN) == 0


class TestSplitting:
    MULTI = POST + "/multi"

    def test_short_messages_go_in_one_call(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        client.send_messages(REQUEST, [line(jane.id, f"m{number}") for number in range(1000)])
        assert desk.count(self.MULTI) == 1
        assert len(desk.messages(REQUEST)) == 1001

    def test_no_messages_make_no_call(self, desk: FakeTiledesk, client: TiledeskClient) -> None:
        assert client.send_messages(REQUEST, []) == []
        assert desk.count(self.MULTI) == 0

    def test_every_body_is_within_the_limit(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        sizes: list[int] = []
        desk.faults = lambda call: sizes.append(len(call.raw)) if call.route == self.MULTI else None
        sent = [line(jane.id, "é" * 5000 + str(number)) for number in range(60)]  # six bytes each once it is escaped
        stored = client.send_messages(REQUEST, sent)
        assert [one.text for one in stored] == [one["text"] for one in sent]
        assert len(sizes) > 1
        assert max(sizes) <= BODY_LIMIT
        assert sum(sizes) / len(sizes) > BODY_LIMIT / 2

    def test_one_bad_message_stops_all_before_the_first_call(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        with pytest.raises(ValueError, match="text must be a string"):
            client.send_messages(REQUEST, [line(jane.id), {"sender": jane.id, "text": 7}])
        assert desk.count(self.MULTI) == 0


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"text": "x"}, "sender"),
        ({"sender": "", "text": "x"}, "sender"),
        ({"sender": "u", "text": 7}, "text must be a string"),
        ({"sender": "u", "type": "file", "metadata": {"src": "x"}}, "metadata needs a type"),
        ({"sender": "u", "text": "x", "metadata": "x"}, "metadata must be a mapping"),
        ({"sender": "u", "text": "x", "attributes": "x"}, "attributes must be a mapping"),
        ({"sender": "u", "text": "x", "channel": "rasa"}, "channel must be a mapping"),
        ({"sender": "u", "text": "x", "attributes": {"templateProcessor": True}}, "execute"),
        ({"sender": "u", "text": "x", "attributes": {"microlanguage": True}}, "execute"),
        ({"sender": "u", "text": "x", "attributes": {"a": [{"b.c": 1}]}}, "key in attributes"),
        ({"sender": "u", "text": "x", "attributes": {"a": float("nan")}}, "JSON"),
        ({"sender": "u", "text": "x", "attributes": {"a": b"x"}}, "must be JSON"),
        ({"sender": "u", "text": "x", "attributes": {"a": nested(100_000)}}, "nested deeper"),
        ({"sender": "u", "text": "x", "metadata": {"a": nested(100_000)}}, "nested deeper"),
        (None, "mapping"),
    ],
)
def test_what_tiledesk_cannot_take_is_refused_before_it_is_sent(
    desk: FakeTiledesk, client: TiledeskClient, message: Any, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        client.send_message(REQUEST, message)
    assert desk.count(POST) == 0


@pytest.mark.parametrize("first_text", ["", None, 7, ["x"]])
def test_a_request_without_words_is_refused_before_it_is_sent(
    desk: FakeTiledesk, client: TiledeskClient, first_text: Any
) -> None:
    with pytest.raises(ValueError, match="first_text must be a string that is not empty"):
        client.create_request(request_id=REQUEST, sender="u", sender_name="Jane", first_text=first_text)
    assert desk.count("POST /{project}/requests") == 0


@pytest.mark.parametrize("user_id", ["", "5e2c35c8f0dbc10017bb3aac", "abcdefghijkl", "äöüäöü"])
def test_an_id_that_tiledesk_takes_for_its_own_is_refused(
    desk: FakeTiledesk, client: TiledeskClient, user_id: str
) -> None:
    with pytest.raises(ValueError, match="24 hex digits or 12"):
        client.sign_in_signed(user_id, project_secret=desk.project_secret, name="Jane")


class TestSecrets:
    def test_no_error_shows_a_password_a_token_or_a_request(
        self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser
    ) -> None:
        bot = TiledeskClient(desk.url, desk.project_id, credential=BotCredential(desk.bot[0], "s3cret" * 8))
        wrong = TiledeskClient(desk.url, desk.project_id, credential=AgentLogin(desk.owner[0], "s3cret" * 8))
        attempts: list[Callable[[], object]] = [
            bot.check_credential,
            wrong.check_credential,
            lambda: client.request("support-group-unknown-1"),
            lambda: client.open_request("support-group-unknown-2", line("who-is-this"), temporary=True),
            lambda: client.sign_in_signed("rasa-someone-else", project_secret="s3cret" * 8, name=None),
        ]
        for fault in (Fault.hang(), Fault.reset(), Fault.answer(500), Fault.answer(418), Fault.garbage()):
            desk.fail(POST, fault)
            attempts.append(lambda: client.send_message(REQUEST, line(jane.id, "private words")))
        shown = []
        for attempt in [*attempts[5:], *attempts[:5]]:
            with pytest.raises(TiledeskError) as caught:
                attempt()
            shown.append(f"{caught.value} {caught.value!r} {caught.value.detail} {caught.value.hint}")
        for secret in ("s3cret", "eyJ", "support-group", "who-is-this", "private words", desk.owner[1], jane.id):
            assert not [text for text in shown if secret in text], secret

    def test_no_repr_shows_a_secret(self, desk: FakeTiledesk, client: TiledeskClient, jane: EndUser) -> None:
        shown = repr(
            [
                AgentLogin("a@b.c", "s3cret"),
                BasicLogin("a@b.c", "s3cret"),
                BotCredential("id", "s3cret"),
                EndUser("id", "s3cret"),
                client.subscribe("message.create", "http://127.0.0.1:9/"),
                client.request(REQUEST),
                client.send_message(REQUEST, line(jane.id, "s3cret")),
                client,
            ]
        )
        for secret in ("s3cret", REQUEST, desk.owner[1], "secret="):
            assert secret not in shown


def test_closing_the_fake_lets_go_of_calls_that_hang() -> None:
    desk = FakeTiledesk()
    client = client_of(desk.url, desk, [], read_timeout=30)
    user = client.sign_in_anonymously(name="Jane")
    client.open_request(REQUEST, line(user.id), temporary=True)
    desk.fail(POST, *[Fault.hang()] * 8)
    threading.Timer(0.1, desk.close).start()
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(client.send_message, REQUEST, line(user.id)) for _ in range(8)]
        errors = [call.exception(timeout=5) for call in calls]
    assert {type(error) for error in errors} <= {TiledeskDisconnected, TiledeskUnreachable}
