"""The stand-in for MongoDB (mongo_standin.py) for tests: in an environment of its own, on a free port."""

from __future__ import annotations

import contextlib
import venv
from collections.abc import Iterator
from pathlib import Path

from stack import CHECKOUT, WORK
from stack.environments import alone
from stack.processes import Child, free_port, listens, run_step, started

__all__ = ["install", "mongo_standin"]

_HOME = WORK / "mongo"
_PYTHON = _HOME / "bin" / "python"
_SCRIPT = Path(__file__).with_name("mongo_standin.py")
_REQUIREMENTS = "mongomock>=4.3,<5 pymongo>=4,<5"


def install() -> None:
    """Install what the stand-in needs; nothing when that was done before.

    Raises:
        StackError: pip failed.
    """
    done = _HOME / "installed"
    with alone("mongo"):
        if done.is_file() and done.read_text() == _REQUIREMENTS:
            return
        venv.create(_HOME, with_pip=True, clear=True)
        pip = [str(_PYTHON), "-m", "pip", "install", "-q", *_REQUIREMENTS.split()]
        run_step("pip install of the MongoDB stand-in", pip, cwd=WORK, log=WORK / "logs" / "mongo-install.log")
        done.write_text(_REQUIREMENTS)


@contextlib.contextmanager
def mongo_standin() -> Iterator[str]:
    """Run an empty one until the block ends; gives its URL. No login, no TLS.

    Raises:
        StackError: it could not be installed or started.
    """
    install()
    port = free_port()
    command = [str(_PYTHON), str(_SCRIPT), str(port)]
    child = Child("the MongoDB stand-in", command, log=WORK / "logs" / "mongo.log", cwd=CHECKOUT)
    with started(child, lambda: listens(port), seconds=30):
        yield f"mongodb://127.0.0.1:{port}"
