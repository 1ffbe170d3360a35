"""Audit checkpoints of one server: signed by the worker that leads, over the streams of all.

Rules of this file:
- Signing takes a millisecond and happens on a thread; drafting and writing on the loop.
- One at a time: each says which one was before it. One that could not be signed is none, and the next one covers its lines.
- Nothing follows the last one. Whoever leads signs it when the others have said where their streams end.
- The signing key is there only while the store is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from strongroom.core.audit.broker import Broker
from strongroom.crypto.signatures import DualSigner, DualVerifier
from strongroom.errors import StrongroomError
from strongroom.server.logs import Log
from strongroom.server.workers.siblings import Siblings

OTHERS_SECONDS = 5.0
"""How long the last checkpoint waits for the others to end. Their own limit is that of draining."""
LOOK_SECONDS = 0.02


class Checkpoints:
    """See the rules above. `post` tells the other workers where this one's streams end."""

    def __init__(self, audit: Broker, siblings: Siblings, loop: asyncio.AbstractEventLoop, log: Log, post: Callable[[], None]) -> None:
        self._audit, self._siblings, self._loop, self._log, self._post = audit, siblings, loop, log, post
        self._signer: DualSigner | None = None
        self._writing = asyncio.Lock()
        self._ended = False

    def open(self, signing: bytes) -> DualVerifier:
        """The store was opened, and has this key; what verifies its signatures."""
        self._signer = DualSigner.from_bytes(signing)
        self._ended = False
        return self._signer.public()

    def close(self) -> None:
        """The store is sealed."""
        self._signer = None

    @property
    def due(self) -> bool:
        """Whether lines of any worker wait for one that this worker has to write."""
        return self._siblings.leads and self._audit.checkpoint_due()

    async def write(self, *, final: bool = False) -> None:
        """Sign what was written so far, unless the last one was. Raises AuditFailed."""
        async with self._writing:
            if self._signer is None or self._ended or not self._audit.enabled:
                return
            self._ended = final
            draft = self._audit.draft(final)
            signature: bytes | None = None
            try:
                signature = await self._loop.run_in_executor(None, partial(draft.sign, self._signer))
            finally:
                self._audit.append(draft, signature)
            self._audit.flush()

    async def end(self, *, stopping: bool) -> None:
        """Nothing follows. `stopping`: the others end too; where the server seals, they have."""
        if not self._siblings.leads:
            self._post()
            return
        until = self._loop.time() + OTHERS_SECONDS
        while stopping and not self._siblings.last and self._loop.time() < until:  # noqa: ASYNC110  another process tells
            await asyncio.sleep(LOOK_SECONDS)
        try:
            await self.write(final=True)
        except StrongroomError as error:
            self._log.error("the last audit checkpoint was not written", reason="; ".join(error.messages))
