"""Routes of agents for administrators: listed, shown, revoked, deleted.

Rules of this file: an agent that is revoked stays, so that its name, its key and its history do; deleting it frees all three.
"""

from __future__ import annotations

import msgspec

from strongroom.auth.agent.model import shown_agent
from strongroom.auth.agent.store import Store
from strongroom.core.engine import ListBody, delete, keys_response, list_, read, write
from strongroom.core.logins import end_logins
from strongroom.core.names import role_name
from strongroom.core.response import Response


class Administration(Store):
    """Agents."""

    @list_("agents/", body=ListBody)
    def list_agents(self, body: ListBody) -> Response:
        """List the agents, with their roles and whether they are revoked."""
        names = self.store.list("agent", body.after, body.limit)
        found = {name: agent for name in names if (agent := self.agent(name)) is not None}
        return keys_response(names, {name: {"role": agent.role, "revoked": bool(agent.revoked)} for name, agent in found.items()})

    @read("agents/{name}")
    def read_agent(self, name: str) -> Response:
        """Show an agent: its public key, when it enrolled and last logged in."""
        return Response(data=shown_agent(role_name(name), self.shown_agent(name), self.uses(role_name(name))))

    @write("agents/{name}/revoke")
    def revoke_agent(self, name: str) -> None:
        """Refuse an agent from now on, and end its tokens."""
        agent = self.shown_agent(name)
        name = role_name(name)
        if not agent.revoked:
            self.keep_agent(name, msgspec.structs.replace(agent, revoked=self.call.transaction.now), agent)
        end_logins(self.call.transaction, self.mount, f"agent/{name}")

    @delete("agents/{name}")
    def delete_agent(self, name: str) -> None:
        """Delete an agent; its tokens end, and its name can be enrolled again."""
        agent = self.agent(role_name(name))
        if agent is not None:
            self.remove_agent(role_name(name), agent)
