"""The rows of browser logins that a provider has spoken about, and the states that lead to them.

    f | flow id 16      Finished, until the state is over

Rules of this file:
- There is a row once a provider has named somebody, never before. The first one is the mark that the state was used: it is a charge, which
  commits even if the role then refuses.
- Every row has its end set when it is made.
"""

from __future__ import annotations

from typing import Final

import msgspec

from strongroom.auth.jwt.login import Login
from strongroom.auth.jwt.roles import Role
from strongroom.auth.jwt.state import EXPIRED, LABEL, Flow, States
from strongroom.barrier.view import decoder
from strongroom.errors import InvalidRequest


class Finished(msgspec.Struct, frozen=True):
    """What a provider said about whoever logged in there. `open`: the client may take it. `taken`: it did."""

    name: str = ""
    metadata: dict[str, str] = {}
    groups: tuple[str, ...] = ()
    open: bool = False
    taken: bool = False
    tries: int = 0


TAKEN: Final = Finished(taken=True)
"""What is left once nothing more may come of a login."""


class FlowJob(msgspec.Struct, frozen=True):
    """Forget a login that is over."""

    row: bytes


class Flows(Login):
    """Finds and keeps what became of browser logins."""

    @property
    def states(self) -> States:
        """The states of this mount."""
        return States(self.call.transaction.keys.mac(LABEL), self.mount.uuid)

    def flow(self, state: str) -> Flow:
        """The login that a state is of. Raises InvalidRequest."""
        return self.states.open(state, self.call.transaction.now)

    def browser_role(self, flow: Flow) -> Role:
        """The role that a login is for, which must still be one for browsers. Raises InvalidRequest."""
        role = self.roles.known(flow.role)
        if role.role_type != "oidc":
            raise InvalidRequest(EXPIRED)
        return role

    def check_first(self, flow: Flow) -> None:
        """A provider speaks once about a login. Raises InvalidRequest."""
        if self.finished(flow) is not None:
            raise InvalidRequest(EXPIRED)

    def finished(self, flow: Flow) -> Finished | None:
        """What became of a login; None while no provider has spoken."""
        return self.store.get(_row(flow), Finished)

    def keep(self, flow: Flow, finished: Finished, *, charge: bool = False) -> None:
        """Store what became of a login until its state is over anyway."""
        store = self.store.charge() if charge else self.store
        if self.finished(flow) is None:
            store.at(flow.expires, "forget", FlowJob(_row(flow)))
        store.put(_row(flow), finished)

    def due(self, job: str, payload: bytes) -> None:
        """`forget` removes a login whose state is over."""
        if job == "forget":
            self.store.delete(decoder(FlowJob).decode(payload).row)


def _row(flow: Flow) -> bytes:
    return b"f" + flow.id
