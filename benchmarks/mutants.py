"""How many small changes to the code do the tests notice?

    python -m benchmarks.mutants [--seed 14] [--count 60] [--skip 0] [--only transcript] [--talks] [--again FILE]

Changes are drawn from all that `mutations.py` knows, each is made in a copy of the project, and the tests of that
module run on it. The draw depends on the seed and on each change alone: what is edited elsewhere leaves it as it is.
--again tries only those that survived in what an earlier run printed. Not for Windows: it forks.

Ours, since no tool fits: mutmut 3 changes functions only and forks a pytest that has threads and servers; cosmic-ray
changes the tree itself and has one command for all modules; neither draws a sample. mutatest is no longer kept.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.mutations import Mutation, mutations_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rasa_tiledesk"
DRIVERS = (
    "boto3 fakeredis hypothesis mongomock moto.server phonenumbers psycopg2 pymongo pymysql rasa_sdk.executor redis"
)
LEFT_OUT = shutil.ignore_patterns(".git", ".work", ".hypothesis", "__pycache__", "*_cache", "*.db*")

# What is changed → the tests that look at it, those first that notice most in least time.
TESTS: dict[str, Sequence[str]] = {
    "transcript/": (
        "unit/test_transcript", "unit/test_redact", "unit/test_transcript_hostile", "unit/test_transcript_properties",
    ),
    "trackers/": ("unit/test_merge", "unit/test_trackers", "unit/test_tracker_stores", "contract/test_tracker_reader"),
    "tiledesk/": (
        "unit/test_tiledesk_client", "unit/test_tiledesk_answers", "contract/test_tiledesk_messages",
        "contract/test_tiledesk_requests", "contract/test_tiledesk_access", "contract/test_tiledesk_project",
        "contract/test_tiledesk_listing", "contract/test_tiledesk_closing",
    ),
    "settings.py": ("unit/test_settings", "unit/test_secrets_in_endpoints", "unit/test_docs"),
    "settings_problems.py": ("unit/test_settings", "unit/test_secrets_in_endpoints"),
    "database_url.py": ("unit/test_settings", "unit/test_secrets_in_endpoints"),
    "endpoints.py": ("unit/test_settings", "unit/test_secrets_in_endpoints"),
    "yaml_values.py": ("unit/test_settings", "unit/test_secrets_in_endpoints"),
    "http.py": ("unit/test_http", "unit/test_http_sent", "unit/test_http_deadline"),
    "wire.py": ("unit/test_http", "unit/test_http_sent", "unit/test_http_deadline"),
    "handoff/failure.py": ("unit/test_failure", "unit/test_to_agents"),
    "handoff/to_user/html_text.py": ("unit/test_html_text", "unit/test_words_shown"),
    "handoff/to_user/shown.py": ("unit/test_words_shown",),
    "handoff/to_user/inbox.py": ("unit/test_inbox", "unit/test_action_server"),
}  # fmt: skip
# With --talks also what only whole conversations look at: minutes for each change that is not noticed.
TALKS: dict[str, Sequence[str]] = {
    "handoff/plan.py": ("unit/test_handoff", "unit/test_edges_ask"),
    "handoff/lane.py": ("unit/test_to_agents", "unit/test_settling", "unit/test_to_user", "unit/test_ends"),
    "handoff/to_user/webhooks.py": ("unit/test_upkeep", "unit/test_action_server"),
    "handoff/to_user/": ("unit/test_to_user", "unit/test_words", "unit/test_ends", "unit/test_edges_close"),
}
SECONDS = 240.0  # for the tests of one change


def drawn(seed: int, count: int, only: str, table: Mapping[str, Sequence[str]]) -> list[Mutation]:
    """So many of all changes, in the order of the draw: the first of them are a smaller draw."""
    found: list[Mutation] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(tuple(table)) and only in name:
            found += mutations_of(name, path.read_text(encoding="utf-8"))
    print(f"{min(count, len(found))} of {len(found)} changes, seed {seed}", flush=True)
    return sorted(found, key=lambda each: each.lot(seed))[:count]


class Trial:
    """A copy of the project, in which one change after another is made.

    Attributes:
        passed: the tests of which something survived: so they pass.
    """

    def __init__(self, folder: Path, table: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self._table = table
        self.passed: dict[tuple[str, ...], bool] = {}
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT)

    def notices(self, mutation: Mutation) -> str:
        """How the tests notice it; "" when they do not."""
        tests = next(tests for prefix, tests in self._table.items() if mutation.name.startswith(prefix))
        files = tuple(file for file in (f"tests/{test}.py" for test in tests) if (self._folder / file).exists())
        path = self._folder / "rasa_tiledesk" / mutation.name
        whole = path.read_text(encoding="utf-8")
        _put(path, mutation.text)
        try:
            how = self._run(files)
        finally:
            _put(path, whole)
        self.passed[files] = self.passed.get(files, False) or not how
        return how

    def must_pass(self) -> None:
        """Fail when there are tests that notice something where nothing was changed."""
        for files in [files for files, passed in self.passed.items() if not passed]:
            failed = self._run(files)
            if failed:
                sys.exit(f"fails without any change, so nothing is known: {failed}")

    def _run(self, files: Sequence[str]) -> str:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            child = os.fork()  # of a process that has all drivers imported: most of a short run would be that
            if not child:
                os.setsid()
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                code = 70
                try:
                    code = self._tests(files)
                finally:
                    os._exit(code)
            end, left, status = time.monotonic() + SECONDS, 0, 0
            while not left and time.monotonic() < end:
                time.sleep(0.05)
                left, status = os.waitpid(child, os.WNOHANG)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # and what the tests may have left behind
            if not left:
                os.waitpid(child, 0)
                return "time"
            said.seek(0)
            lines = said.read().strip().splitlines() or ["nothing said"]
        found = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
        return (found[0] if found else lines[-1]) if status else ""

    def _tests(self, files: Sequence[str]) -> int:
        os.chdir(self._folder)
        os.environ["PYTHONPATH"] = sys.path[0] = str(self._folder)
        options = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        return int(pytest.main([*options, "-m", "not live", *files]))


def _put(path: Path, text: str) -> None:
    """What was compiled of it is told by time and size alone, and a change may leave both as they were."""
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def among(mutations: Sequence[Mutation], again: Path | None) -> Iterator[Mutation]:
    """All of them, or those that survived in what an earlier run printed."""
    lines = again.read_text(encoding="utf-8").splitlines() if again else []
    survived = {_wherever(line.partition(" ")[2].strip()) for line in lines if line.startswith("survived ")}
    return (each for each in mutations if again is None or _wherever(str(each)) in survived)


def _wherever(told: str) -> str:
    """Without the line, which moves as the module is edited."""
    return re.sub(r":\d+  ", "  ", told, count=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many, which another run tries")
    parser.add_argument("--only", default="", help="a part of a module's path")
    parser.add_argument("--talks", action="store_true", help="also what only whole conversations look at")
    parser.add_argument("--again", type=Path, help="what a run has printed: only those that survived there")
    arguments = parser.parse_args()
    for driver in DRIVERS.split():
        importlib.import_module(driver)
    killed = survived = 0
    with tempfile.TemporaryDirectory() as temporary:
        table = {**TESTS, **TALKS} if arguments.talks else TESTS
        trial = Trial(Path(temporary) / "copy", table)
        mutations = drawn(arguments.seed, arguments.count, arguments.only, table)[arguments.skip :]
        for mutation in among(mutations, arguments.again):
            how = trial.notices(mutation)
            killed, survived = killed + bool(how), survived + (not how)
            print(f"{'killed  ' if how else 'survived'} {mutation}{f'  [{how}]' if how else ''}", flush=True)
        trial.must_pass()
    print(f"{killed} killed, {survived} survived: {100 * killed / max(1, killed + survived):.1f} % noticed")


if __name__ == "__main__":
    main()
