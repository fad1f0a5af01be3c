"""Install what the live tests need, with progress, before pytest hides it."""

from __future__ import annotations

import sys

import stack.chat21
import stack.rasa
from stack.processes import StackError

__all__ = ["main"]


def main() -> int:
    """Install and train; says what is missing and fails when something is."""
    try:
        stack.rasa.install()
        stack.rasa.install(domain=stack.rasa.FORGETFUL)
        stack.chat21.install()
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
