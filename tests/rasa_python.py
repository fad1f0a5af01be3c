"""Where the real Rasa is."""

from __future__ import annotations

import os

__all__ = ["rasa_python"]


def rasa_python() -> str:
    """The Python that has rasa 3.6.21: the stack's, or another's that RASA_PYTHON names."""
    if "RASA_PYTHON" in os.environ:
        return os.environ["RASA_PYTHON"]
    from stack.rasa import ENVIRONMENT

    ENVIRONMENT.install()
    return str(ENVIRONMENT.python)
