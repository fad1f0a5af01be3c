"""Child processes that leave nothing behind, whatever ends this one: own process group, output in a file, explained."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable

__all__ = ["Child", "StackError", "answers", "free_port", "listens", "progress", "run_step", "started"]


class StackError(Exception):
    """The stack could not be installed or started; the message says what is missing."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a TCP port of 127.0.0.1.

    Raises:
        OSError: nobody does.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def answers(url: str) -> bool:
    """Whether a GET is answered 200.

    Raises:
        OSError: it is answered by an error, or not at all.
    """
    with urllib.request.urlopen(url, timeout=2) as answer:
        return int(answer.status) == 200


def run_step(title: str, command: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run one step of an installation; on failure, or Ctrl-C, nothing of it goes on.

    Shows the title at once and the time it takes, so that a person sees progress.

    Raises:
        StackError: it failed; with the end of its output.
    """
    with progress(title) as tick:
        child = Child(title, command, log=log, cwd=cwd, env=env)
        try:
            while child.running():
                tick()
                time.sleep(0.2)
        finally:
            child.kill()
        if child.returncode:
            raise StackError(f"{title}: exit {child.returncode}\n{_tail(log)}\nall of it: {log}")


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[], None]]:
    """Show what is being done, and at the end how long it took or that it failed.

    Gives a function that redraws the line with the seconds so far, where there is a terminal.
    """
    begin = time.monotonic()
    live = sys.stdout.isatty()

    def show(state: str, end: str) -> None:
        print(f"\r  {title} ... {state}" if live else f" {state}", end=end, flush=True)

    def elapsed() -> str:
        return f"{time.monotonic() - begin:.0f} s"

    def tick() -> None:
        if live:
            show(elapsed(), "")

    print(f"  {title} ...", end="", flush=True)
    try:
        yield tick
    except BaseException:
        show("failed", "\n")
        raise
    show(elapsed(), "\n")


class Child:
    """A running child process.

    Attributes:
        log: the file that holds its output.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(env or os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _REAPER.tell(f"+{self.pid}")

    @property
    def pid(self) -> int:
        """The process id, which is its group's id too."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.returncode is None

    def wait_ready(self, probe: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `probe` says yes; raise with the log's end when the process ends or time runs out first."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.running():
                raise StackError(f"{self.name} ended with {self._process.returncode}\n{_tail(self.log)}")
            with contextlib.suppress(OSError):
                if probe():
                    return
            time.sleep(0.1)
        raise StackError(f"{self.name} was not ready within {seconds:.0f} s\n{_tail(self.log)}")

    def kill(self) -> None:
        """SIGKILL the whole group, as a crash would."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        _REAPER.tell(f"-{self.pid}")

    def stop(self) -> None:
        """Ask the whole group to end, then insist."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self.kill()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the whole group do nothing until the block ends: its connections stay open, and nobody answers."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class _Reaper:
    """The process that ends our children when we were killed (`stack.reaper`); started with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                command = [sys.executable, str(Path(__file__).with_name("reaper.py"))]
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,  # a pipe that we were given ends with us
                    stderr=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,
                )
            assert self._process.stdin is not None
            print(line, file=self._process.stdin, flush=True)


_REAPER = _Reaper()


@contextlib.contextmanager
def started(child: Child, probe: Callable[[], bool], *, seconds: float) -> Iterator[Child]:
    """Wait for the child to be ready, hand it over, and stop it whatever happens."""
    try:
        child.wait_ready(probe, seconds=seconds)
        yield child
    finally:
        child.stop()


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
