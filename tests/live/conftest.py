"""The real servers, started once for all live tests. What is missing is an error here, never a skip."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from rasa_tiledesk.runtime import Runtime
from rasa_tiledesk.testing import FakeRasa
from stack.agent import Agent
from stack.chat21 import Chat21Server
from stack.chat_agent import ChatAgent, chat_agent
from stack.rasa import Bot, rasa_bot
from stack.tiledesk import LiveProject, tiledesk_server
from tests.live.own_actions import User, action_server, endpoints_file
from tests.live.talk import Talk, begun


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


@pytest.fixture(scope="session")
def chat21_project(chat21: Chat21Server) -> LiveProject:
    """A project on the server with chat21; its owner is the only agent who takes requests."""
    return chat21.bootstrap()


@pytest.fixture(scope="session")
def chat21_agent(chat21: Chat21Server, chat21_project: LiveProject) -> Iterator[ChatAgent]:
    """The owner of that project, with the agents' chat open."""
    with chat_agent(chat21, chat21_project.project_id, *chat21_project.owner) as agent:
        yield agent


@pytest.fixture(scope="module")
def rasa() -> Iterator[FakeRasa]:
    """A bot that knows one question."""
    with FakeRasa() as fake:
        fake.answers["opening_hours"] = [{"text": "We open at nine."}]
        yield fake


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chat21_project: LiveProject, rasa: FakeRasa) -> Iterator[Runtime]:
    """Its action server."""
    with action_server(endpoints_file(tmp_path_factory.mktemp("bot"), chat21_project, rasa)) as parts:
        yield parts


@pytest.fixture
def talk(rasa: FakeRasa, server: Runtime, chat21_project: LiveProject, chat21_agent: ChatAgent) -> Talk:
    """A user and an agent who can talk now."""
    return begun(User(rasa, server), chat21_project, chat21_agent)


@pytest.fixture
def bea(chat21: Chat21Server, chat21_project: LiveProject) -> Iterator[ChatAgent]:
    """A second agent, who takes no requests by herself."""
    account = chat21_project.add_agent("Bea", available=False)
    with chat_agent(chat21, chat21_project.project_id, account.email, account.password) as agent:
        yield agent
