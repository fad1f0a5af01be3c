"""A call signed by our credential, and what its answer says: what all parts of the client stand on."""

from __future__ import annotations

import copy
import logging
import random
import re
import time
from collections.abc import Mapping
from typing import Any, Callable, TypeVar
from urllib.parse import urlsplit

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskNonsense, TiledeskRefused, TiledeskUnauthorized
from rasa_tiledesk.http import Http
from rasa_tiledesk.tiledesk.credentials import AgentLogin, BotCredential, Credential, Signer
from rasa_tiledesk.tiledesk.transport import BUDGET, Transport

__all__ = ["Calls", "token_of"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_C = TypeVar("_C", bound="Calls")


class Calls:
    """One project, one credential; see `TiledeskClient`."""

    def __init__(
        self,
        url: str,
        project_id: str,
        *,
        credential: Credential,
        files_url: str | None = None,
        http: Http | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.project_id = project_id
        self._credential = credential
        self._files_url = files_url or "{0.scheme}://{0.netloc}".format(urlsplit(url))
        self._transport = Transport(url, project_id, http or Http(), sleep=sleep, jitter=jitter, clock=clock)
        self._signer = Signer(credential, self._sign_in, project_id=project_id)
        self._clock = clock
        self._deadline: Deadline | None = None

    @property
    def clock_offset(self) -> float | None:
        """Tiledesk's time minus the local time, in seconds, as its last answer told; None before the first.

        Right to about half a second plus half of what the call took; see `Transport`.
        """
        return self._transport.clock_offset

    @property
    def now(self) -> float | None:
        """Tiledesk's time, in seconds since 1970; None as long as no answer has told it. See `clock_offset`."""
        return None if self.clock_offset is None else self._clock() + self.clock_offset

    def public_link(self, link: object) -> str | None:
        """A link in a message as users can open it: a relative one joined to `files_url`; None for what is none."""
        if not isinstance(link, str):
            return None
        link = link.strip().replace(" ", "%20")
        if link.startswith("/") and not link.startswith("//"):
            return self._files_url + link
        return link if link.startswith(("http://", "https://")) else None

    def within(self: _C, deadline: Deadline) -> _C:
        """This client with every call fitted into the deadline; shares connections and token."""
        bounded = copy.copy(self)
        bounded._deadline = deadline
        return bounded

    def _sign_in(self, login: AgentLogin, deadline: Deadline) -> str:
        body = {"email": login.email, "password": login.password}
        path = "/auth/signin"
        try:
            answer = self._transport.call("POST", path, body=body, deadline=deadline, repeatable=True)
        except TiledeskRefused as error:
            if error.status not in (401, 422):
                raise
            raise TiledeskUnauthorized(
                error.call,
                error.detail,
                status=error.status,
                hint="check tiledesk.email and tiledesk.password",
                own_words=error.own_words,
            ) from None
        return token_of(f"POST {path}", answer)

    def _call(self, method: str, path: str, *, repeatable: bool = False, **parts: Any) -> Any:
        """A call signed by our credential; a token that is no longer accepted is renewed once."""
        deadline = self._deadline or Deadline(BUDGET)
        for renewed in (False, True):
            header = self._signer.header(deadline)
            try:
                return self._transport.call(
                    method, path, authorization=header, deadline=deadline, repeatable=repeatable, **parts
                )
            except TiledeskUnauthorized as error:
                # A 401 comes before anything is done, so even a message may be posted again.
                if not renewed and self._signer.renew(header):
                    continue
                keys = (
                    "bot_id and tiledesk.bot_secret"
                    if isinstance(self._credential, BotCredential)
                    else ("email and tiledesk.password")
                )
                error.hint = f"check tiledesk.{keys}"
                raise
        raise AssertionError("unreachable")

    def _list(self, call: str, answer: Any, read: Callable[[Any], _T]) -> list[_T]:
        if not isinstance(answer, list):
            raise TiledeskNonsense(call, "the answer is not a list")
        return self._read(call, lambda: [read(item) for item in answer])

    def _read(self, call: str, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            problem = f"lacks {error}" if isinstance(error, KeyError) else "has a field of another type"
            raise TiledeskNonsense(call, f"the answer {problem}", hint="check tiledesk.url") from None

    def _readable(self, call: str, answer: Any, read: Callable[[Any], _T]) -> list[_T]:
        found = self._list(call, answer, lambda record: _read_or_none(record, read))
        readable = [one for one in found if one is not None]
        if len(readable) < len(found):
            logger.warning("%s: left out %d records that cannot be read", call, len(found) - len(readable))
        return readable


def token_of(call: str, answer: Any) -> str:
    """The token in a sign-in's answer, as an Authorization header."""
    token = answer.get("token") if isinstance(answer, Mapping) else None
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e ]+", token):  # else no header can carry it
        raise TiledeskNonsense(call, "the answer lacks the token", hint="check tiledesk.url")
    return token if token.startswith("JWT ") else f"JWT {token}"


def _read_or_none(record: Any, read: Callable[[Any], _T]) -> _T | None:
    try:
        return read(record)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
