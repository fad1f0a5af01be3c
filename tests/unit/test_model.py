"""The invariants of docs/design.md under any order of events, for about 20 seconds; `make chaos` takes minutes."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.model.machine import Handoffs

TestEveryOrderOfEvents = Handoffs.TestCase
TestEveryOrderOfEvents.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
