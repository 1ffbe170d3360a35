"""One worker: a store, a core, a committer and its listeners on one event loop.

Rules of this file:
- Everything is opened after the process that serves was made; nothing here survives a fork.
- It implements core/ports.py: what a route may ask of the process.
- It may be one of several (server/workers/): then it is opened by order, posts what the others need to know, and ends once it was sealed
  for a moment, because only the end of a process surely erases its memory; the supervisor starts another one, sealed.
- Sealing: the present answers leave, then the keys go. Draining: no new connections, the open calls finish, then the store closes.
"""

from __future__ import annotations

import asyncio
import hmac
import platform
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from strongroom.barrier.keyring import KEYRING_KEY
from strongroom.barrier.seal import configured_seal
from strongroom.barrier.shares import wipe
from strongroom.barrier.snapshots.writing import Readers
from strongroom.clock import Clock
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.checkpoint import Seen
from strongroom.core.core import Core, Settings
from strongroom.core.group import GroupRun
from strongroom.core.sealing.unsealing import open_with_root, try_open
from strongroom.core.snapshots.taking import Snapshotting
from strongroom.core.work import Internal
from strongroom.crypto.ids import uuid4_text
from strongroom.crypto.signatures import DualVerifier
from strongroom.errors import ConfigError, StorageTampered, StorageUnusable, StrongroomError, Unavailable
from strongroom.outbound.addresses import allow_list
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.server.anchors import newest_anchor
from strongroom.server.checkpoints import Checkpoints
from strongroom.server.committer import Committer
from strongroom.server.config import Config, Listener, Store
from strongroom.server.connections import Connections
from strongroom.server.consistency import Indexes
from strongroom.server.copying import Copying
from strongroom.server.cross_origin import CrossOrigin
from strongroom.server.dispatch import Dispatch
from strongroom.server.joined import Joined
from strongroom.server.large import LargeBodies
from strongroom.server.limits import DEFAULT_LIMITS
from strongroom.server.listeners import Listening, open_socket
from strongroom.server.logs import Log
from strongroom.server.metrics import Metrics
from strongroom.server.public_key import NAME, publish
from strongroom.server.readings import show
from strongroom.server.recipients import read_public
from strongroom.server.repeats import Repeats
from strongroom.server.scheduler import LONGEST_SLEEP, SHARED_SLEEP, Scheduler
from strongroom.server.sealer import Sealer, Steps
from strongroom.server.workers.siblings import Alone, Post, Siblings
from strongroom.storage.api import AREA, Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.newest import Newest
from strongroom.storage.sqlite import SqliteStorage
from strongroom.sys.lifecycle import PUBLIC

DRAIN_SECONDS = 30.0
"""How long open calls may take to finish once the server is told to stop."""
RETRY_SECONDS = 10.0
"""Between tries of a seal that could not open the store."""
TICK = 1.0
"""Seconds between looks whether audit lines wait for a checkpoint, and between posts to the other workers."""
OPENING_SECONDS = 5.0
"""How long a worker that is about to be opened by another takes no requests."""
FOLLOW_SECONDS = 2.0
"""After the others have sealed until this one does by itself: the request that asked for it does so at once, if nothing stops it."""
SEALED_SECONDS = 1.0
"""How long a sealed worker of several serves on: who sealed over a connection that he keeps may unseal over it. Then it ends."""
RETIRE_SECONDS = 2.0
"""How long the connections of a sealed worker may take to end; its place is empty meanwhile."""


