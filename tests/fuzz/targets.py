"""All that is fed in, and a number of examples of it tried."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import HealthCheck, given

from tests.fuzz import agents, answers, endpoints, trackers
from tests.fuzz.telling import Target

__all__ = ["TARGETS", "tried"]

TARGETS = [*endpoints.TARGETS, *trackers.TARGETS, *answers.TARGETS, *agents.TARGETS]


def tried(target: Target, *, seed: int, examples: int) -> None:
    """Try so many examples of a target.

    Raises:
        Exception: what went wrong with the simplest example that does.
    """

    def check(it: Any) -> None:
        target.check(it)

    test = hypothesis.seed(seed)(given(it=target.given)(check))
    how = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
    hypothesis.settings(max_examples=examples, **how)(test)()  # type: ignore[arg-type]
