"""What a bot's author needs to test a handoff without Tiledesk and without Rasa. Needs neither, nor pytest."""

from __future__ import annotations

from rasa_tiledesk.testing.fake_rasa import FakeRasa
from rasa_tiledesk.testing.fake_tiledesk import Call, FakeAgent, FakeTiledesk, Fault

__all__ = ["Call", "FakeAgent", "FakeRasa", "FakeTiledesk", "Fault"]
