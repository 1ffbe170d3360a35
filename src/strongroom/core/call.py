"""A request on its way through the core: who asks, where it goes, what it runs, and how it waits for what is slow.

Rules of this file:
- `resolve` makes the Call once; only the core writes to it, routes read it.
- A route never waits: it raises Rerun (by `once` or `outside`) or Pause, and is run again from `resolve`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from strongroom.core.mount import Mount
from strongroom.core.request import Operation, Request
from strongroom.core.token.entry import Token

if TYPE_CHECKING:
    from strongroom.core.engine import Engine, Route
    from strongroom.core.transaction import Transaction

T = TypeVar("T")


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Why a call was allowed: the policies that granted it; `root` when the token is a root token."""

    root: bool
    granting: tuple[str, ...] = ()


class Rerun(Exception):
    """A call needs the result of something slow: run `fn` outside the lock, remember it under `key`, run the call again.

    `outside`: it waits for another host, not for a processor.
    """

    def __init__(self, key: tuple[Any, ...], fn: Callable[[], Any], *, outside: bool = False) -> None:
        super().__init__()
        self.key = key
        self.fn = fn
        self.outside = outside


class Pause(Rerun):
    """A call has done its share of a long work: it runs again, from where `state` says, after others had their turn."""

    def __init__(self, key: tuple[Any, ...], state: object) -> None:
        super().__init__(key, lambda: state)
        self.state = state


class Raised:
    """What `once` remembers of a function that raised."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Call(msgspec.Struct, eq=False):
    """A request that was resolved: who asks, where it goes, what it will run. `once` results survive a re-run.

    Only the core writes to a Call; routes read it.
    """

    request: Request
    operation: Operation
    transaction: Transaction
    token: Token | None = None
    mount: Mount | None = None
    route: Route | None = None
    args: tuple[Any, ...] = ()
    decision: Decision | None = None
    remembered: dict[Any, Any] = {}
    engine: Engine | None = None

    @property
    def id(self) -> str:
        """The request id."""
        return self.request.id

    @property
    def mount_type(self) -> str:
        """The kind of the mount that answers; routes that ask for no token do not say."""
        return "" if self.mount is None or self.route is None or self.route.public else self.mount.kind

    def once(self, name: str, *inputs: Any, fn: Callable[[], T]) -> T:
        """The result of something slow, worked out outside the store's lock and remembered for exactly these inputs.

        Never stands in for a check of stored state: the call runs again from `resolve` once the result is there.
        """
        return self._once((name, *inputs), fn, outside=False)

    def outside(self, name: str, *inputs: Any, fn: Callable[[], T]) -> T:
        """As `once`, for what waits for another host: it has threads of its own, so that no password hash waits behind it.

        It reads there. What changes something there may be done and forgotten: the process can end before the call runs again.
        """
        return self._once((name, *inputs), fn, outside=True)

    def _once(self, key: tuple[Any, ...], fn: Callable[[], T], *, outside: bool) -> T:
        if key not in self.remembered:
            raise Rerun(key, fn, outside=outside)
        outcome = self.remembered[key]
        if isinstance(outcome, Raised):
            raise outcome.error
        kept: T = outcome
        return kept

    def __repr__(self) -> str:
        return f"Call({self.request!r})"
