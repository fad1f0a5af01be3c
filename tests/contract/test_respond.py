"""What we say outside an action, beside what Rasa's own generator may say: the same table for both."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rasa_python import rasa_python
from tests.responses_said import CASES, Case


@pytest.fixture(scope="module")
def said_by_rasa() -> dict[str, list[dict[str, Any]]]:
    cases = [
        {
            "responses": {"utter_x": case.variations},
            "name": "utter_x",
            "channel": case.channel,
            "slots": case.slots,
            "extra": case.extra,
        }
        for case in CASES
    ]
    script = Path(__file__).with_name("said_by_rasa.py")
    run = subprocess.run(
        [rasa_python(), str(script)],
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    return dict(zip(map(str, CASES), json.loads(run.stdout)))


@pytest.mark.live
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rasa_says_what_the_table_has(case: Case, said_by_rasa: dict[str, list[dict[str, Any]]]) -> None:
    assert said_by_rasa[str(case)] == case.expected()
