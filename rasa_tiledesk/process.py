"""What is at work in this process beside its actions: the worker, and the upkeep.

They start with the action server, or with the first ask: rasa-sdk's gRPC server and actions inside Rasa's own process
have no web application that starts anything (rasa-sdk 3.21.1, seen), and a request that nobody works on stays unseen.
"""

from __future__ import annotations

import threading

from rasa_tiledesk.runtime import Runtime, runtime
from rasa_tiledesk.upkeep import Upkeep

__all__ = ["at_work", "look_after", "stop"]

_lock = threading.Lock()
_stopping = threading.Event()
_started: Runtime | None = None
_upkeep: threading.Thread | None = None


def at_work() -> Runtime:
    """This process's parts, with somebody at work on what is due.

    Raises:
        ConfigurationError: endpoints.yml is wrong.
        LedgerError: the ledger cannot be reached.
    """
    parts = _begin()
    look_after()
    return parts


def look_after() -> None:
    """Start the worker and the upkeep, unless they are: in a thread, which asks until the ledger can be reached."""
    global _upkeep
    with _lock:
        if _upkeep is None:
            _upkeep = threading.Thread(target=Upkeep(_begin, _stopping.wait).run, name="tiledesk-upkeep", daemon=True)
            _upkeep.start()


def stop() -> None:
    """Finish what is being sent, and stop."""
    _stopping.set()
    if _started is not None:
        _started.worker.stop()


def _begin() -> Runtime:
    global _started
    parts = runtime()
    with _lock:
        if _started is None:
            parts.worker.start()
            _started = parts
    return parts
