"""The `tiledesk:` section of endpoints.yml as frozen settings; every problem in it is reported at once.

pydantic checks the shapes; what it finds is told in our own words, which are the same on pydantic 1 and 2 and never
repeat a value: a password pasted into the wrong key must not reach a log.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Literal, Optional, Union  # noqa: UP035 - pydantic reads these at run time
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from rasa_tiledesk.endpoints import read_sections
from rasa_tiledesk.errors import ConfigurationError
from rasa_tiledesk.transcript.finders import phone_problem
from rasa_tiledesk.transcript.patterns import pattern_problem

__all__ = [
    "Endpoints",
    "EntityRule",
    "LastHours",
    "LastTurns",
    "PatternRule",
    "PhoneRule",
    "Settings",
    "SlotRule",
    "load_endpoints",
]


class _Section(BaseModel, extra="forbid", frozen=True):
    """A mapping with known keys only."""


class LastTurns(_Section):
    """`history.scope: {last: 50}`: the last so many turns."""

    last: int = Field(gt=0)


class LastHours(_Section):
    """`history.scope: {hours: 24}`: the turns of the last so many hours."""

    hours: float = Field(gt=0)


class PatternRule(_Section):
    r"""`redact: [{pattern: 'PIN \\d+'}]`: a regular expression."""

    pattern: str = Field(min_length=1)


class EntityRule(_Section):
    """`redact: [{entity: passport}]`: the values of an entity, wherever they appear."""

    entity: str = Field(min_length=1)


class SlotRule(_Section):
    """`redact: [{slot: iban}]`: the values of a slot, wherever they appear."""

    slot: str = Field(min_length=1)


class PhoneRule(_Section):
    """`redact: [{phone: DE}]`: phone numbers, also as they are written inside of that country."""

    phone: str = Field(min_length=1)


RedactRule = Union[Literal["card", "iban", "email", "phone"], PatternRule, EntityRule, SlotRule, PhoneRule]


class Requester(_Section):
    """Who the end user is to Tiledesk."""

    identity: Literal["anonymous", "signed"] = "anonymous"
    project_secret: Optional[SecretStr] = None
    name_slot: str = "name"
    email_slot: str = "email"
    slots: List[str] = []


class History(_Section):
    """Which part of the conversation the agent gets, and how."""

    scope: Union[Literal["session", "all"], LastTurns, LastHours] = "session"
    import_: Literal["staged", "direct"] = Field("staged", alias="import")
    native_turns: int = Field(40, ge=1, le=150)
    redact: List[RedactRule] = []


class Availability(_Section):
    """What happens when nobody can answer now."""

    nobody: Literal["queue", "refuse"] = "queue"
    closed: Literal["queue", "refuse"] = "refuse"
    wait_limit: int = Field(600, gt=0)


class Relay(_Section):
    """How messages travel while a handoff is live."""

    rasa_url: str = "http://localhost:5005"
    rasa_token: Optional[SecretStr] = None
    receive: Literal["webhook", "poll"] = "poll"
    public_url: Optional[str] = None
    end_intents: List[str] = ["back_to_bot"]
    client_secret: Optional[SecretStr] = None


class Settings(_Section):
    """The `tiledesk:` section. Secrets are masked in its repr."""

    url: str
    project_id: str
    email: Optional[str] = None
    password: Optional[SecretStr] = None
    auth: Literal["token", "basic"] = "token"
    bot_id: Optional[str] = None
    bot_secret: Optional[SecretStr] = None
    department: Optional[str] = None
    requester: Requester = Requester()
    history: History = History()
    availability: Availability = Availability()
    relay: Relay = Relay()
    ledger: SecretStr = SecretStr("sqlite:///tiledesk_handoffs.db")


@dataclass(frozen=True)
class Endpoints:
    """What this package needs of endpoints.yml.

    Attributes:
        source: the file it was read from.
        tiledesk: the `tiledesk:` section.
        tracker_store: the `tracker_store:` section as it stands, {} when there is none (Rasa then keeps trackers in
            memory).
    """

    source: Path
    tiledesk: Settings
    tracker_store: Mapping[str, Any] = field(repr=False)


# What each key expects, said when its value does not fit.
_EXPECTED = {
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
    "availability.wait_limit": "seconds, a whole number above 0",
    "relay.receive": "webhook or poll",
    "relay.end_intents": "a list of intent names",
}

# Read as numbers by YAML when they consist of digits, which would drop leading zeros: never guess at a secret.
_TEXTS = ("url", "project_id", "email", "password", "bot_id", "bot_secret", "department", "ledger")
_NESTED_TEXTS = (
    ("requester", ("project_secret", "name_slot", "email_slot")),
    ("relay", ("rasa_url", "rasa_token", "public_url", "client_secret")),
)

_YAML_NAMES = {bool: "yes-or-no value", int: "number", float: "number"}

_SHORT_SCOPE = re.compile(r"\s*(last|hours)\s*:\s*(\d+(?:\.\d+)?)\s*")


def load_endpoints(path: Path) -> Endpoints:
    """Read and check endpoints.yml.

    Raises:
        ConfigurationError: with every problem in it, each naming its key and a remedy.
    """
    sections = read_sections(path, ["tiledesk", "tracker_store"])
    problems = [*sections["tiledesk"].problems, *sections["tracker_store"].problems]
    tracker_store = sections["tracker_store"].value or {}
    problems += _tracker_store_problems(tracker_store)

    settings: Settings | None = None
    raw = sections["tiledesk"].value
    if raw is None:
        problems.append("there is no `tiledesk:` section; `rasa-tiledesk init` writes one to start from")
    elif not isinstance(raw, Mapping):
        problems.append("tiledesk: expected a mapping of keys such as `url:`")
    else:
        settings, found = _settings(raw)
        known = {problem.partition(" ")[0] for problem in problems}
        problems += [problem for problem in found if problem.partition(":")[0] not in known]
    if problems or settings is None:
        raise ConfigurationError(str(path), problems)
    return Endpoints(path, settings, tracker_store)


def _settings(raw: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    raw = _normalised(raw)
    problems = _text_problems(raw)
    told = {problem.partition(":")[0] for problem in problems}
    settings = None
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        for item in error.errors():
            problem = _in_words(item["loc"], item["type"])
            if problem.partition(":")[0] not in told:
                told.add(problem.partition(":")[0])
                problems.append(problem)
    # Keys that fit are checked for what they say together even when others do not fit: all problems at once.
    problems += [problem for problem in _cross_problems(raw) if problem.partition(":")[0] not in told]
    return settings, problems


def _normalised(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An empty section (`relay:` with nothing under it) means its defaults; `scope: "last: 50"` means {last: 50}."""
    result = {str(key): value for key, value in raw.items() if value is not None}
    history = result.get("history")
    if isinstance(history, Mapping) and isinstance(history.get("scope"), str):
        short = _SHORT_SCOPE.fullmatch(history["scope"])
        if short:
            result["history"] = {**history, "scope": {short[1]: short[2]}}
    if isinstance(result.get("url"), str):
        result["url"] = result["url"].rstrip("/")
    relay = result.get("relay")
    if isinstance(relay, Mapping):
        relay = {
            key: value.rstrip("/") if str(key).endswith("_url") and isinstance(value, str) else value
            for key, value in relay.items()
        }
        if relay.get("public_url"):
            relay.setdefault("receive", "webhook")
        result["relay"] = relay
    return result


