"""The demo's table keeps its shape whatever is said in it."""

from __future__ import annotations

import pytest

from stack.columns import side_by_side, width, wrap


@pytest.mark.parametrize(
    ("text", "columns"),
    [("Ada", 3), ("", 0), ("日本", 4), ("👋", 2), ("👩\u200d💻", 2), ("👍🏽", 2), ("e\u0301", 1), ("Ко", 2)],
)
def test_width_is_what_a_terminal_takes(text: str, columns: int) -> None:
    assert width(text) == columns


def test_wrap_breaks_between_words_and_keeps_every_one() -> None:
    text = "One moment, I am connecting you with a colleague."
    lines = wrap(text, 20)
    assert all(width(line) <= 20 for line in lines)
    assert " ".join(lines) == text


def test_wrap_cuts_a_word_longer_than_the_line() -> None:
    link = "https://placehold.co/600x400.png"
    lines = wrap(link, 10)
    assert all(width(line) <= 10 for line in lines)
    assert "".join(lines) == link


def test_wrap_keeps_indentation_and_empty_lines() -> None:
    assert wrap("  a\n\n  b", 10) == ["  a", "", "  b"]
    assert wrap("", 10) == [""]


@pytest.mark.parametrize("total", [80, 81, 120])
def test_side_by_side_is_straight(total: int) -> None:
    rows = [("Hello 👋 日本 " * 5, "x"), ("a", "long words " * 20)]
    lines = list(side_by_side(rows, titles=("left", "right"), total=total))
    assert {width(line[: max(line.find("│"), line.find("┼"))]) for line in lines} == {(total - 3) // 2 + 1}
    assert all(width(line) <= total for line in lines)
