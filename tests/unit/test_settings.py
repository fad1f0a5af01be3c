"""endpoints.yml becomes settings, or one error that lists everything that is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rasa_tiledesk.endpoints import find_endpoints
from rasa_tiledesk.errors import ConfigurationError
from rasa_tiledesk.settings import (
    EntityRule,
    LastHours,
    LastTurns,
    PatternRule,
    PhoneRule,
    Settings,
    SlotRule,
    ledger_url,
    load_endpoints,
)

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
    assert (settings.availability.wait_limit.after, settings.availability.wait_limit.then) == (600, "tell")
    assert settings.availability.give_up == 600
    assert settings.relay.idle_limit is None
    assert settings.history.bot_name is None
    assert settings.ledger_keep_days == 90
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
    bot_name: Ada
    redact: [card, iban, {pattern: 'PIN \d+'}, {entity: passport}]
  availability: {nobody: refuse, closed: queue, wait_limit: 60, give_up: 30}
  relay:
    rasa_url: http://rasa:5005/
    rasa_token: t
    receive: webhook
    public_url: https://bot.example.com
    end_intents: [back_to_bot]
    idle_limit: 900
  ledger: sqlite:////var/ledger.db
  ledger_keep_days: 30
"""
        )
    ).tiledesk
    assert settings.history.scope == LastTurns(last=50)
    assert settings.history.native_turns == 20
    assert settings.history.redact == ["card", "iban", PatternRule(pattern=r"PIN \d+"), EntityRule(entity="passport")]
    assert settings.relay.rasa_url == "http://rasa:5005"
    assert (settings.history.bot_name, settings.relay.idle_limit, settings.ledger_keep_days) == ("Ada", 900, 30)
    assert (settings.availability.wait_limit.after, settings.availability.give_up) == (60, 30)


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


@pytest.mark.parametrize(
    ("written", "after", "then"),
    [
        ("60", 60, "tell"),
        ("'60'", 60, "tell"),
        ("0.5", 0.5, "tell"),
        ("{after: 60}", 60, "tell"),
        ("{then: offer}", 600, "offer"),
        ("{after: 90, then: return}", 90, "return"),
    ],
)
def test_the_wait_limit_reads_the_same_whatever_was_written(write, written: str, after: float, then: str) -> None:  # type: ignore[no-untyped-def]
    limit = load_endpoints(write(f"{GOOD}  availability: {{wait_limit: {written}}}\n")).tiledesk.availability.wait_limit
    assert (limit.after, limit.then) == (after, then)


def test_settings_that_are_made_in_code_take_the_wait_limit_in_seconds_too() -> None:
    settings = Settings(url="http://desk", project_id="5" * 24, availability={"wait_limit": 60})
    assert settings.availability.wait_limit.after == 60


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        (
            "availability",
            "wait_limit",
            [
                *("0", "-1", "true", "soon", "[60]", ".inf", ".nan", "1e999", "2024-01-01"),
                *("{after: true}", "{aftr: 1}", "{then: wait}", "{then: true}", "{after: 0}", "{self: 1}"),
            ],
        ),
        ("availability", "give_up", ["0", "true", "{after: 1}", ".inf"]),
        ("relay", "idle_limit", ["0", "-5", "false", "never", ".nan"]),
        ("history", "native_turns", ["0", "151", "true", "1.5", "many"]),
        ("history", "scope", ["{last: 0}", "{hours: 0}", "{hours: -1}", "{hours: 1000001}"]),
        ("history", "scope", ["{last: true}", "{hours: true}", "{last: 1.5}", "{hours: .inf}", "{last: 1, hours: 1}"]),
        ("history", "redact", ["card", "[1]", "[true]", "[{entity: 1}]", "[{slot: true}]", "[[card]]"]),
        ("relay", "end_intents", ["[1]", "[true]", "back", "{a: b}"]),
        ("requester", "slots", ["[1]", "[null]"]),
    ],
)
def test_a_value_that_does_not_fit_is_told_once_with_what_does(  # type: ignore[no-untyped-def]
    write, section: str, key: str, values: list[str]
) -> None:
    for value in values:
        (problem,) = problems(write(f"{GOOD}  {section}: {{{key}: {value}}}\n"))
        assert problem.startswith(f"tiledesk.{section}.{key}: expected "), value


