"""What the action server does beside running actions: starts the worker, checks at start, answers how it is.

rasa-sdk calls `attach_sanic_app_extensions` of registered plugins with its Sanic app (rasa_sdk/plugin.py; seen with
3.6.2 and 3.21.1). It does not with `--grpc`, nor does Rasa Pro for actions in its own process.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from json import loads
from typing import Any
from urllib.parse import unquote

import pluggy
from rasa_sdk.plugin import plugin_manager
from sanic import Sanic
from sanic.request import Request
from sanic.response import HTTPResponse, json, text

from rasa_tiledesk import process
from rasa_tiledesk.errors import RasaTiledeskError
from rasa_tiledesk.handoff.to_user.inbox import may_read, messages_after
from rasa_tiledesk.handoff.to_user.webhooks import MISSED_IN_A_ROW, PATH, is_trial, request_of
from rasa_tiledesk.ledger import Life, Missed
from rasa_tiledesk.runtime import runtime

__all__ = ["attach", "register", "serve"]

logger = logging.getLogger(__name__)

_NAME = "rasa_tiledesk"
_implements = pluggy.HookimplMarker("rasa_sdk")
LONGEST_WAIT = 30.0  # seconds that a client may wait for a message
MAX_WEBHOOK = 8_000_000  # bytes; `request.close` carries all messages of the request

# Apart, and small: a flood of one kind of call must not keep the others waiting.
_hook_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="tiledesk-hook")
_inbox_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="tiledesk-inbox")
_health_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tiledesk-health")


def register() -> None:
    """Have rasa-sdk attach our routes and the worker to its action server; again does nothing."""
    manager = plugin_manager()
    if not manager.has_plugin(_NAME):
        manager.register(_Plugin(), _NAME)


class _Plugin:
    @_implements
    def attach_sanic_app_extensions(self, app: Sanic[Any, Any]) -> None:
        attach(app)


def attach(app: Sanic[Any, Any]) -> None:
    """Add the worker and the routes to a Sanic app."""
    app.register_listener(_start, "after_server_start")
    app.register_listener(_stop, "before_server_stop")
    app.add_route(_webhook, PATH, methods=["POST"], name="tiledesk_webhook", stream=True)
    app.add_route(_inbox, "/tiledesk/conversations/<sender_id:path>/messages", methods=["GET"], name="tiledesk_inbox")
    app.add_route(_health, "/tiledesk/health", methods=["GET"], name="tiledesk_health")
    app.add_route(_metrics, "/tiledesk/metrics", methods=["GET"], name="tiledesk_metrics")


def serve(host: str, port: int) -> None:
    """Serve the routes and run the worker in this process until it is told to stop."""
    app: Sanic[Any, Any] = Sanic("rasa_tiledesk", configure_logging=False)
    attach(app)
    # Sanic 22.9 and later start processes of their own otherwise; 21.12 knows no such choice.
    alone = {"single_process": True} if "single_process" in inspect.signature(app.run).parameters else {}
    app.run(host=host, port=port, access_log=False, **alone)  # type: ignore[arg-type]


async def _start(_app: Any, _loop: Any) -> None:
    # In a thread: a Tiledesk that does not answer must not keep the bot's other actions waiting.
    process.look_after()


async def _stop(_app: Any, _loop: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(_health_threads, process.stop)


async def _webhook(request: Request) -> HTTPResponse:
    """Takes Tiledesk's webhooks: 200 taken, 401 not Tiledesk's, 400 not its shape, 413 too large, 503 ask again.

    The secret is checked before the body is read, and no more of the body is read than a webhook has. Nothing of it is
    believed but which request to look at.
    """
    secret = request.headers.get("x-hook-secret", "")
    loop = asyncio.get_running_loop()
    try:
        if not await loop.run_in_executor(_hook_threads, _knows, secret):
            return json({"error": "x-hook-secret is missing or wrong"}, status=401)
        body = await _body(request)
        if body is None:
            return json({"error": f"larger than {MAX_WEBHOOK} bytes"}, status=413)
        return await loop.run_in_executor(_hook_threads, _take_hook, body)
    except RasaTiledeskError as error:
        logger.error("a webhook could not be taken: %s", error)
        return json({"error": "try again later"}, status=503)


def _knows(secret: str) -> bool:
    hooks = runtime().hooks
    return hooks is not None and hooks.knows(secret)


def _take_hook(body: bytes) -> HTTPResponse:
    try:
        said = loads(body)
        trial = is_trial(said)
        request_id = None if trial else request_of(said, runtime().endpoints.tiledesk.project_id)
    except (ValueError, RecursionError):
        return json({"error": "not a webhook of Tiledesk"}, status=400)
    if not _signed(said):
        return json({"error": "the token is signed by another secret"}, status=401)
    if trial:
        runtime().ledger.hooks.forget(trial)  # by which who asked for it knows that it has come
        return json({"taken": True})
    return json({"taken": request_id is not None and _hint(request_id)})


def _signed(said: Mapping[str, Any]) -> bool:
    """Whether the webhook's token is ours where it has one: x-hook-secret has proved the same already."""
    hooks = runtime().hooks
    return "token" not in said or (hooks is not None and hooks.signed(said["token"]))