def open_storage(store: Store, newest: Newest | None = None) -> Storage:
    """The store of a configuration; `newest` where other processes share it. Raises ConfigError and StorageUnusable."""
    if store.kind == "inmem":
        return MemoryStorage()
    if store.kind == "sqlite":
        if not store.path:
            raise ConfigError('storage "sqlite" needs a path: the directory that holds the store')
        return SqliteStorage(Path(store.path), newest=newest)
    try:
        from strongroom.storage.postgres.store import PostgresStorage
    except ImportError:
        raise ConfigError(f"storage {store.kind!r} needs an extra: pip install 'strongroom[postgres]'") from None
    if not store.connection_url:
        raise ConfigError('storage "postgresql" needs a connection_url, such as postgres://strongroom@db.example.com/strongroom')
    return PostgresStorage(store.connection_url, read_url=store.read_url)


def settings_of(config: Config, *, dev: bool = False) -> Settings:
    """What the core needs of a configuration."""
    return Settings(
        reported_version=config.reported_version or Settings().reported_version,
        cluster_name=config.cluster_name,
        api_addr=config.api_addr,
        unsafe_allow_api_audit_creation=config.unsafe_allow_api_audit_creation or dev,
        audit_directory=config.audit_directory,
        dev=dev,
        raw_storage=config.raw_storage_endpoint,
        default_lease_ttl=config.default_lease_ttl,
        max_lease_ttl=config.max_lease_ttl,
        user_lockout=config.user_lockout,
        snapshots=_snapshotting(config),
    )


def _snapshotting(config: Config) -> Snapshotting:
    """What the snapshots stanza says, its key files read. Raises ConfigError."""
    stanza = config.snapshots
    recipients = tuple(read_public(Path(file)) for file in stanza.recipients)
    return Snapshotting(Readers(recipients, stanza.recipients_only), stanza.directory, config.storage.path)


