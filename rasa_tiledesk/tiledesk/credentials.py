"""Who signs the calls: an agent's login, the same by HTTP basic, or a bot with its secret; and users' own tokens."""

from __future__ import annotations

import base64
import copy
import re
import threading
import time
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Callable, Union

import jwt

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskError, TiledeskUnreachable

__all__ = ["AgentLogin", "BasicLogin", "BotCredential", "Credential", "Signer", "signed_user_token"]

USER_TOKEN_SECONDS = 3600.0  # a user's token signs one sign-in; Tiledesk's own tokens never expire


@dataclass(frozen=True)
class AgentLogin:
    """An agent's or admin's e-mail and password; signs in once and reuses the token.

    Not the server's ADMIN_EMAIL account: Tiledesk answers 500 when that one creates a request.
    """

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class BasicLogin:
    """The same login sent with each call, as Tiledesk's tutorial has it.

    The server hashes the password every time: 0.27 s a call where a token takes 0.06 s (seen).
    """

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class BotCredential:
    """An external bot of the project and its secret: the least that opens, imports, assigns and closes.

    It cannot create a request by POST /requests (500), nor manage webhooks (403, where the server sets ADMIN_EMAIL).
    """

    bot_id: str
    bot_secret: str = field(repr=False)


Credential = Union[AgentLogin, BasicLogin, BotCredential]


class Signer:
    """Turns a credential into an Authorization header; one per client, shared by all its threads.

    Args:
        credential: who signs.
        sign_in: makes the sign-in call and returns the token; used for an AgentLogin only.
        project_id: the project a bot's token names.
    """

    def __init__(
        self, credential: Credential, sign_in: Callable[[AgentLogin, Deadline], str], *, project_id: str
    ) -> None:
        self._credential = credential
        self._sign_in = sign_in
        self._lock = threading.Lock()  # never held while a call is under way
        self._under_way: futures.Future[str] | None = None
        self._token = None if isinstance(credential, AgentLogin) else _fixed_header(credential, project_id)

    def header(self, deadline: Deadline) -> str:
        """The Authorization header, after signing in if need be.

        Threads that need it at once share one sign-in and what Tiledesk answers it: where it refuses them, they do not
        ask one after another, each as often as a call is repeated, while the last one's time runs out.

        Raises:
            TiledeskError: the sign-in failed, or another thread's did not end in time.
        """
        token = self._token
        if token is not None:
            return token
        assert isinstance(self._credential, AgentLogin)  # noqa: S101 - the others have a token from the start
        while True:
            with self._lock:
                if self._token is not None:
                    return self._token
                others = self._under_way
                if others is None:
                    ours = self._under_way = futures.Future[str]()
            if others is None:
                return self._signed_in(self._credential, ours, deadline)
            try:
                return others.result(deadline.remaining())
            except futures.TimeoutError:
                raise TiledeskUnreachable(
                    "POST /auth/signin", "another call's sign-in got no answer in time", hint="check tiledesk.url"
                ) from None
            except TiledeskError as error:
                if error.status is not None:
                    raise copy.copy(error) from None
                # No answer within the other's patience, which may have been shorter than ours.

    def _signed_in(self, login: AgentLogin, ours: futures.Future[str], deadline: Deadline) -> str:
        try:
            token = self._sign_in(login, deadline)
        except BaseException as error:
            with self._lock:
                self._under_way = None
            ours.set_exception(error)
            raise
        with self._lock:
            self._token, self._under_way = token, None
        ours.set_result(token)
        return token

    def renew(self, refused: str) -> bool:
        """Forget a token that Tiledesk refused; whether a new one can be asked for."""
        if not isinstance(self._credential, AgentLogin):
            return False
        with self._lock:
            if self._token == refused:
                self._token = None
        return True


def _fixed_header(credential: BasicLogin | BotCredential, project_id: str) -> str:
    if isinstance(credential, BasicLogin):
        pair = f"{credential.email}:{credential.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")
    claims = {
        "_id": credential.bot_id,
        "id_project": project_id,
        "sub": "bot",
        # The path of aud selects the secret that verifies the token (middleware/passport.js:114-241).
        "aud": f"https://tiledesk.com/bots/{credential.bot_id}",
    }
    return "JWT " + jwt.encode(claims, credential.bot_secret, algorithm="HS256")


def signed_user_token(
    user_id: str, *, project_id: str, project_secret: str, name: str | None, attributes: Mapping[str, object] | None
) -> str:
    """A token for an end user of our own, signed with the project's secret.

    Raises:
        ValueError: an id that Tiledesk takes for one of its own: 24 hex digits, or 12 characters
            (mongoose's ObjectId.isValid, routes/message.js:106-115).
    """
    if not user_id or re.fullmatch(r"[0-9a-fA-F]{24}", user_id) or len(user_id.encode()) == 12:
        raise ValueError("a user id must not be empty, 24 hex digits or 12 characters long: Tiledesk misreads those")
    claims: dict[str, object] = {
        "_id": user_id,
        "sub": "userexternal",
        "aud": f"https://tiledesk.com/projects/{project_id}",
        "exp": int(time.time() + USER_TOKEN_SECONDS),
    }
    if name:
        claims["firstname"] = name
    if attributes:
        claims["attributes"] = dict(attributes)
    return "JWT " + jwt.encode(claims, project_secret, algorithm="HS256")
