"""The real Rasa: rasa 3.6.21 and rasa_tiledesk installed, the example bot trained, both its servers running."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
from ruamel.yaml import YAML

from stack import CHECKOUT, WORK
from stack.callbacks import Callbacks, callback_listener
from stack.environments import Environment, alone, fingerprint
from stack.processes import Child, free_port, progress, run_step

__all__ = ["ENVIRONMENT", "EXAMPLE_BOT", "FORGETFUL", "Bot", "install", "rasa_bot"]

# Rasa brings the drivers of its other tracker stores, but leaves MySQL's to the bot. With python-socketio from 5.10 on,
# its socketio channel with `session_persistence` reaches nobody (github.com/RasaHQ/rasa/issues/13027; seen).
REQUIREMENTS = ("rasa==3.6.21", "PyMySQL>=1.0,<2", "python-socketio<5.10")
ENVIRONMENT = Environment("rasa", pythons=("3.10",), requirements=REQUIREMENTS)
EXAMPLE_BOT = CHECKOUT / "example_bot"

# The example bot with sessions that expire after three seconds; given in minutes.
FORGETFUL = {"session_config": {"session_expiration_time": 0.05}}

_QUIET = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore",
    "RASA_TELEMETRY_ENABLED": "false",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_STRANGERS = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")  # they belong to the environment that runs this


def install(*, domain: Mapping[str, Any] | None = None) -> Path:
    """Install Rasa and the package, train the example bot, and give its model; what is up to date stays.

    Args:
        domain: changes to the bot's domain.yml; what they make is a model of its own.

    Raises:
        StackError: a step failed; says which and what to do.
    """
    ENVIRONMENT.install()
    sources = [EXAMPLE_BOT / name for name in ("config.yml", "domain.yml", "data")]
    name = f"ada-{fingerprint(sources)[:12]}"
    if domain:
        name += f"-{hashlib.sha256(json.dumps(domain, sort_keys=True).encode()).hexdigest()[:8]}"
    model = WORK / "models" / f"{name}.tar.gz"
    with alone("training"):
        if not model.is_file():
            if domain:
                sources[1] = _changed_domain(domain, WORK / "models" / f"{name}.domain.yml")
            config, domain_file, data = map(str, sources)
            command = [*_rasa("train"), "--config", config, "--domain", domain_file, "--data", data]
            command += ["--out", str(model.parent), "--fixed-model-name", name]
            run_step("training the example bot", command, cwd=WORK, log=WORK / "logs" / "training.log", env=_env())
    return model


class Bot:
    """The example bot on a running Rasa server, with its action server.

    Attributes:
        url: of the Rasa server, its HTTP API enabled.
        actions_url: of the action server.
        folder: where both run: the bot's files, `conversations.db`, `rasa.log` and `actions.log`.
        callbacks: what the callback channel delivered.
    """

    def __init__(self, folder: Path, callbacks: Callbacks, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.callbacks = callbacks
        self.rasa_log = folder / "rasa.log"
        self.actions_log = folder / "actions.log"
        self._actions_port, self._rasa_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._rasa_port}"
        self.actions_url = f"http://127.0.0.1:{self._actions_port}"
        self._env = _env({**env, "ACTION_ENDPOINT_URL": f"{self.actions_url}/webhook"})
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the environment cannot reach this computer
        self._model = Path()
        self._rasa: Child | None = None
        self._actions: Child | None = None

    def say(self, sender: str, text: str) -> list[dict[str, Any]]:
        """Say something over the REST channel and hear what the bot answers."""
        answer = self._post("/webhooks/rest/webhook", {"sender": sender, "message": text})
        messages: list[dict[str, Any]] = answer.json()
        return messages

    def tell(self, sender: str, text: str) -> None:
        """Say something over the callback channel: the bot's answers arrive in `callbacks`."""
        self._post("/webhooks/callback/webhook", {"sender": sender, "message": text})

    def tracker(self, sender: str) -> dict[str, Any]:
        """The whole conversation as Rasa holds it."""
        answer = self._http.get(
            f"{self.url}/conversations/{sender}/tracker", params={"include_events": "ALL"}, timeout=60
        )
        answer.raise_for_status()
        tracker: dict[str, Any] = answer.json()
        return tracker

    def restart_actions(
        self, *, tiledesk: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Start the action server again, with these changes to the bot's own `tiledesk:` section and environment."""
        self.kill_actions()
        self.configure(tiledesk=tiledesk)
        self._start_actions(env or {})

    def kill_actions(self) -> None:
        """End the action server as a crash would."""
        if self._actions:
            self._actions.kill()
            self._actions = None

    def configure(
        self, *, tiledesk: Mapping[str, Any] | None = None, tracker_store: Mapping[str, Any] | None = None
    ) -> None:
        """Write endpoints.yml: the example bot's own, changed as told. A server reads it when it starts."""
        yaml = YAML()
        endpoints = yaml.load(EXAMPLE_BOT / "endpoints.yml")
        if tracker_store is not None:
            endpoints["tracker_store"] = dict(tracker_store)
        _merge(endpoints["tiledesk"], {"relay": {"rasa_url": self.url}})
        _merge(endpoints["tiledesk"], tiledesk or {})
        yaml.dump(endpoints, self.folder / "endpoints.yml")

    def start(self, model: Path) -> None:
        """Start both servers and wait until both answer."""
        shutil.copy(EXAMPLE_BOT / "actions.py", self.folder)
        yaml = YAML()
        credentials = yaml.load(EXAMPLE_BOT / "credentials.yml")
        credentials["callback"]["url"] = self.callbacks.url
        yaml.dump(credentials, self.folder / "credentials.yml")
        self._model = model
        self._rasa = self._new_rasa()
        self._start_actions({})
        self._rasa.wait_ready(self._rasa_is_ready, seconds=180)

    def restart_rasa(self) -> None:
        """End the Rasa server as a crash would, and start it again."""
        if self._rasa:
            self._rasa.kill()
        self._rasa = self._new_rasa()
        self._rasa.wait_ready(self._rasa_is_ready, seconds=180)

    def stop(self) -> None:
        """Stop both servers."""
        for child in (self._rasa, self._actions):
            if child:
                child.stop()
        self._http.close()

    def _new_rasa(self) -> Child:
        command = [*_rasa("run"), "--enable-api", "--interface", "127.0.0.1", "--port", str(self._rasa_port)]
        command += ["--model", str(self._model), "--endpoints", "endpoints.yml", "--credentials", "credentials.yml"]
        return Child("Rasa", command, log=self.rasa_log, cwd=self.folder, env=self._env)

    def _rasa_is_ready(self) -> bool:
        return self._answers(f"{self.url}/status")  # 409 until the model is loaded

    def _start_actions(self, env: Mapping[str, str]) -> None:
        command = [str(ENVIRONMENT.python), "-m", "rasa_sdk", "--actions", "actions", "--port", str(self._actions_port)]
        self._actions = Child(
            "the action server", command, log=self.actions_log, cwd=self.folder, env={**self._env, **env}
        )
        self._actions.wait_ready(lambda: self._answers(f"{self.actions_url}/health"), seconds=60)

    def _answers(self, url: str) -> bool:
        return self._http.get(url, timeout=2).ok

    def _post(self, path: str, body: Mapping[str, str]) -> requests.Response:
        answer = self._http.post(self.url + path, json=body, timeout=90)
        answer.raise_for_status()
        return answer


@contextlib.contextmanager
def rasa_bot(
    *,
    env: Mapping[str, str],
    tiledesk: Mapping[str, Any] | None = None,
    tracker_store: Mapping[str, Any] | None = None,
    domain: Mapping[str, Any] | None = None,
) -> Iterator[Bot]:
    """The example bot, installed, trained and running until the block ends.

    The run's folder stays, for its logs; `make clean` removes it.

    Args:
        env: TILEDESK_URL, TILEDESK_PROJECT_ID, TILEDESK_EMAIL, TILEDESK_PASSWORD, and what else the servers need.
        tiledesk: changes to the `tiledesk:` section of the bot's endpoints.yml.
        tracker_store: what stands there instead of the bot's own SQLite.
        domain: changes to the bot's domain.yml; the first time, this trains another model.

    Raises:
        StackError: something could not be installed or started; says what and why.
    """
    model = install(domain=domain)
    runs = WORK / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with callback_listener() as callbacks:
        bot = Bot(Path(tempfile.mkdtemp(prefix="bot-", dir=runs)), callbacks, env)
        try:
            bot.configure(tiledesk=tiledesk, tracker_store=tracker_store)
            with progress("starting Rasa and the action server"):
                bot.start(model)
            yield bot
        finally:
            bot.stop()


def _changed_domain(changes: Mapping[str, Any], file: Path) -> Path:
    yaml = YAML()
    content = yaml.load(EXAMPLE_BOT / "domain.yml")
    _merge(content, changes)
    file.parent.mkdir(parents=True, exist_ok=True)
    yaml.dump(content, file)
    return file


def _rasa(command: str) -> list[str]:
    return [str(ENVIRONMENT.python), "-m", "rasa", command]


def _env(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process for one that runs in another virtual environment."""
    env = {name: value for name, value in os.environ.items() if name not in _STRANGERS}
    local = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1,localhost"]))
    return {**env, **_QUIET, "NO_PROXY": local, "no_proxy": local, **(more or {})}


def _merge(section: Any, changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(section.get(key), Mapping):
            _merge(section[key], value)
        else:
            section[key] = value
