"""The real servers, started once for all live tests. What is missing is an error here, never a skip."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from stack.agent import Agent
from stack.rasa import Bot, rasa_bot
from stack.tiledesk import LiveProject, tiledesk_server


@pytest.fixture(scope="session")
def project() -> Iterator[LiveProject]:
    """A project of its own on the real Tiledesk server."""
    with tiledesk_server() as server:
        yield server.bootstrap()


@pytest.fixture(scope="session")
def working(project: LiveProject) -> dict[str, str]:
    """The environment of a bot that reaches this project."""
    email, password = project.owner
    return {
        "TILEDESK_URL": project.url,
        "TILEDESK_PROJECT_ID": project.project_id,
        "TILEDESK_EMAIL": email,
        "TILEDESK_PASSWORD": password,
    }


@pytest.fixture(scope="session")
def bot(working: dict[str, str]) -> Iterator[Bot]:
    """The example bot on real Rasa, connected to the project."""
    with rasa_bot(env=working) as running:
        yield running


@pytest.fixture(scope="session")
def agent(project: LiveProject) -> Agent:
    """An agent of the project."""
    return Agent(project.url, project.project_id, *project.owner)


@pytest.fixture
def sender() -> str:
    """A user who was never here before."""
    return f"user-{uuid.uuid4().hex}"
