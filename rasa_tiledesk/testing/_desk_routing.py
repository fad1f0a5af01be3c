"""Who takes a request at the fake desk: departments, availability, assignment, and agents who join and leave."""

from __future__ import annotations

from typing import Any, Callable

from rasa_tiledesk.testing._desk_people import Member, Refusal
from rasa_tiledesk.testing._desk_store import ASSIGNED, CLOSED, UNASSIGNED, Json, Store

__all__ = ["Routing"]


class Routing:
    """The departments of one project, and which agents take part in which request.

    Args:
        store: where the requests are.
        say: stores a line of the system in a request.
        changed: told of a request whose participants are others now, and who they were.

    Attributes:
        is_open: whether it is within operating hours.
        default_department: where requests go when none is named.
    """

    def __init__(
        self, store: Store, say: Callable[[Json, Json], None], changed: Callable[[Json, list[str]], None]
    ) -> None:
        self._store = store
        self._say = say
        self._changed = changed
        self._people = store.people
        self.is_open = True
        self.default_department = self.add_department("Default Department", default=True)

    def add_department(self, name: str, *, default: bool = False, bot_id: str | None = None) -> str:
        """Add a department to which all agents belong."""
        number = self._people.object_id()
        self._store.departments[number] = {
            "_id": number,
            "name": name,
            "default": default,
            "routing": "assigned",
            "status": 1,
            "hasBot": bot_id is not None,
            **({"id_bot": bot_id} if bot_id else {}),
        }
        return number

    def department(self, body: Json) -> Json | None:
        """The one that a body names, or the default; None for an unknown one."""
        return self._store.departments.get(str(body.get("departmentid") or self.default_department))

    def available(self) -> list[Member]:
        """Agents who take requests now, the least busy first; nobody outside operating hours."""
        agents = [member for member in self._people.members.values() if member.is_agent() and member.available]
        return sorted(agents, key=lambda member: member.assigned) if self.is_open else []

    def available_json(self) -> list[Json]:
        """GET /projects/{project}/users/availables."""
        return [
            {
                "id": agent.person,
                "pu_id": agent.id,
                "fullname": agent.name,
                "email": agent.email,
                "assigned_request": agent.assigned,
            }
            for agent in self.available()
        ]

    def route(self, request: Json, department: Json, *, bot: bool) -> None:
        """Give a request to the department's bot or to an agent who is free (requestService.js:164)."""
        operators = self.available()
        self.count(request, -1)
        has_bot = bot and department["hasBot"]
        chosen = [operators[0].person] if operators and not has_bot else []
        request.update(
            department=department["_id"],
            hasBot=has_bot,
            participantsBots=[department["id_bot"]] if has_bot else [],
            participantsAgents=chosen,
            participants=[f"bot_{department['id_bot']}"] if has_bot else list(chosen),
        )
        request["status"] = ASSIGNED if request["participants"] else UNASSIGNED
        self.count(request, 1)

    def assign(self, request_id: str, body: Json) -> Json:
        """PUT /{project}/requests/{request}/assign (request.js:577): does nothing once it is assigned or closed."""
        request = self._store.find(request_id, "Request not found")
        if request["status"] in (ASSIGNED, CLOSED):
            return self._store.json(request, populated=False)
        department = self.department(body)  # not the request's own, unless it is given
        if department is None:
            raise Refusal(500, {"success": False, "msg": "Error changing the department."})
        before = request["participants"]
        self.route(request, department, bot=not body.get("nobot"))
        self._store.update(request, {"snapshot": {**request["snapshot"], "agents": self.agents_now()}})
        self._changed(request, before)
        self._tell_agents(request, request["participants"])
        return self._store.json(request)

    def agents_now(self) -> list[Json]:
        """Everybody whom a request may be given to now; who is invited later does not see it (request.js:1250)."""
        return [member.json() for member in self._people.members.values() if member.is_agent()]

    def join(self, request_id: str, member: str) -> Json:
        """POST .../participants (requestService.js:1720): opens a closed request too, and says nothing of that."""
        request = self._store.requests.get(request_id)
        if request is None:
            raise Refusal(500, {"success": False, "error": "Error adding participant"})
        if member not in request["participants"]:
            before, had_bot = request["participants"], bool(request["participantsBots"])
            self.count(request, -1)
            agents = [*request["participantsAgents"], member]
            # An agent sends the bot away, and is not told of the request then (conciergeBot.js:137, seen).
            fields: Json = {"participantsAgents": agents, "participants": list(agents), "participantsBots": []}
            self._store.open[request_id] = request
            self._store.update(request, {**fields, "hasBot": False, "status": ASSIGNED})
            self.count(request, 1)
            self._changed(request, before)
            if not had_bot:
                self._tell_agents(request, [member])
        return self._store.json(request)

    def leave(self, request_id: str, member: str) -> Json:
        """DELETE .../participants/{member} (requestService.js:1837): a request that nobody is left in waits again."""
        request = self._store.requests.get(request_id)
        if request is None:
            text = f"Unable to remove the participant {member} from the request {request_id}"
            raise Refusal(400, {"success": False, "error": text})
        if member in request["participants"]:
            before = request["participants"]
            self.count(request, -1)
            rest = [one for one in request["participants"] if one != member]
            agents = [one for one in request["participantsAgents"] if one != member]
            left = {self._people.members[member].id: int(self._store.clock() * 1000)}
            attributes = {**(request["attributes"] or {}), "abandoned_by_project_users": left}
            fields: Json = {"participants": rest, "participantsAgents": agents, "attributes": attributes}
            if request["status"] != CLOSED:
                fields["status"] = ASSIGNED if rest else UNASSIGNED
            self._store.update(request, fields)
            self.count(request, 1)
            self._changed(request, before)
        return self._store.json(request)

    def count(self, request: Json, change: int) -> None:
        """Note that a request's agents have one more or one less; a closed one counts for nobody."""
        if request["status"] != CLOSED:
            for agent in request["participantsAgents"]:
                self._people.members[agent].assigned += change

    def _tell_agents(self, request: Json, agents: list[str]) -> None:
        """The line that tells agents of a request they were given later than at its opening (conciergeBot.js:326)."""
        if request["status"] != ASSIGNED or request["participantsBots"]:
            return
        text = request.get("subject") or str(request["first_text"]).replace("\n", " ")[:30]
        attributes: dict[str, Any] = {
            "subtype": "info",
            "updateconversation": True,
            "updateconversationfor": agents,
            "forcenotification": True,
            "messagelabel": {"key": "TOUCHING_OPERATOR"},
        }
        words = "A new support request has been assigned to you: " + text.replace("\\", "")
        self._say(request, self._store.system_line(words, attributes, request))
