"""What is wrong with the keys of the `tiledesk:` section, in words: one line each, the key, what is expected.

Values are never repeated: a password may have been pasted into the wrong key.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from rasa_tiledesk.database_url import database_url_problem
from rasa_tiledesk.transcript.finders import phone_problem
from rasa_tiledesk.transcript.patterns import pattern_problem

__all__ = ["together", "tracker_store_problems", "type_problems", "what_pydantic_found"]

# What each key expects, said when its value does not fit.
_EXPECTED = {
    "": "a mapping of keys such as `url:`",
    "section": "a mapping of keys",
    "url": "the server's address, such as https://api.tiledesk.com/v3",
    "project_id": "the 24 hexadecimal digits shown under Project Settings",
    "auth": "token or basic",
    "requester.identity": "anonymous or signed",
    "requester.slots": "a list of slot names",
    "history.scope": "session, all, {last: 50} or {hours: 24}",
    "history.import": "staged or direct",
    "history.native_turns": "a whole number from 1 to 150",
    "history.redact": "a list of card, iban, email, phone, {phone: DE}, {pattern: ...}, {entity: ...} or {slot: ...}",
    "availability.nobody": "queue or refuse",
    "availability.closed": "queue or refuse",
    "availability.wait_limit": "seconds above 0, or {after: 600, then: tell}, where then is tell, offer or return",
    "availability.give_up": "seconds above 0",
    "relay.receive": "webhook or poll",
    "relay.end_intents": "a list of intent names",
    "relay.idle_limit": "seconds above 0",
    "ledger_keep_days": "days, a whole number above 0",
}

# Where YAML reads digits as a number it would drop leading zeros: never guess at a secret.
_TEXTS = (
    *("url", "project_id", "files_url", "email", "password", "bot_id", "bot_secret", "department", "ledger"),
    *("requester.project_secret", "requester.name_slot", "requester.email_slot", "history.bot_name"),
    *("relay.rasa_url", "relay.rasa_token", "relay.public_url", "relay.client_secret"),
)
_LISTS = ("requester.slots", "relay.end_intents", "history.redact")
_WHOLE = ("history.native_turns", "history.scope.last", "ledger_keep_days")
_NUMBERS = (
    *("history.scope.hours", "availability.wait_limit", "availability.wait_limit.after", "availability.give_up"),
    "relay.idle_limit",
)
_TOLD_AS_ONE = ("history.scope", "availability.wait_limit", *_LISTS)

_YAML_NAMES = {
    bool: "yes-or-no value",
    int: "number",
    float: "number",
    datetime.date: "date",
    datetime.datetime: "date",
}


def type_problems(raw: Mapping[str, Any]) -> list[str]:
    """Values that pydantic, or one of its versions, would bend into what the key expects: true into 1, 1.5 into 1."""
    texts = [(key, type(_value(raw, key))) for key in _TEXTS]
    problems = [
        f"tiledesk.{key}: YAML reads this as a {_YAML_NAMES[kind]}; put it in quotes"
        for key, kind in texts
        if kind in _YAML_NAMES
    ]
    wrong = [key for key in _WHOLE if isinstance(_value(raw, key), float)]
    for key in (*_WHOLE, *_NUMBERS):
        value = _value(raw, key)
        if isinstance(value, bool):
            wrong.append(key)
    for key in _LISTS:
        # phone: YAML reads Norway's NO as a no, which the rule's own words explain.
        items = [item for item in _list(raw, key) if not (isinstance(item, Mapping) and "phone" in item)]
        values = [value for item in items for value in (item.values() if isinstance(item, Mapping) else [item])]
        if not all(isinstance(value, str) for value in values):
            wrong.append(key)
    return problems + [f"tiledesk.{_told(key)}: expected {_EXPECTED[_told(key)]}" for key in wrong]


def what_pydantic_found(location: Sequence[int | str], kind: str, keys: Mapping[str, Sequence[str]]) -> str:
    """One of pydantic's findings in our words, which are the same for its versions 1 and 2.

    Args:
        location: the path from `tiledesk:` to the value.
        kind: pydantic's name of what is wrong.
        keys: the known keys of each section; of the settings themselves under "".
    """
    path = [str(step) for step in location]
    if not path:
        return f"tiledesk: expected {_EXPECTED['']}"
    key = _told(".".join(path))
    if key in _TOLD_AS_ONE:
        return f"tiledesk.{key}: expected {_EXPECTED[key]}"
    if "missing" in kind:
        return f"tiledesk.{key}: is missing; expected {_EXPECTED.get(key, 'a value')}"
    if "extra" in kind:
        names = keys[".".join(path[:-1])]
        near = difflib.get_close_matches(path[-1], names, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(names)}"
        return f"tiledesk.{key}: unknown key; {advice}"
    expected = _EXPECTED.get(key) or (_EXPECTED["section"] if key in keys else "text")
    return f"tiledesk.{key}: expected {expected}"


def _told(key: str) -> str:
    """The key that people know, where pydantic names an item or one form of its value."""
    return next((known for known in _TOLD_AS_ONE if key == known or key.startswith(f"{known}.")), key)


def _value(raw: Mapping[str, Any], key: str) -> Any:
    value: Any = raw
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _list(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = _value(raw, key)
    return value if isinstance(value, list) else []


def together(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with texts of the right type, and with keys that do not go together."""
    return [
        *_url_problems(raw),
        *_login_problems(raw),
        *_redact_problems(raw),
        *_requester_problems(raw),
        *_ledger_problems(raw),
    ]


