"""What Tiledesk's answers mean: small frozen records of the fields we use, read tolerantly.

A reader raises KeyError, TypeError or ValueError when a field that we cannot do without is missing; the client makes
that a TiledeskNonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

__all__ = [
    "ASSIGNED",
    "CLOSED",
    "TEMP",
    "UNASSIGNED",
    "Agent",
    "Department",
    "EndUser",
    "Message",
    "Request",
    "Subscription",
]

# models/requestConstants.js; 150 (abandoned) and 300 (served) exist too.
TEMP = 50
UNASSIGNED = 100
ASSIGNED = 200
CLOSED = 1000

_UNSAID = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class EndUser:
    """An end user whom Tiledesk knows.

    Attributes:
        id: what messages carry as `sender`.
        token: an Authorization header with which the user's own client may speak.
    """

    id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Request:
    """A conversation with agents.

    Attributes:
        status: TEMP, UNASSIGNED, ASSIGNED, CLOSED, or another of Tiledesk's numbers.
        requester_id: the end user's id, as in `EndUser.id`; empty when the answer does not say.
        requester_name: the name the agents see.
        contact_id: the id of the contact that `set_contact` takes.
        department_id: where it is routed.
        participants: ids of who takes part; a bot's begin with ``bot_``.
        participant_agents: those of them who are people.
        names: of those people, by id, where the answer has them.
        channel: where it came from.
        closed_at: when it was closed, as Tiledesk writes it.
        closed_by: the id of who closed it; both stay when it is opened again (requestService.js:1442).
        attributes: the request's own; Tiledesk adds `last_message` among others.
        first_text: what the agents read in their list.
        updated_at: when it last changed: by a message, a private note, an assignment, new attributes, a close or a
            reopening; the start of 1970 when the answer does not say.
    """

    request_id: str = field(repr=False)  # alone it opens the transcript
    status: int
    requester_id: str = ""
    requester_name: str = ""
    contact_id: str = ""
    department_id: str = ""
    participants: tuple[str, ...] = ()
    participant_agents: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    channel: str = ""
    closed_at: str | None = None
    closed_by: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    first_text: str = field(default="", repr=False)
    updated_at: datetime = _UNSAID

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.status == CLOSED

    @property
    def last_message(self) -> Message | None:
        """The newest message that was posted alone (routes/message.js:271), or None when there is none to be read.

        Not the one that opened the request, none of `/messages/multi`, and no line of the system. With chat21 every
        message but the system's (channels/chat21/chat21WebHook.js:310).
        """
        try:
            return Message.read(self.attributes["last_message"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    @classmethod
    def read(cls, data: Any) -> Request:
        """From an answer or a webhook; `lead` and `department` may be ids or whole records."""
        snapshot = _mapping(data.get("snapshot"))
        lead, snapshot_lead = data.get("lead"), _mapping(snapshot.get("lead"))
        person = lead if isinstance(lead, Mapping) else snapshot_lead
        member = _mapping(snapshot.get("requester"))
        return cls(
            request_id=str(data["request_id"]),
            status=int(data["status"]),
            requester_id=_text(person.get("lead_id") or member.get("uuid_user") or member.get("id_user")),
            requester_name=_text(person.get("fullname")),
            contact_id=_id(lead),
            department_id=_id(data.get("department")),
            participants=_texts(data.get("participants")),
            participant_agents=_texts(data.get("participantsAgents")),
            names=_names(data.get("participatingAgents")),
            channel=_text(_mapping(data.get("channel")).get("name")),
            closed_at=data.get("closed_at"),
            closed_by=data.get("closed_by"),
            attributes=_mapping(data.get("attributes")),
            first_text=_text(data.get("first_text")),
            updated_at=_when(data["updatedAt"]) if data.get("updatedAt") else _UNSAID,
        )


@dataclass(frozen=True)
class Message:
    """One message of a request.

    Attributes:
        sender: the id of who said it: an end user's, an agent's, ``bot_...`` or ``system``.
        created_at: when Tiledesk stored it; several may share one (`/messages/multi` makes that the rule).
        status: 0 stored; 150 and 200 once the chat engine has it.
        channel: ``chat21`` for agents and the system, else what the poster gave.
        request: the request as it was then, where the answer or webhook carries it.
    """

    id: str
    request_id: str = field(repr=False)  # alone it opens the transcript
    sender: str
    sender_name: str
    text: str = field(repr=False)
    type: str
    metadata: Mapping[str, Any] | None
    attributes: Mapping[str, Any]
    channel: str
    created_at: datetime
    status: int
    request: Request | None = field(default=None, repr=False)

    @classmethod
    def read(cls, data: Any) -> Message:
        """From an answer or a webhook.

        Attributes that are no mapping make a message unreadable: what they say of it, such as that it is private, would
        go unheard.
        """
        request = data.get("request")
        metadata = data.get("metadata")
        attributes = data.get("attributes")
        if attributes is not None and not isinstance(attributes, Mapping):
            raise TypeError("attributes")
        return cls(
            id=str(data["_id"]),
            request_id=str(data["recipient"]),
            sender=str(data["sender"]),
            sender_name=_text(data.get("senderFullname")),
            text=_text(data.get("text")),  # absent where none was given; Tiledesk accepts that
            type=_text(data.get("type")) or "text",
            metadata=metadata if isinstance(metadata, Mapping) else None,
            attributes=attributes or {},
            channel=_text(_mapping(data.get("channel")).get("name")),
            created_at=_when(data["createdAt"]),
            status=int(data.get("status") or 0),
            request=Request.read(request) if isinstance(request, Mapping) else None,
        )


@dataclass(frozen=True)
class Department:
    """A routing target.

    Attributes:
        bot_id: the bot that answers first there, or None.
    """

    id: str
    name: str
    default: bool
    bot_id: str | None = None

    @classmethod
    def read(cls, data: Any) -> Department:
        """From an answer."""
        bot = data.get("id_bot") if data.get("hasBot", True) else None
        return cls(str(data["_id"]), str(data["name"]), bool(data.get("default")), str(bot) if bot else None)


@dataclass(frozen=True)
class Agent:
    """A person who can take requests now."""

    id: str
    name: str

    @classmethod
    def read(cls, data: Any) -> Agent:
        """From an answer."""
        return cls(str(data["id"]), _text(data.get("fullname")))


@dataclass(frozen=True)
class Subscription:
    """A webhook that Tiledesk calls."""

    id: str
    event: str
    target: str

    @classmethod
    def read(cls, data: Any) -> Subscription:
        """From an answer."""
        return cls(str(data["_id"]), str(data["event"]), str(data["target"]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _names(people: object) -> dict[str, str]:
    """Of populated accounts (models/user.js)."""
    found = [one for one in people if isinstance(one, Mapping)] if isinstance(people, list) else []
    return {_id(one): f"{_text(one.get('firstname'))} {_text(one.get('lastname'))}".strip() for one in found}


def _id(value: object) -> str:
    return _text(value.get("_id")) if isinstance(value, Mapping) else _text(value)


def _when(value: str) -> datetime:
    # Python before 3.11 reads no "Z".
    return datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
