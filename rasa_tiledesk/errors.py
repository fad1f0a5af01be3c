"""Everything that can go wrong, drawn once.

    RasaTiledeskError
    ├── ConfigurationError         endpoints.yml is wrong; carries every problem found
    ├── TrackerStoreError          the tracker store could not be read
    ├── LedgerError                the ledger could not be read or written
    ├── RasaApiError               a call of Rasa's HTTP API failed
    └── TiledeskError              a call of Tiledesk failed; says which, with what, and what to check
        ├── TiledeskUnreachable    nothing was sent: refused, DNS, TLS, connect timeout
        ├── TiledeskUncertain      sent, but the outcome is unknown: the call may have taken effect
        │   ├── TiledeskTimeout        no answer in time
        │   ├── TiledeskDisconnected   the connection broke before the answer was whole
        │   ├── TiledeskServerError    5xx (Tiledesk also answers 500 to what it refuses)
        │   └── TiledeskNonsense       an answer that is not what Tiledesk sends: a redirect, a proxy's refusal
        └── TiledeskRefused        Tiledesk said no, in its own words: repeating will not help
            ├── TiledeskUnauthorized   401: credentials                          \
            ├── TiledeskForbidden      403: role or project membership            | by the status alone: a proxy's too;
            ├── TiledeskNotFound       404, or an id that Tiledesk does not know  | `own_words` tells Tiledesk's
            ├── TiledeskTooLarge       413: over the server's body limit          |
            └── TiledeskRateLimited    429: repeat it after `retry_after`        /

No error carries a password, a token or a request id: their text may be logged.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConfigurationError",
    "LedgerError",
    "RasaApiError",
    "RasaTiledeskError",
    "TiledeskDisconnected",
    "TiledeskError",
    "TiledeskForbidden",
    "TiledeskNonsense",
    "TiledeskNotFound",
    "TiledeskRateLimited",
    "TiledeskRefused",
    "TiledeskServerError",
    "TiledeskTimeout",
    "TiledeskTooLarge",
    "TiledeskUnauthorized",
    "TiledeskUncertain",
    "TiledeskUnreachable",
    "TrackerStoreError",
]


class RasaTiledeskError(Exception):
    """The root of all errors of this package."""


class ConfigurationError(RasaTiledeskError):
    """The configuration is wrong.

    Attributes:
        source: the file that was read, or where it was looked for.
        problems: one line each: the key, what is wrong, what to do.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(source, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{self.source}: {count} problem{'' if count == 1 else 's'}\n{lines}"


class TrackerStoreError(RasaTiledeskError):
    """The tracker store could not be read: down, refused the login, lacks the table, holds garbage."""


class LedgerError(RasaTiledeskError):
    """The ledger could not be read or written."""


class RasaApiError(RasaTiledeskError):
    """A call of Rasa's HTTP API failed.

    Attributes:
        status: the HTTP status, or None when no answer came.
        sent: False when nothing reached Rasa, so that a repeat is safe.
        setup: True when waiting does not help and somebody must mend the set-up: a wrong token, no `--enable-api`, a
            server that is not Rasa, a sender id that Rasa's API cannot name.
    """

    def __init__(self, message: str, *, status: int | None = None, sent: bool = True, setup: bool = False) -> None:
        self.status = status
        self.sent = sent
        self.setup = setup
        super().__init__(message)


class TiledeskError(RasaTiledeskError):
    """A call of Tiledesk's REST API failed.

    Attributes:
        call: the method and the path with ids left out, such as ``POST /{project}/requests``.
        status: the HTTP status, or None when no answer came.
        detail: what went wrong, in Tiledesk's or the network's words.
        hint: what to check, naming the key in endpoints.yml where there is one.
        own_words: whether Tiledesk said this itself, by JSON in one of its shapes. What a proxy before it says (most
            answer with a web page) tells nothing about this call.
    """

    def __init__(
        self, call: str, detail: str, *, status: int | None = None, hint: str = "", own_words: bool = False
    ) -> None:
        self.call = call
        self.status = status
        self.detail = detail
        self.hint = hint
        self.own_words = own_words
        super().__init__(call, detail)

    def __str__(self) -> str:
        status = f" answered {self.status}" if self.status else " failed"
        hint = f" ({self.hint})" if self.hint else ""
        return f"Tiledesk: {self.call}{status}: {self.detail}{hint}"


class TiledeskUnreachable(TiledeskError):
    """Nothing was sent: a repeat is safe."""


class TiledeskUncertain(TiledeskError):
    """The call was sent and may have taken effect: read back before repeating what is not idempotent."""


class TiledeskTimeout(TiledeskUncertain):
    """No answer in time. Tiledesk 2.19.16 never answers some malformed inputs at all."""


class TiledeskDisconnected(TiledeskUncertain):
    """The connection broke before the answer was whole."""


class TiledeskServerError(TiledeskUncertain):
    """A 5xx. Tiledesk also answers 500 to much of what it refuses, so the cause may be the input."""


class TiledeskNonsense(TiledeskUncertain):
    """The answer is not what Tiledesk sends: not JSON, not the documented shape, a redirect, or a proxy's 4xx."""


class TiledeskRefused(TiledeskError):
    """Tiledesk understood the call and said no in its own words (400, 409, 422, or 200 with ``success: false``)."""


class TiledeskUnauthorized(TiledeskRefused):
    """401: the credentials were not accepted."""


class TiledeskForbidden(TiledeskRefused):
    """403: the account lacks the role, or does not belong to the project."""


class TiledeskNotFound(TiledeskRefused):
    """404, or 400 for a project id that Tiledesk does not know."""


class TiledeskTooLarge(TiledeskRefused):
    """413: the body is over the server's limit (512,000 bytes by default), or over a proxy's."""


class TiledeskRateLimited(TiledeskRefused):
    """429.

    Attributes:
        retry_after: seconds to wait, from the Retry-After header, or None.
    """

    def __init__(
        self,
        call: str,
        detail: str,
        *,
        status: int = 429,
        hint: str = "",
        own_words: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(call, detail, status=status, hint=hint, own_words=own_words)
        self.retry_after = retry_after
