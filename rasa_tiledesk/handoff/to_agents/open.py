"""The step that opens the request: signs the user in, then one call. Agents see nothing of it until it is routed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaTiledeskError, TiledeskNotFound
from rasa_tiledesk.handoff.failure import NotBegun
from rasa_tiledesk.handoff.history import addressed
from rasa_tiledesk.ledger import Handoff, Ledger, Life, Outcome, Step
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.tiledesk import TiledeskClient

__all__ = ["Open"]


@dataclass(frozen=True)
class Open:
    """Opens a request, unseen (staged) or as Tiledesk's tutorial does, routed at once (direct)."""

    settings: Settings
    desk: TiledeskClient
    ledger: Ledger
    instead = None

    def do(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome:
        """Sign in, and open it."""
        desk = self.desk.within(deadline)
        try:
            requester = handoff.requester_id or self._sign_in(handoff, desk)
        except RasaTiledeskError as error:
            raise NotBegun(error) from error
        facts = handoff.facts
        if facts.get("import") == "direct":
            desk.create_request(
                request_id=handoff.request_id,
                sender=requester,
                sender_name=facts["user_name"],
                first_text=facts["first_text"],
                department_id=facts["department"],
                language=facts["language"],
            )
            return Outcome()
        message = {**addressed(handoff, step.body["message"]), "sender": requester}
        desk.open_request(
            handoff.request_id,
            message,
            temporary=True,
            department_id=facts["department"],
            language=facts["language"],
        )
        return Outcome(life=Life.OPEN)

    def happened(self, handoff: Handoff, step: Step, deadline: Deadline) -> Outcome | None:
        """Whether there is such a request."""
        try:
            self.desk.within(deadline).request(handoff.request_id)
        except TiledeskNotFound:
            return None
        return Outcome(life=None if handoff.facts.get("import") == "direct" else Life.OPEN)

    def _sign_in(self, handoff: Handoff, desk: TiledeskClient) -> str:
        """Make the end user known to Tiledesk.

        `signed` gives one id per sender id and project, so that agents see one contact across handoffs; `anonymous`
        takes the id of the sender's last handoff again, where there is one.
        """
        name, secret = handoff.facts["user_name"], self.settings.requester.project_secret
        if self.settings.requester.identity == "signed" and secret is not None:
            material = f"{self.settings.project_id}\x00{handoff.sender_id}".encode("utf-8", "surrogatepass")
            user_id = f"rasa-{hashlib.sha256(material).hexdigest()[:32]}"
            desk.sign_in_signed(user_id, project_secret=secret.get_secret_value(), name=name)
        else:
            user_id = self._earlier_id(handoff) or desk.sign_in_anonymously(name=name).id
        self.ledger.handoffs.remember(handoff.id, requester_id=user_id)
        return user_id

    def _earlier_id(self, handoff: Handoff) -> str | None:
        project = f"support-group-{self.settings.project_id}-"
        earlier = self.ledger.handoffs.of_sender(handoff.sender_id)
        known = [one.requester_id for one in earlier if one.request_id.startswith(project) and one.requester_id]
        return known[-1] if known else None
