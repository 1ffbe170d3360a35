"""`strongroom server`: serve from a configuration file, or a throw-away server in memory with `-dev`.

Rules of this file:
- Flags have Vault's names, with one dash or two. `-dev` is for trying things: it keeps nothing and says so.
- SIGHUP reloads, SIGTERM and SIGINT drain and stop; a second one stops at once.
- One worker serves in this very process. Several are forked, and this process becomes their supervisor (server/workers/): nothing that
  a fork must not inherit, such as a store, a thread or a loop, exists before that.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import os
import signal
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import uvloop

from strongroom import __version__
from strongroom.clock import SystemClock
from strongroom.core.group import transact
from strongroom.core.sealing.bootstrap import secret_mount
from strongroom.core.sealing.unsealing import InitParameters, initialise, submit
from strongroom.errors import ConfigError, StrongroomError
from strongroom.server import notify
from strongroom.server.config import Config, Listener, Store, load_config, parse_config
from strongroom.server.hardening import harden
from strongroom.server.listeners import open_sockets, remove_socket
from strongroom.server.logs import Log
from strongroom.server.logtail import LogTail
from strongroom.server.timekeeping import Timekeeping
from strongroom.server.worker import Worker, open_storage, settings_of
from strongroom.server.workers.board import MAX_SLOTS
from strongroom.server.workers.member import Member
from strongroom.server.workers.supervisor import Supervisor
from strongroom.storage.database import need_ours
from strongroom.storage.directory import DirectoryLock, lock_directory
from strongroom.storage.newest import Newest

Ready = Callable[[Worker], Awaitable[None]]
Reread = Callable[[], Config]


class Plan(NamedTuple):
    """What is to be served, and how: the same in every worker."""

    config: Config
    log: Log
    ready: Ready
    reread: Reread
    dev: bool


SWITCH_SECONDS = 0.0005
"""How long the committing thread may wait for the interpreter lock; the default of 5 ms would show in every durable write."""

STOPPING = (signal.SIGTERM, signal.SIGINT)

HEAP = 8 << 20
"""Bytes of a block that comes and goes at the start. glibc gives the end of its heap back as soon as twice the largest block that it got
apart is free there (mallopt(3), M_MMAP_THRESHOLD), at first 256 KiB: then each turn of the loop takes the pages for its long answers and
their audit lines from the system anew, at 3 us a page. This covers a turn in which 64 clients list 1,000 names."""

GARBAGE = (100_000, 20, 10)
"""Objects made beyond those freed before the collector looks at the young ones; the default of 700 is reached several times in a group of
writes. It looks at all, cached rows too, after 20 × 10 such looks: hardly anything here makes cycles."""


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(prog="strongroom server", description="Start a strongroom server.", allow_abbrev=False)
    env = os.environ.get
    flags.add_argument("-config", "--config", action="append", default=[], metavar="PATH", help="a .hcl or .json file, or a directory")
    flags.add_argument("-dev", "--dev", action="store_true", help="serve from memory, unsealed, with a root token; keeps nothing")
    flags.add_argument("-dev-root-token-id", "--dev-root-token-id", default=env("VAULT_DEV_ROOT_TOKEN_ID", ""), metavar="ID")
    flags.add_argument("-dev-listen-address", "--dev-listen-address", default=env("VAULT_DEV_LISTEN_ADDRESS", "127.0.0.1:8200"))
    flags.add_argument("-dev-no-store-token", "--dev-no-store-token", action="store_true", help="do not write ~/.vault-token")
    flags.add_argument("-workers", "--workers", type=int, default=0, help="worker processes on the embedded store; default one a core")
    flags.add_argument("-log-level", "--log-level", default=env("VAULT_LOG_LEVEL", ""))
    flags.add_argument("-log-format", "--log-format", default=env("VAULT_LOG_FORMAT", ""))
    flags.add_argument("-exit-on-core-shutdown", "--exit-on-core-shutdown", action="store_true", help=argparse.SUPPRESS)
    return flags


def run(argv: list[str]) -> int:
    """Serve until told to stop."""
    options = parser().parse_args(argv)
    if options.dev:
        config = msgspec.structs.replace(
            _configured(options),
            storage=Store(kind="inmem"),
            listeners=(Listener(address=options.dev_listen_address, tls_disable=True),),
        )
        return serve(config, lambda worker: _start_dev(worker, options), dev=True, workers=workers_of(options.workers, config))
    if not options.config:
        raise ConfigError("say which configuration to use: -config=FILE; or -dev for a throw-away server, or use 'strongroom up'")
    config = _configured(options)
    return serve(config, _start, reread=lambda: _configured(options), workers=workers_of(options.workers, config))


def workers_of(asked: int, config: Config) -> int:
    """How many worker processes: as many as were asked for, else one a core. Raises ConfigError."""
    can_share = config.storage.kind != "inmem" and sys.platform.startswith("linux")
    if not asked:
        return min(len(os.sched_getaffinity(0)), MAX_SLOTS) if can_share else 1
    if not 1 <= asked <= MAX_SLOTS:
        raise ConfigError(f"-workers takes 1 to {MAX_SLOTS}")
    if asked > 1 and not can_share:
        raise ConfigError("several workers need Linux and a store that processes can share: what is in memory is one process's alone")
    return asked


def _configured(options: argparse.Namespace) -> Config:
    config = load_config([Path(path) for path in options.config], os.environ) if options.config else parse_config("")
    said = {"log_level": options.log_level, "log_format": options.log_format}
    return msgspec.structs.replace(config, **{name: value for name, value in said.items() if value})


def serve(config: Config, ready: Ready, *, dev: bool = False, reread: Reread | None = None, workers: int = 1) -> int:
    """Lock the store, harden the process, serve; returns when the server has stopped. `reread` gives the configuration anew on SIGHUP."""
    os.umask(0o077)
    log = Log(config.log_level, config.log_format, path=config.log_file, tail=LogTail(1 + workers))
    for warning in config.warnings:
        log.warning(warning)
    _warn_of_open_keys(config, log)
    _harden(log, lock_memory=not dev)
    lock: DirectoryLock | None = lock_directory(Path(config.storage.path)) if config.storage.kind == "sqlite" else None
    if lock is not None:
        need_ours(Path(config.storage.path))
    sys.setswitchinterval(SWITCH_SECONDS)
    plan = Plan(config, log, ready, reread or (lambda: config), dev)
    try:
        if workers > 1:
            return _supervise(plan, workers)
        uvloop.run(_serve(plan))
    finally:
        if lock is not None:
            lock.close()
    return 0


def _supervise(plan: Plan, workers: int) -> int:
    """Take the addresses and become the supervisor of so many workers. Raises ConfigError."""
    config, log = plan.config, plan.log
    open_storage(config.storage)  # opens nothing yet, and says what cannot be
    listening = [open_sockets(listener, workers) for listener in _listeners(config)]
    sockets = [[each[number] for each in listening] for number in range(workers)]
    newest = Newest()

    def work(member: Member, opened: list[socket.socket]) -> int:
        """In the worker's own process."""
        harden()
        try:
            whole = uvloop.run(_serve(plan._replace(log=log.bound(1 + member.slot, slot=member.slot)), member, opened))
        except StrongroomError as error:
            sys.stderr.write(f"strongroom server: {'; '.join(error.messages)}\n")  # in one piece: others may say the same
            return 1
        return 0 if whole else 1

    _settle_memory()
    supervisor = Supervisor(sockets, newest, log, work, lambda: _serving(config, log))
    try:
        return supervisor.run()
    finally:
        for listener in config.listeners:
            remove_socket(listener)
        _ended(config)


