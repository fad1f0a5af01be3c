"""What the action server does beside running actions: starts the worker, checks at start, answers how it is.

rasa-sdk calls `attach_sanic_app_extensions` of registered plugins with its Sanic app (rasa_sdk/plugin.py; seen with
3.6.2 and 3.21.1). It does not with `--grpc`, nor does Rasa Pro for actions in its own process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pluggy
from rasa_sdk.plugin import plugin_manager
from sanic import Sanic
from sanic.request import Request
from sanic.response import HTTPResponse, json, text

from rasa_tiledesk.deadline import Deadline
from rasa_tiledesk.errors import RasaTiledeskError
from rasa_tiledesk.handoff.ledger import State
from rasa_tiledesk.runtime import Runtime, runtime

__all__ = ["register"]

logger = logging.getLogger(__name__)

_NAME = "rasa_tiledesk"
_implements = pluggy.HookimplMarker("rasa_sdk")
_CHECK_SECONDS = 10.0


def register() -> None:
    """Have rasa-sdk attach our routes and the worker to its action server; again does nothing."""
    manager = plugin_manager()
    if not manager.has_plugin(_NAME):
        manager.register(_Plugin(), _NAME)


class _Plugin:
    @_implements
    def attach_sanic_app_extensions(self, app: Sanic[Any, Any]) -> None:
        app.register_listener(_start, "after_server_start")
        app.register_listener(_stop, "before_server_stop")
        app.add_route(_health, "/tiledesk/health", methods=["GET"], name="tiledesk_health")
        app.add_route(_metrics, "/tiledesk/metrics", methods=["GET"], name="tiledesk_metrics")


async def _start(_app: Any, _loop: Any) -> None:
    # In a thread: a Tiledesk that does not answer must not keep the bot's other actions waiting.
    threading.Thread(target=_start_work, name="tiledesk-start", daemon=True).start()


async def _stop(_app: Any, _loop: Any) -> None:
    if _started is not None:
        await asyncio.get_running_loop().run_in_executor(None, _started.worker.stop)


_started: Runtime | None = None


def _start_work() -> None:
    global _started
    try:
        parts = runtime()
    except RasaTiledeskError as error:
        logger.error("no handoff will work until this is mended:\n%s", error)
        return
    parts.worker.start()
    _started = parts
    try:
        desk = parts.desk.within(Deadline(_CHECK_SECONDS))
        desk.check_credential()
        department = desk.department(parts.endpoints.tiledesk.department)
    except RasaTiledeskError as error:
        logger.error("no handoff will work until this is mended: %s", error)
        return
    logger.info("ready to hand over to department %s", department.name)


async def _health(_request: Request) -> HTTPResponse:
    """200 while handoffs can be written down, 503 otherwise; says why in words."""
    return await asyncio.get_running_loop().run_in_executor(None, _health_now)


def _health_now() -> HTTPResponse:
    try:
        counts = runtime().ledger.counts()
    except RasaTiledeskError as error:
        return json({"status": "error", "reason": str(error)}, status=503)
    return json({"status": "ok", "handoffs": {state.value: counts.get(state, 0) for state in State}})


async def _metrics(_request: Request) -> HTTPResponse:
    """The number of handoffs by state, as Prometheus reads it."""
    return await asyncio.get_running_loop().run_in_executor(None, _metrics_now)


def _metrics_now() -> HTTPResponse:
    try:
        counts = runtime().ledger.counts()
    except RasaTiledeskError:
        return text("", status=503)
    lines = ["# HELP tiledesk_handoffs Handoffs in the ledger by state.", "# TYPE tiledesk_handoffs gauge"]
    lines += [f'tiledesk_handoffs{{state="{state.value}"}} {counts.get(state, 0)}' for state in State]
    return text("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")
