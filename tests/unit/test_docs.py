"""What the documents say is so: their links, their keys and defaults, their example, the version."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import rasa_tiledesk
from rasa_tiledesk import settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
SECTIONS = {
    "requester": settings.Requester,
    "history": settings.History,
    "availability": settings.Availability,
    "relay": settings.Relay,
}


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def test_the_pages_link_to_each_other() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert len(re.findall(r"\]\([^):\s]+\.md[^)]*\)", text)) > 20


def test_the_changelog_is_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)[0] == rasa_tiledesk.__version__


def fields(model: Any) -> dict[str, Any]:
    """The keys of a section and their defaults, in pydantic 1 and 2."""
    return dict(getattr(model, "model_fields", None) or model.__fields__)


def in_words(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, settings.WaitLimit):
        return f"{{after: {default.after}, then: {default.then}}}"
    if isinstance(default, list):
        return f"[{', '.join(default)}]"
    return "none" if default is None else str(default)


def documented() -> dict[str, str]:
    """The keys of configuration.md and the default it gives for each."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+?) \|", text, re.MULTILINE))


def test_every_key_is_documented_with_its_default() -> None:
    known = {}
    for name, key in fields(settings.Settings).items():
        if name in SECTIONS:
            inner = fields(SECTIONS[name]).items()
            known.update({f"{name}.{inner_name.rstrip('_')}": in_words(each.default) for inner_name, each in inner})
        else:
            known[name] = "required" if name in ("url", "project_id") else in_words(key.default)
    assert documented() == known


def test_the_example_of_testing_md_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(example, "docs/testing.md", "exec"), names)
    names["test_an_agent_gets_the_conversation"](tmp_path, monkeypatch)


def test_each_row_of_what_the_user_hears_has_a_live_test_and_no_test_a_row_that_is_not_there() -> None:
    page = (ROOT / "docs" / "relay.md").read_text(encoding="utf-8")
    table = page.split("| in Tiledesk | the user hears |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "live").glob("test_chat21_*.py"))
    shown = re.findall(r'@row\("(.+)"\)', tests)
    assert [row for row in rows if not any(row.startswith(begin) for begin in shown)] == []
    assert [begin for begin in shown if not any(row.startswith(begin) for row in rows)] == []
