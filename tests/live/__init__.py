"""Whole conversations with the real servers."""

import pytest

pytest.register_assert_rewrite("tests.live.talk")  # so that a failure there says what was heard