def _warn_of_open_keys(config: Config, log: Log) -> None:
    """Key files that others may read. Only said: some orchestrators hand them over so, in a directory nobody else enters."""
    files = [stanza.options.get("path", "") for stanza in config.seals] + [listener.tls_key_file for listener in config.listeners]
    for file in filter(None, files):
        with suppress(OSError):
            if (mode := stat.S_IMODE(Path(file).stat().st_mode)) & 0o007:
                log.warning("a key file can be read or written by everybody on this host; take that away", file=file, mode=f"{mode:04o}")


def _harden(log: Log, *, lock_memory: bool) -> None:
    """Before there is a key or a thread. What the kernel did not give is said once: the server serves all the same."""
    measures = harden(lock_memory=lock_memory)
    log.info("hardened", took=[measure.name for measure in measures if measure.took])
    for measure in measures:
        if not measure.took:
            log.warning("not hardened", measure=measure.name, reason=measure.reason)


def _listeners(config: Config) -> tuple[Listener, ...]:
    if not config.listeners:
        raise ConfigError('the configuration has no listener; add: listener "tcp" { address = "127.0.0.1:8200" … }')
    return config.listeners


async def _serve(plan: Plan, siblings: Member | None = None, sockets: Sequence[socket.socket] = ()) -> bool:
    """One worker, from its start to its end; False where it ended because it could serve no more."""
    config, log = plan.config, plan.log
    listeners = _listeners(config)
    storage = open_storage(config.storage, siblings.newest if siblings is not None else None)
    clock = SystemClock()
    worker = Worker(config, clock, log, storage, settings_of(config, dev=plan.dev), siblings)
    worker.reread = plan.reread
    loop, timekeeping = asyncio.get_running_loop(), Timekeeping(clock, log)
    if worker.joined is not None:
        worker.joined.examine()
        worker.joined.heartbeat.told_time = timekeeping.compare
    timekeeping.start(loop)
    if siblings is None:
        for number in STOPPING:
            loop.add_signal_handler(number, lambda: _stop(worker))
    else:  # a terminal, or systemd, may signal it too, and the supervisor does in any case: it drains once, however often it is told
        loop.add_signal_handler(signal.SIGTERM, worker.stopping.set)
    loop.add_signal_handler(signal.SIGHUP, worker.read_again if siblings is not None else lambda: _read_again(worker))
    try:
        worker.listen(listeners, sockets)
        if siblings is not None:
            _take_orders(worker, siblings)
        await plan.ready(worker)
        await worker.serve()
        if siblings is None:
            _settle_memory()
            _serving(config, log)
        await worker.stopping.wait()
        log.info("stopping")
    finally:
        await worker.stop()
        if siblings is None:
            _ended(config)
    return not worker.failed


