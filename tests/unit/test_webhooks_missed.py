"""Webhooks that do not come: what agents say is heard all the same, and that it was found by asking is noticed."""

from __future__ import annotations

import logging

import pytest

from rasa_tiledesk.handoff.to_user.webhooks import MISSED_IN_A_ROW
from rasa_tiledesk.handoff.worker import Worker
from rasa_tiledesk.ledger import Handoff, Missed
from tests.unit.conftest import World
from tests.unit.talking import live

NAME = "rasa_tiledesk.handoff.to_user.webhooks"


@pytest.fixture
def hooked(world: World, caplog: pytest.LogCaptureFixture) -> World:
    """A bot that counts on webhooks, and a Tiledesk that sends none."""
    caplog.set_level(logging.INFO, NAME)
    world.settings = {"relay": {"receive": "webhook", "public_url": "https://bot.example.com"}}
    return world


def agent_says(world: World, worker: Worker, handoff: Handoff, text: str, *, told: bool = False) -> None:
    world.tiledesk.agent_says(handoff.request_id, text)
    if told:
        world.ledger.handoffs.hint(handoff.request_id)
    world.work(worker, seconds=30)


def missed(world: World) -> Missed:
    return world.ledger.news.missed(world.tiledesk.project_id)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == NAME]


def test_it_is_said_once_when_it_is_no_chance_and_once_when_they_come_again(
    hooked: World, caplog: pytest.LogCaptureFixture
) -> None:
    worker = hooked.worker()
    handoff = live(hooked, worker)
    for number in range(MISSED_IN_A_ROW - 1):
        agent_says(hooked, worker, handoff, f"word {number}")
    assert (missed(hooked).in_a_row, logged(caplog)) == (MISSED_IN_A_ROW - 1, [])
    for number in range(2):
        agent_says(hooked, worker, handoff, f"word {MISSED_IN_A_ROW - 1 + number}")
    (warning,) = logged(caplog)
    assert "webhooks do not come" in warning
    assert "RESTHOOK_ENABLED=true" in warning
    assert "relay.public_url" in warning
    for _ in range(2):
        agent_says(hooked, worker, handoff, "told in time", told=True)
    assert logged(caplog)[1:] == ["webhooks come again"]
    assert missed(hooked) == Missed(in_all=MISSED_IN_A_ROW + 1, in_a_row=0)
    heard = [message["text"] for message in hooked.rasa.delivered["callback"]]
    assert [text for text in heard if text.startswith("word")] == [f"word {n}" for n in range(MISSED_IN_A_ROW + 1)]


def test_one_that_comes_when_its_word_was_found_long_ago_told_nothing(hooked: World) -> None:
    worker = hooked.worker()
    handoff = live(hooked, worker)
    agent_says(hooked, worker, handoff, "one")
    hooked.ledger.handoffs.hint(handoff.request_id)
    hooked.work(worker, seconds=30)
    agent_says(hooked, worker, handoff, "two")
    assert missed(hooked).in_a_row == 2


def test_without_agents_words_nothing_is_missed(hooked: World) -> None:
    worker = hooked.worker()
    handoff = live(hooked, worker)
    hooked.tiledesk.agent_note(handoff.request_id, "a note")
    hooked.work(worker, seconds=30)
    hooked.tiledesk.close_as_agent(handoff.request_id)
    hooked.work(worker, seconds=30)
    assert missed(hooked) == Missed()


def test_who_polls_misses_none(world: World) -> None:
    worker = world.worker()
    agent_says(world, worker, live(world, worker), "one")
    assert missed(world) == Missed()