class Worker:
    """See the rules above. Make it inside the loop that it will serve on."""

    def __init__(
        self, config: Config, clock: Clock, log: Log, storage: Storage, settings: Settings, siblings: Siblings | None = None
    ) -> None:
        self.config = config
        self.siblings: Siblings = siblings or Alone()
        self.reread: Callable[[], Config] = lambda: config
        self.log = log
        self.loop = asyncio.get_running_loop()
        self.stopping = asyncio.Event()
        self.metrics_of = Metrics(self.siblings.posts, self.siblings.before())
        broker = Broker(clock, platform.node() or "localhost", self.siblings.slot, uuid4_text(), self._index, self._heads)
        self.core = Core(storage, clock, broker, settings, self, Outbound(Dialer(allow_list(config.outbound_allow))))
        self.core.public.update(PUBLIC)
        self.core.sealing.seals = tuple(seal for seal in (configured_seal(stanza.kind, stanza.options) for stanza in config.seals) if seal)
        self.core.sealing.anchor = lambda: newest_anchor(config.audit, self.core.barrier)
        self.core.sealing.progress, self.core.sealing.lives_elsewhere = self.siblings.shares, self.siblings.lives
        if self.siblings.newest is not None:
            self.core.committed.share(self.siblings.newest)
        self.core.committed.cache.watch(KEYRING_KEY[:AREA], self._keyring_changed)
        self.committer = Committer(self.core, self.loop, self.log.report)
        longest = SHARED_SLEEP if self.siblings.shared else LONGEST_SLEEP
        self.scheduler = Scheduler(self.core, self.committer, self.loop, self.log.report, lambda: self.siblings.leads, longest)
        self._copying = Copying(storage, log)
        self.committer.on_commit = self._committed
        self.rows = 0
        """Rows written."""
        self._repeats = Repeats(self.core, self.committer)
        self.dispatch = Dispatch(self.committer.submit, self._repeats)
        self.dispatch.cross_origin = CrossOrigin(self.core)
        self.joined = Joined(self) if not storage.local else None
        if self.joined is None:
            self.dispatch.check_index = Indexes(self.core).check
        large = LargeBodies(self.core)
        self._limits = DEFAULT_LIMITS._replace(large_body=large, upload=large.file)
        self.connections = Connections(clock, self._limits)
        self.listening: list[Listening] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._opened = asyncio.Event()
        self._ordered = self._retired = self.failed = False
        self._opening: asyncio.TimerHandle | None = None
        self._following: asyncio.TimerHandle | None = None
        self._checkpoints = Checkpoints(broker, self.siblings, self.loop, log, self._post)
        self._root = bytearray()
        self.sealer = Sealer(self.dispatch, self.committer, self._spawn, Steps(self._last_checkpoint, self._wipe, self._sealed), log)
        show(self)

    # -- serving ------------------------------------------------------------------------------------------------

    def listen(self, listeners: tuple[Listener, ...], sockets: Sequence[socket.socket] = ()) -> None:
        """Take the listeners' addresses, or these sockets that have them. Raises ConfigError."""
        for number, listener in enumerate(listeners):
            if self.config.unauthenticated_metrics_access:
                listener = msgspec.structs.replace(listener, unauthenticated_metrics_access=True)
            opened = sockets[number] if sockets else open_socket(listener)
            handler = self.joined.gate if self.joined is not None else self.dispatch
            self.listening.append(Listening(listener, opened, handler, self.connections, self._limits, shared=self.siblings.shared))

    async def serve(self) -> None:
        """Take requests."""
        self.connections.start(self.loop)
        for listening in self.listening:
            await listening.start(self.loop)
        self._tick()
        if self.joined is not None:
            self.joined.start()
        self.siblings.serves()

    async def stop(self) -> None:
        """Finish what is open and let go of everything."""
        self._wait_no_more()
        for listening in self.listening:
            listening.stop()
        seconds = RETIRE_SECONDS if self._retired else DRAIN_SECONDS
        with suppress(TimeoutError):
            await asyncio.wait_for(self.connections.drain(seconds), seconds + 5)
        await self.sealer.ended()
        await self.committer.idle()
        if not self.core.barrier.sealed:
            await self._checkpoints.end(stopping=True)
        self.scheduler.stop()
        if self._ticking is not None:
            self._ticking.cancel()
        self.committer.close()
        self.core.audit.close()
        if self.joined is not None:
            self.joined.stop()
        await self._copying.end()
        self.core.storage.close()

    # -- core/ports.py ------------------------------------------------------------------------------------------

    def unsealed(self) -> None:
        """The barrier was opened: load audit devices, start timers."""
        try:
            self.core.devices.load((each.kind, each.path, each.description, each.options) for each in self.config.audit)
        except StrongroomError as error:
            self.core.barrier.seal()
            self._forget()
            self.core.audit.close()
            self.log.error("sealed again: an audit device could not be opened", reason="; ".join(error.messages))
            if self.core.sealing.seals:
                self._open_later()
            raise
        self._wait_no_more()  # opened by key holders meanwhile; once they seal it again, it stays sealed
        if not self.core.audit.enabled:
            self.log.warning("no audit device is enabled: requests are not recorded")
        self._publish(self._checkpoints.open(self.core.barrier.keys.keyring.stable.signing))
        self.scheduler.start()
        self.log.info("unsealed")
        self._opened.set()
        if not self._ordered:
            self._open_others()

    def _open_others(self) -> None:
        """Whoever asked for it asks another worker next: it is open by then. One that could not be opened is told again."""
        self._root = bytearray(self.core.barrier.keys.root)
        try:
            self.siblings.opened(self._root, self.core.sealing.used)
        except StrongroomError as error:
            self.log.error("other workers may be sealed still", reason="; ".join(error.messages))

    def open_by_order(self, root: bytearray, used: tuple[bytes, ...]) -> None:
        """Open the store with the key that another worker proved. Raises StrongroomError."""
        if self._retired:
            raise Unavailable("this process ends; the one that takes its place is opened")
        self._ordered = True
        try:
            open_with_root(self.core, root, used)
            self._root = bytearray(root)
        finally:
            self._ordered = False

    def _keyring_changed(self, _key: bytes | None) -> None:
        """A rekey may have made another root key, which workers that start later need."""
        held = self.core.barrier.held
        if self.siblings.shared and held is not None and self._root and not hmac.compare_digest(held.root, self._root):
            self._root = bytearray(held.root)
            self.siblings.root_changed(self._root)

    def _publish(self, key: DualVerifier) -> None:
        """Lay the auditors' key into the store's directory."""
        if self.config.storage.kind != "sqlite":
            return
        try:
            if not publish(Path(self.config.storage.path), key):
                self.log.warning("the file was not of this store and is written anew", file=NAME)
        except (OSError, StorageUnusable) as error:
            self.log.error("the auditors' file was not written", file=NAME, reason=str(error))

    @property
    def alone(self) -> bool:
        """Whether no other worker has the keys, or may have them still."""
        return not self.siblings.keyed

    def seal_others(self) -> bool:
        """Seal all other workers; waits for them. Whatever becomes of the request, this one follows: there is no server half sealed."""
        try:
            return self.siblings.seal()
        finally:
            self.loop.call_soon_threadsafe(self._follow)

    def _follow(self) -> None:
        if (
            self._following is None and not self.core.barrier.sealed
        ):  # one timer, whoever else asked: none is left to seal what was opened again
            self._following = self.loop.call_later(FOLLOW_SECONDS, self.seal)

    def seal(self, then: Callable[[], None] | None = None) -> None:
        """Seal once the present answers are out; later requests wait for it, and for what is to be done `then`. Raises Unavailable."""
        self.sealer.seal(then)

    def reload(self) -> None:
        """Have this worker and all others read their files again."""
        if not self.siblings.reload():
            self.read_again()

    def read_again(self) -> None:
        """The log's level, certificates and files, on SIGHUP; what cannot be taken over is logged, and the old one stays."""
        stanzas = self._reread()
        for listening in self.listening:
            at = listening.listener.address
            self._try("certificate not reloaded; the old one stays in use", partial(listening.reload, stanzas.get(at, listening.listener)))
        self._try("the log file stays as it is", self.log.reopen)
        self.core.audit.reopen()
        self.log.info("reloaded")

    def _reread(self) -> dict[str, Listener]:
        """Read the configuration again and take over the log's level; its listeners by address."""
        config = self.config
        try:
            config = self.reread()
            self.log.set_level(config.log_level)
        except StrongroomError as error:
            self.log.error("the configuration stays as it is", reason="; ".join(error.messages))
        return {listener.address: listener for listener in config.listeners if not listener.tls_disable}

    def _try(self, otherwise: str, action: Callable[[], None]) -> None:
        try:
            action()
        except StrongroomError as error:
            self.log.error(otherwise, reason="; ".join(error.messages))

    def metrics(self) -> bytes:
        """Prometheus text."""
        return self.metrics_of.text()

    def after_answer(self, action: Callable[[], None]) -> None:
        """Run something once the answers of this tick are on their way."""
        self.committer.after_answers(action)

    # -- inside -------------------------------------------------------------------------------------------------

    async def opened_by_others(self, expected: bool) -> None:
        """Take no requests while another worker is about to open this one too: they would be told that the server is sealed."""
        if expected or (self.core.sealing.seals and not self.siblings.stays_sealed and self.core.barrier.installation() is not None):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._opened.wait(), OPENING_SECONDS)

    def open_by_itself(self) -> None:
        """Open the store with a configured seal, and go on trying while that may help: waiting mends no store that was tampered with.

        Of several workers one does it, and none once somebody sealed them.
        """
        if not self.siblings.leads or self.siblings.stays_sealed:
            return
        error = try_open(self.core)
        if error is None:
            return
        again = not isinstance(error, StorageTampered)
        self.log.error("still sealed", reason="; ".join(error.messages), next_try_seconds=RETRY_SECONDS if again else None)
        if again:
            self._open_later()

    def _open_later(self) -> None:
        self._wait_no_more()
        self._opening = self.loop.call_later(RETRY_SECONDS, self.open_by_itself)

    def open_now(self) -> None:
        """What the next try waits for may just have come."""
        if self._opening is not None:
            self.open_by_itself()

    def _wait_no_more(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    def change(self, internal: Internal) -> None:
        """Make a change of the server's own."""
        self.committer.submit(internal)

    def _committed(self, run: GroupRun) -> None:
        self.rows += len(run.staged)
        self.scheduler.heard(run)
        self._copying.look()

    def _spawn(self, job: Coroutine[None, None, None]) -> None:
        task = self.loop.create_task(job)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.log.report(task.exception() or RuntimeError())

    async def _last_checkpoint(self) -> None:
        if not self.core.barrier.sealed:
            await self._checkpoints.end(stopping=False)

    def _wipe(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None
        self.scheduler.stop()
        self.siblings.stays_sealed = True  # also while it waits for connections to end, or for a snapshot to be put in place
        self.core.barrier.seal()
        self.core.committed.forget(None, None)
        self._forget()
        self.core.audit.close()

    def _sealed(self) -> None:
        """Say so; where there are others, end soon."""
        if self.siblings.shared:
            self.loop.call_later(SEALED_SECONDS, self._retire)
            self._try("the supervisor was not told that this process sealed", self.siblings.sealed)

    def _retire(self) -> None:
        """End, unless opened again: another worker takes this one's place, with a memory that never held a key."""
        if self.core.barrier.sealed:
            self._retired = True
            self.stopping.set()
            self._try("the supervisor was not told that this process ends", self.siblings.retire)

    def _forget(self) -> None:
        """What was made of the keys goes with them, and the tokens of whoever was connected."""
        self._repeats.forget()
        self.connections.heads.forget()
        self._checkpoints.close()
        wipe(self._root)
        self._root = bytearray()
        self._opened.clear()

    def _index(self) -> tuple[int, str, int]:
        index = self.core.barrier.index()
        return index.gsn, index.hex, index.count

    def _heads(self) -> tuple[Seen, ...]:
        """The last audit lines of the other workers."""
        return tuple(head for post in self.siblings.posts() for head in post.heads)

    def _tick(self) -> None:
        """Every second: does audit want a checkpoint, is there a seal to try, what have others to know?"""
        self._ticking = self.loop.call_later(TICK, self._tick)
        if self.siblings.shared:
            self._keep_up()
            self._post()
            self._end_without_store()
        if self.core.barrier.sealed:
            if self._root:
                self._left_behind()
            elif self.siblings.shared and self._opening is None:
                self.open_by_itself()  # the worker that would have done it has ended
        elif self._checkpoints.due:
            self._spawn(self._checkpoints.write())

    def _left_behind(self) -> None:
        """The way to the present root key ended before this worker took it. Of several, another one takes its place and is told."""
        wipe(self._root)
        self._root = bytearray()
        self.log.error("sealed: the root key was changed while this process did not listen; where nobody else has it, unseal again")
        self.seal()

    def _keep_up(self) -> None:
        """An idle worker hears of what others committed all the same: of a new root key before the way to it ends, of audit devices."""
        try:
            if not self.core.barrier.sealed:
                self.core.committed.follow()
        except StrongroomError as error:
            self.log.error("what others committed could not be read", reason="; ".join(error.messages))

    def _end_without_store(self) -> None:
        """A worker whose store refuses everything, after a failed sync, is no use: one that is started anew may be."""
        reason = getattr(self.core.storage, "ended", "")
        if reason and not self.stopping.is_set():
            self.log.error("the store has ended", reason=reason)
            self.failed = True
            self.stopping.set()

    def _post(self) -> None:
        counts, gauges = self.metrics_of.post()
        heads = self.core.audit.seen() or self.siblings.before().heads
        self.siblings.post(Post(self.core.sealing.boot, heads, counts, gauges))
