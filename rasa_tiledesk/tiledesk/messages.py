"""What is said in a request: posting and listing messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rasa_tiledesk.tiledesk.calls import Calls
from rasa_tiledesk.tiledesk.model import Message
from rasa_tiledesk.tiledesk.outgoing import batches, checked

__all__ = ["Messages"]

_MESSAGES = "/{project}/requests/{request}/messages"


class Messages(Calls):
    """The calls about messages; see `TiledeskClient`."""

    def send_message(self, request_id: str, message: Mapping[str, object]) -> Message:
        """Add one message; any sender is accepted, known or not.

        Added to a closed request too: look at the answer's `request.status`. **Where no such request exists, opens
        one** and routes it.

        Args:
            request_id: the request.
            message: JSON-ready: `sender`, `senderFullname` (else the name of who signs the call), `text`, `type`,
                `metadata`, `attributes`, `channel` as ``{"name": ...}``. Times and ids cannot be set.

        Raises:
            ValueError: a message that Tiledesk cannot take.
        """
        return self._post(request_id, checked(message))

    def _post(self, request_id: str, body: Mapping[str, object]) -> Message:
        answer = self._call("POST", _MESSAGES, ids={"request": request_id}, body=body)
        return self._read(f"POST {_MESSAGES}", lambda: Message.read(answer))

    def send_messages(self, request_id: str, messages: Sequence[Mapping[str, object]]) -> list[Message]:
        """Add many messages in few calls.

        **Their order is lost**: Tiledesk stores each call's at once, in any order and at the same time (seen). On an
        error, any of them may have been stored.

        Returns:
            The messages in the order given.

        Raises:
            ValueError: a message that Tiledesk cannot take; none was sent.
            TiledeskNotFound: the project has no such request.
        """
        call = f"POST {_MESSAGES}/multi"
        stored: list[Message] = []
        for batch in batches([checked(message) for message in messages]):
            answer = self._call(*call.split(" "), ids={"request": request_id}, body=batch)
            stored += self._list(call, answer, Message.read)
        return stored

    def messages(self, request_id: str) -> list[Message]:
        """All messages, private notes included, by the time they were stored; of an unknown request, none.

        One that cannot be read is left out, since an agent may have written it, or somebody's script.
        """
        answer = self._call("GET", _MESSAGES, ids={"request": request_id}, repeatable=True)
        return self._readable(f"GET {_MESSAGES}", answer, Message.read)
