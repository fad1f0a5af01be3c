"""Responses, and what Rasa may say of each: a table for our own rendering and for Rasa's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """What stands in the domain under `utter_x`, and what may be said.

    Attributes:
        says: the variations that may be chosen, each filled; for short, a text stands for ``{"text": text}``.
    """

    about: str
    variations: Any
    says: list[Any]
    slots: dict[str, Any] = field(default_factory=dict)
    channel: str = "callback"
    extra: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.about.replace(" ", "_")

    def expected(self) -> list[dict[str, Any]]:
        """The filled variations, whole."""
        return [{"text": said} if isinstance(said, str) else said for said in self.says]


def _when(**slots: Any) -> list[dict[str, Any]]:
    return [{"type": "slot", "name": name, "value": value} for name, value in slots.items()]


_GOLD = {"text": "gold", "condition": _when(plan="gold")}
_GOLD_HERE = {"text": "gold here", "condition": _when(plan="gold"), "channel": "callback"}
_HERE = {"text": "here", "channel": "callback"}
_PLAIN = {"text": "plain"}
_ALL = [_PLAIN, _HERE, _GOLD, _GOLD_HERE]
_NAME = {"name": "Bo"}
_CARD = {"template": {"title": "{name}'s order", "lines": ["{n} pieces", {"to": "{name}"}, 5, None]}, "count": 3}
_CARD_FILLED = {"template": {"title": "Bo's order", "lines": ["2 pieces", {"to": "Bo"}, 5, None]}, "count": 3}

CASES = [
    Case("one variation", [_PLAIN], ["plain"]),
    Case("several variations", [{"text": "a"}, {"text": "b"}], ["a", "b"]),
    Case("none", [], []),
    Case("a condition that holds comes first", [_PLAIN, _GOLD], [_GOLD], {"plan": "gold"}),
    Case("a condition that does not hold", [_PLAIN, _GOLD], ["plain"], {"plan": "basic"}),
    Case("a condition on a slot that is not set", [_PLAIN, _GOLD], ["plain"], {"plan": None}),
    Case("a condition on a slot that does not exist", [_PLAIN, _GOLD], ["plain"], {"other": "gold"}),
    Case("only conditions, none of which holds", [_GOLD], [], {"plan": "basic"}),
    Case("letters of another size", [_PLAIN, _GOLD], [_GOLD], {"plan": "GOLD"}),
    Case(
        "two conditions, of which both must hold",
        [_PLAIN, {"text": "both", "condition": _when(plan="gold", vip=True)}],
        ["plain"],
        {"plan": "gold", "vip": False},
    ),
    Case(
        "several variations whose conditions hold",
        [_GOLD, {"text": "vip", "condition": _when(vip=True)}, _PLAIN],
        [_GOLD, {"text": "vip", "condition": _when(vip=True)}],
        {"plan": "gold", "vip": True},
    ),
    Case("a number", [{"text": "3", "condition": _when(n=3)}], [{"text": "3", "condition": _when(n=3)}], {"n": 3.0}),
    Case("a number is no text", [_PLAIN, {"text": "3", "condition": _when(n=3)}], ["plain"], {"n": "3"}),
    Case(
        "a slot that is not set, as a condition",
        [_PLAIN, {"text": "who?", "condition": _when(name=None)}],
        [{"text": "who?", "condition": _when(name=None)}],
        {"name": None},
    ),
    Case(
        "a list",
        [_PLAIN, {"text": "list", "condition": _when(topics=["a", "b"])}],
        [{"text": "list", "condition": _when(topics=["a", "b"])}],
        {"topics": ["a", "b"]},
    ),
    Case(
        "a condition of no type",
        [_PLAIN, {"text": "x", "condition": [{"type": "other", "name": "plan", "value": "gold"}]}],
        [{"text": "x", "condition": [{"type": "other", "name": "plan", "value": "gold"}]}],
        {"plan": "gold"},
    ),
    Case("an empty condition is never said", [{"text": "x", "condition": []}, _PLAIN], ["plain"], {"plan": "gold"}),
    Case("the channel's own", [_PLAIN, _HERE], [_HERE]),
    Case("another channel's", [_PLAIN, {"text": "there", "channel": "slack"}], ["plain"]),
    Case("only another channel's", [{"text": "there", "channel": "slack"}], []),
    Case("the channel's name is compared letter by letter", [_PLAIN, _HERE], ["plain"], channel="Callback"),
    Case("channel and condition", _ALL, [_GOLD_HERE], {"plan": "gold"}),
    Case("channel without its condition", _ALL, [_HERE], {"plan": "basic"}),
    Case("the channel before a condition that holds", [_PLAIN, _GOLD, _HERE], [_HERE], {"plan": "gold"}),
    Case("a condition on another channel", _ALL, [_GOLD], {"plan": "gold"}, channel="slack"),
    Case("the channel's own only under a condition", [_PLAIN, _GOLD_HERE], ["plain"], {"plan": "basic"}),
    Case("a slot", [{"text": "Hi {name}!"}], ["Hi Bo!"], _NAME),
    Case("a slot twice", [{"text": "{name}, {name}"}], ["Bo, Bo"], _NAME),
    Case("a slot that is not set, in a text", [{"text": "Hi {name}"}], ["Hi None"], {"name": None}),
    Case("what is no slot", [{"text": "Hi {name} of {town}"}], ["Hi {name} of {town}"], _NAME),
    Case("no slots at all", [{"text": "Hi {name} {{x}}"}], ["Hi {name} {{x}}"]),
    Case(
        "a value that is given",
        [{"text": "{agent} has joined, {name}"}],
        ["Ann has joined, Bo"],
        _NAME,
        extra={"agent": "Ann"},
    ),
    Case("a given value before a slot", [{"text": "{name}"}], ["Cy"], _NAME, extra={"name": "Cy"}),
    Case("numbers, truth and lists", [{"text": "{n} {b} {l}"}], ["1.5 True ['a']"], {"n": 1.5, "b": True, "l": ["a"]}),
    Case("a value with braces", [{"text": "{name}"}], ["{x} {{y}}"], {"name": "{x} {{y}}"}),
    Case("doubled braces", [{"text": "{{name}}"}], ["{name}"], _NAME),
    Case("doubled braces beside a slot", [{"text": "{{x}} {name}"}], ["{{x}} {name}"], _NAME),
    Case("doubled braces around a slot", [{"text": "{{{name}}}"}], ["{Bo}"], _NAME),
    Case("empty doubled braces", [{"text": "{{}} {name}"}], ["{} Bo"], _NAME),
    Case("JSON in doubled braces", [{"text": '{{"a": 1}}'}], ['{"a": 1}'], _NAME),
    Case("a name with dots and spaces", [{"text": "{a.b} {c d}"}], ["1 2"], {"a.b": 1, "c d": 2}),
    Case(
        "buttons",
        [{"text": "?", "buttons": [{"title": "I am {name}", "payload": '/is{{"who": "{name}"}}'}, {"title": "{x}"}]}],
        [{"text": "?", "buttons": [{"title": "I am Bo", "payload": '/is{"who": "Bo"}'}, {"title": "{x}"}]}],
        _NAME,
    ),
    Case(
        "image, attachment and quick replies",
        [{"image": "https://i/{name}.png", "attachment": "{name}", "quick_replies": [{"title": "{name}"}]}],
        [{"image": "https://i/Bo.png", "attachment": "Bo", "quick_replies": [{"title": "Bo"}]}],
        _NAME,
    ),
    Case("a custom message", [{"custom": _CARD}], [{"custom": _CARD_FILLED}], {"name": "Bo", "n": 2}),
    Case(
        "what is not filled",
        [{"text": "x", "id": "{name}", "metadata": {"a": "{name}"}, "elements": [{"title": "{name}"}]}],
        [{"text": "x", "id": "{name}", "metadata": {"a": "{name}"}, "elements": [{"title": "{name}"}]}],
        _NAME,
    ),
]
