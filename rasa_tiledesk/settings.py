"""The `tiledesk:` section of endpoints.yml as frozen settings; every problem in it is reported at once.

pydantic checks the shapes; what it finds is told in our own words, which are the same on pydantic 1 and 2 and never
repeat a value: a password pasted into the wrong key must not reach a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Literal, Optional, Union  # noqa: UP035 - pydantic reads these at run time

from pydantic import BaseModel, Field, SecretStr, ValidationError
from sqlalchemy.engine import URL

from rasa_tiledesk.database_url import database_url
from rasa_tiledesk.endpoints import read_sections
from rasa_tiledesk.errors import ConfigurationError
from rasa_tiledesk.settings_problems import together, tracker_store_problems, type_problems, what_pydantic_found

__all__ = [
    "Endpoints",
    "EntityRule",
    "LastHours",
    "LastTurns",
    "PatternRule",
    "PhoneRule",
    "Settings",
    "SlotRule",
    "WaitLimit",
    "ledger_url",
    "load_endpoints",
]


_YEAR = 365 * 24 * 3600.0  # seconds


class _Section(BaseModel, extra="forbid", frozen=True):
    """A mapping with known keys only."""


class LastTurns(_Section):
    """`history.scope: {last: 50}`: the last so many turns."""

    last: int = Field(gt=0, le=1_000_000)


class LastHours(_Section):
    """`history.scope: {hours: 24}`: the turns of the last so many hours."""

    hours: float = Field(gt=0, le=1_000_000)


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
    bot_name: Optional[str] = None
    redact: List[RedactRule] = []


class WaitLimit(_Section):
    """`wait_limit: 600` or `{after: 600, then: offer}`: what happens when nobody has come after so many seconds.

    Attributes:
        after: seconds.
        then: `tell` the user that it takes longer; `offer` to go on waiting or to return to the bot; `return` to it.
    """

    after: float = Field(600, gt=0, le=_YEAR)
    then: Literal["tell", "offer", "return"] = "tell"


class Availability(_Section):
    """What happens when nobody can answer now."""

    nobody: Literal["queue", "refuse"] = "queue"
    closed: Literal["queue", "refuse"] = "refuse"
    wait_limit: WaitLimit = WaitLimit()
    give_up: float = Field(600, gt=0, le=_YEAR)

    def __init__(self, /, **values: Any) -> None:
        # Not a validator: those of pydantic 1 and 2 have nothing in common, and both call this for a nested section.
        if isinstance(values.get("wait_limit"), (int, float, str)):
            values["wait_limit"] = {"after": values["wait_limit"]}
        super().__init__(**values)


class Relay(_Section):
    """How messages travel while a handoff is live."""

    rasa_url: str = "http://localhost:5005"
    rasa_token: Optional[SecretStr] = None
    receive: Literal["webhook", "poll"] = "poll"
    public_url: Optional[str] = None
    end_intents: List[str] = ["back_to_bot"]
    idle_limit: Optional[float] = Field(None, gt=0, le=_YEAR)
    client_secret: Optional[SecretStr] = None


class Settings(_Section):
    """The `tiledesk:` section. Secrets are masked in its repr."""

    url: str
    project_id: str
    files_url: Optional[str] = None
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
    ledger_keep_days: int = Field(90, gt=0, le=36_500)


class _File(_Section):
    """The settings where they stand in the file, so that what pydantic finds in them begins with `tiledesk`."""

    tiledesk: Settings


_SECTIONS: dict[str, type[_Section]] = {
    "": Settings,
    "requester": Requester,
    "history": History,
    "availability": Availability,
    "relay": Relay,
}
_KEYS = {name: [key.rstrip("_") for key in model.__annotations__] for name, model in _SECTIONS.items()}


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


_SHORT_SCOPE = re.compile(r"\s*(last|hours)\s*:\s*(\d+(?:\.\d+)?)\s*")


def load_endpoints(path: Path) -> Endpoints:
    """Read and check endpoints.yml.

    Raises:
        ConfigurationError: with every problem in it, each naming its key and a remedy.
    """
    sections = read_sections(path, ["tiledesk", "tracker_store"])
    problems = [*sections["tiledesk"].problems, *sections["tracker_store"].problems]
    tracker_store = sections["tracker_store"].value or {}
    problems += tracker_store_problems(tracker_store)

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


def ledger_url(settings: Settings) -> URL:
    """The ledger's database with the driver that our extras install, unless the URL names one.

    Given to SQLAlchemy as it is; as text it has its password masked.
    """
    return database_url(settings.ledger.get_secret_value())


def _settings(raw: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    raw = _normalised(raw)
    settings, found = None, type_problems(raw)
    try:
        settings = _File(tiledesk=raw).tiledesk
    except ValidationError as error:
        found += [what_pydantic_found(item["loc"][1:], item["type"], _KEYS) for item in error.errors()]
    # Keys that fit are checked for what they say together even when others do not fit: all problems at once.
    return settings, _first_of_each_key([*found, *together(raw)])


def _first_of_each_key(problems: list[str]) -> list[str]:
    first: dict[str, str] = {}
    for problem in problems:
        first.setdefault(problem.partition(":")[0], problem)
    return list(first.values())


def _normalised(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An empty section (`relay:` with nothing under it) means its defaults; `scope: "last: 50"` means {last: 50}."""
    result = {str(key): value for key, value in raw.items() if value is not None}
    history = result.get("history")
    if isinstance(history, Mapping) and isinstance(history.get("scope"), str):
        short = _SHORT_SCOPE.fullmatch(history["scope"])
        if short:
            result["history"] = {**history, "scope": {short[1]: short[2]}}
    for key in ("url", "files_url"):
        if isinstance(result.get(key), str):
            result[key] = result[key].rstrip("/")
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
