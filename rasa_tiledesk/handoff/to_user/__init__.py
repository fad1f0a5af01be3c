"""From the agents to the user: listen, say, deliver, give back; webhooks, and the inbox of clients that ask."""

from __future__ import annotations

from rasa_tiledesk.handoff.lane import Lane, Patience, Way
from rasa_tiledesk.handoff.to_user.give_back import Answer, GiveBack
from rasa_tiledesk.handoff.to_user.hush import Hush
from rasa_tiledesk.handoff.to_user.say import Deliver, Say
from rasa_tiledesk.handoff.to_user.voice import CHANNEL_SECONDS, Voice
from rasa_tiledesk.ledger import Duty, Kind, Ledger
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.settings import Settings

__all__ = ["PATIENCE", "lane_to_user"]

# A front end may be away for a while; what is refused for longer cannot be delivered. Rasa drops a call that is given
# up, so what does not show after a few seconds is not on its way any more.
PATIENCE = Patience(settle=10.0, refusals=5, seconds=300.0)


def lane_to_user(
    settings: Settings, rasa: RasaClient, ledger: Ledger, *, channel_seconds: float = CHANNEL_SECONDS
) -> Lane:
    """The lane, with the way of each of its steps."""
    voice = Voice(rasa, channel_seconds)
    ways: dict[Kind, Way] = {
        Kind.HUSH: Hush(voice),
        Kind.SAY: Say(voice),
        Kind.DELIVER: Deliver(voice, ledger),
        Kind.GIVE_BACK: GiveBack(voice, ledger),
        Kind.ANSWER: Answer(settings, voice, ledger),
    }
    return Lane(Duty.TO_USER, ledger, ways, PATIENCE)
