"""The bot's actions: what rasa_tiledesk brings. Actions of your own go below."""

from rasa_tiledesk.actions import *  # noqa: F403
