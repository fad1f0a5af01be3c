"""`rasa-tiledesk serve`: webhook, worker and sweep in a process of their own.

For gRPC action servers, and for Rasa Pro's actions inside the Rasa server: neither can mount routes.
"""

from __future__ import annotations

import argparse
import logging

from rasa_tiledesk.cli.command import Command, path_of

__all__ = ["COMMAND"]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1; 0.0.0.0 for all)")
    parser.add_argument("--port", type=int, default=5056, help="the port to listen on (5056)")


def _run(chosen: argparse.Namespace) -> int:
    from rasa_tiledesk.runtime import runtime
    from rasa_tiledesk.server import serve

    runtime(["--endpoints", str(path_of(chosen))])  # what is wrong with it is said now, not at the first webhook
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-8s %(name)s  - %(message)s")
    serve(chosen.host, chosen.port)
    return 0


COMMAND = Command("serve", "run webhook, worker and sweep as a process of their own", _run, _arguments)
