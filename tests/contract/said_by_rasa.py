"""Run by the Python that has rasa: what Rasa's own generator may say for each case.

Reads [{"responses", "name", "channel", "slots", "extra"}] from stdin; writes, for each, the list of filled variations.
"""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from rasa.core.nlg import TemplatedNaturalLanguageGenerator  # type: ignore[import-not-found]
from rasa.core.nlg.generator import ResponseVariationFilter  # type: ignore[import-not-found]


def may_say(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Every variation that Rasa could choose, filled."""
    if case["name"] not in case["responses"]:
        return []
    suitable = ResponseVariationFilter(case["responses"]).responses_for_utter_action(
        case["name"], case["channel"], case["slots"]
    )
    said = []
    for variation in copy.deepcopy(suitable):
        only = TemplatedNaturalLanguageGenerator({case["name"]: [variation]})
        said.append(only.generate_from_slots(case["name"], case["slots"], case["channel"], **case["extra"]))
    return said


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # Rasa writes there, too
    json.dump([may_say(case) for case in json.load(sys.stdin)], answers)


if __name__ == "__main__":
    main()
