"""endpoints.yml becomes settings, or one error that lists everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rasa_tiledesk.endpoints import find_endpoints
from rasa_tiledesk.errors import ConfigurationError
from rasa_tiledesk.settings import EntityRule, LastHours, LastTurns, PatternRule, PhoneRule, SlotRule, load_endpoints

GOOD = """
tiledesk:
  url: https://api.tiledesk.com/v3
  project_id: 5e2c35c8f0dbc10017bb3aac
  email: ann@example.com
  password: s3cret
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def _write(text: str) -> Path:
        path = tmp_path / "endpoints.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_endpoints(path)
    return list(caught.value.problems)


def test_the_smallest_section_gets_the_documented_defaults(write) -> None:  # type: ignore[no-untyped-def]
    settings = load_endpoints(write(GOOD)).tiledesk
    assert settings.requester.identity == "anonymous"
    assert settings.history.scope == "session"
    assert settings.history.import_ == "staged"
    assert settings.history.native_turns == 40
    assert (settings.availability.nobody, settings.availability.closed) == ("queue", "refuse")
    assert settings.availability.wait_limit == 600
    assert settings.relay.rasa_url == "http://localhost:5005"
    assert settings.relay.receive == "poll"
    assert settings.ledger.get_secret_value() == "sqlite:///tiledesk_handoffs.db"


def test_the_whole_section_of_the_documentation_is_read(write) -> None:  # type: ignore[no-untyped-def]
    settings = load_endpoints(
        write(
            GOOD
            + r"""
  department: Sales
  requester: {identity: signed, project_secret: p, name_slot: name, email_slot: email}
  history:
    scope: {last: 50}
    import: direct
    native_turns: "20"
    redact: [card, iban, {pattern: 'PIN \d+'}, {entity: passport}]
  availability: {nobody: refuse, closed: queue, wait_limit: 60}
  relay:
    rasa_url: http://rasa:5005/
    rasa_token: t
    receive: webhook
    public_url: https://bot.example.com
    end_intents: [back_to_bot]
  ledger: postgresql://u:p@host/db
"""
        )
    ).tiledesk
    assert settings.history.scope == LastTurns(last=50)
    assert settings.history.native_turns == 20
    assert settings.history.redact == ["card", "iban", PatternRule(pattern=r"PIN \d+"), EntityRule(entity="passport")]
    assert settings.relay.rasa_url == "http://rasa:5005"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("all", "all"), ("{hours: 24}", LastHours(hours=24)), ('"last: 5"', LastTurns(last=5))],
)
def test_a_scope_is_read_in_each_of_its_forms(write, written: str, meant: object) -> None:  # type: ignore[no-untyped-def]
    assert load_endpoints(write(f"{GOOD}  history: {{scope: {written}}}\n")).tiledesk.history.scope == meant


def test_all_problems_are_told_at_once_each_with_its_key(write) -> None:  # type: ignore[no-untyped-def]
    found = problems(
        write(
            """
tracker_store: {username: {source: secrets_manager.vault, secret_key: x}}
tiledesk:
  url: tiledesk.com
  projct_id: abc
  email: ann@example.com
  history: {import: stagd, scope: yesterday}
  requester: {identity: signed}
  relay: {receive: webhook}
  ledger: nonsense
"""
        )
    )
    keys = [problem.partition(":")[0] for problem in found]
    assert sorted(keys) == [
        "tiledesk.history.import",
        "tiledesk.history.scope",
        "tiledesk.ledger",
        "tiledesk.password",
        "tiledesk.projct_id",
        "tiledesk.project_id",
        "tiledesk.relay.public_url",
        "tiledesk.requester.project_secret",
        "tiledesk.url",
        "tracker_store.username",
    ]


def test_an_unknown_key_is_refused_with_the_nearest_known_one(write) -> None:  # type: ignore[no-untyped-def]
    assert problems(write(f"{GOOD}  histroy: {{}}\n")) == ["tiledesk.histroy: unknown key; did you mean history?"]
    (far,) = problems(write(f"{GOOD}  relay: {{xyz: 1}}\n"))
    assert far.startswith("tiledesk.relay.xyz: unknown key; known keys: rasa_url, rasa_token")


