"""How a worker seals: once, however many ask for it at one time.

Rules of this file:
- The answers that were given leave first; what comes in from then on waits, and finds the worker sealed.
- A seal that is under way is the seal of everybody who asks for one meanwhile. Who wants something done while it is sealed has to be the
  first: what is to be put in the place of the store cannot be two things.
- What is done while sealed is waited for, also by a worker that is told to stop: half of it would be for nothing.
- The others hear that it is sealed before anybody is answered here: who gives a share next finds it taken.
- Whatever goes wrong on the way, in the end the keys are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import NamedTuple

from strongroom.errors import StrongroomError, Unavailable
from strongroom.server.committer import Committer
from strongroom.server.dispatch import Dispatch
from strongroom.server.logs import Log

BEING_SEALED = "the server is being sealed by another request; the store stays as it is: unseal it, then try again"


class Steps(NamedTuple):
    """What its worker does: as long as it has its keys, to let go of them, and to say so."""

    before: Callable[[], Awaitable[None]]
    wipe: Callable[[], None]
    tell: Callable[[], None]


class Sealer:
    """See the rules above. `spawn` runs a task whose failure is reported."""

    def __init__(
        self, dispatch: Dispatch, committer: Committer, spawn: Callable[[Coroutine[None, None, None]], None], steps: Steps, log: Log
    ) -> None:
        self._dispatch, self._committer, self._spawn, self._steps, self._log = dispatch, committer, spawn, steps, log
        self._ended = asyncio.Event()
        self._ended.set()
        self._told: list[Callable[[], None]] = []
        self.replaced: Callable[[], object] = lambda: None
        """What follows once a snapshot is in place. A server for people to open does nothing."""

    def seal(self, then: Callable[[], None] | None = None) -> None:
        """Seal once the present answers are out, and do something `then`. Raises Unavailable where it is sealed already for another."""
        if self._ended.is_set():
            self._ended.clear()
            self._dispatch.hold()
            self._committer.after_answers(lambda: self._spawn(self._seal(then)))
        elif then is not None:
            raise Unavailable(BEING_SEALED)

    def seal_by_order(self, done: Callable[[], None]) -> None:
        """Seal, and say so."""
        self._told.append(done)
        self.seal()

    async def ended(self) -> None:
        """Wait until no seal is under way."""
        await self._ended.wait()

    async def _seal(self, then: Callable[[], None] | None) -> None:
        try:
            await self._committer.idle()
            await self._steps.before()
        finally:
            self._steps.wipe()
            try:
                if then is not None:
                    await self._while_sealed(then)
            finally:
                self._say()

    def _say(self) -> None:
        self._log.info("sealed")
        self._steps.tell()
        told, self._told = self._told, []
        for done in told:
            done()
        self._ended.set()
        self._dispatch.release()

    async def _while_sealed(self, then: Callable[[], None]) -> None:
        """Put a snapshot in the place of the store."""
        try:
            await asyncio.get_running_loop().run_in_executor(None, then)
            self._log.warning("the store was replaced by a snapshot; it opens once its key holders unseal it")
            self.replaced()
        except StrongroomError as error:
            self._log.error("the store stays as it was", reason="; ".join(error.messages))
