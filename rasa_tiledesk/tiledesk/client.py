"""The calls of Tiledesk's REST API that a handoff needs, each with what it means and when it may be repeated.

Here are those about requests; `messages`, `users` and `desk` have the others, `calls` what they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rasa_tiledesk.errors import TiledeskForbidden, TiledeskNotFound, TiledeskServerError, TiledeskUncertain
from rasa_tiledesk.tiledesk.credentials import BotCredential
from rasa_tiledesk.tiledesk.desk import Desk
from rasa_tiledesk.tiledesk.messages import Messages
from rasa_tiledesk.tiledesk.model import TEMP, Message, Request
from rasa_tiledesk.tiledesk.outgoing import checked
from rasa_tiledesk.tiledesk.users import Users

__all__ = ["TiledeskClient"]

_REQUESTS = "/{project}/requests"
_REQUEST = f"{_REQUESTS}/{{request}}"
_TAG_COLOUR = "#5a17ee"
_PAGE_LIMIT = 100  # a larger one becomes 40 (routes/request.js:1236)
_NOBODYS_REQUEST = "rasa-tiledesk-check"  # asked for to see whether we may ask


class TiledeskClient(Messages, Users, Desk):
    """A client of one project; safe to share between threads.

    What every method may raise besides its own: `TiledeskUnreachable` when nothing was sent, `TiledeskUncertain` when
    the outcome is unknown, `TiledeskUnauthorized`, `TiledeskForbidden` and `TiledeskRateLimited`. Calls are repeated,
    twice at most and inside the deadline, when nothing was sent; those that only read, or that do nothing the second
    time, also after an unknown outcome. A message or a request is never posted again after one: Tiledesk stores it
    twice. Read back first.

    Args:
        url: the API's base, such as ``https://api.tiledesk.com/v3``.
        project_id: the project.
        credential: who signs the calls.
        files_url: where users reach what relative links in messages name; by default scheme and host of `url`.
        http: the connection pool; an own one by default.
        sleep: waits between repeats.
        jitter: a number from 0 to 1 that spreads them.
    """

    def check_credential(self) -> None:
        """Prove that the credential is accepted and may work in the project.

        Raises:
            TiledeskUnauthorized: a wrong e-mail, password or bot secret.
            TiledeskForbidden: no member of the project, or a member with less than the role agent.
            TiledeskNotFound: the server knows no such project, or the bot is another project's.
        """
        if isinstance(self._credential, BotCredential):
            # A bot's token passes the role check of any project (has-role.js:39-48), so ask for the bot itself.
            try:
                self._call("GET", "/{project}/faq_kb/{bot}", ids={"bot": self._credential.bot_id}, repeatable=True)
            except TiledeskNotFound as error:
                if error.status == 404 and not error.hint:
                    error.hint = "check tiledesk.bot_id: this project has no such bot"
                raise
            return
        try:
            self.request(_NOBODYS_REQUEST)
        except TiledeskNotFound as error:
            if error.detail != "Object not found.":  # its words to an agent; to others it answers 403 (seen)
                raise

    def create_request(
        self,
        *,
        request_id: str,
        sender: str,
        sender_name: str,
        first_text: str,
        department_id: str | None = None,
        language: str | None = None,
        channel: str = "rasa",
        source_page: str | None = None,
        subject: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Request:
        """Create a request without messages and route it at once, as Tiledesk's tutorial does.

        A second call with the same id is answered 500. Not for a BotCredential: Tiledesk answers that 500 too.

        Args:
            request_id: ours; unguessable, since whoever knows it can read the conversation without a login.
            sender: an end user's id, signed in before.
            sender_name: the user's name, when there is no contact yet.
            first_text: what the agents see in their list.
            department_id: by default the project's default.
            language: the user's, such as ``en``.
            channel: marks the request's webhooks.
            source_page: shown to the agents.
            subject: the conversation's title; by default the user's name.
            attributes: kept with the request.

        Raises:
            ValueError: an empty sender or first_text.
            TiledeskForbidden: the sender is no user of the project, or the credential cannot do this.
        """
        call = f"POST {_REQUESTS}"
        if not first_text or not isinstance(first_text, str):
            raise ValueError("first_text must be a string that is not empty")
        if isinstance(self._credential, BotCredential):
            raise TiledeskForbidden(
                call, "a bot cannot create requests so", hint="tiledesk.history.import: staged works with a bot"
            )
        body = checked(
            {
                "request_id": request_id,
                "sender": sender,
                "senderFullname": sender_name,
                "first_text": first_text,
                "channel": {"name": channel},
                "attributes": dict(attributes or {}),
                **_given(department_id, language, source_page, subject),
            }
        )
        answer = self._call(*call.split(" "), body=body)
        return self._read(call, lambda: Request.read(answer))

    def open_request(
        self,
        request_id: str,
        first_message: Mapping[str, object],
        *,
        temporary: bool,
        department_id: str | None = None,
        language: str | None = None,
        source_page: str | None = None,
        subject: str | None = None,
    ) -> Message:
        """Open a request by its first message.

        Works with every credential (seen). The sender is the requester; contact and message carry the name given at
        sign-in, not the message's `senderFullname`. The request's attributes are the message's. Where the request
        exists already, the message is added to it.

        Args:
            request_id: ours, unguessable; see `create_request`.
            first_message: as for `send_message`; with a text, from an end user who is signed in.
            temporary: do not route it yet: no agent sees it until `assign`.
            department_id: by default the project's default.
            language: the user's.
            source_page: shown to the agents.
            subject: the conversation's title.

        Returns:
            The message, with its request.

        Raises:
            ValueError: a message that Tiledesk cannot take.
            TiledeskForbidden: the sender is no user of the project.
        """
        body = checked(first_message)
        if not body.get("text"):
            raise ValueError("the first message needs a text")
        if temporary:
            body["request_status"] = TEMP
        return self._post(request_id, {**body, **_given(department_id, language, source_page, subject)})

    def request(self, request_id: str) -> Request:
        """The request as it is now.

        Raises:
            TiledeskNotFound: the project has no such request.
        """
        answer = self._call("GET", _REQUEST, ids={"request": request_id}, repeatable=True)
        return self._read(f"GET {_REQUEST}", lambda: Request.read(answer))

    def requests(
        self, *, channel: str, statuses: Sequence[int] | None = None, page: int = 0, limit: int = _PAGE_LIMIT
    ) -> list[Request]:
        """A page of the channel's requests, those that changed last first; one that cannot be read is left out.

        An owner and an admin see all of the project; an agent those that it takes part in, or whose department had it
        when they were assigned (routes/request.js:1246-1262).

        Args:
            channel: what `create_request` and first messages name.
            statuses: of the requests, such as ASSIGNED; by default all, TEMP and CLOSED too.
            page: from 0. A request that changes meanwhile moves to the first page, and the others move down.
            limit: how many a page has, 100 at most.

        Raises:
            ValueError: a page, a limit or statuses that Tiledesk would misread.
            TiledeskServerError: also for a BotCredential, which Tiledesk shows no list.
        """
        if page < 0 or not 0 < limit <= _PAGE_LIMIT or (statuses is not None and not statuses):
            raise ValueError(f"page must be 0 or more, limit from 1 to {_PAGE_LIMIT}, statuses not empty")
        query = {
            "channel": channel,
            "status": "all" if statuses is None else ",".join(str(status) for status in statuses),
            "sort": "updatedAt",
            "direction": "-1",
            "limit": str(limit),
            "page": str(page),
            "no_populate": "true",
            "no_count": "true",
        }
        call = f"GET {_REQUESTS}"
        answer = self._call(*call.split(" "), params=query, repeatable=True)
        return self._readable(call, self._read(call, lambda: answer["requests"]), Request.read)

    def assign(self, request_id: str, department_id: str, *, to_bot: bool = False) -> Request:
        """Route a request to an agent of the department. Does nothing to one that is assigned or closed.

        Args:
            request_id: the request.
            department_id: always needed: without it Tiledesk takes the project's default, not the request's.
            to_bot: let the department's bot answer first.

        Returns:
            The request: ASSIGNED, or UNASSIGNED when nobody is free.

        Raises:
            TiledeskNotFound: the project has no such request.
            TiledeskServerError: also for an unknown department.
        """
        call = f"PUT {_REQUEST}/assign"
        try:
            answer = self._call(
                *call.split(" "),
                ids={"request": request_id},
                body={"departmentid": department_id, "nobot": not to_bot},
                repeatable=True,
            )
        except TiledeskServerError as error:
            error.hint = error.hint or "check tiledesk.department"
            raise
        return self._read(call, lambda: Request.read(answer))

    def close(self, request_id: str) -> None:
        """Close the request, whoever takes part in it.

        By the users' way to close (`closeg`): the agents' refuses an agent who takes no part (request.js:352). Closing
        twice tells everybody twice, so after an unknown outcome the request is looked at first.

        Raises:
            TiledeskNotFound: the project has no such request.
        """
        try:
            self._close(request_id)
        except TiledeskUncertain:  # an unknown request is answered 500 (seen); then this look raises
            if not self.request(request_id).closed:
                self._close(request_id)

    def _close(self, request_id: str) -> None:
        self._call("PUT", f"{_REQUEST}/closeg", ids={"request": request_id}, body={})

    def set_attributes(self, request_id: str, attributes: Mapping[str, object]) -> None:
        """Set the request's attributes of these names; others stay."""
        path = f"{_REQUEST}/attributes"
        self._call("PATCH", path, ids={"request": request_id}, body=dict(attributes), repeatable=True)

    def set_first_text(self, request_id: str, text: str) -> None:
        """Set what the agents read in their list of requests."""
        self._call("PATCH", _REQUEST, ids={"request": request_id}, body={"first_text": text}, repeatable=True)

    def set_tag(self, request_id: str, tag: str) -> None:
        """Set the tag that agents see and filter by, in place of any others.

        Not by `PUT .../tag`, which adds one, and publishes it to RabbitMQ too (routes/request.js:2493).
        """
        tags = [{"tag": tag, "color": _TAG_COLOUR}]
        self._call("PATCH", _REQUEST, ids={"request": request_id}, body={"tags": tags}, repeatable=True)


def _given(
    department_id: str | None, language: str | None, source_page: str | None, subject: str | None
) -> dict[str, object]:
    fields = {"departmentid": department_id, "language": language, "sourcePage": source_page, "subject": subject}
    return {key: value for key, value in fields.items() if value}