def _url_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    public = "this action server's address as Tiledesk reaches it, such as https://bot.example.com"
    for key, expected in (
        ("url", _EXPECTED["url"]),
        ("files_url", "Tiledesk's address as users reach it, such as https://desk.example.com"),
        ("relay.rasa_url", "Rasa's address, such as http://localhost:5005"),
        ("relay.public_url", public),
    ):
        value = _value(raw, key)
        problem = _url_problem(value) if isinstance(value, str) else None
        if problem:
            yield f"tiledesk.{key}: {problem}; expected {expected}"
    if _value(raw, "relay.receive") == "webhook" and not _value(raw, "relay.public_url"):
        yield f"tiledesk.relay.public_url: is missing; webhook needs {public}; without one use receive: poll"


def _url_problem(text: str) -> str | None:
    if any(char.isspace() or not char.isprintable() for char in text):
        return "has blanks inside"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as every call would, with an error of its own
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "not an http or https URL"
    if "@" in parts.netloc:
        return "holds a login, which has keys of its own"
    return "has a query or a fragment" if parts.query or parts.fragment else None


def _login_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    project_id = raw.get("project_id")
    if isinstance(project_id, str) and not re.fullmatch(r"[0-9a-fA-F]{24}", project_id):
        yield f"tiledesk.project_id: expected {_EXPECTED['project_id']}"
    login, bot = raw.get("email") or raw.get("password"), raw.get("bot_id") or raw.get("bot_secret")
    if login and bot:
        yield "tiledesk.email: there is a bot_id too; keep either email and password or bot_id and bot_secret"
    elif not login and not bot:
        yield "tiledesk.email: is missing; give an agent's or admin's email and password, or bot_id and bot_secret"
    for one, other in (("email", "password"), ("bot_id", "bot_secret")):
        for name, partner in ((one, other), (other, one)):
            if raw.get(name) and not raw.get(partner):
                yield f"tiledesk.{partner}: is missing; {name} needs it"
    if bot and _value(raw, "history.import") == "direct":
        yield (
            "tiledesk.history.import: direct needs email and password, since Tiledesk refuses POST /requests of a bot; "
            "use staged"
        )


def _redact_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    for position, rule in enumerate(_list(raw, "history.redact")):
        key = f"tiledesk.history.redact[{position}]"
        if isinstance(rule, Mapping) and isinstance(rule.get("pattern"), str):
            problem = pattern_problem(rule["pattern"])
            if problem:
                yield f"{key}.pattern: {problem}"
        if rule == "phone" or (isinstance(rule, Mapping) and "phone" in rule):
            # str: YAML reads Norway's NO as a no.
            problem = phone_problem(str(rule["phone"]) if isinstance(rule, Mapping) else None)
            if problem:
                yield f"{key}: {problem}"


def _requester_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    if _value(raw, "requester.identity") == "signed" and not _value(raw, "requester.project_secret"):
        yield (
            "tiledesk.requester.project_secret: is missing; signed identity needs it (Project Settings, or "
            "POST /<project>/keys/generate, which replaces the one in use)"
        )


def _ledger_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    ledger = raw.get("ledger")
    problem = database_url_problem(ledger) if isinstance(ledger, str) else None
    if problem:
        yield f"tiledesk.ledger: {problem}"


def tracker_store_problems(raw: Any) -> list[str]:
    """References to a secrets manager, which Rasa Pro would look up and we cannot."""
    if not isinstance(raw, Mapping):
        return ["tracker_store: expected a mapping of keys such as `type:`"]
    return [
        f"tracker_store.{key}: reads from a secrets manager, which an action server has no access to; give it as "
        "${VAR}"
        for key, value in raw.items()
        if isinstance(value, Mapping) and "secret_key" in value
    ]
