"""The fake desk's lists of requests: an agent's, and an end user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rasa_tiledesk.testing._desk_people import Member, Principal, Refusal
from rasa_tiledesk.testing._desk_store import CLOSED, TEMP, Json, Store

__all__ = ["agents_list", "users_list"]

_DEFAULT_LIMIT = 40


def agents_list(store: Store, who: Principal, query: Mapping[str, str]) -> Json:
    """GET /{project}/requests (routes/request.js:1217): by default the open ones without TEMP, newest first."""
    member = store.people.members.get(who.id)
    if member is None:
        raise Refusal(500, {"err": "error"})  # a bot has no membership, which the route does not expect
    limit = int(query.get("limit", _DEFAULT_LIMIT))
    limit = _DEFAULT_LIMIT if limit > 100 else limit
    found = [one for one in _of_status(store, query.get("status")) if _may_see(member, one)]
    if query.get("channel"):
        found = [one for one in found if one["channel"].get("name") == query["channel"]]
    field, newest_first = query.get("sort", "createdAt"), query.get("direction", "-1") != "1"
    found.sort(key=lambda one: str(one.get(field, "")))
    if newest_first:
        found.reverse()
    first = int(query.get("page", 0)) * limit
    populated = query.get("no_populate") != "true"
    return {
        "perPage": limit,
        "count": 0 if query.get("no_count") == "true" else len(found),
        "requests": [store.json(one, populated=populated) for one in found[first : first + limit]],
    }


def _of_status(store: Store, wanted: str | None) -> Iterable[Json]:
    if wanted is None:
        return (one for one in store.open.values() if one["status"] != TEMP)
    numbers = {int(part) for part in wanted.split(",") if part.strip().isdigit()}
    return (one for one in store.requests.values() if not numbers or one["status"] in numbers)


def _may_see(member: Member, request: Json) -> bool:
    if member.role in ("owner", "admin") or member.person in request["participants"]:
        return True
    agents: list[dict[str, Any]] = request["snapshot"].get("agents", [])
    return member.role == "agent" and any(agent["id_user"] == member.person for agent in agents)


def users_list(store: Store, person: str, query: Mapping[str, str]) -> Json:
    """GET /{project}/requests/me (routes/user-request.js:84)."""
    limit = int(query.get("limit", _DEFAULT_LIMIT))
    found = store.of_person(person)
    if query.get("status") != "all":
        found = [request for request in found if request["status"] < CLOSED]
    newest = [store.json(request) for request in found[: -limit - 1 : -1]]
    return {"perPage": limit, "count": len(found), "requests": newest}