@pytest.mark.parametrize("key", ["availability.wait_limit", "availability.give_up", "relay.idle_limit"])
def test_a_limit_may_be_a_year_and_no_longer(write, key: str) -> None:  # type: ignore[no-untyped-def]
    section, _, name = key.partition(".")
    year = 365 * 24 * 3600
    assert load_endpoints(write(f"{GOOD}  {section}: {{{name}: {year}}}\n"))
    (problem,) = problems(write(f"{GOOD}  {section}: {{{name}: {year + 1}}}\n"))
    assert problem.startswith(f"tiledesk.{key}: expected seconds")


@pytest.mark.parametrize("value", ["0", "-1", "true", "1.5", "often"])
def test_the_ledger_is_kept_for_whole_days(write, value: str) -> None:  # type: ignore[no-untyped-def]
    assert problems(write(f"{GOOD}  ledger_keep_days: {value}\n")) == [
        "tiledesk.ledger_keep_days: expected days, a whole number above 0"
    ]


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("postgresql://u:p@host/db", "postgresql+psycopg2"),
        ("postgres://u:p@host/db", "postgresql+psycopg2"),
        ("mysql://u:p@host/db", "mysql+pymysql"),
        ("mariadb://u:p@host/db", "mariadb+pymysql"),
        ("mysql+mysqldb://u:p@host/db", "mysql+mysqldb"),
        ("sqlite:///a b.db", "sqlite"),
    ],
)
def test_a_ledger_that_names_no_driver_means_the_one_that_the_extras_install(written: str, driver: str) -> None:
    settings = Settings(url="http://desk", project_id="5" * 24, ledger=written)
    assert ledger_url(settings).drivername == driver
    assert ledger_url(settings).password == ("p" if "@" in written else None)


@pytest.mark.parametrize(
    ("ledger", "words"),
    [
        ("nonsense", "not a URL"),
        ("postgresql://u:p@host:hush/db", "write @ as %40"),
        ("oracle://u:hush@host/db", "not SQLite, PostgreSQL, MySQL or MariaDB"),
        ("postgresql+hush://u:p@host/db", "SQLAlchemy does not know the driver"),
        (
            "mysql+mysqlconnector://u:hush@host/db",
            "its driver mysqlconnector is not installed; install it",
        ),
        ("mysql+aiomysql://u:hush@host/db", ""),
    ],
)
def test_a_ledger_that_cannot_be_used_is_told_at_the_start(write, ledger: str, words: str) -> None:  # type: ignore[no-untyped-def]
    (problem,) = problems(write(f"{GOOD}  ledger: {ledger}\n"))
    assert problem.startswith("tiledesk.ledger: ")
    assert words in problem
    assert "hush" not in problem


def test_a_driver_of_our_extras_that_is_not_installed_comes_with_its_command(  # type: ignore[no-untyped-def]
    write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    assert problems(write(f"{GOOD}  ledger: postgresql://u:p@host/db\n")) == [
        'tiledesk.ledger: its driver psycopg2 is not installed; pip install "rasa-tiledesk[postgresql]"'
    ]


@pytest.mark.parametrize(
    "url",
    [
        *("'https://a b.com/v3'", "'https://a.com/v3 x'", '"https://a.com\\tb"', "https://", "ftp://a.com"),
        *("'http://[oops'", "https://exa℀mple.com", "http://a:99999", f"http://{'a' * 64}.com"),
        *("https://u:hush@a.com", "https://a.com?b=hush"),
    ],
)
def test_a_url_that_could_not_be_called_is_refused(write, url: str) -> None:  # type: ignore[no-untyped-def]
    for key, text in (
        ("url", GOOD.replace("https://api.tiledesk.com/v3", url)),
        ("relay.rasa_url", f"{GOOD}  relay: {{rasa_url: {url}}}\n"),
        ("relay.public_url", f"{GOOD}  relay: {{public_url: {url}}}\n"),
    ):
        (problem,) = problems(write(text))
        assert problem.startswith(f"tiledesk.{key}: ")
        assert "hush" not in problem


@pytest.mark.parametrize("key", ["history.native_turns", "availability.give_up", "availability.wait_limit"])
@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, f"0x{'F' * 5000}"])
def test_a_number_without_end_is_refused(write, key: str, number: str) -> None:  # type: ignore[no-untyped-def]
    section, _, name = key.partition(".")
    (problem,) = problems(write(f"{GOOD}  {section}: {{{name}: {number}}}\n"))
    assert problem.startswith(f"tiledesk.{key} (line 7): looks like a date or number")


