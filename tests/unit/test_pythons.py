"""A Python that only pretends to be there does not count."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stack.processes import StackError
from stack.pythons import find_python

THIS = "{}.{}".format(*sys.version_info[:2])


def command(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer that has only what the test puts into this folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_a_shim_that_fails_is_passed_over_for_one_that_runs(alone: Path) -> None:
    command(alone, f"python{THIS}", "echo 'pyenv: command not found' >&2; exit 127")
    command(alone, "python3", f'exec {sys.executable} "$@"')
    assert find_python(THIS) == Path(sys.executable)


def test_pyenv_versions_are_found_behind_the_shims(alone: Path) -> None:
    folder = alone / "pyenv" / "versions" / f"{THIS}.1" / "bin"
    folder.mkdir(parents=True)
    command(folder, "python", f'exec {sys.executable} "$@"')
    assert find_python(THIS) == Path(sys.executable)


def test_another_version_under_the_name_does_not_count(alone: Path) -> None:
    command(alone, "python3.99", f'exec {sys.executable} "$@"')
    with pytest.raises(StackError):
        find_python("3.99")


def test_nothing_found_says_how_to_get_it(alone: Path) -> None:
    with pytest.raises(StackError, match=r"Python 3\.99 is needed(.|\n)*uv python install 3\.99(.|\n)*pyenv install"):
        find_python("3.99")
