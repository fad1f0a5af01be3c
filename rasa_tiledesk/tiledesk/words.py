"""What an answer says, in words fit for a log: Tiledesk's own, a web page's title, a header's date."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import timezone
from typing import Any

__all__ = ["has_own_words", "moment", "plain", "shown", "words"]

DETAIL = 300  # characters of an answer's words that an error keeps
READ = 4096  # characters that are looked at for them

_SAYING = ("msg", "message", "error", "err")


def has_own_words(data: Any) -> bool:
    """Whether this JSON has one of the shapes in which Tiledesk says what became of a call."""
    return isinstance(data, Mapping) and not {"success", "errors", *_SAYING}.isdisjoint(data)


def words(data: Any) -> str:
    """Tiledesk's own words, wherever it put them, without what our call carried."""
    for _ in range(2):  # GET /projects/{project}/isopen answers {"msg": {"errorCode": ..., "msg": ...}}
        if not isinstance(data, Mapping):
            break
        said = next((data[key] for key in _SAYING if data.get(key)), None)
        if said is None:
            problems = data.get("errors")
            said = "; ".join(map(_problem, problems[:20])) if isinstance(problems, list) else None
        data = said
    return shown(data) if isinstance(data, str) and data else "no reason given"


def _problem(problem: Any) -> str:
    if not isinstance(problem, Mapping):
        return problem if isinstance(problem, str) else "invalid"
    place, said = problem.get("param"), problem.get("msg")  # never its `value`: that is our input
    return f"{place if isinstance(place, str) else 'body'}: {said if isinstance(said, str) else 'invalid'}"


def plain(body: bytes) -> str:
    """What a text or a web page says: the page by its title."""
    text = body[:READ].decode("utf-8", "replace")
    title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return shown(f"a web page: {' '.join(title.group(1).split())}")
    return shown("a web page" if "<" in text else text.strip() or "no reason given")


def shown(text: str) -> str:
    """Without ids and tokens: a request's id alone opens its transcript (routes/public-request.js)."""
    text = re.sub(r"support-group-\S+|eyJ[\w-]+\.[\w.-]+", "...", text[:READ])
    text = re.sub(r"(user id)\s*:.*", r"\1", text, flags=re.DOTALL)
    return text[:DETAIL]


def moment(value: str) -> float | None:
    """The date in a header, as seconds since 1970; None where it is none."""
    try:
        read = email.utils.parsedate_to_datetime(value)
        # HTTP's dates are in GMT (RFC 9110, 5.6.7), also where the zone is left out or is -0000.
        return (read if read.tzinfo else read.replace(tzinfo=timezone.utc)).timestamp()
    except (IndexError, OverflowError, TypeError, ValueError):
        return None
