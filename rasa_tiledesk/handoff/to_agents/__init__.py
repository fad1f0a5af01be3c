"""From the conversation to the agents: open, history, message, route, close; and what the user says meanwhile."""

from __future__ import annotations

from rasa_tiledesk.handoff.lane import Lane, Patience, Way
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.handoff.to_agents.close import Close
from rasa_tiledesk.handoff.to_agents.message import Bulk, Post
from rasa_tiledesk.handoff.to_agents.older import Older
from rasa_tiledesk.handoff.to_agents.open import Open
from rasa_tiledesk.handoff.to_agents.route import Route
from rasa_tiledesk.ledger import Duty, Kind, Ledger
from rasa_tiledesk.settings import Settings
from rasa_tiledesk.tiledesk import TiledeskClient
from rasa_tiledesk.trackers import TrackerReader

__all__ = ["PATIENCE", "lane_to_agents"]

# So many refusals mean that the message is the cause; a server that is slow stores what it has received 30 s later.
PATIENCE = Patience(settle=30.0, refusals=5, seconds=10.0)


def lane_to_agents(
    settings: Settings, desk: TiledeskClient, ledger: Ledger, reader: TrackerReader, recent: Recent
) -> Lane:
    """The lane, with the way of each of its steps."""
    ways: dict[Kind, Way] = {
        Kind.OPEN: Open(settings, desk, ledger),
        Kind.HISTORY: Older(settings, reader, ledger, recent),
        Kind.BULK: Bulk(desk),
        Kind.MESSAGE: Post(desk),
        Kind.ROUTE: Route(desk, ledger),
        Kind.CLOSE: Close(desk, ledger, PATIENCE.settle),
    }
    return Lane(Duty.TO_AGENTS, ledger, ways, PATIENCE)
