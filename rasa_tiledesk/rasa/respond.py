"""What Rasa would say: which variations of a response it may choose from, and what it makes of one.

As rasa 3.6.21 does it: core/nlg/generator.py (ResponseVariationFilter), core/nlg/response.py, core/nlg/interpolator.py.
Choosing among the variations is the caller's: Rasa does it at random.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["fill", "variations"]

_FILLED = ("text", "image", "custom", "buttons", "attachment", "quick_replies")
_PLACEHOLDER = re.compile(r"{([^\n{}]+)}")
_TOKEN = re.compile(r"{{|}}|{(?P<name>[^\n{}]+)}|[{}]")


def variations(
    responses: Mapping[str, Any], name: str, *, channel: str | None, slots: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The variations of a response that Rasa may choose from; none when it would say nothing.

    Those for the channel come before those for every channel, and among either those whose conditions hold before those
    without any.

    Args:
        responses: the domain's `responses:`.
        name: of the response, such as ``utter_greet``.
        channel: the one that the user is on.
        slots: all slots as they are now.
    """
    listed = responses.get(name)
    known = [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []
    plain = [item for item in known if item.get("condition") is None]
    conditional = [item for item in known if item.get("condition") and _holds(item["condition"], slots)]
    for wanted in (channel, None):
        for among in (conditional, plain):
            found = [dict(item) for item in among if item.get("channel") == wanted]
            if found:
                return found
    return []


def fill(
    variation: Mapping[str, Any], slots: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The variation with the ``{name}`` in its text, buttons, image and so on replaced; what else it has stays.

    A text that names what is neither a slot nor in `extra` stays as it is, all of it. A slot that is not set is
    ``None``, as Rasa says it.

    Args:
        variation: one of `variations`.
        slots: all slots as they are now.
        extra: more values; they come before the slots.
    """
    values = {**slots, **(extra or {})}
    return {key: _filled(value, values) if values and key in _FILLED else value for key, value in variation.items()}


def _holds(conditions: Any, slots: Mapping[str, Any]) -> bool:
    """Rasa looks at no condition's type: each is about a slot. What is no list of them is not of rasa 3.6."""
    if not isinstance(conditions, list):
        return False
    return all(
        isinstance(each, Mapping) and _same(slots.get(str(each.get("name"))), each.get("value")) for each in conditions
    )


def _same(is_now: Any, wanted: Any) -> bool:
    if isinstance(is_now, str) and isinstance(wanted, str):
        return is_now.casefold() == wanted.casefold()
    return bool(is_now == wanted)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _text(value, values)
    if isinstance(value, Mapping):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    return value


def _text(text: str, values: Mapping[str, Any]) -> str:
    tokens = list(_TOKEN.finditer(text))
    names = [token["name"] for token in tokens if token["name"] is not None]
    escaped = len(_PLACEHOLDER.findall(text)) > len(names)
    # Rasa leaves a text with both `{{name}}` and `{name}` as it is; at a lone brace it fails, where we say the text.
    if any(token[0] in "{}" for token in tokens) or (escaped and names) or not all(name in values for name in names):
        return text
    return _TOKEN.sub(lambda token: token[0][0] if token["name"] is None else str(values[token["name"]]), text)
