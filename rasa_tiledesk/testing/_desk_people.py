"""Who may do what at the fake desk: accounts, members, contacts, tokens and roles as tiledesk-server 2.19.16 has."""

from __future__ import annotations

import base64
import itertools
import random
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import urlsplit

import jwt

__all__ = ["Member", "People", "Principal", "Refusal", "Silence", "stamp"]

Json = dict[str, Any]

# middleware/has-role.js:13-21, lowest first
_ROLES = ("guest", "user", "teammate", "agent", "supervisor", "admin", "owner")


class Refusal(Exception):
    """An answer that is no success.

    Attributes:
        status: its HTTP status.
        body: a mapping is answered as JSON, a string as it is.
    """

    def __init__(self, status: int, body: Mapping[str, Any] | str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Silence(Exception):
    """The server never answers this."""


@dataclass(frozen=True)
class Principal:
    """Whoever signed a call.

    Attributes:
        kind: ``user`` (an agent), ``guest``, ``userexternal`` or ``bot``.
    """

    kind: str
    id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass
class Member:
    """A membership of the project: an agent's (`id_user`) or an end user's (`uuid_user`)."""

    id: str
    person: str
    role: str
    name: str = ""
    email: str = ""
    password: str = field(default="", repr=False)
    phone: str = ""
    available: bool = False
    assigned: int = 0

    def is_agent(self) -> bool:
        """Whether it can take requests."""
        return bool(self.email)

    def json(self) -> Json:
        """As the server writes a project_user."""
        key = "id_user" if self.is_agent() else "uuid_user"
        return {"_id": self.id, key: self.person, "role": self.role, "user_available": self.available}


class People:
    """Accounts, memberships, contacts and tokens of one project.

    Args:
        project_id: the project.
        clock: seconds since 1970.
        rng: makes all ids and secrets.
    """

    def __init__(self, project_id: str, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._counter = itertools.count(1)
        self.project_id = project_id
        self.global_secret = self.secret()
        self.project_secret = self.secret()
        self.bot_id, self.bot_secret = self.object_id(), self.secret()
        self.members: dict[str, Member] = {}
        self.contacts: dict[str, Json] = {}
        self._accounts: dict[str, Member] = {}
        self._accounts_by_email: dict[str, Member] = {}
        self._contacts_by_id: dict[str, Json] = {}

    def object_id(self) -> str:
        """A new id, as MongoDB makes them."""
        return f"{int(self._clock()):08x}{self._rng.getrandbits(40):010x}{next(self._counter):06x}"

    def secret(self) -> str:
        """A new random secret or user id."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def add_account(self, name: str, role: str, *, available: bool, member: bool = True) -> Member:
        """Add a person who can sign in, a member of the project or not."""
        number = next(self._counter)
        email = f"{re.sub('[^a-z0-9]+', '.', name.lower())}.{number}@example.com"
        phone = f"+39{number:010d}"
        account = Member(
            self.object_id(), self.object_id(), role, name, email, self.secret(), phone=phone, available=available
        )
        self._accounts[account.person] = self._accounts_by_email[email] = account
        if member:
            self.members[account.person] = account
        return account

    # Signing in

    def sign_in(self, body: Json) -> Json:
        """POST /auth/signin (routes/auth.js:554)."""
        problems = [
            {"msg": "Invalid value", "param": name, "location": "body"}
            for name in ("email", "password")
            if not isinstance(body.get(name), str) or (name == "email" and "@" not in body[name])
        ]
        if problems:
            raise Refusal(422, {"errors": problems})
        member = self._accounts_by_email.get(body["email"].lower())
        if member is None:
            raise Refusal(401, {"success": False, "msg": "Authentication failed. User not found."})
        if member.password != body["password"]:
            raise Refusal(401, {"success": False, "msg": "Authentication failed. Wrong password."})
        return {
            "success": True,
            "token": self._token({"_id": member.person, "email": member.email}, "user"),
            "user": {"_id": member.person, "email": member.email, "firstname": member.name},
        }

    def sign_in_anonymously(self, body: Json) -> Json:
        """POST /auth/signinAnonymously (routes/auth.js:170): a new guest every time."""
        project = body.get("id_project")
        if not project:
            raise Refusal(422, {"errors": [{"msg": "Invalid value", "param": "id_project", "location": "body"}]})
        if not _is_object_id(str(project)):
            raise Refusal(500, {"success": False, "msg": "Error saving object."})
        person = self.secret()
        user: Json = {"_id": person, "firstname": body.get("firstname") or f"guest#{person[:4]}"}
        user.update({key: body[key] for key in ("lastname", "email", "attributes") if body.get(key)})
        user.update(id=person, fullName=f"{user['firstname']} {user.get('lastname', '')}")
        if project == self.project_id:  # any other is accepted too, and leads nowhere
            self.members[person] = Member(self.object_id(), person, "guest", str(user["fullName"]).strip())
        return {"success": True, "token": self._token(user, "guest"), "user": user}

    def sign_in_signed(self, header: str | None) -> Json:
        """POST /auth/signinWithCustomToken (routes/auth.js:243): idempotent."""
        claims = self._claims(header)
        if claims is None or claims.get("sub") != "userexternal":
            raise Refusal(401, "Unauthorized")
        person = str(claims["_id"])
        if person not in self.members:
            self.members[person] = Member(self.object_id(), person, "user", str(claims.get("firstname", "")))
        return {"success": True, "token": header, "user": claims}

    def _token(self, claims: Json, subject: str) -> str:
        signed = {**claims, "aud": "https://tiledesk.com", "iss": "https://tiledesk.com", "sub": subject}
        return "JWT " + jwt.encode({**signed, "jti": self.secret()}, self.global_secret, algorithm="HS256")

    def sign_everybody_out(self) -> None:
        """Void all tokens that the server has issued."""
        self.global_secret = self.secret()

    # Whose call it is

    def principal(self, header: str | None) -> Principal:
        """Read an Authorization header (middleware/passport.js); refuses with 401."""
        scheme, _, rest = (header or "").partition(" ")
        if scheme.lower() == "basic":
            return self._by_password(rest)
        claims = self._claims(header)
        if claims is None:
            raise Refusal(401, "Unauthorized")
        kind, person = str(claims.get("sub")), str(claims["_id"])
        if kind == "bot":
            return Principal(kind, person)
        if kind in ("guest", "userexternal"):
            name = str(claims.get("fullName") or f"{claims.get('firstname', '')} {claims.get('lastname', '')}")
            return Principal(kind, person, name, claims.get("email"))
        member = self._accounts.get(person)
        if member is None:
            raise Refusal(401, "Unauthorized")
        return Principal("user", person, member.name, member.email, member.phone)

    def _by_password(self, encoded: str) -> Principal:
        try:
            email, _, password = base64.b64decode(encoded).decode().partition(":")
        except ValueError:
            raise Refusal(401, "Unauthorized") from None
        member = self._accounts_by_email.get(email)
        if member is None or member.password != password:
            raise Refusal(401, "Unauthorized")
        return Principal("user", member.person, member.name, member.email, member.phone)

    def _claims(self, header: str | None) -> Json | None:
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "jwt":  # `Bearer` is refused
            return None
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            path = urlsplit(str(claims.get("aud", ""))).path
            secret = {
                f"/projects/{self.project_id}": self.project_secret,
                f"/bots/{self.bot_id}": self.bot_secret,
                "": self.global_secret,
            }.get(path)
            if secret is None or "_id" not in claims:
                return None
            checked: Json = jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return None
        return checked

    def require(self, who: Principal, role: str | None, *, bots: bool = True) -> None:
        """The role check of a route (middleware/has-role.js)."""
        if bots and who.kind == "bot":
            return
        member = self.members.get(who.id)
        if member is None:
            raise Refusal(403, {"success": False, "msg": "you dont belong to the project."})
        if role is not None and _ROLES.index(member.role) < _ROLES.index(role):
            raise Refusal(403, {"success": False, "msg": "you dont have the required role."})

    def sender(self, person: object) -> Member:
        """The member that a new request names as its sender (routes/message.js:106-122)."""
        member = self.members.get(str(person))
        if member is None or _is_object_id(str(person)) != member.is_agent():
            text = f"Unauthorized. Project_user not found with user id  : {person}"
            raise Refusal(403, {"success": False, "msg": text})
        return member

    # Contacts

    def add_contact(self, body: Mapping[str, Any], created_by: str = "system") -> Json:
        """POST /{project}/leads: always another one; the first under a lead_id is the one that is used."""
        contact: Json = {"_id": self.object_id(), "lead_id": body.get("lead_id") or self.secret(), "status": 100}
        contact.update({key: body[key] for key in ("fullname", "email", "phone", "attributes") if body.get(key)})
        contact.update(createdBy=created_by, createdAt=stamp(self._clock()), id_project=self.project_id)
        self._contacts_by_id[contact["_id"]] = contact
        return self.contacts.setdefault(contact["lead_id"], contact)

    def change_contact(self, contact_id: str, body: Json) -> Json:
        """PUT /{project}/leads/{contact}."""
        contact = self._contacts_by_id.setdefault(contact_id, {"_id": contact_id, "id_project": self.project_id})
        contact.update({key: body[key] for key in ("fullname", "email", "attributes", "phone") if key in body})
        return contact

    def contact_for(self, person: str, name: str | None, who: Principal, body: Json) -> Json:
        """The contact of a new request's requester; a new one gets the caller's own e-mail and phone."""
        found = self.contacts.get(person)
        if found is not None:
            return found
        fields = {"lead_id": person, "fullname": name, "email": body.get("email") or who.email, "phone": who.phone}
        return self.add_contact({**fields, "attributes": body.get("attributes")})


def _is_object_id(text: str) -> bool:
    """As mongoose's ObjectId.isValid sees it, which is why some ids of one's own do not work."""
    return re.fullmatch(r"[0-9a-fA-F]{24}", text) is not None or len(text.encode()) == 12


def stamp(seconds: float) -> str:
    """A time as Tiledesk writes it."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_iso(whole)}.{milliseconds:03d}Z"


def _iso(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
