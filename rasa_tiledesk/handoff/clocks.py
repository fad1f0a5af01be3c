"""Two clocks in one conversation: the turns of a history are moved to Tiledesk's time where Rasa's is another.

The agents' chat sorts by time (chat21, seen on 2026-11-24): with Rasa 90 s ahead, the history would stand below what is
said for the next 90 s. What is said live needs no move: it is sorted by when it comes.
"""

from __future__ import annotations

from rasa_tiledesk.handoff.asked import Ask
from rasa_tiledesk.transcript import moment_of

__all__ = ["shift_ms"]

# The way of a message through Rasa takes a while, and Tiledesk's clock is known to a second or so.
ALIKE_MS = 2_000

NEWEST = 20  # among so many last events is the newest; a tracker's are in order


def shift_ms(ask: Ask, now: float | None) -> int:
    """How far the history's times are to be moved, in ms, so that it ends now; 0 where the clocks are alike.

    Args:
        ask: of the running turn: Rasa's newest event is of now. Of another, nothing is known of Rasa's clock.
        now: Tiledesk's time, in seconds since 1970; None where it is not known.
    """
    newest = max(map(moment_of, ask.events[-NEWEST:]), default=0.0)
    if not ask.running or now is None or not newest:
        return 0
    shift = round((now - newest) * 1000)
    return shift if abs(shift) > ALIKE_MS else 0
