"""The steps that bring agents what was said: one message, or all of a history at once (direct)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import TiledeskRefused, TiledeskServerError
from rasa_tiledesk.handoff.history import addressed
from rasa_tiledesk.handoff.lane import is_word
from rasa_tiledesk.ledger import Handoff, Life, Outcome, Stage, Step
from rasa_tiledesk.tiledesk import Message, TiledeskClient

__all__ = ["Bulk", "Post", "key_of"]

_UNSENDABLE = "[One message could not be carried over: Tiledesk refused it.]"


@dataclass(frozen=True)
class Post:
    """Posts one message. One that Tiledesk never takes is replaced by a line that says so."""

    desk: TiledeskClient

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """One call; its answer says whether the request is closed, so that nobody has read it."""
        return self._post(handoff, step, addressed(handoff, step.body["message"]), deadline)

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether a message with its key is in the request, and whether that was open then."""
        desk = self.desk.within(deadline)
        found = next((message for message in desk.messages(handoff.request_id) if key_of(message) == step.key), None)
        if found is None:
            return None
        request = desk.request(handoff.request_id)
        if request.closed and is_word(step) and _is_later(found.created_at, request.closed_at):
            return _unread(handoff)
        return Outcome()

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """A line in its place, with its key."""
        body = {**_plain(addressed(handoff, step.body["message"])), "text": _UNSENDABLE}
        return self._post(handoff, step, body, deadline)

    def _post(self, handoff: Handoff, step: Step, body: Mapping[str, Any], deadline: Deadline) -> Outcome:
        stored = self.desk.within(deadline).send_message(handoff.request_id, body)
        if stored.request is not None and stored.request.closed and is_word(step):
            return _unread(handoff)
        return Outcome()


@dataclass(frozen=True)
class Bulk:
    """Posts a whole history in few calls, as Tiledesk's tutorial does; their order is lost."""

    desk: TiledeskClient

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Post those that are not there yet."""
        desk = self.desk.within(deadline)
        there = _keys(desk, handoff) if step.tries > 1 else set()
        missing = [body for body in step.body["messages"] if body["attributes"]["rasa"]["key"] not in there]
        desk.send_messages(handoff.request_id, [addressed(handoff, body) for body in missing])
        return Outcome(life=Life.OPEN)

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether all of them are there."""
        wanted = {body["attributes"]["rasa"]["key"] for body in step.body["messages"]}
        return Outcome(life=Life.OPEN) if wanted <= _keys(self.desk.within(deadline), handoff) else None

    def instead(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Each by itself: one that Tiledesk refuses must not keep the others."""
        desk = self.desk.within(deadline)
        there = _keys(desk, handoff)
        for body in step.body["messages"]:
            if body["attributes"]["rasa"]["key"] not in there:
                line = {**_plain(addressed(handoff, body)), "text": _UNSENDABLE}
                try:
                    desk.send_message(handoff.request_id, addressed(handoff, body))
                except (TiledeskRefused, TiledeskServerError, ValueError):
                    desk.send_message(handoff.request_id, line)
        return Outcome(life=Life.OPEN)


def key_of(message: Message) -> str | None:
    """The key of a message of ours."""
    marker = message.attributes.get("rasa")
    return str(marker.get("key")) if isinstance(marker, Mapping) else None


def _keys(desk: TiledeskClient, handoff: Handoff) -> set[str | None]:
    return {key_of(message) for message in desk.messages(handoff.request_id)}


def _unread(handoff: Handoff) -> Outcome:
    """Nobody reads what comes behind the close: the bot is to answer it, once the end has been heard."""
    return Outcome(Stage.RETURNED, listen=handoff.is_open)


def _is_later(stored: datetime, closed_at: str | None) -> bool:
    if not closed_at:
        return False
    try:
        return stored > datetime.fromisoformat(closed_at.replace("Z", "+00:00"))
    except (TypeError, ValueError):
        return False


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with nothing in it that a server could stumble over, but its place and its key."""
    attributes = body["attributes"]
    kept = {name: attributes[name] for name in ("clienttimestamp",) if name in attributes}
    return {
        **{name: body[name] for name in ("sender", "senderFullname", "channel")},
        "type": "text",
        "attributes": {**kept, "rasa": {"key": attributes["rasa"]["key"], "who": attributes["rasa"]["who"]}},
    }