def test_a_variable_is_expanded_as_rasa_does(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("TD_HOST", "desk.example.com")
    settings = load_endpoints(write(GOOD.replace("api.tiledesk.com", "${TD_HOST}"))).tiledesk
    assert settings.url == "https://desk.example.com/v3"


def test_a_variable_that_is_not_set_is_named_with_its_line(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("NOT_SET", raising=False)
    assert problems(write(GOOD.replace("s3cret", "${NOT_SET}"))) == [
        "tiledesk.password (line 6): the environment variable NOT_SET is not set"
    ]


def test_a_quoted_variable_is_the_mistake_that_it_is(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SET", "x")
    assert problems(write(GOOD.replace("s3cret", '"${SET}"'))) == [
        "tiledesk.password (line 6): Rasa leaves ${SET} as it is inside quotes; remove the quotes"
    ]


def test_a_variable_missing_in_somebody_elses_section_is_not_our_business(write) -> None:  # type: ignore[no-untyped-def]
    load_endpoints(write("nlg: {url: '${NOT_SET}'}\n" + GOOD))


def test_a_number_where_text_belongs_is_not_guessed_at(write) -> None:  # type: ignore[no-untyped-def]
    (problem,) = problems(write(GOOD.replace("s3cret", "0123")))
    assert problem == "tiledesk.password: YAML reads this as a number; put it in quotes"


def test_secrets_are_in_no_message_and_no_repr(write) -> None:  # type: ignore[no-untyped-def]
    secrets = """
  bot_id: hush-bot
  bot_secret: hush1
  requester: {identity: hush2, project_secret: hush3}
  relay: {rasa_token: hush4, receive: hush5}
  ledger: postgresql://u:hush6@host/db
"""
    path = write(GOOD.replace("s3cret", "hush0").replace("ann@example.com", "${HUSH}") + secrets)
    with pytest.raises(ConfigurationError) as caught:
        load_endpoints(path)
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value)
    good = load_endpoints(write("tracker_store: {password: hush}\n" + GOOD.replace("s3cret", "hush0")))
    assert "hush" not in repr(good)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tracker_store: {}\n", "there is no `tiledesk:` section"),
        ("tiledesk: [1]\n", "tiledesk: expected a mapping"),
        ("tiledesk: {a: 1\n", "not valid YAML"),
        ("- a\n", "not a YAML mapping"),
        ("tiledesk:\n  url: a\n  url: b\n", "duplicate key"),
        ("", "there is no `tiledesk:` section"),
    ],
)
def test_what_is_no_section_is_said(write, text: str, words: str) -> None:  # type: ignore[no-untyped-def]
    assert any(words in problem for problem in problems(write(text)))


def test_a_missing_file_says_how_to_point_to_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "nowhere.yml")
    assert "--endpoints" in problem
    assert "RASA_TILEDESK_ENDPOINTS" in problem


def test_direct_import_is_refused_for_a_bot_credential(write) -> None:  # type: ignore[no-untyped-def]
    text = GOOD.replace("email: ann@example.com", "bot_id: b").replace("password: s3cret", "bot_secret: c")
    (problem,) = problems(write(f"{text}  history: {{import: direct}}\n"))
    assert problem.startswith("tiledesk.history.import: direct needs email and password")


def test_endpoints_are_found_by_argument_then_environment_then_here() -> None:
    environment = {"RASA_TILEDESK_ENDPOINTS": "env.yml"}
    assert find_endpoints(["rasa_sdk", "--endpoints", "arg.yml"], environment) == Path("arg.yml")
    assert find_endpoints(["rasa_sdk", "--endpoints=arg.yml"], environment) == Path("arg.yml")
    assert find_endpoints(["rasa_sdk"], environment) == Path("env.yml")
    assert find_endpoints(["rasa_sdk"], {}) == Path("endpoints.yml")


def test_what_to_redact_is_read_in_each_of_its_forms(write) -> None:  # type: ignore[no-untyped-def]
    rules = "[card, iban, email, phone, {phone: 'NO'}, {slot: iban}, {entity: passport}]"
    found = load_endpoints(write(f"{GOOD}  history: {{redact: {rules}}}\n")).tiledesk.history.redact
    assert found[:4] == ["card", "iban", "email", "phone"]
    assert found[4:] == [PhoneRule(phone="NO"), SlotRule(slot="iban"), EntityRule(entity="passport")]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{pattern: '('}", "tiledesk.history.redact[1].pattern: not a regular expression: "),
        ("{pattern: 'a*'}", "tiledesk.history.redact[1].pattern: fits where nothing is"),
        ("{pattern: '(a|aa)+$'}", "tiledesk.history.redact[1].pattern: takes too long"),
        ("{phone: Germany}", "tiledesk.history.redact[1]: not a country"),
        ("{phone: false}", "tiledesk.history.redact[1]: not a country"),
        ("passport", "tiledesk.history.redact: expected a list of card"),
    ],
)
def test_rules_that_would_not_work_are_refused_at_start(write, rule: str, problem: str) -> None:  # type: ignore[no-untyped-def]
    found = problems(write(f"{GOOD}  history: {{redact: [card, {rule}]}}\n"))
    assert any(line.startswith(problem) for line in found)


def test_slots_for_the_agents_are_a_list_of_names(write) -> None:  # type: ignore[no-untyped-def]
    slots = load_endpoints(write(f"{GOOD}  requester: {{slots: [order, plan]}}\n")).tiledesk.requester.slots
    assert slots == ["order", "plan"]
    (problem,) = problems(write(f"{GOOD}  requester: {{slots: order}}\n"))
    assert problem == "tiledesk.requester.slots: expected a list of slot names"