def _take_orders(worker: Worker, member: Member) -> None:
    """Listen to the supervisor; without one there is nothing to serve for."""

    def ordered() -> None:
        if not member.ordered(worker.open_by_order, worker.sealer.seal_by_order):
            worker.loop.remove_reader(member.orders.socket)
            worker.stopping.set()

    member.orders.socket.setblocking(False)
    worker.loop.add_reader(member.orders.socket, ordered)


def _serving(config: Config, log: Log) -> None:
    if config.pid_file:
        Path(config.pid_file).write_text(f"{os.getpid()}\n")
    notify.ready()
    log.info("serving", version=__version__, addresses=[listener.address for listener in config.listeners])


def _ended(config: Config) -> None:
    if config.pid_file:
        Path(config.pid_file).unlink(missing_ok=True)


def _read_again(worker: Worker) -> None:
    worker.read_again()
    notify.reloaded()


def _stop(worker: Worker) -> None:
    """Drain and stop. The next signal of these ends the process as it stands, which loses nothing that was answered."""
    notify.stopping()
    worker.stopping.set()
    for number in STOPPING:
        worker.loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


def _settle_memory() -> None:
    """What is loaded by now stays: the collector need not walk it again. Requests leave hardly any cycles, so it looks less often."""
    bytes(HEAP)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


async def _start(worker: Worker) -> None:
    """Open the store by itself where a seal can; otherwise wait, sealed, for people. Of several workers one does, and opens the others."""
    expected = worker.siblings.joins()
    if worker.siblings.leads and not expected:
        worker.open_by_itself()
    else:
        await worker.opened_by_others(expected)


async def _start_dev(worker: Worker, options: argparse.Namespace) -> None:
    """Initialise in memory, unseal, and say how to use it."""
    core = worker.core
    made = initialise(core, InitParameters(secret_shares=1, secret_threshold=1), options.dev_root_token_id)
    key = base64.b64encode(made.keys[0]).decode()
    submit(core, key)
    worker.sealer.replaced = lambda: submit(core, key, accept_rollback=True)  # as Vault, which stays open: here it asks nobody
    transact(core, lambda call: secret_mount(core, call), worker.log.report)
    token = made.root_token.reveal()
    if not options.dev_no_store_token:
        _store_token(token)
    address = f"http://{options.dev_listen_address}"
    print(
        "\nWARNING! dev mode is enabled! This server keeps everything in memory, unsealed, and starts empty each time.\n"
        f"\nSet this to use it:\n\n    $ export VAULT_ADDR='{address}'\n\n"
        f"Unseal Key: {key}\nRoot Token: {token}\n\n"
        "Development mode should NOT be used in production installations!\n",
        flush=True,
    )


def _store_token(token: str) -> None:
    path = Path.home() / ".vault-token"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)  # the file may have been there before, and wider
        file.write(token)
