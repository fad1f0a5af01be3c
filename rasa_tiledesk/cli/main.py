"""The `rasa-tiledesk` command: which commands there are, and how they fail."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence

from rasa_tiledesk import __version__
from rasa_tiledesk.cli import check, handoff, init, preview, serve, status
from rasa_tiledesk.cli.command import Command
from rasa_tiledesk.endpoints import ENDPOINTS_VARIABLE
from rasa_tiledesk.errors import RasaTiledeskError

__all__ = ["COMMANDS", "main"]

COMMANDS: Sequence[Command] = (
    init.COMMAND,
    check.COMMAND,
    preview.COMMAND,
    handoff.COMMAND,
    status.COMMAND,
    serve.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when all went well, 1 when it did not, 2 for a command line that cannot be read (argparse), 130 after Ctrl-C.
    """
    chosen = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without emoji gets question marks
    with _log_lines():
        try:
            code = int(chosen.command.run(chosen))
            sys.stdout.flush()
            return code
        except RasaTiledeskError as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:  # `| head` has read enough; else Python would complain of it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:  # an operator has no use for our frames; the class is what a report needs
            print(f"unexpected {type(error).__name__}; please report it", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--endpoints", metavar="PATH", help=f"the bot's endpoints.yml; else {ENDPOINTS_VARIABLE}, else ./endpoints.yml"
    )
    parser = argparse.ArgumentParser(prog="rasa-tiledesk", description="Rasa conversations, handed over to Tiledesk.")
    parser.add_argument("--version", action="version", version=f"rasa-tiledesk {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        its = commands.add_parser(
            command.name, help=command.summary, description=command.summary, parents=[common], allow_abbrev=False
        )
        command.add_arguments(its)
        its.set_defaults(command=command)
    return parser


@contextlib.contextmanager
def _log_lines() -> Iterator[None]:
    """Show our own warnings and errors while a command runs: they name causes that outcomes do not."""
    logger = logging.getLogger("rasa_tiledesk")
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


if __name__ == "__main__":
    raise SystemExit(main())