def _text_problems(raw: Mapping[str, Any]) -> list[str]:
    keys = [(name, raw.get(name)) for name in _TEXTS]
    for section, names in _NESTED_TEXTS:
        inner = raw.get(section)
        if isinstance(inner, Mapping):
            keys += [(f"{section}.{name}", inner.get(name)) for name in names]
    return [
        f"tiledesk.{key}: YAML reads this as a {_YAML_NAMES[type(value)]}; put it in quotes"
        for key, value in keys
        if type(value) in _YAML_NAMES
    ]


def _in_words(location: tuple[Union[int, str], ...], kind: str) -> str:
    path = [str(step) for step in location]
    key = ".".join(path)
    for known in ("history.scope", "history.redact"):  # unions: pydantic names the member, people name the key
        if key.startswith(known):
            return f"tiledesk.{known}: expected {_EXPECTED[known]}"
    if "missing" in kind:
        return f"tiledesk.{key}: is missing; expected {_EXPECTED.get(key, 'a value')}"
    if "extra" in kind:
        names = _known_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], names, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(names)}"
        return f"tiledesk.{key}: unknown key; {advice}"
    expected = _EXPECTED.get(key) or ("a mapping of keys" if key in _SECTIONS else "text")
    return f"tiledesk.{key}: expected {expected}"


_SECTIONS: dict[str, type[_Section]] = {
    "requester": Requester,
    "history": History,
    "availability": Availability,
    "relay": Relay,
}


