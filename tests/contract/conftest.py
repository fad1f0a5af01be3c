"""`desk`: a Tiledesk project, on the fake in every run, on the real server too in live runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from rasa_tiledesk.testing import FakeTiledesk
from stack.tiledesk import TiledeskServer, tiledesk_server
from tests.contract.receiver import Receiver


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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where Tiledesk may send webhooks."""
    made = Receiver()
    yield made
    made.close()
