"""Feeds in whatever may come from outside, for minutes, and looks for what must never be.

    python -m tests.fuzz [--minutes 10] [--only answers] [--seed 1]

Whatever stands in endpoints.yml, in a tracker, in an answer or in an agent's message: no exception but one of ours, and
no secret in an error, its traceback or a line of the log.
"""

from __future__ import annotations

import argparse
import time
import traceback

from tests.fuzz.targets import TARGETS, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--examples", type=int, default=200, help="of each target in a turn")
    arguments = parser.parse_args()
    end, seed = time.monotonic() + 60 * arguments.minutes, arguments.seed
    left = [target for target in TARGETS if arguments.only in (None, target.name)]
    count, wrong = {target.name: 0 for target in left}, 0
    while left and time.monotonic() < end:
        for target in list(left):
            try:
                tried(target, seed=seed, examples=arguments.examples)
                count[target.name] += arguments.examples
            except Exception:  # what one finds is no reason to stop the others
                print(f"== {target.name}, seed {seed}\n{traceback.format_exc()}", flush=True)
                wrong += 1
                left.remove(target)
        seed += 1
    print(f"examples, from seed {arguments.seed} on: {count}; {wrong} targets went wrong")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