def _hint(request_id: str) -> bool:
    known = runtime().ledger.handoffs.hint(request_id)
    if known:
        runtime().worker.wake()
    return known


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is larger than any webhook."""
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk = await request.stream.read()  # type: ignore[union-attr]
        if not chunk:
            return b"".join(chunks)
        size += len(chunk)
        if size > MAX_WEBHOOK:
            return None
        chunks.append(chunk)


async def _inbox(request: Request, sender_id: str) -> HTTPResponse:
    """What agents said to one user, for clients of channels that cannot be written to; waits for it when asked to.

    `after` is the id of the last message the client has, `wait` how many seconds it waits for another.
    """
    loop, sender_id, after = asyncio.get_running_loop(), unquote(sender_id), request.args.get("after")
    header = request.headers.get("authorization", "")
    try:
        refused = await loop.run_in_executor(_inbox_threads, _may_not_read, header, sender_id)
        if refused is not None:
            return refused
        try:
            wait = min(float(request.args.get("wait", 0)), LONGEST_WAIT)
            if not math.isfinite(wait):
                raise ValueError
        except ValueError:
            return json({"error": "wait: expected seconds"}, status=400)
        end, seen = loop.time() + wait, -1
        while True:
            seen, messages = await loop.run_in_executor(_inbox_threads, _messages, sender_id, after, seen)
            if messages or loop.time() >= end:
                return json({"messages": messages})
            await asyncio.sleep(min(1.0, max(0.0, end - loop.time())))
    except RasaTiledeskError as error:
        logger.error("a client could not read its messages: %s", error)
        return json({"error": "try again later"}, status=503)


def _may_not_read(header: str, sender_id: str) -> HTTPResponse | None:
    secret = runtime().endpoints.tiledesk.relay.client_secret
    if secret is None:
        return json({"error": "tiledesk.relay.client_secret is not set"}, status=404)
    if not may_read(header, secret.get_secret_value(), sender_id):
        return json({"error": "the token is missing or is another conversation's"}, status=401)
    return None


def _messages(sender_id: str, after: str | None, seen: int) -> tuple[int, list[dict[str, Any]]]:
    """(how much has reached the user, the messages behind `after`): the tracker is large, and read only for news."""
    parts = runtime()
    delivered = parts.ledger.delivered.count(sender_id)
    if delivered == seen or (after is not None and parts.ledger.delivered.is_last(sender_id, after)):
        return delivered, []
    return delivered, messages_after(parts.rasa.tracker(sender_id).get("events") or [], after)


async def _health(_request: Request) -> HTTPResponse:
    """200 while handoffs can be written down, 503 otherwise; says why in words."""
    return await asyncio.get_running_loop().run_in_executor(_health_threads, _health_now)


def _health_now() -> HTTPResponse:
    try:
        counts, missed = runtime().ledger.handoffs.counts(), _missed()
    except RasaTiledeskError as error:
        return json({"status": "error", "reason": str(error)}, status=503)
    well: dict[str, Any] = {"status": "ok", "handoffs": {life.value: counts.get(life, 0) for life in Life}}
    if missed.in_a_row >= MISSED_IN_A_ROW:
        well["webhooks"] = f"none told of the last {missed.in_a_row} messages of agents"
    return json(well)


def _missed() -> Missed:
    parts = runtime()
    return parts.ledger.news.missed(parts.endpoints.tiledesk.project_id)


async def _metrics(_request: Request) -> HTTPResponse:
    """The number of handoffs by state, and of messages that no webhook told of, as Prometheus reads it."""
    return await asyncio.get_running_loop().run_in_executor(_health_threads, _metrics_now)


def _metrics_now() -> HTTPResponse:
    try:
        counts, missed = runtime().ledger.handoffs.counts(), _missed()
    except RasaTiledeskError:
        return text("", status=503)
    lines = ["# HELP tiledesk_handoffs Handoffs in the ledger by state.", "# TYPE tiledesk_handoffs gauge"]
    lines += [f'tiledesk_handoffs{{state="{life.value}"}} {counts.get(life, 0)}' for life in Life]
    lines += ["# HELP tiledesk_webhooks_missed_total Messages of agents that no webhook told of."]
    lines += ["# TYPE tiledesk_webhooks_missed_total counter", f"tiledesk_webhooks_missed_total {missed.in_all}"]
    return text("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")
