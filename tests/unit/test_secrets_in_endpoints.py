"""What stands in endpoints.yml is in no error: the words are our own, with the key and the line."""

from __future__ import annotations

import re
import tempfile
import traceback
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rasa_tiledesk.endpoints import read_sections
from rasa_tiledesk.errors import ConfigurationError
from rasa_tiledesk.settings import load_endpoints

GOOD = """tiledesk:
  url: https://api.tiledesk.com/v3
  project_id: 5e2c35c8f0dbc10017bb3aac
  email: ann@example.com
"""
SECRET = "hush7Q"


# ruamel.yaml's warning of a doubled anchor repeats it.
pytestmark = pytest.mark.filterwarnings("error::ruamel.yaml.error.ReusedAnchorWarning")


def told(path: Path) -> str:
    """The problems as they are shown, and nothing of the secret in them, in their repr or in the traceback."""
    with pytest.raises(ConfigurationError) as caught:
        load_endpoints(path)
    shown = "".join(traceback.format_exception(type(caught.value), caught.value, caught.value.__traceback__))
    for text in (shown, str(caught.value), repr(caught.value), *map(str, caught.value.args)):
        assert SECRET.lower() not in text.lower()
    return str(caught.value)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        (
            "hush7Q\n  password: hush7Q2",
            "tiledesk.password (line 6): is a duplicate key, first given in line 5; keep one",
        ),
        ("*hush7Q", "line 5 (password): not valid YAML: a value that begins with * is an alias"),
        ("!hush7Q", "tiledesk.password (line 5): YAML reads this as no text, for it begins with !"),
        ("!hush7Q!x y", "line 5 (password): not valid YAML: a value that begins with ! is a tag"),
        ("!!python/name:hush7Q x", "tiledesk.password (line 5): YAML reads this as no text"),
        ("!!binary hush7Q", "tiledesk.password (line 5): YAML reads this as no text"),
        ("!!int hush7Q", "tiledesk.password (line 5): looks like a date or number"),
        ("!!set {hush7Q}", "tiledesk.password (line 5): has a tag"),
        ("&hush7Q", "tiledesk.password: is missing"),
        ("{hush7Q}", "tiledesk.password: expected text"),
        ("[hush7Q", "line 6: not valid YAML: look at the quotes, brackets and indentation"),
        ("[hush7Q]", "tiledesk.password: expected text"),
        ("a: hush7Q", "line 5: not valid YAML: put a value that holds `: ` in quotes"),
        ("@hush7Q", "line 5 (password): not valid YAML: no value can begin with this character"),
        ("%hush7Q", "line 5 (password): not valid YAML: no value can begin with this character"),
        ("|hush7Q", "line 5: not valid YAML"),
        ('"hush7Q', "not valid YAML"),
        ('"hush7Q\\q"', "line 5: not valid YAML"),
        ('"hush7Q\\UFFFFFFFF"', "not valid YAML"),
        ("hush7Q\x07", "not valid YAML"),
        ("hush7Q\n--- hush7Q", "line 6: not valid YAML: only one document"),
        ("hush7Q${not a name hush7Q}", "tiledesk.password (line 5): holds a ${...} without the name"),
        ("2024-11-24", "tiledesk.password: YAML reads this as a date; put it in quotes"),
        ("2024-11-24 10:00:00", "tiledesk.password: YAML reads this as a date; put it in quotes"),
        ("2024-13-45", "tiledesk.password (line 5): looks like a date or number, and is none that can be read"),
        ("true", "tiledesk.password: YAML reads this as a yes-or-no value; put it in quotes"),
        ("? hush7Q", "not valid YAML"),
        (
            "\n    ? [hush7Q, {hush7Q: 1}]\n    : hush7Q",
            "tiledesk.password (line 6): holds a key that is no plain name",
        ),
        ("\n    hush7Q hush7Q/hush7Q: ${NOT_SET}", "tiledesk.password (line 6): holds a key that is no plain name"),
        ("&a [*a, hush7Q]", "tiledesk.password[0] (line 5): an anchor that holds itself"),
        ("&a {<<: *a, x: hush7Q}", "tiledesk.password (line 5): an anchor that holds itself"),
        ("\n    <<: hush7Q", "tiledesk.password (line 6): << takes an alias of a mapping"),
        ("hush7Q\ntiledesk:\n  password: hush7Q", "tiledesk (line 6): is a second section, the first is in line 1"),
        ("[" * 1500 + "hush7Q", "nested too deep"),
        ("[" * 150 + "hush7Q" + "]" * 150, "tiledesk.password: expected text"),
        ("9" * 5000, "tiledesk.password"),
        ("hush7Q\n  histry: &hush7Q a\n  requester: {name_slot: &hush7Q b}", "tiledesk.histry: unknown key"),
        ("hush7Q\n  histry: 1\n? [tiledesk, hush7Q]\n: 1", "tiledesk.histry: unknown key"),
    ],
)
def test_a_mistyped_password_is_told_by_key_and_line_and_never_repeated(
    tmp_path: Path, password: str, words: str
) -> None:
    path = tmp_path / "endpoints.yml"
    path.write_text(f"{GOOD}  password: {password}\n", encoding="utf-8")
    assert words in told(path)


