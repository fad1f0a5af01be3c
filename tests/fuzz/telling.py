"""What is fed in, what must hold of it, and who listens for secrets."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

from hypothesis import strategies as st

from rasa_tiledesk.errors import RasaTiledeskError
from tests.unit.test_secrets_in_endpoints import SECRET

__all__ = ["ACCOUNT", "REQUEST", "SECRET", "Target", "silent"]

REQUEST = f"support-group-5e2c35c8f0dbc10017bb3aac-{SECRET}"
ACCOUNT = "5e2c35c8f0dbc10017bb3aac"


@dataclass(frozen=True)
class Target:
    """What is fed in, and what must hold of it."""

    name: str
    given: st.SearchStrategy[Any]
    check: Callable[[Any], None]


class _Heard(logging.Handler):
    """All that is logged, with tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def silent(*others: type[Exception]) -> Iterator[None]:
    """An error of ours, or one of those others, is right, when it holds no secret; nor may the log."""
    heard, ours = _Heard(), logging.getLogger("rasa_tiledesk")
    ours.addHandler(heard)
    level, passed = ours.level, ours.propagate
    ours.setLevel(logging.DEBUG)
    ours.propagate = False
    try:
        yield
    except Exception as error:
        if not isinstance(error, (RasaTiledeskError, *others)):
            raise
        heard.lines += traceback.format_exception(type(error), error, error.__traceback__)
        heard.lines += [str(error), repr(error), repr(vars(error))]
    finally:
        ours.removeHandler(heard)
        ours.setLevel(level)
        ours.propagate = passed
    leaks = [line for line in heard.lines if SECRET.lower() in line.lower()]
    assert not leaks, leaks
