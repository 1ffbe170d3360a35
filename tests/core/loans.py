"""An engine that lends things, so that leases can be tested without a database behind them.

`loan/borrow` answers with a lease; what is lent out, and how often taking back was tried, stands in `shelf`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.core.engine import Engine, write
from strongroom.core.fields import Seconds
from strongroom.core.mounts import new_mount
from strongroom.core.response import LeaseInfo, LeaseTerms, Response
from strongroom.errors import InvalidRequest, Unavailable
from strongroom.testing import Strongroom


class Shelf:
    """What is lent out; `broken` makes taking back fail."""

    def __init__(self) -> None:
        self.out: set[str] = set()
        self.tries = 0
        self.broken = False


shelf = Shelf()


class BorrowBody(msgspec.Struct, frozen=True):
    """What to lend and for how long."""

    name: Annotated[str, "The thing."]
    ttl: Annotated[Seconds, "How long."] = Seconds(0)
    max_ttl: Annotated[Seconds, "How long at most."] = Seconds(0)
    renewable: Annotated[bool, "Whether it can be had for longer."] = True


class Loans(Engine, kind="loan"):
    """Lends things."""

    @write("borrow", body=BorrowBody)
    def borrow(self, body: BorrowBody) -> Response:
        """Borrow a thing."""
        shelf.out.add(body.name)
        terms = LeaseTerms(ttl=body.ttl, max_ttl=body.max_ttl, renewable=body.renewable, internal={"name": body.name})
        return Response(data={"name": body.name}, terms=terms)

    def renew(self, terms: LeaseTerms, increment: int) -> LeaseTerms:
        """Refuses what was recalled."""
        if terms.internal["name"] == "recalled":
            raise InvalidRequest("it was recalled")
        return terms

    def revoke(self, terms: LeaseTerms) -> None:
        """Take it back."""
        shelf.tries += 1
        if shelf.broken:
            raise Unavailable("nobody answers")
        shelf.out.discard(str(terms.internal["name"]))


def lending_room() -> Strongroom:
    """A room with a loan engine at loan/ and a policy `borrower` that may use it."""
    shelf.__init__()  # type: ignore[misc]
    room = Strongroom()
    room.transact(lambda call: room.core.mounts.add(call.transaction, new_mount("loan/", "loan", "secrets")))
    room.write("sys/policies/acl/borrower", {"policy": 'path "loan/*" { capabilities = ["create", "update"] }'})
    room.write("sys/policies/acl/maker", {"policy": 'path "auth/token/*" { capabilities = ["create", "update", "sudo"] }'})
    return room


def borrow(room: Strongroom, token: str, name: str = "book", **fields: object) -> LeaseInfo:
    """Borrow; the lease."""
    lease = room.write("loan/borrow", {"name": name, **fields}, token=token).lease
    assert lease is not None
    return lease
