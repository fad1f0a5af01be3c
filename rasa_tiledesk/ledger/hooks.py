"""The secrets of our webhooks, so that all action servers know them, and the ledger's own."""

from __future__ import annotations

import secrets as random_secrets

from sqlalchemy import select

from rasa_tiledesk.ledger.database import AlreadyThere, Database
from rasa_tiledesk.ledger.schema import hook_secrets, secrets

__all__ = ["HookSecrets"]


class HookSecrets:
    """One secret a webhook, and one for the keys of turns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own: bytes | None = None

    def all(self) -> dict[str, str]:
        """The secrets of our webhooks, by the subscription's id."""
        with self._database.reading() as connection:
            rows = connection.execute(select(hook_secrets)).all()
        return {row.subscription_id: row.secret for row in rows}

    def keep(self, subscription_id: str, event: str, target: str, secret: str) -> str:
        """Write down a webhook's secret, unless it has one; the secret it has, whoever wrote it down first."""
        row = {"subscription_id": subscription_id, "event": event, "target": target, "secret": secret}
        there = self.all().get(subscription_id)
        if there is not None:
            return there
        try:
            with self._database.writing() as connection:
                connection.execute(hook_secrets.insert().values(**row))
        except AlreadyThere:
            return self.keep(subscription_id, event, target, secret)
        return secret

    def forget(self, subscription_id: str) -> None:
        """The webhook is gone: its secret opens nothing any more."""
        with self._database.writing() as connection:
            connection.execute(hook_secrets.delete().where(hook_secrets.c.subscription_id == subscription_id))

    def for_keys(self) -> bytes:
        """What the keys of turns are made with, so that none confirms a guess of what was redacted."""
        if self._own is None:
            self._own = self._read_own().encode()
        return self._own

    def _read_own(self) -> str:
        query = select(secrets.c.value).where(secrets.c.name == "turns")
        with self._database.reading() as connection:
            found = connection.execute(query).scalar()
        if found is not None:
            return str(found)
        try:
            with self._database.writing() as connection:
                value = random_secrets.token_urlsafe(32)
                connection.execute(secrets.insert().values(name="turns", value=value))
                return value
        except AlreadyThere:
            return self._read_own()
