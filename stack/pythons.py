"""Finding a Python of a given version: on PATH, among pyenv's, or by uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stack.processes import StackError

__all__ = ["find_python", "main"]

# A pyenv shim exists for versions it then refuses to run, and Debian's python3 may come without what `venv` needs:
# only a candidate that answers this is a Python to build on.
_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find_python(*versions: str) -> Path:
    """A Python of the first of these versions, such as "3.10", that is there and can make virtual environments.

    Only when none is there, uv is asked to install the first.

    Raises:
        StackError: there is none; says where it was looked for and how to get it.
    """
    for look in (_installed, _by_uv):
        for version in versions:
            for candidate in look(version):
                found = _probe(candidate, version)
                if found:
                    return found
    best = versions[0]
    raise StackError(
        f"Python {' or '.join(versions)} is needed and was not found: not on PATH, not in pyenv, not by uv.\n"
        f"Any of these brings it:\n"
        f"  uv python install {best}\n"
        f"  pyenv install {best}\n"
        f"  your system's packages, such as python{best} and python{best}-venv"
    )


def _installed(version: str) -> Iterator[str]:
    for folder in os.get_exec_path():
        for name in (f"python{version}", "python3"):
            path = shutil.which(name, path=folder)
            if path:
                yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for home in sorted(pyenv.glob(f"versions/{version}*")):
        yield str(home / "bin" / "python")


def _by_uv(version: str) -> Iterator[str]:
    uv = shutil.which("uv")
    if uv:
        # `uv python find` lists what the computer has; only then is anything downloaded.
        yield from _output([uv, "python", "find", version]).splitlines()
        print(f"  uv: installing Python {version}", file=sys.stderr, flush=True)
        _output([uv, "python", "install", version])
        yield from _output([uv, "python", "find", version]).splitlines()


def _probe(python: str, version: str) -> Path | None:
    actual, _, executable = _output([python, "-c", _PROBE]).strip().partition(" ")
    return Path(executable) if actual == version and executable else None


def _output(command: list[str]) -> str:
    """What a command prints, or nothing when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def main() -> int:
    """Print the path of a Python of the versions given as arguments."""
    try:
        print(find_python(*sys.argv[1:]))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
