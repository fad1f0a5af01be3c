"""What the stack starts ends with whoever started it."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack import CHECKOUT

# Starts a child that stays, and says who it is. A pipe that the child alone holds open tells when it has ended.
_STARTS_ONE = """
import sys
from pathlib import Path
from stack.processes import Child
child = Child("sleeper", ["sh", "-c", "exec cat > /dev/null < {fifo}"], log=Path("{log}"), cwd=Path("."))
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_a_process_that_is_killed(tmp_path: Path, end: signal.Signals) -> None:
    fifo = tmp_path / "fifo"
    subprocess.run(["mkfifo", str(fifo)], check=True)
    script = _STARTS_ONE.format(fifo=fifo, log=tmp_path / "log")
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline())
        with fifo.open("wb", buffering=0) as writer:  # opens when the child reads
            process.send_signal(end)
            assert process.wait() == -end
            ended = select.poll()
            ended.register(writer, 0)  # for errors alone: nobody reads it any more
            assert ended.poll(20_000)
