"""`strongroom operator scrub` and `strongroom audit verify`: what an auditor looks at, beside a running server or on a stopped one's files.

Rules of this file:
- Reading only. Whoever can run this holds the store's directory and what opens its seal, or, for audit files, a public key alone.
- The store is that of a configuration (-config), else of a data directory of `strongroom up` (-data, else where `up` keeps it).
- A store that key shares open asks for them, one a line, shown nowhere.
- Exit codes: 0 everything is as it was written, 1 it could not be looked at, 2 something is not as it was written.
"""

from __future__ import annotations

import argparse
import getpass
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.anchor import check_anchor
from strongroom.barrier.barrier import Barrier
from strongroom.barrier.seal import configured_seal
from strongroom.clock import SystemClock
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.report import report_json, report_text
from strongroom.core.audit.verify import verify as verify_files
from strongroom.core.core import Core
from strongroom.core.sealing.unsealing import current_config, open_by_itself, submit
from strongroom.crypto.signatures import DualSigner
from strongroom.errors import ConfigError, InvalidRequest, StorageTampered
from strongroom.outbound.addresses import allow_list
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.server.anchors import audit_files, newest_anchor
from strongroom.server.config import Config, load_config
from strongroom.server.logs import Log
from strongroom.server.public_key import read_key, text_of
from strongroom.server.up import Layout, data_directory, stored
from strongroom.server.worker import open_storage, settings_of
from strongroom.storage.api import Storage

INTACT, FOUND = 0, 2
DATA_HELP: Final = "data directory of 'strongroom up'; default $STRONGROOM_DATA"


class _Alone:
    """The process around a core that answers nobody."""

    alone = True

    def __init__(self) -> None:
        self.log = Log("error")

    def seal_others(self) -> bool:
        """Nobody asks."""
        return True

    def seal(self, then: Callable[[], None] | None = None) -> None:
        """Nobody asks."""

    def unsealed(self) -> None:
        """No device is opened and no timer runs: this only reads."""

    def reload(self) -> None:
        """Nobody asks."""

    def metrics(self) -> bytes:
        """None."""
        return b""

    def after_answer(self, action: Callable[[], None]) -> None:
        """Nothing is answered."""


def scrub(argv: list[str]) -> int:
    """Look at every row of the store, and at all of them together."""
    flags = flags_of("operator scrub", "Check the whole store against its authenticated index.")
    options = flags.parse_args(argv)
    config = config_of(options)
    with opened(config) as barrier:
        report = scrubbing.scrub(barrier)
        behind = _behind(config, barrier)
    findings = [{"row": found.row, "what": found.text} for found in report.findings] + [{"row": "", "what": text} for text in behind]
    summary = {"clean": not findings, "rows": report.rows, "gsn": report.gsn, "damaged": report.damaged, "findings": findings}
    lines = [f"{found['row'] or 'the store as a whole'}: {found['what']}" for found in findings]
    lines.append(f"{report.rows} rows, commit {report.gsn}, {report.damaged} damaged")
    lines.append(f"NOT intact: {len(findings)} findings" if findings else "intact")
    show(options, summary, "\n".join(lines))
    return FOUND if findings else INTACT


def verify(argv: list[str]) -> int:
    """Hold audit files against their chains and signatures."""
    flags = flags_of("audit verify", "Check audit logs for edits, gaps and swaps.")
    flags.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="audit files, rotated ones too; default: those of the configuration"
    )
    flags.add_argument(
        "-key",
        "--key",
        "-public-key",
        "--public-key",
        dest="public_key",
        type=Path,
        metavar="FILE",
        help="check with this key and open no store",
    )
    flags.add_argument("-write-public-key", "--write-public-key", type=Path, metavar="FILE", help="keep the public key for later checks")
    flags.add_argument("-partial", "--partial", action="store_true", help="older files, or those of other workers, are not here")
    options = flags.parse_args(argv)
    files, key = list(options.files), read_key(options.public_key) if options.public_key else None
    if not files:
        files = [Path(each) for each in audit_files(config_of(options).audit)]
    if key is None:
        config = config_of(options)
        with opened(config) as barrier:
            key = DualSigner.from_bytes(barrier.keys.keyring.stable.signing).public()
    if options.write_public_key:
        options.write_public_key.write_bytes(text_of(key))
    if not files:
        raise ConfigError("say which audit files to check; the configuration has none")
    try:
        report = verify_files(files, [key], partial=options.partial)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}") from None
    show(options, msgspec.json.decode(report_json(report)), report_text(report))
    return INTACT if report.intact else FOUND


def flags_of(verb: str, description: str) -> argparse.ArgumentParser:
    """The flags of a command that looks at a store."""
    flags = argparse.ArgumentParser(prog=f"strongroom {verb}", description=description, allow_abbrev=False)
    flags.add_argument("-config", "--config", action="append", default=[], metavar="PATH", help="the server's configuration")
    flags.add_argument("-data", "--data", type=Path, default=None, metavar="DIR", help=DATA_HELP)
    flags.add_argument("-format", "--format", choices=("table", "json"), default="table")
    return flags


def config_of(options: argparse.Namespace, *, fresh: bool = False) -> Config:
    """What the flags name. There is a store, unless it may be `fresh`. Raises ConfigError."""
    if options.config:
        config = load_config([Path(path) for path in options.config], os.environ)
    else:
        config = stored(Layout((options.data or data_directory()).absolute()))
    if config.storage.kind == "sqlite" and not fresh and not Path(config.storage.path).is_dir():
        raise ConfigError(f"there is no store in {config.storage.path}; name the configuration with -config or the directory with -data")
    return config


@contextmanager
def opened(config: Config, storage: Storage | None = None) -> Iterator[Barrier]:
    """The store's barrier, open, without regard to how old the store is: that is told, not refused. `storage`: another one's boot rows."""
    clock, storage = SystemClock(), storage or open_storage(config.storage)
    try:
        outbound = Outbound(Dialer(allow_list(config.outbound_allow)))
        core = Core(storage, clock, Broker(clock, platform.node() or "localhost"), settings_of(config), _Alone(), outbound)
        core.sealing.seals = tuple(seal for seal in (configured_seal(stanza.kind, stanza.options) for stanza in config.seals) if seal)
        if core.sealing.seals:
            open_by_itself(core)
        else:
            _ask_for_shares(core)
        yield core.barrier
        core.barrier.seal()
    finally:
        storage.close()


def _ask_for_shares(core: Core) -> None:
    needed = max((share_set.threshold for share_set in current_config(core).unseal_sets), default=0)
    given = 0
    while core.barrier.sealed:
        share = getpass.getpass(f"Unseal key {given + 1} of {needed}: ") if sys.stdin.isatty() else sys.stdin.readline()
        if not share.strip():
            raise InvalidRequest(f"{needed} key shares are needed to open the store; give one a line")
        if warning := submit(core, share.strip()):
            sys.stderr.write(f"{warning}\n")
        given += not warning


def _behind(config: Config, barrier: Barrier) -> list[str]:
    """What the audit files know of a newer store, or another one."""
    anchor = newest_anchor(config.audit, barrier)  # first: a running server only moves the store on
    try:
        check_anchor(barrier.index(), anchor)
    except StorageTampered as error:
        return [error.messages[0].removeprefix("storage_tampered: ")]
    return []


def show(options: argparse.Namespace, machine: object, text: str) -> None:
    """Print what was found: for programs, or for people."""
    shown = msgspec.json.format(msgspec.json.encode(machine), indent=2).decode() if options.format == "json" else text
    sys.stdout.write(f"{shown}\n")
