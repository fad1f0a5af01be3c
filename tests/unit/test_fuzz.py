"""A few examples of what `python -m tests.fuzz` feeds in for minutes."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, tried
from tests.fuzz.telling import Target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whatever_comes_from_outside_is_no_error_but_ours_and_tells_no_secret(target: Target) -> None:
    tried(target, seed=14, examples=15)
