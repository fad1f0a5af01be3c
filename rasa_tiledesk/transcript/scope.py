"""Which part of the transcript the agent gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rasa_tiledesk.transcript.turns import Turn

__all__ = ["in_scope"]


def in_scope(
    turns: Sequence[Turn],
    scope: Literal["session", "all"],
    *,
    last: int | None = None,
    hours: float | None = None,
) -> list[Turn]:
    """The turns of the running session or of all sessions; then only the `last` ones or those of the last `hours`.

    Hours count back from the newest turn, not from now: the ask for a human is the newest turn.
    """
    chosen = list(turns)
    if scope == "session":
        begins = [position for position, turn in enumerate(chosen) if turn.new_session]
        chosen = chosen[begins[-1] if begins else 0 :]
    if last is not None:
        chosen = chosen[-last:]
    if hours is not None and chosen:
        since = chosen[-1].at - hours * 3600
        chosen = [turn for turn in chosen if turn.at >= since]
    return chosen
