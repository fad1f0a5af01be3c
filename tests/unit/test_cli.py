"""The `rasa-tiledesk` command: what an operator reads, and what the command leaves behind."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Callable

import pytest

from rasa_tiledesk import __version__
from rasa_tiledesk.cli.init import SECTION
from rasa_tiledesk.cli.main import COMMANDS, main
from rasa_tiledesk.cli.terminal import age, printable, table
from rasa_tiledesk.handoff.to_user.webhooks import Hooks
from rasa_tiledesk.ledger import Ledger, Life, Notice
from rasa_tiledesk.runtime import desk_of
from rasa_tiledesk.settings import load_endpoints
from rasa_tiledesk.testing import FakeRasa, FakeTiledesk, Fault
from stack.processes import free_port
from tests.contract.ledgers import begin
from tests.unit.acting import look_often
from tests.unit.conftest import conversation

SECRETS = {"TILEDESK_PROJECT_ID": "5e2c35c8f0dbc10017bb3aac", "TILEDESK_EMAIL": "a@b.c", "TILEDESK_PASSWORD": "hush"}


class Bot:
    """A bot's folder, between a Tiledesk and a Rasa; runs commands in it."""

    def __init__(self, folder: Path, desk: FakeTiledesk, rasa: FakeRasa, read: Callable[[], tuple[str, str]]) -> None:
        self.desk = desk
        self.rasa = rasa
        self.path = folder / "endpoints.yml"
        self.ledger_file = folder / "ledger.db"
        self._read = read
        self.configure()

    def configure(self, *, more: str = "", **changes: str) -> None:
        keys = {
            "url": self.desk.url,
            "project_id": f'"{self.desk.project_id}"',
            "email": self.desk.owner[0],
            "password": f'"{self.desk.owner[1]}"',
            "ledger": f"sqlite:///{self.ledger_file}",
            "relay": f"{{rasa_url: {self.rasa.url}}}",
            **changes,
        }
        self.path.write_text("tiledesk:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items()) + more)

    def ledger(self) -> Ledger:
        return Ledger(f"sqlite:///{self.ledger_file}")

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Run a command; give what it printed, and to stderr."""
        self._read()
        returned = main([words[0], "--endpoints", str(self.path), *words[1:]])
        out, err = self._read()
        assert returned == code, out + err
        assert "Traceback" not in out + err
        assert self.desk.owner[1] not in out + err
        assert "support-group-" not in out + err
        return out, err


@pytest.fixture
def bot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bot]:
    look_often(monkeypatch)
    with FakeTiledesk() as desk, FakeRasa() as rasa:
        yield Bot(tmp_path, desk, rasa, lambda: tuple(capsys.readouterr()))  # type: ignore[arg-type, return-value]


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_tells_what_is_wrong_with_endpoints_yml(
    command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = getattr(command, "name", "")
    if name == "init":
        return
    words = [name, "ann"] if name in ("preview", "handoff") else [name]
    assert main([*words, "--endpoints", str(tmp_path / "endpoints.yml")]) == 1
    out, err = capsys.readouterr()
    assert "cannot be read: No such file or directory" in out + err


def test_a_bug_is_one_line_without_its_words(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("what a user said")

    monkeypatch.setattr("rasa_tiledesk.cli.status.ledger_place", broken)
    _, err = bot.run("status", code=1)
    assert err == "unexpected KeyError; please report it\n"


def test_a_reader_that_has_read_enough_is_no_error(bot: Bot) -> None:
    command = [sys.executable, "-m", "rasa_tiledesk.cli.main", "init", "--endpoints", str(bot.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert running.stderr.read() == b""


def test_a_terminal_without_emoji_gets_question_marks(bot: Bot) -> None:
    bot.rasa.add("ann", [{"event": "user", "text": "hi 👋", "timestamp": 1.0, "parse_data": {}}])
    command = [sys.executable, "-m", "rasa_tiledesk.cli.main", "preview", "ann", "--endpoints", str(bot.path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True)
    assert b"hi ?" in done.stdout


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"rasa-tiledesk {__version__}\n"


# -- init -------------------------------------------------------------------------------------------------------------


def test_init_shows_what_a_bot_needs(bot: Bot) -> None:
    before = bot.path.read_text()
    out, _ = bot.run("init")
    for words in (
        SECTION,
        "from rasa_tiledesk.actions import *",
        "action: action_tiledesk_relay",
        "- action: action_tiledesk_handoff",
        "- intent: talk_to_human",
        "rasa-tiledesk check",
    ):
        assert words in out
    assert bot.path.read_text() == before


@pytest.mark.parametrize("before", ["", "action_endpoint:\n  url: http://localhost:5055/webhook"])
def test_init_writes_a_section_that_is_valid(bot: Bot, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if before:
        bot.path.write_text(before)
    else:
        bot.path.unlink()
    out, _ = bot.run("init", "--write")
    assert f"Added the section tiledesk: to {bot.path}" in out
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert load_endpoints(bot.path).tiledesk.history.native_turns == 40
    assert bot.path.read_text().startswith(before)


def test_init_never_writes_a_second_section(bot: Bot) -> None:
    before = bot.path.read_text()
    _, err = bot.run("init", "--write", code=1)
    assert "there is a `tiledesk:` section already; nothing was written" in err
    assert bot.path.read_text() == before


# -- check ------------------------------------------------------------------------------------------------------------


def verdicts(out: str) -> dict[str, str]:
    return {line[:15].strip(): line[15:24].strip() for line in out.splitlines() if line[:1] != " "}


def test_check_of_a_bot_that_is_ready(bot: Bot) -> None:
    out, _ = bot.run("check")
    assert set(verdicts(out).values()) == {"OK"}
    assert list(verdicts(out)) == [
        "endpoints.yml",
        "Tiledesk",
        "credential",
        "department",
        "open now",
        "agents",
        "tracker store",
        "ledger",
        "Rasa",
    ]
    assert "1 can take a request now" in out
    assert f"sqlite {bot.ledger_file}" in out


def test_check_notes_that_nobody_would_come_now(bot: Bot) -> None:
    bot.desk.set_open(False)
    bot.desk.set_available(bot.desk.owner_id, False)
    out, _ = bot.run("check")
    assert "open now       NOTE     no: users are refused (tiledesk.availability.closed: refuse)" in out
    assert "agents         NOTE     nobody now: users wait in the queue (tiledesk.availability.nobody: queue)" in out


@pytest.mark.parametrize(
    ("changes", "problem", "advice"),
    [
        ({"password": "wrong"}, "credential", "check tiledesk.email and tiledesk.password"),
        ({"project_id": '"5e2c35c8f0dbc10017bb3aac"'}, "credential", "tiledesk.project_id"),
        ({"url": "http://127.0.0.1:9"}, "Tiledesk", "check tiledesk.url"),
        ({"department": "Nowhere"}, "department", "check tiledesk.department"),
        ({"ledger": "sqlite:////nowhere/ledger.db"}, "ledger", "tiledesk.ledger"),
        ({"ledger": "sqlite://"}, "ledger", "in the memory of each process"),
        ({"relay": "{rasa_url: 'http://127.0.0.1:9'}"}, "Rasa", "is Rasa running there?"),
        ({"colour": "blue"}, "endpoints.yml", "tiledesk.colour: unknown key"),
    ],
)
def test_check_names_the_problem_and_the_key(bot: Bot, changes: dict[str, str], problem: str, advice: str) -> None:
    bot.configure(**changes)
    out, _ = bot.run("check", code=1)
    assert verdicts(out)[problem] == "PROBLEM"
    assert advice in out


def test_check_finds_rasas_api_closed_or_the_token_wrong(bot: Bot) -> None:
    with FakeRasa(token="secret") as locked, FakeRasa(api=False) as closed:
        bot.configure(relay=f"{{rasa_url: {locked.url}, rasa_token: wrong}}")
        assert "check relay.rasa_token" in bot.run("check", code=1)[0]
        bot.configure(relay=f"{{rasa_url: {closed.url}}}")
        assert "rasa run --enable-api" in bot.run("check", code=1)[0]


def test_check_reads_the_tracker_store(bot: Bot) -> None:
    bot.configure(more="tracker_store: {type: SQL, dialect: sqlite, db: /nowhere/rasa.db}\n")
    out, _ = bot.run("check", code=1)
    assert verdicts(out)["tracker store"] == "PROBLEM"
    assert "tracker_store" in out


def test_check_lists_the_webhooks(bot: Bot) -> None:
    relay = f"{{rasa_url: {bot.rasa.url}, receive: webhook, public_url: 'https://bot.example.com'}}"
    bot.configure(relay=relay)
    out, _ = bot.run("check", code=1)
    assert verdicts(out)["webhooks"] == "PROBLEM"
    assert "to https://bot.example.com/tiledesk/webhook (the action server makes them" in out


def test_check_says_when_a_webhook_that_was_asked_for_does_not_come(bot: Bot) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    bot.configure(relay=f"{{rasa_url: {bot.rasa.url}, receive: webhook, public_url: '{nowhere}'}}")
    settings = load_endpoints(bot.path).tiledesk
    with closing(bot.ledger()) as ledger:
        Hooks(desk_of(settings), ledger, nowhere).mend()
    out, _ = bot.run("check", code=1)
    assert verdicts(out)["webhooks"] == "PROBLEM"
    assert f"none came to {nowhere}/tiledesk/webhook" in out
    assert "does the action server run, with this ledger?" in out
    assert "RESTHOOK_ENABLED=true" in out


def test_status_says_that_webhooks_do_not_come(bot: Bot) -> None:
    project = bot.desk.project_id
    with closing(bot.ledger()) as ledger:
        handoff, _ = begin(ledger)
        ledger.news.claim(project, "one", seconds=30)
        assert "webhooks:" not in bot.run("status")[0]
        for _ in range(5):
            notice = Notice(project, came=False)
            ledger.handoffs.heard(handoff, [], heard="t", joined=False, spoke=True, end=None, notice=notice)
    assert "webhooks: none told of the last 5 messages of agents, 5 in all" in bot.run("status")[0]
    told = json.loads(bot.run("status", "--json")[0])
    assert told["webhooks_missed"] == {"in_all": 5, "in_a_row": 5}


def test_check_of_a_tiledesk_that_answers_nothing_sensible(bot: Bot) -> None:
    bot.desk.faults = lambda call: Fault.answer(500)
    out, _ = bot.run("check", code=1)
    assert verdicts(out)["Tiledesk"] == "PROBLEM"
    assert verdicts(out)["department"] == "SKIPPED"


def test_check_for_programs(bot: Bot) -> None:
    found = json.loads(bot.run("check", "--json")[0])
    assert {tuple(line) for line in found} == {("check", "verdict", "details", "remedy")}
    assert {line["verdict"] for line in found} == {"OK"}
    bot.configure(password="wrong")
    found = {line["check"]: line for line in json.loads(bot.run("check", "--json", code=1)[0])}
    assert found["credential"]["verdict"] == "PROBLEM"
    assert "401" in found["credential"]["details"]
    assert found["credential"]["remedy"] == "check tiledesk.email and tiledesk.password"
    assert (found["agents"]["verdict"], found["agents"]["remedy"]) == ("SKIPPED", "")
    bot.configure(relay="{rasa_url: 'http://127.0.0.1:9'}")
    (*_, rasa) = json.loads(bot.run("check", "--json", code=1)[0])
    assert rasa["remedy"] == "check relay.rasa_url: is Rasa running there?"


def test_check_for_programs_of_a_file_that_is_wrong(bot: Bot) -> None:
    bot.configure(colour="blue")
    (line,) = json.loads(bot.run("check", "--json", code=1)[0])
    assert (line["check"], line["verdict"]) == ("endpoints.yml", "PROBLEM")
    assert "tiledesk.colour: unknown key" in line["details"]


# -- preview ----------------------------------------------------------------------------------------------------------


def test_preview_shows_the_messages_and_sends_nothing(bot: Bot) -> None:
    bot.rasa.add("ann", [*conversation(3), {"event": "slot", "name": "name", "value": "Ann", "timestamp": 1.0}])
    out, _ = bot.run("preview", "ann")
    assert out.splitlines() == [
        "4 messages, as an agent would see them, times in UTC. Nothing was sent.",
        "",
        "2023-11-14 22:13:20       The bot hands this conversation over.",
        "                          Bot: Bot",
        "                          User: Ann",
        "2023-11-14 22:13:21  Ann  turn 0",
        "2023-11-14 22:13:22  Bot  turn 1",
        "2023-11-14 22:13:23  Ann  turn 2",
    ]
    shown = json.loads(bot.run("preview", "ann", "--json")[0])
    assert [(each["name"], each["who"], each["text"]) for each in shown["messages"][1:]] == [
        ("Ann", "user", "turn 0"),
        ("Bot", "bot", "turn 1"),
        ("Ann", "user", "turn 2"),
    ]
    assert [each["info"] for each in shown["messages"]] == [True, False, False, False]
    assert shown["removed"] == []
    assert bot.desk.requests() == []
    assert not bot.ledger_file.exists()


@pytest.mark.parametrize("way", ["staged", "direct"])
def test_preview_shows_the_summary_of_older_turns(bot: Bot, way: str) -> None:
    bot.configure(history=f"{{native_turns: 2, import: {way}}}")
    bot.rasa.add("ann", conversation(5))
    out, _ = bot.run("preview", "ann")
    assert "Bot         Earlier in this conversation (3 messages, times in UTC):" in out
    indent = " " * 33
    assert f"{indent}2023-11-14 22:13  Guest 4991: turn 2\n" in out
    assert out.splitlines()[-2:] == [
        "2023-11-14 22:13:24  Bot         turn 3",
        "2023-11-14 22:13:25  Guest 4991  turn 4",
    ]


def test_preview_of_what_a_terminal_would_obey(bot: Bot) -> None:
    bot.rasa.add("ann", [{"event": "user", "text": "\x1b[2Jcleared \x9b5m", "timestamp": 1.0, "parse_data": {}}])
    out, _ = bot.run("preview", "ann")
    assert "\\x1b[2Jcleared \\x9b5m" in out


def test_preview_counts_what_redaction_removes(bot: Bot) -> None:
    bot.configure(history="{redact: [card]}")
    said = {"event": "user", "text": "it is 4242 4242 4242 4242", "timestamp": 1_700_000_000.0, "parse_data": {}}
    bot.rasa.add("ann", [said])
    out, _ = bot.run("preview", "ann")
    assert "4242 4242" not in out
    assert out.splitlines()[-2:] == [
        "Removed by history.redact, in all sessions:",
        "2023-11-14 22:13:20  user: 1 × card",
    ]
    (removed,) = json.loads(bot.run("preview", "ann", "--json")[0])["removed"]
    assert removed == {"at": 1_700_000_000_000, "who": "user", "rule": "card", "count": 1}
    bot.rasa.add("bob", conversation(1))
    assert bot.run("preview", "bob")[0].endswith("history.redact found nothing to remove.\n")


def test_preview_of_nobody(bot: Bot) -> None:
    _, err = bot.run("preview", "nobody", code=1)
    assert err == "the tracker store has no conversation of nobody\n"


# -- handoff ----------------------------------------------------------------------------------------------------------


def test_an_operator_hands_over(bot: Bot) -> None:
    bot.ledger().close()
    bot.rasa.add("ann", [*conversation(3), {"event": "slot", "name": "name", "value": "Ann", "timestamp": 1.0}])
    out, _ = bot.run("handoff", "ann")
    assert out.splitlines()[1:] == ["live: the agents have it"]
    (request,) = bot.desk.requests()
    said = [m for m in bot.desk.messages(request["request_id"]) if "rasa" in (m.get("attributes") or {})]
    assert [(m["senderFullname"], m["text"]) for m in said[1:]] == [
        ("Ann", "turn 0"),
        ("Bot", "turn 1"),
        ("Ann", "turn 2"),
    ]
    assert "pause" in [event["event"] for event in bot.rasa.events("ann")]


def test_handing_over_again_goes_on_with_the_one_there_is(bot: Bot) -> None:
    bot.ledger().close()
    bot.rasa.add("ann", conversation(3))
    bot.run("handoff", "ann")
    out, _ = bot.run("handoff", "ann")
    assert "handed over already" in out
    assert len(bot.desk.requests()) == 1


def test_an_operator_tries_again_what_failed(bot: Bot) -> None:
    bot.ledger().close()
    bot.rasa.add("ann", conversation(3))
    bot.desk.fail("POST /auth/signinAnonymously", Fault.answer(403))
    _, err = bot.run("handoff", "ann", code=1)
    assert "failed: Tiledesk: POST /auth/signinAnonymously answered 403" in err
    bot.run("handoff", "ann")
    assert bot.ledger().handoffs.counts() == {Life.FAILED: 1, Life.LIVE: 1}


def test_a_handoff_that_cannot_be(bot: Bot) -> None:
    _, err = bot.run("handoff", "ann", code=1)
    assert f"there is no {bot.ledger_file}; the action server makes it" in err
    assert not bot.ledger_file.exists()
    bot.ledger().close()
    assert bot.run("handoff", "ann", code=1)[1] == "the tracker store has no conversation of ann\n"
    bot.rasa.add("ann", conversation(3))
    bot.desk.set_open(False)
    assert "not handed over: closed now" in bot.run("handoff", "ann", code=1)[1]
    bot.configure(department="Nowhere", availability="{closed: queue}")
    assert "check tiledesk.department" in bot.run("handoff", "ann", code=1)[1]
    assert bot.desk.requests() == []


def test_nobody_is_handed_over_whom_agents_could_never_reach(bot: Bot) -> None:
    bot.ledger().close()
    store = bot.path.parent / "rasa.db"
    with closing(sqlite3.connect(store)) as database, database:
        database.execute(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, sender_id TEXT, type_name TEXT, timestamp FLOAT, "
            "intent_name TEXT, action_name TEXT, data TEXT)"
        )
        rows = [("ann", event["event"], json.dumps(event)) for event in conversation(3)]
        database.executemany("INSERT INTO events (sender_id, type_name, data) VALUES (?, ?, ?)", rows)
    bot.configure(
        relay="{rasa_url: 'http://127.0.0.1:9'}", more=f"tracker_store: {{type: SQL, dialect: sqlite, db: {store}}}\n"
    )
    _, err = bot.run("handoff", "ann", code=1)
    assert "check relay.rasa_url: is Rasa running there?" in err
    assert bot.desk.requests() == []


# -- status -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_failed_one_live(bot: Bot) -> Bot:
    with FakeRasa() as rasa:
        bot.rasa = rasa
        bot.configure()
        bot.ledger().close()
        rasa.add("ann", conversation(3))
        bot.desk.fail("POST /auth/signinAnonymously", Fault.answer(403))
        bot.run("handoff", "ann", code=1)
        bot.run("handoff", "ann")
    return bot


def test_status_is_a_table_without_texts(one_failed_one_live: Bot) -> None:
    out, _ = one_failed_one_live.run("status")
    lines = out.splitlines()
    assert lines[1] == "asked: 0  open: 0  live: 1  over: 0  failed: 1"
    assert re.split(r"  +", lines[3]) == ["SENDER", "LIFE", "AGE", "STEPS LEFT", "ATTEMPTS", "HANDOFF", "LAST ERROR"]
    assert lines[4].startswith("ann     failed  ")
    assert "Tiledesk: POST /auth/signinAnonymously answered 403" in lines[4]
    assert re.match(r"ann     live    \d+ s +0 \+ \d +0 ", lines[5])
    assert lines[-1] == "STEPS LEFT: to the agents + to the user"
    assert "turn 1" not in out


def test_status_of_one_sender_has_the_history(one_failed_one_live: Bot) -> None:
    out, _ = one_failed_one_live.run("status", "ann")
    assert "of ann: failed, it could not be carried out" in out
    assert "steps left: 0 to the agents, " in out
    assert "answered 403" in out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("  20")] == [
        "asked",
        "failed",
        "asked",
        "open",
        "live",
    ]


def test_status_for_programs(one_failed_one_live: Bot) -> None:
    told = json.loads(one_failed_one_live.run("status", "--json")[0])
    assert told["counts"] == {"asked": 0, "open": 0, "live": 1, "over": 0, "failed": 1}
    assert [(each["life"], each["end"]) for each in told["handoffs"]] == [
        ("failed", "it could not be carried out"),
        ("live", None),
    ]
    failed, live = json.loads(one_failed_one_live.run("status", "ann", "--json")[0])
    assert "answered 403" in failed["last_error"]
    assert set(live["steps_left"]) == {"to_agents", "to_user"}
    assert (live["steps_left"]["to_agents"], live["joined"], live["last_error"]) == (0, False, None)
    assert [step["life"] for step in live["history"]] == ["asked", "open", "live"]


def test_status_where_there_is_nothing(bot: Bot) -> None:
    assert "there is no" in bot.run("status", code=1)[1]
    assert not bot.ledger_file.exists()
    bot.ledger().close()
    assert bot.run("status")[0].endswith("asked: 0  open: 0  live: 0  over: 0  failed: 0\n")
    assert bot.run("status", "ann", code=1)[1] == "ann was never handed over\n"


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "words"), [(-5, "0 s"), (59_999, "59 s"), (61_000, "1 min 1 s"), (3_700_000, "1 h 1 min"), (9e7, "1 d 1 h")]
)
def test_ages(ms: float, words: str) -> None:
    assert age(int(ms)) == words


def test_what_is_printed_is_never_obeyed() -> None:
    assert printable("a\x00b\x7f\x9b\n\té👋\ud800") == "a\\x00b\\x7f\\x9b\n\té👋?"
    assert list(table([("a", "b"), ("long", "")])) == ["a     b", "long"]
