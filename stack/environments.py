"""Virtual environments under WORK, and the package in them as users get it: a wheel built from this checkout."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stack import CHECKOUT, WORK
from stack.processes import run_step
from stack.pythons import find_python

__all__ = ["Environment", "alone", "fingerprint"]

_SOURCES = ("rasa_tiledesk", "pyproject.toml", "README.md", "LICENSE")


class Environment:
    """A virtual environment with its requirements and `rasa_tiledesk`.

    Args:
        name: its folder in WORK.
        pythons: the versions that will do, best first.
        requirements: what pip installs beside the package.
    """

    def __init__(self, name: str, *, pythons: Sequence[str], requirements: Sequence[str]) -> None:
        self.name = name
        self.folder = WORK / name
        self.python = self.folder / "bin" / "python"
        self.log = WORK / "logs" / f"{name}.log"
        self._pythons = pythons
        self._requirements = tuple(requirements)

    def install(self) -> None:
        """Bring the environment up to date; what has not changed since is not done again.

        Raises:
            StackError: no Python, no network, or packages that do not go together.
        """
        with alone(self.name):
            changed = self._install_requirements()
            if self._install_package() or changed:
                self._pip(f"{self.name}: pip check", "check")

    def _install_requirements(self) -> bool:
        stamp = self.folder / "requirements.stamp"
        wanted = "\n".join(self._requirements)
        if _content(stamp) == wanted:
            return False
        base = find_python(*self._pythons)
        shutil.rmtree(self.folder, ignore_errors=True)
        run_step(f"{self.name}: new environment", [str(base), "-m", "venv", str(self.folder)], cwd=WORK, log=self.log)
        # Compiled when it is imported: of what Rasa brings along, most never is.
        title = f"{self.name}: installing {', '.join(self._requirements)}"
        self._pip(title, "install", "--no-compile", *self._requirements)
        stamp.write_text(wanted)
        return True

    def _install_package(self) -> bool:
        stamp = self.folder / "package.stamp"
        wanted = fingerprint(CHECKOUT / name for name in _SOURCES)
        if _content(stamp) == wanted:
            return False
        wheels = self.folder / "wheel"
        shutil.rmtree(wheels, ignore_errors=True)
        self._pip(f"{self.name}: building rasa_tiledesk", "wheel", "--no-deps", "-w", str(wheels), str(CHECKOUT))
        wheel = str(next(wheels.glob("*.whl")))
        self._pip(f"{self.name}: installing what rasa_tiledesk needs", "install", wheel)
        # Once more: after an edit the version is the same, and pip would keep the files it has.
        self._pip(f"{self.name}: installing rasa_tiledesk", "install", "--no-deps", "--force-reinstall", wheel)
        stamp.write_text(wanted)
        return True

    def _pip(self, title: str, *arguments: str) -> None:
        run_step(title, [str(self.python), "-m", "pip", *arguments], cwd=WORK, log=self.log)


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold a lock, so that a demo and a test run started together do not install over each other."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of the files and, recursively, of the folders' files: names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(os.fsencode(file.relative_to(CHECKOUT)) + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _content(stamp: Path) -> str:
    return stamp.read_text() if stamp.is_file() else ""
