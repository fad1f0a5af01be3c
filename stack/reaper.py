"""Ends the process groups that another process has started, when that one is gone without having ended them.

Reads "+GROUP" and "-GROUP" from its standard input, one a line: started, ended. The input's end is the other's, even
by SIGKILL. Run by `stack.processes`, and so imports nothing of the project.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable

__all__ = ["reap"]


def reap(lines: Iterable[str]) -> None:
    """Follow what was started and ended; at the end of the lines, kill what is left."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    reap(sys.stdin)
