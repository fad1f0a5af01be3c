"""`rasa-tiledesk init`: what a bot needs, to copy; or the section written into its endpoints.yml."""

from __future__ import annotations

import argparse
from pathlib import Path

from rasa_tiledesk.cli.command import Command, path_of
from rasa_tiledesk.endpoints import read_sections
from rasa_tiledesk.errors import ConfigurationError

__all__ = ["COMMAND", "SECTION"]

SECTION = """\
tiledesk:
  url: https://api.tiledesk.com/v3          # self-hosted: http://your-host:8081/api
  project_id: ${TILEDESK_PROJECT_ID}        # 24 hexadecimal digits, under Project Settings
  email: ${TILEDESK_EMAIL}                  # an agent's or admin's login; or bot_id and bot_secret
  password: ${TILEDESK_PASSWORD}
  # department: Sales                       # name or id; by default the project's default department
  requester:
    identity: anonymous                     # anonymous | signed (needs project_secret; one contact a sender id)
    # project_secret: ${TILEDESK_PROJECT_SECRET}
    name_slot: name
    email_slot: email
  history:
    scope: session                          # session | all | last: 50 | hours: 24
    import: staged                          # staged | direct
    native_turns: 40                        # older turns are folded into one summary
    # bot_name: Ada                         # how agents see the bot; by default made from its assistant_id
    # redact: [card, iban, {pattern: 'PIN \\d+'}]
  availability:
    nobody: queue                           # queue | refuse
    closed: refuse                          # queue | refuse
    wait_limit: 600                         # seconds until the user is told that it takes longer
    # wait_limit: {after: 600, then: offer} # tell | offer (buttons: go on waiting, back to the bot) | return
    # give_up: 600                          # seconds until an import that cannot be done is given up
  relay:
    rasa_url: http://localhost:5005         # Rasa, started with --enable-api
    # rasa_token: ${RASA_TOKEN}             # what `rasa run --auth-token` has
    receive: poll                           # poll | webhook (needs public_url)
    # public_url: https://bot.example.com   # this action server, as Tiledesk reaches it
    end_intents: [back_to_bot]
    # idle_limit: 3600                      # seconds of silence until it is closed; the user is warned first
    # client_secret: ${TILEDESK_CLIENT_SECRET}   # lets clients of `rest` fetch what agents said
  ledger: sqlite:///tiledesk_handoffs.db    # or postgresql://..., mysql://...; one for all action servers
  # ledger_keep_days: 90                    # so long a handoff that is over is remembered, without its texts
"""

_BOT = """\
# --- domain.yml ----------------------------------------------------------------------------------
intents:
  - talk_to_human
  - back_to_bot

slots:
  tiledesk_handoff:
    type: any
    influence_conversation: false
    mappings:
      - type: custom
        action: action_tiledesk_relay

actions:
  - action_tiledesk_handoff
  - action_tiledesk_relay
  - action_session_start

responses:                        # each is optional: these have built-in words
  utter_tiledesk_connecting:
    - text: "One moment, I am connecting you with a colleague."

# --- data/rules.yml ------------------------------------------------------------------------------
rules:
  - rule: Hand over to a human
    steps:
      - intent: talk_to_human
      - action: action_tiledesk_handoff   # pauses the bot: nothing may follow

# --- data/nlu.yml --------------------------------------------------------------------------------
nlu:
  - intent: talk_to_human
    examples: |
      - I want to talk to a human
      - a human please
      - connect me with an agent
      - can I speak to a person
  - intent: back_to_bot
    examples: |
      - back to the bot
      - I want the bot back
      - let me talk to the bot again

# --- actions/actions.py --------------------------------------------------------------------------
from rasa_tiledesk.actions import *
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="append the section to endpoints.yml")


def _run(arguments: argparse.Namespace) -> int:
    path = path_of(arguments)
    if arguments.write:
        _append(path)
        print(f"# Added the section tiledesk: to {path}. It reads these variables, all of which Rasa needs too:")
    else:
        print(f"# --- {path} (or: rasa-tiledesk init --write) ".ljust(100, "-"))
        print(SECTION)
    print("# export TILEDESK_PROJECT_ID=...  TILEDESK_EMAIL=...  TILEDESK_PASSWORD=...\n")
    print(_BOT)
    print("# --- then ".ljust(100, "-"))
    print("# rasa train && rasa-tiledesk check")
    return 0


def _append(path: Path) -> None:
    text = ""
    if path.exists():
        if read_sections(path, ["tiledesk"])["tiledesk"].value is not None:
            raise ConfigurationError(str(path), ["there is a `tiledesk:` section already; nothing was written"])
        text = path.read_text(encoding="utf-8")
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(gap + SECTION)
    except OSError as error:
        raise ConfigurationError(str(path), [f"cannot be written: {error.strerror}"]) from None


COMMAND = Command("init", "print what a bot needs, or write the tiledesk section", _run, _add_arguments)
