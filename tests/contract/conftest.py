"""`desk`: a Tiledesk project, on the fake in every run, on the real server too in live runs.

`ledger`: a new ledger in every database that one may live in; servers in live runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from rasa_tiledesk.ledger import Ledger
from rasa_tiledesk.testing import FakeTiledesk
from rasa_tiledesk.tiledesk import EndUser, TiledeskClient
from stack.tiledesk import TiledeskServer, tiledesk_server
from tests.contract.chat_project import ChatProject
from tests.contract.ledgers import Clock
from tests.contract.receiver import Receiver
from tests.contract.tiledesk_calls import client_of
from tests.databases import DURABLE, ledger_url


@pytest.fixture(scope="session")
def real_tiledesk() -> Iterator[TiledeskServer]:
    """The real server. That it cannot be installed or started is a failure, never a skip."""
    with tiledesk_server() as server:
        yield server


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.live)])
def desk(request: pytest.FixtureRequest) -> Iterator[FakeTiledesk]:
    """A new project. The real one has the controls of the fake, under the same names."""
    if request.param == "fake":
        with FakeTiledesk() as fake:
            yield fake
    else:
        yield cast(FakeTiledesk, request.getfixturevalue("real_tiledesk").bootstrap())


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.live)])
def chat_desk(request: pytest.FixtureRequest) -> Iterator[FakeTiledesk]:
    """A new project with chat21 behind it. The real one has the controls of the fake, under the same names."""
    if request.param == "fake":
        with FakeTiledesk(chat21=True) as fake:
            yield fake
    else:
        project = ChatProject(request.getfixturevalue("chat21"))
        yield cast(FakeTiledesk, project)
        project.close_chats()


@pytest.fixture
def client(desk: FakeTiledesk) -> TiledeskClient:
    """A client with the owner's login."""
    return client_of(desk)


@pytest.fixture
def jane(client: TiledeskClient) -> EndUser:
    """An end user who is signed in."""
    return client.sign_in_anonymously(name="Jane")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where Tiledesk may send webhooks."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture(params=["memory", *DURABLE])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with ledger_url(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=DURABLE)
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database that outlives its connections."""
    with ledger_url(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger whose clock stands."""
    made = Ledger(url, clock=clock)
    yield made
    made.close()
