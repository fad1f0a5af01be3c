"""The desk behind the requests: departments, availability, and the webhooks that tell of what agents do."""

from __future__ import annotations

from typing import Any

from rasa_tiledesk.errors import TiledeskForbidden, TiledeskNonsense, TiledeskNotFound
from rasa_tiledesk.tiledesk.calls import Calls
from rasa_tiledesk.tiledesk.model import Agent, Department, Subscription

__all__ = ["Desk"]

_SUBSCRIPTIONS = "/{project}/subscriptions"


class Desk(Calls):
    """The calls about the project; see `TiledeskClient`."""

    def departments(self) -> list[Department]:
        """The project's visible departments."""
        answer = self._call("GET", "/{project}/departments", repeatable=True)
        return self._list("GET /{project}/departments", answer, Department.read)

    def department(self, name_or_id: str | None) -> Department:
        """The department of that name or id; for None the project's default.

        Raises:
            TiledeskNotFound: there is none; its text lists those there are.
        """
        known = self.departments()
        for department in known:
            if department.default if name_or_id is None else name_or_id in (department.id, department.name):
                return department
        names = ", ".join(sorted(department.name for department in known))
        wanted = "default department" if name_or_id is None else f"department {name_or_id!r}"
        raise TiledeskNotFound(
            "GET /{project}/departments", f"no {wanted}; there are: {names}", hint="check tiledesk.department"
        )

    def is_open(self) -> bool:
        """Whether it is now within the project's operating hours; always, when it keeps none."""
        call = "GET /projects/{project}/isopen"
        answer = self._call(*call.split(" "), repeatable=True)
        return self._read(call, lambda: bool(answer["isopen"]))

    def available_agents(self, department_id: str) -> list[Agent]:
        """Who of the department can take a request now: has said so, and has not reached the limit of chats."""
        call = "GET /projects/{project}/users/availables"
        answer = self._call(*call.split(" "), params={"department": department_id}, repeatable=True)
        return self._list(call, answer, Agent.read)

    def subscriptions(self) -> list[Subscription]:
        """The project's webhooks, without their secrets.

        Raises:
            TiledeskForbidden: the account is no admin.
        """
        answer = self._admin_call("GET", _SUBSCRIPTIONS)
        return self._list(f"GET {_SUBSCRIPTIONS}", answer, Subscription.read)

    def subscribe(self, event: str, target: str) -> Subscription:
        """Have Tiledesk call `target` on the event; again for the same two gives the one there is.

        It needs `set_secret`: Tiledesk's own choice is the same for all webhooks of all projects until the server
        restarts (routes/subscription.js:18).

        Raises:
            TiledeskForbidden: the account is no admin.
        """
        call = f"POST {_SUBSCRIPTIONS}"
        answer = self._admin_call(*call.split(" "), body={"event": event, "target": target})
        made = self._read(call, lambda: Subscription.read(answer))
        if (made.event, made.target) == (event, target):
            return made
        # A repeat is answered with the event's first, whatever its target.
        same = [one for one in self.subscriptions() if (one.event, one.target) == (event, target)]
        if not same:
            raise TiledeskNonsense(call, "answered with another webhook than the one asked for")
        return same[0]

    def set_secret(self, subscription_id: str, secret: str) -> None:
        """Have a webhook carry this as ``x-hook-secret`` from now on; Tiledesk never shows it again."""
        path = f"{_SUBSCRIPTIONS}/{{subscription}}"
        self._admin_call("PUT", path, ids={"subscription": subscription_id}, body={"secret": secret})

    def emit(self, event: str) -> None:
        """Have Tiledesk tell an event of our own: its webhooks are ``event.emit.`` and the name.

        Any user may (pubmodules/events/eventRoute.js:15-28 of tiledesk-server 2.19.16).
        """
        self._call("POST", "/{project}/events", body={"name": event})

    def unsubscribe(self, subscription_id: str) -> None:
        """Remove a webhook; one that is not there is no error."""
        path = f"{_SUBSCRIPTIONS}/{{subscription}}"
        self._admin_call("DELETE", path, ids={"subscription": subscription_id})

    def _admin_call(self, method: str, path: str, **parts: Any) -> Any:
        try:
            return self._call(method, path, repeatable=True, **parts)
        except TiledeskForbidden as error:
            error.hint = "webhooks need an admin's tiledesk.email; tiledesk.relay.receive: poll needs none"
            raise
