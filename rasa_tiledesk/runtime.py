"""Puts the parts together, once a process: settings → Tiledesk, ledger, reader, Rasa → asking and worker.

Lazy, and kept in this module rather than on an action: rasa-sdk 3.20 and later pickle the actions into a child process.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rasa_tiledesk.endpoints import find_endpoints
from rasa_tiledesk.errors import ConfigurationError, TrackerStoreError
from rasa_tiledesk.handoff.ask import Asking
from rasa_tiledesk.handoff.care import Care
from rasa_tiledesk.handoff.recent import Recent
from rasa_tiledesk.handoff.to_agents import lane_to_agents
from rasa_tiledesk.handoff.to_agents.say import Saying
from rasa_tiledesk.handoff.to_user import lane_to_user
from rasa_tiledesk.handoff.to_user.listen import Listening
from rasa_tiledesk.handoff.to_user.news import Newsroom
from rasa_tiledesk.handoff.to_user.webhooks import Announcing, Hooks
from rasa_tiledesk.handoff.worker import Runs, Worker
from rasa_tiledesk.ledger import Duty, Ledger
from rasa_tiledesk.rasa import RasaClient
from rasa_tiledesk.settings import Endpoints, Settings, ledger_url, load_endpoints
from rasa_tiledesk.tiledesk import AgentLogin, BasicLogin, BotCredential, Credential, TiledeskClient
from rasa_tiledesk.trackers import open_reader

__all__ = ["Runtime", "assemble", "desk_of", "rasa_of", "runtime"]


POLL_SECONDS = 2.0  # between two questions for news
NET_SECONDS = 5.0  # the same, where webhooks tell it and may be lost


@dataclass(frozen=True)
class Runtime:
    """The parts of one process."""

    endpoints: Endpoints
    desk: TiledeskClient
    ledger: Ledger
    rasa: RasaClient
    asking: Asking
    saying: Saying
    worker: Worker
    hooks: Hooks | None


_lock = threading.Lock()
_made: Runtime | None = None


def runtime(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> Runtime:
    """The process's runtime, made at the first call from the endpoints.yml of its arguments and environment.

    Raises:
        ConfigurationError: endpoints.yml is wrong.
        LedgerError: the ledger cannot be reached.
    """
    global _made
    with _lock:
        if _made is None:
            path = find_endpoints(sys.argv if arguments is None else arguments, environment or os.environ)
            _made = assemble(load_endpoints(path))
        return _made


def assemble(endpoints: Endpoints) -> Runtime:
    """Make the parts; connects to the ledger and to nothing else.

    Raises:
        ConfigurationError: the tracker store cannot be read as it is configured.
        LedgerError: the ledger cannot be reached.
    """
    settings = endpoints.tiledesk
    token = settings.relay.rasa_token
    try:
        reader = open_reader(
            endpoints.tracker_store,
            rasa_url=settings.relay.rasa_url,
            rasa_token=token.get_secret_value() if token else None,
        )
    except TrackerStoreError as error:
        raise ConfigurationError(str(endpoints.source), [str(error)]) from None
    name = f"{socket.gethostname()[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    desk, rasa = desk_of(settings), rasa_of(settings)
    ledger = Ledger(ledger_url(settings))
    recent = Recent(time.monotonic)
    to_agents = lane_to_agents(settings, desk, ledger, reader, recent)
    newsroom = Newsroom(
        desk, ledger, name=name, interval=POLL_SECONDS if settings.relay.receive == "poll" else NET_SECONDS
    )
    announcing = Announcing(ledger, settings.project_id) if settings.relay.receive == "webhook" else None
    duties: dict[Duty, Runs] = {
        Duty.TO_AGENTS: to_agents,
        Duty.TO_USER: lane_to_user(settings, rasa, ledger),
        Duty.LISTEN: Listening(desk, ledger, newsroom, announcing=announcing),
        Duty.CARE: Care(settings, ledger, rasa),
    }
    worker = Worker(ledger, duties, newsroom, name=name)
    asking = Asking(settings, desk, rasa, ledger, reader, to_agents, recent, name, worker.wake)
    saying = Saying(settings, ledger, to_agents, name, worker.wake, asking.new_id)
    public_url = settings.relay.public_url if settings.relay.receive == "webhook" else None
    hooks = Hooks(desk, ledger, public_url) if public_url else None
    return Runtime(endpoints, desk, ledger, rasa, asking, saying, worker, hooks)


def desk_of(settings: Settings) -> TiledeskClient:
    """The client of the project that the settings name."""
    return TiledeskClient(
        settings.url, settings.project_id, credential=_credential(settings), files_url=settings.files_url
    )


def rasa_of(settings: Settings) -> RasaClient:
    """The client of the Rasa server that the settings name."""
    token = settings.relay.rasa_token
    return RasaClient(settings.relay.rasa_url, token=token.get_secret_value() if token else None)


def _credential(settings: Settings) -> Credential:
    if settings.bot_id and settings.bot_secret:
        return BotCredential(settings.bot_id, settings.bot_secret.get_secret_value())
    login = AgentLogin if settings.auth == "token" else BasicLogin
    return login(settings.email or "", settings.password.get_secret_value() if settings.password else "")