def test_a_ledger_with_an_encoded_password_is_not_repeated_in_any_form(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yml"
    path.write_text(f"{GOOD}  password: x\n  ledger: mysql+aiomysql://u:%68ush7Q%40@host:port/db\n", encoding="utf-8")
    assert "tiledesk.ledger: not a URL" in told(path)


def test_the_repr_of_a_section_shows_no_values(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yml"
    path.write_text(f"{GOOD}  password: {SECRET}\ntracker_store: {{password: {SECRET}}}\n", encoding="utf-8")
    assert SECRET not in repr(read_sections(path, ["tiledesk", "tracker_store"]))
    assert SECRET not in repr(load_endpoints(path))


def test_anchors_and_merges_are_read_as_yaml_means_them(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yml"
    path.write_text(
        "shared: &login {email: a@b.c, password: p}\nother: &base {url: https://a.com/, email: x@y.z}\n"
        f"tiledesk:\n  <<: [*login, *base]\n  project_id: {'a5' * 12}\n  url: https://desk.com\n",
        encoding="utf-8",
    )
    found = load_endpoints(path).tiledesk
    assert (found.url, found.email) == ("https://desk.com", "a@b.c")


def test_aliases_of_aliases_cost_no_more_than_they_are_long(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yml"
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    path.write_text("\n".join(lines) + f"\n{GOOD}  password: x\n  requester: {{slots: *a59}}\n", encoding="utf-8")
    assert "tiledesk.requester.slots: expected a list of slot names" in told(path)


KEYS = ["url", "project_id", "email", "password", "bot_id", "bot_secret", "auth", "department", "ledger"]
SECTIONS = {
    "requester": ["identity", "project_secret", "slots"],
    "history": ["scope", "redact", "native_turns"],
    "availability": ["nobody", "wait_limit", "give_up"],
    "relay": ["rasa_url", "rasa_token", "public_url", "end_intents", "idle_limit"],
}
JUNK = st.text(st.sampled_from(" \t\n'\"[]{}:,&*!|>%@`#?-=<$\\~0129.eE+_abT/\u2028\x85é"), max_size=8)
VALUES = st.one_of(
    st.builds("{}{}{}".format, JUNK, st.just(SECRET), JUNK),
    st.sampled_from(
        [
            *("", "~", "true", "0x1F", "1e999", "-.inf", ".nan", "2024-13-45", "12:30:45", "9" * 4500, "="),
            *("&a [*a]", "*b", "{last: 3}", "{<<: *b}", "{? [a] : b}", "[[[]]]", "&b {after: 1}"),
            *("!!timestamp x", "!!set {a}", "!!omap [a: 1]", "!!null x", "!!merge x"),
            *("postgresql://u:p@h/d?x=1", "sqlite://?x=1", "mysql+hush7Q://", "http://[hush7Q", "//:@"),
        ]
    ),
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = ["tiledesk:"]
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=6)):
        lines.append(f"  {key}: {draw(VALUES)}")
    for name in draw(st.lists(st.sampled_from(sorted(SECTIONS)), max_size=3)):
        lines.append(f"  {name}:{draw(st.sampled_from(['', ' ', ' &b', ' !!map']))}")
        lines += [f"    {key}: {draw(VALUES)}" for key in draw(st.lists(st.sampled_from(SECTIONS[name]), max_size=4))]
    lines += draw(st.sampled_from([[], ["tracker_store:", f"  url: {SECRET}"], ["---"], [f"? {SECRET}"]]))
    return "\n".join(lines)


def names_the_secret(text: str) -> bool:
    """Whether it is a variable's name, which is told."""
    return re.search(rf"\$\{{\w*{SECRET}", text) is not None


@settings(max_examples=300, deadline=None)
@given(st.one_of(documents(), st.text(max_size=60), st.text(st.sampled_from("[]{}:,&*!|>-? \nab'\""), max_size=60)))
def test_whatever_stands_in_the_file_there_are_settings_or_our_own_words(text: str) -> None:
    assume(not names_the_secret(text))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "endpoints.yml"
        path.write_bytes(text.encode())
        problems: tuple[str, ...] = ("",)
        try:
            load_endpoints(path)
        except ConfigurationError as error:
            problems = error.problems
        assert problems
        assert SECRET.lower() not in repr(problems).lower()
        assert all(len(problem.splitlines()) <= 1 for problem in problems)