def _known_keys(path: list[str]) -> list[str]:
    model = _SECTIONS[path[0]] if path else Settings
    return [name.rstrip("_") for name in model.__annotations__]


def _cross_problems(raw: Mapping[str, Any]) -> list[str]:
    problems = _url_problems("url", raw.get("url"), _EXPECTED["url"])
    project_id = raw.get("project_id")
    if isinstance(project_id, str) and not re.fullmatch(r"[0-9a-fA-F]{24}", project_id):
        problems.append(f"tiledesk.project_id: expected {_EXPECTED['project_id']}")

    login, bot = raw.get("email") or raw.get("password"), raw.get("bot_id") or raw.get("bot_secret")
    if login and bot:
        problems.append(
            "tiledesk.email: there is a bot_id too; keep either email and password or bot_id and bot_secret"
        )
    elif not login and not bot:
        problems.append(
            "tiledesk.email: is missing; give an agent's or admin's email and password, or bot_id and bot_secret"
        )
    for name, partner in (
        ("email", "password"),
        ("password", "email"),
        ("bot_id", "bot_secret"),
        ("bot_secret", "bot_id"),
    ):
        if raw.get(name) and not raw.get(partner):
            problems.append(f"tiledesk.{partner}: is missing; {name} needs it")

    history = raw.get("history")
    if bot and isinstance(history, Mapping) and history.get("import") == "direct":
        problems.append(
            "tiledesk.history.import: direct needs email and password, since Tiledesk refuses POST /requests of a bot; "
            "use staged"
        )
    for position, rule in enumerate(_list(history, "redact")):
        key = f"tiledesk.history.redact[{position}]"
        if isinstance(rule, Mapping) and isinstance(rule.get("pattern"), str):
            problem = pattern_problem(rule["pattern"])
            problems += [f"{key}.pattern: {problem}"] if problem else []
        if rule == "phone" or (isinstance(rule, Mapping) and "phone" in rule):
            # str: YAML reads Norway's NO as a no.
            problem = phone_problem(str(rule["phone"]) if isinstance(rule, Mapping) else None)
            problems += [f"{key}: {problem}"] if problem else []

    requester = raw.get("requester")
    if isinstance(requester, Mapping) and requester.get("identity") == "signed" and not requester.get("project_secret"):
        problems.append(
            "tiledesk.requester.project_secret: is missing; signed identity needs it (Project Settings, or "
            "POST /<project>/keys/generate, which replaces the one in use)"
        )

    relay = raw.get("relay")
    if isinstance(relay, Mapping):
        problems += _url_problems(
            "relay.rasa_url", relay.get("rasa_url"), "Rasa's address, such as http://localhost:5005"
        )
        public = "this action server's address as Tiledesk reaches it, such as https://bot.example.com"
        problems += _url_problems("relay.public_url", relay.get("public_url"), public)
        if relay.get("receive") == "webhook" and not relay.get("public_url"):
            problems.append(
                f"tiledesk.relay.public_url: is missing; webhook needs {public}; without one use receive: poll"
            )

    ledger = raw.get("ledger")
    if isinstance(ledger, str):
        try:
            make_url(ledger)
        except (ArgumentError, ValueError):
            problems.append(
                "tiledesk.ledger: not an SQLAlchemy URL; expected one such as sqlite:///tiledesk_handoffs.db or "
                "postgresql://user:password@host/db"
            )
    return problems


def _list(section: Any, name: str) -> list[Any]:
    value = section.get(name) if isinstance(section, Mapping) else None
    return value if isinstance(value, list) else []


def _url_problems(key: str, value: Any, expected: str) -> list[str]:
    if not isinstance(value, str):
        return []
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return [f"tiledesk.{key}: not a URL; expected {expected}"]
    if not valid:
        return [f"tiledesk.{key}: not an http or https URL; expected {expected}"]
    if parts.username or parts.password:
        return [f"tiledesk.{key}: holds a login; give it in the keys made for it"]
    if parts.query or parts.fragment:
        return [f"tiledesk.{key}: has a query or a fragment; expected {expected}"]
    return []


def _tracker_store_problems(raw: Any) -> list[str]:
    if not isinstance(raw, Mapping):
        return ["tracker_store: expected a mapping of keys such as `type:`"]
    return [
        f"tracker_store.{key}: reads from a secrets manager ({', '.join(map(str, value))}), which an action server has "
        "no access to; give it as ${VAR}"
        for key, value in raw.items()
        if isinstance(value, Mapping) and "secret_key" in value
    ]
