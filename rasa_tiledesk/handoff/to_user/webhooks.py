"""The webhooks by which Tiledesk says that something happened: made, checked, mended; and who may call ours.

A webhook is a hint, never a source: what it says is read again from the API. Its secret keeps strangers from making us
read.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import jwt

from rasa_tiledesk.errors import TiledeskForbidden
from rasa_tiledesk.ledger import Ledger, Notice, Work
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["EVENTS", "MISSED_IN_A_ROW", "PATH", "REMEDY", "Announcing", "Hooks", "comes", "is_trial", "request_of"]

logger = logging.getLogger(__name__)

PATH = "/tiledesk/webhook"

# All messages of requests that came from Rasa (we open them with the channel `rasa`), and their end.
EVENTS = ("message.create.request.channel.rasa", "request.close")

# Tiledesk tells it on request, and nothing but it follows from it (pubmodules/events of tiledesk-server 2.19.16).
TRIAL = "rasa-tiledesk-check"
_TRIAL_EVENT = f"event.emit.{TRIAL}"
TRIALS = 3  # a second apart

# A webhook that is later than this was no use: what it tells was found by asking.
FRESH_MS = 10_000
# One may be found a moment before its webhook comes; so many in a row are no chance.
MISSED_IN_A_ROW = 5
REMEDY = "does Tiledesk run with RESTHOOK_ENABLED=true, and does tiledesk.relay.public_url reach the bot from there?"

STALE_SECONDS = 60.0
# A secret that is not known may be one that another server has just made; strangers must not make us ask each time.
UNKNOWN_SECONDS = 1.0


class Hooks:
    """Our webhooks in the project.

    Args:
        desk: Tiledesk, by an admin's login.
        ledger: keeps their secrets, so that all action servers know them.
        public_url: this action server's address as Tiledesk reaches it.
        clock: seconds.
    """

    def __init__(
        self, desk: TiledeskClient, ledger: Ledger, public_url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk = desk
        self._ledger = ledger
        self._target = public_url + PATH
        self._clock = clock
        self._read_at = float("-inf")
        self._secrets: tuple[str, ...] = ()

    def mend(self) -> None:
        """Make the webhooks that are missing, remove doubles, give each the secret that the ledger has for it.

        Any number of servers may do so at once: the ledger has one secret a webhook. Given every time, since Tiledesk
        never shows what it has. The secret of a webhook that was deleted in Tiledesk is forgotten. Those to a former
        address of ours, which the ledger has a secret for, are removed: Tiledesk calls each of them with every message.

        Raises:
            TiledeskForbidden: only an admin may; says what to do instead.
        """
        known = self._ledger.hooks.all()  # read first: what is not listed afterwards is gone, not new
        try:
            listed = self._desk.subscriptions()
            for event in EVENTS:
                self._mend(event, sorted(one.id for one in listed if (one.event, one.target) == (event, self._target)))
        except TiledeskForbidden as error:
            error.hint = "webhooks need an admin's login in tiledesk.email; or set tiledesk.relay.receive: poll"
            raise
        for gone in known.keys() - {one.id for one in listed}:
            self._ledger.hooks.forget(gone)
        for one in listed:
            if one.id in known and one.event in EVENTS and one.target != self._target:
                self._desk.unsubscribe(one.id)
                self._ledger.hooks.forget(one.id)
                logger.info("webhook removed for %s to a former address of this bot", one.event)
        self._read()

    def _mend(self, event: str, there: Sequence[str]) -> None:
        for double in there[1:]:  # two servers may have made one each, at the same moment
            self._desk.unsubscribe(double)
            self._ledger.hooks.forget(double)
        if there:
            hook = there[0]
        else:
            hook = self._desk.subscribe(event, self._target).id
            logger.info("webhook made for %s", event)
        secret = self._ledger.hooks.keep(hook, event, self._target, secrets.token_urlsafe(32))
        self._desk.set_secret(hook, secret)

    def knows(self, secret: str) -> bool:
        """Whether a call that carries this secret comes from Tiledesk; takes the same time whatever it is."""
        age = self._clock() - self._read_at
        if age > STALE_SECONDS or (age > UNKNOWN_SECONDS and not self._is_ours(secret)):
            self._read()
        return self._is_ours(secret)

    def signed(self, token: object) -> bool:
        """Whether a webhook's token is one that Tiledesk signs with the secret of a webhook of ours.

        Of ours, not of the very webhook: in a repeat it may be another's (services/subscriptionNotifier.js:74-127).
        """
        return isinstance(token, str) and any(_signs(ours, token) for ours in self._secrets)

    def _is_ours(self, secret: str) -> bool:
        given = secret.encode("utf-8", "replace")
        found = False
        for ours in self._secrets:
            found |= hmac.compare_digest(given, ours.encode())
        return found and bool(secret)

    def _read(self) -> None:
        self._secrets = tuple(self._ledger.hooks.all().values())
        self._read_at = self._clock()


class Announcing:
    """Notices webhooks that do not come: words of agents that only asking has found.

    Args:
        ledger: counts them, for all servers.
        project_id: whose webhooks.
    """

    def __init__(self, ledger: Ledger, project_id: str) -> None:
        self._ledger = ledger
        self._project_id = project_id
        self._said = False

    def notice(self, work: Work) -> Notice:
        """Whether a webhook has announced what is heard now; one that did may be older where reading has failed."""
        return Notice(self._project_id, came=work.attempts > 0 or work.now - work.hinted < FRESH_MS)

    def look(self, notice: Notice) -> None:
        """Say once that they do not come, and once that they do again."""
        if notice.came and not self._said:
            return
        missed = self._ledger.news.missed(self._project_id)
        if missed.in_a_row >= MISSED_IN_A_ROW and not self._said:
            logger.warning("webhooks do not come: what agents say is found seconds later, by asking (%s)", REMEDY)
            self._said = True
        elif missed.in_a_row == 0 and self._said:
            logger.info("webhooks come again")
            self._said = False


def comes(
    desk: TiledeskClient, ledger: Ledger, public_url: str, *, wait: Callable[[float], object] = time.sleep
) -> bool:
    """Whether a webhook that Tiledesk is asked for comes to an action server of this ledger.

    Its secret stands in the ledger until the server that it comes to forgets it: by that it is seen from anywhere.

    Args:
        desk: Tiledesk, by an admin's login.
        ledger: the action servers'.
        public_url: their address as Tiledesk reaches it.
        wait: waits so many seconds.

    Raises:
        TiledeskError: Tiledesk cannot be asked for it.
    """
    target = public_url + PATH
    hook = desk.subscribe(_TRIAL_EVENT, target).id
    try:
        desk.set_secret(hook, ledger.hooks.keep(hook, _TRIAL_EVENT, target, secrets.token_urlsafe(32)))
        for quarter in range(TRIALS * 4):
            if quarter % 4 == 0:
                desk.emit(TRIAL)
            wait(0.25)
            if hook not in ledger.hooks.all():
                return True
        return False
    finally:
        ledger.hooks.forget(hook)
        desk.unsubscribe(hook)


def is_trial(body: Any) -> str | None:
    """The id of the webhook that was made to see whether webhooks come; None for any other."""
    hook = body.get("hook") if isinstance(body, Mapping) else None
    if not isinstance(hook, Mapping) or hook.get("event") != _TRIAL_EVENT:
        return None
    return str(hook.get("_id"))


def request_of(body: Any, project_id: str) -> str | None:
    """The id of the request that a webhook is about; None when it is another project's or no request's.

    Raises:
        ValueError: it is not what Tiledesk sends.
    """
    payload = body.get("payload") if isinstance(body, Mapping) else None
    if not isinstance(payload, Mapping):
        raise ValueError("no payload")
    request_id = payload.get("recipient") or payload.get("request_id")
    project = payload.get("id_project")
    if not isinstance(request_id, str) or not isinstance(project, str):
        raise ValueError("no request")
    return request_id if project == project_id else None


def _signs(secret: str, token: str) -> bool:
    try:
        jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False})
    except jwt.InvalidTokenError:
        return False
    return True
