"""A wheel of the tree installs beside rasa 3.6.21 and beside today's rasa-sdk, and imports without Rasa or a driver."""

from __future__ import annotations

import subprocess

import pytest

from stack import rasa
from stack.environments import Environment

pytestmark = pytest.mark.live

ENVIRONMENTS = {
    "rasa 3.6.21": rasa.ENVIRONMENT,
    "rasa-sdk 3.21": Environment(
        "sdk", pythons=("3.12", "3.13", "3.11", "3.10"), requirements=("rasa-sdk>=3.21,<3.22",)
    ),
}

IMPORT = """
import sys
import rasa_tiledesk
from rasa_tiledesk.actions import *
unwanted = {"rasa", "psycopg2", "pymysql", "redis", "pymongo", "boto3"} & set(sys.modules)
assert not unwanted, unwanted
assert "site-packages" in rasa_tiledesk.__file__, rasa_tiledesk.__file__
from rasa_sdk import Action
names = {each().name() for each in Action.__subclasses__() if each.__module__.startswith("rasa_tiledesk")}
assert names >= {"action_tiledesk_handoff", "action_tiledesk_relay", "action_session_start"}, names
"""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_wheel(name: str) -> None:
    environment = ENVIRONMENTS[name]
    environment.install()  # builds the wheel, installs it, and ends with `pip check`
    for arguments in (["-c", IMPORT], ["-m", "pip", "check"]):
        done = subprocess.run(
            [environment.python, *arguments], cwd=environment.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
