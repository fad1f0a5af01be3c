"""Who the end user is: signing in, and the contact that the agents see."""

from __future__ import annotations

from collections.abc import Mapping

from rasa_tiledesk.errors import TiledeskUnauthorized
from rasa_tiledesk.tiledesk.calls import Calls, token_of
from rasa_tiledesk.tiledesk.credentials import signed_user_token
from rasa_tiledesk.tiledesk.model import EndUser

__all__ = ["Users"]


class Users(Calls):
    """The calls about end users; see `TiledeskClient`."""

    def sign_in_anonymously(
        self, *, name: str | None, email: str | None = None, attributes: Mapping[str, object] | None = None
    ) -> EndUser:
        """Make a new end user of the project, and its contact.

        Every call makes another one. The contact is made here because a request that is opened with an agent's login
        would else give the contact that agent's own e-mail and phone (message.js:77,151, seen), and Tiledesk mails
        copies of the conversation to a contact's e-mail.

        Args:
            name: shown to the agents; Tiledesk says ``guest#xxxx`` without one.
            email: kept with the contact; see above.
            attributes: kept with the contact.
        """
        path = "/auth/signinAnonymously"
        body: dict[str, object] = {"id_project": self.project_id}
        if name:
            body["firstname"] = name
        if attributes:
            body["attributes"] = dict(attributes)
        answer = self._transport.call("POST", path, body=body, deadline=self._deadline, repeatable=True)
        call = f"POST {path}"
        user = EndUser(self._read(call, lambda: str(answer["user"]["_id"])), token_of(call, answer))
        given = self._read(call, lambda: str(answer["user"]["firstname"]))
        self._make_contact(user.id, name or given, email, attributes)
        return user

    def sign_in_signed(
        self,
        user_id: str,
        *,
        project_secret: str,
        name: str | None,
        email: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> EndUser:
        """Make an end user under an id of ours, or find it again; and its contact, the first time.

        Args:
            user_id: stable, and unique over all projects of the server: contacts are found by it alone
                (leadService.js:137).
            project_secret: signs for the user; Tiledesk makes it by POST /{project}/keys/generate.
            name: shown to the agents.
            email: as in `sign_in_anonymously`.
            attributes: kept with the contact.

        Raises:
            ValueError: an id that Tiledesk would misread.
        """
        token = signed_user_token(
            user_id, project_id=self.project_id, project_secret=project_secret, name=name, attributes=attributes
        )
        call = "POST /auth/signinWithCustomToken"
        try:
            answer = self._transport.call(
                *call.split(" "), body={}, authorization=token, deadline=self._deadline, repeatable=True
            )
        except TiledeskUnauthorized as error:
            error.hint = "check tiledesk.requester.project_secret: generating a new one voids the old"
            raise
        user = EndUser(user_id, token_of(call, answer))
        # Contacts cannot be looked up by the user's id, and are made twice when asked twice; earlier requests tell.
        call = "GET /{project}/requests/me"
        past = self._transport.call(
            *call.split(" "),
            params={"status": "all", "limit": "1"},
            authorization=user.token,
            deadline=self._deadline,
            repeatable=True,
        )
        if not self._read(call, lambda: int(past["count"])):
            self._make_contact(user.id, name, email, attributes)
        return user

    def _make_contact(
        self, user_id: str, name: str | None, email: str | None, attributes: Mapping[str, object] | None
    ) -> None:
        contact = {"lead_id": user_id, "fullname": name, "email": email, "attributes": dict(attributes or {})}
        self._call("POST", "/{project}/leads", body={key: value for key, value in contact.items() if value})

    def set_contact(
        self,
        contact_id: str,
        *,
        name: str | None = None,
        email: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        """Change what the agents see of the end user; what is None stays. `Request.contact_id` says which contact.

        Tiledesk mails a copy of every later message that is not the user's to this e-mail unless the project forbids it
        (pubmodules/emailNotification/requestNotification.js:103-160).
        """
        fields = {"fullname": name, "email": email, "attributes": None if attributes is None else dict(attributes)}
        body = {key: value for key, value in fields.items() if value is not None}
        self._call("PUT", "/{project}/leads/{contact}", ids={"contact": contact_id}, body=body, repeatable=True)
