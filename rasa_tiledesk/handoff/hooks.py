"""The webhooks by which Tiledesk says that something happened: made, checked, mended; and who may call ours.

A webhook is a hint, never a source: what it says is read again from the API. Its secret keeps strangers from making us
read.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rasa_tiledesk.errors import TiledeskForbidden
from rasa_tiledesk.handoff.ledger import Ledger
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["EVENTS", "PATH", "Hooks", "request_of"]

logger = logging.getLogger(__name__)

PATH = "/tiledesk/webhook"

# All messages of requests that came from Rasa (we open them with the channel `rasa`), and their end.
EVENTS = ("message.create.request.channel.rasa", "request.close")


@dataclass(frozen=True)
class Hooks:
    """Our webhooks in the project.

    Attributes:
        desk: Tiledesk, by an admin's login.
        ledger: keeps their secrets, so that all action servers know them.
        public_url: this action server's address as Tiledesk reaches it.
    """

    desk: TiledeskClient
    ledger: Ledger
    public_url: str

    def mend(self) -> None:
        """Make the webhooks that are missing, or whose secret nobody knows.

        Raises:
            TiledeskForbidden: only an admin may; says what to do instead.
        """
        target = self.public_url + PATH
        known = self.ledger.hook_secrets()
        try:
            there = {hook.event: hook.id for hook in self.desk.subscriptions() if hook.target == target}
            for event in EVENTS:
                if there.get(event) not in known or event not in there:
                    made = self.desk.subscribe(event, target)
                    self.ledger.remember_hook(made.id, event, target, made.secret or "")
                    logger.info("webhook made for %s", event)
        except TiledeskForbidden as error:
            error.hint = "webhooks need an admin's login in tiledesk.email; or set tiledesk.relay.receive: poll"
            raise

    def knows(self, secret: str) -> bool:
        """Whether a call that carries this secret comes from Tiledesk; takes the same time whatever it is."""
        given = secret.encode("utf-8", "replace")
        found = False
        for _, _, ours in self.ledger.hook_secrets().values():
            found |= hmac.compare_digest(given, ours.encode())
        return found and bool(secret)


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
