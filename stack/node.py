"""Node.js servers: installed by npm, each into a folder of its own, and run so that only this machine reaches them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack import WORK
from stack.environments import alone
from stack.processes import StackError, run_step

__all__ = ["environment", "npm_install"]

_LOOPBACK = Path(__file__).with_name("loopback.js")
_INSTALL = "npm install --ignore-scripts --no-audit --no-fund --legacy-peer-deps --no-package-lock --loglevel=error"


def npm_install(name: str, manifest: Path, title: str) -> Path:
    """Install what a package.json names into WORK; nothing when that was done before.

    Args:
        name: the folder in WORK.
        manifest: the package.json.
        title: shown while it runs.

    Returns:
        Its `node_modules`.

    Raises:
        StackError: Node.js is missing or too old, or npm failed.
    """
    _check_node()
    folder = WORK / name
    done, wanted = folder / "installed", manifest.read_text()
    with alone(name):
        if not done.exists() or done.read_text() != wanted:
            folder.mkdir(exist_ok=True)
            (folder / "package.json").write_text(wanted)
            run_step(title, _INSTALL.split(), cwd=folder, log=folder / "install.log")
            done.write_text(wanted)
    return folder / "node_modules"


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: this process's, the settings, and that it listens on 127.0.0.1 only."""
    return {**os.environ, "NODE_OPTIONS": f"--require={_LOOPBACK}", **settings}


def _check_node() -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        missing = " and ".join(name for name, path in (("node", node), ("npm", npm)) if not path)
        raise StackError(f"{missing} missing: the real Tiledesk needs Node.js 18 or later with npm (nodejs.org)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 18:
        raise StackError(f"node {version} is too old: the real Tiledesk needs Node.js 18 or later (nodejs.org)")
