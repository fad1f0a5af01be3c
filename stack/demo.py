"""The main job, seen from both ends: a user talks to a real Rasa bot, asks for a human, and an agent sees it all.

make demo                with FakeTiledesk, which behaves as the real server does
make demo DESK=real      with the real Tiledesk server, installed from npm; with chat21 where RabbitMQ is installed
TILEDESK_URL=... TILEDESK_PROJECT_ID=... TILEDESK_EMAIL=... TILEDESK_PASSWORD=... make demo
                         with a Tiledesk of your own
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import requests

from stack.agent import Agent, Message
from stack.columns import side_by_side, terminal_width
from stack.comparison import Row, Turn, clicked_by_user, compare, said_by_bot, said_by_user
from stack.processes import StackError
from stack.rasa import Bot, rasa_bot
from stack.tiledesk import TiledeskServer

__all__ = ["main"]

_OWN = ("TILEDESK_URL", "TILEDESK_PROJECT_ID", "TILEDESK_EMAIL", "TILEDESK_PASSWORD")


@dataclass(frozen=True)
class _Click:
    """A click on the button with this title, which the bot showed before."""

    title: str


_ASK = "I want to talk to a human"
_CONVERSATION: tuple[str | _Click, ...] = (
    "Hi there",
    "I'm Maria",
    "What do you sell?",
    _Click("Where is my order?"),
    "It is A-1042",
    "maria@example.org",
    _Click("Send it back"),
    _ASK,
)


def main() -> int:
    """Play the demo; 0 when the agent sees every turn once and in order."""
    _stop_in_order()
    try:
        return _demo()
    except (StackError, requests.RequestException) as error:
        print(f"\n\nThe demo stopped: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\n\nInterrupted; everything that was started is stopped.", file=sys.stderr)
        return 130
    return 1


def _demo() -> int:
    print("A Rasa bot hands its conversation over to Tiledesk\n")
    with _desk() as desk:
        agent = Agent(*desk)
        before = {request["request_id"] for request in agent.requests()}
        print("Rasa 3.6 with the example bot (the first time takes some minutes: Rasa brings TensorFlow)", flush=True)
        with rasa_bot(env=dict(zip(_OWN, desk))) as bot:
            print(f"  logs in {bot.folder}\n", flush=True)
            turns, last_words = _play(bot)
            opened = _opened(agent, before)
            if len(opened) != 1:
                said = "\n".join(turn.words for turn in last_words)
                raise StackError(
                    f"{len(opened)} new conversations in Tiledesk instead of one. The bot's last words:\n{said}\n"
                    f"Why, says {bot.actions_log}"
                )
            user, messages = opened[0]["lead"]["lead_id"], agent.messages(opened[0]["request_id"])
            rows = compare(turns + last_words, [message for message in messages if message.is_turn], user=user)
    lines = [("", _of_message(message, handing_over=False)) for message in messages if not message.is_turn]
    for line in side_by_side(
        [
            *lines,
            *((_of_turn(row.turn), _of_message(row.message, handing_over=row.turn in last_words)) for row in rows),
        ],
        titles=("What the user saw", "What the agent sees in Tiledesk"),
        total=terminal_width(),
    ):
        print(line)
    return _verdict(rows, turns)


def _opened(agent: Agent, before: set[str], *, seconds: float = 30) -> list[dict[str, Any]]:
    """The conversations that agents see now and did not before: they see one when all of its history is there."""
    end = time.monotonic() + seconds
    while True:
        opened = [request for request in agent.requests() if request["request_id"] not in before]
        if opened or time.monotonic() > end:
            return opened
        time.sleep(0.1)


@contextlib.contextmanager
def _desk() -> Iterator[tuple[str, str, str, str]]:
    """A Tiledesk: its URL, a project, and the e-mail and password of an agent of it."""
    own = [os.environ.get(name, "") for name in _OWN]
    if any(own):
        missing = [name for name, value in zip(_OWN, own) if not value]
        if missing:
            raise StackError(f"for a Tiledesk of your own, {', '.join(missing)} must be set too")
        print(f"Tiledesk: yours at {own[0]}\n")
        yield own[0], own[1], own[2], own[3]
    elif os.environ.get("DESK", "fake") == "real":
        with _real_server() as server:
            project = server.bootstrap()
            print(f"  runs at {project.url}\n")
            yield project.url, project.project_id, *project.owner
    elif os.environ.get("DESK", "fake") == "fake":
        from rasa_tiledesk.testing import FakeTiledesk

        with FakeTiledesk() as fake:
            print(f"Tiledesk: FakeTiledesk at {fake.url}; for the real server: make demo DESK=real\n")
            yield fake.url, fake.project_id, *fake.owner
    else:
        raise StackError(f"DESK is fake or real, not {os.environ['DESK']!r}")


@contextlib.contextmanager
def _real_server() -> Iterator[TiledeskServer]:
    """The real Tiledesk; with chat21, as every Tiledesk in production, where RabbitMQ is installed."""
    from stack.chat21 import chat21_server
    from stack.rabbitmq import find_server
    from stack.tiledesk import tiledesk_server

    try:
        find_server()
    except StackError as error:
        print(f"Tiledesk, the real server without chat21: {error} (the first time takes two minutes)", flush=True)
        with tiledesk_server() as server:
            yield server
    else:
        print("Tiledesk, the real server with chat21 (the first time takes three minutes)", flush=True)
        with chat21_server() as server:
            yield server


def _play(bot: Bot) -> tuple[list[Turn], list[Turn]]:
    """Hold the conversation; give what was said up to the ask for a human, and what the bot said to that."""
    sender = f"demo-{uuid.uuid4().hex[:8]}"
    turns: list[Turn] = []
    answers: list[dict[str, Any]] = []
    payloads: dict[str, str] = {}
    for step in _CONVERSATION:
        turns += said_by_bot(answers)
        if isinstance(step, _Click):
            turns.append(clicked_by_user(step.title))
            answers = bot.say(sender, payloads[step.title])
        else:
            turns.append(said_by_user(step))
            answers = bot.say(sender, step)
        if not answers:
            raise StackError(f"the bot did not answer “{turns[-1].words}”; see {bot.rasa_log} and {bot.actions_log}")
        payloads.update((button["title"], button["payload"]) for each in answers for button in each.get("buttons", ()))
    return turns, list(said_by_bot(answers))


def _of_turn(turn: Turn | None) -> str:
    if turn is None:
        return "(nothing)"
    return f"{'You' if turn.who == 'user' else 'Ada'}\n{_indented(turn.words)}"


def _of_message(message: Message | None, *, handing_over: bool) -> str:
    if message is None:
        return "(said while handing over)" if handing_over else "(not there)"
    image = f"\n[image] {message.image}" if message.image and message.image not in message.text else ""
    return f"{message.name}\n{_indented(message.text + image)}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _verdict(rows: list[Row], turns: list[Turn]) -> int:
    """Say in a line whether all is there. The bot's answer to the ask came while handing over: it need not be."""
    missing = sum(row.message is None and row.turn in turns for row in rows)
    strange = sum(row.turn is None for row in rows)
    print()
    if missing or strange:
        print(f"Not the same: {missing} of {len(turns)} turns missing, {strange} messages out of place or double.")
        return 1
    print(f"All {len(turns)} turns, up to “{_ASK}”, are in Tiledesk: each once, in order.")
    return 0


def _stop_in_order() -> None:
    """Turn the first signal to end into an exception, so that what runs is stopped, and let nothing disturb that."""

    def interrupt(*_: object) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupt)


if __name__ == "__main__":
    sys.exit(main())
