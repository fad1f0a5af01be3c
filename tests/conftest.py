"""What all tests share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from stack.chat21 import Chat21Server, chat21_server

# How fast a machine generates examples says nothing about the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


def pytest_collection_finish() -> None:
    """What is imported stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def chat21() -> Iterator[Chat21Server]:
    """The real Tiledesk server with chat21, the engine of the agents' chat. What is missing is a failure, no skip."""
    with chat21_server() as server:
        yield server