def test_variables_in_a_list_are_expanded_and_told_by_their_place(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PLAN_SLOT", "plan")
    monkeypatch.delenv("NOT_SET", raising=False)
    named = write(GOOD + "  requester:\n    slots:\n    - order\n    - a${PLAN_SLOT}\n")
    assert load_endpoints(named).tiledesk.requester.slots == ["order", "aplan"]
    nested = write(GOOD + "  history:\n    redact:\n    - card\n    - slot: ${PLAN_SLOT}\n")
    assert load_endpoints(nested).tiledesk.history.redact == ["card", SlotRule(slot="plan")]
    assert problems(write(GOOD + "  requester:\n    slots:\n    - order\n    - ${NOT_SET}\n")) == [
        "tiledesk.requester.slots[1] (line 10): the environment variable NOT_SET is not set"
    ]


@pytest.mark.parametrize(
    "key",
    [
        *("files_url", "bot_id", "bot_secret", "department", "ledger"),
        *("requester.project_secret", "requester.name_slot", "requester.email_slot", "history.bot_name"),
        *("relay.rasa_url", "relay.rasa_token", "relay.public_url", "relay.client_secret"),
    ],
)
@pytest.mark.parametrize(("written", "read_as"), [("0123", "number"), ("1e5", "number"), ("2024-01-01", "date")])
def test_a_number_or_date_where_text_belongs_is_told_wherever_it_stands(  # type: ignore[no-untyped-def]
    write, key: str, written: str, read_as: str
) -> None:
    section, _, name = key.rpartition(".")
    found = problems(
        write(f"{GOOD}  {section}: {{{name}: {written}}}\n" if section else f"{GOOD}  {name}: {written}\n")
    )
    assert f"tiledesk.{key}: YAML reads this as a {read_as}; put it in quotes" in found
    assert not any(written in problem for problem in found)


@pytest.mark.parametrize("more", ["bot_id: b\n  bot_secret: s", "bot_id: b", "bot_secret: s"])
def test_a_login_and_a_bot_together_are_refused(write, more: str) -> None:  # type: ignore[no-untyped-def]
    assert "tiledesk.email: there is a bot_id too; keep either email and password or bot_id and bot_secret" in problems(
        write(f"{GOOD}  {more}\n")
    )


@pytest.mark.parametrize(
    ("login", "missing"),
    [
        ("email: a@b.c", "tiledesk.password: is missing; email needs it"),
        ("password: s", "tiledesk.email: is missing; password needs it"),
        ("bot_id: b", "tiledesk.bot_secret: is missing; bot_id needs it"),
        ("bot_secret: s", "tiledesk.bot_id: is missing; bot_secret needs it"),
        ("department: d", "tiledesk.email: is missing; give an agent's or admin's email and password, or bot_id and"),
    ],
)
def test_half_of_a_login_is_told_by_the_half_that_is_missing(write, login: str, missing: str) -> None:  # type: ignore[no-untyped-def]
    text = GOOD.replace("email: ann@example.com\n  password: s3cret", login)
    (problem,) = problems(write(text))
    assert problem.startswith(missing)
