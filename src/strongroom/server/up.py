"""`strongroom up`: one command from nothing to a serving, sealed-at-rest, audited server on this machine.

Rules of this file:
- The first run makes everything in the data directory: own CA and certificate, static seal, file audit device, store; it initialises and
  prints what must be kept, once. Later runs just serve.
- Nothing is printed twice and nothing that opens the store leaves the directory.

    data/  ca.pem ca-key.pem server.pem server-key.pem   seal.key   store/   audit/audit.log
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import shutil
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from strongroom.clock import SystemClock
from strongroom.core.sealing.unsealing import InitParameters, initialise
from strongroom.errors import ConfigError
from strongroom.server.certificates import Authority, files, make_authority, renew_if_due
from strongroom.server.config import AuditStanza, Config, Listener, SealStanza, Store
from strongroom.server.serve import serve
from strongroom.server.worker import Worker
from strongroom.storage.directory import lock_directory, open_private

HOST = "127.0.0.1"
PORT = 8200
TRIES = 100
"""Ports tried after the first."""
RECOVERY_SHARES, RECOVERY_THRESHOLD = 5, 3


class Layout(NamedTuple):
    """Where things lie in a data directory."""

    directory: Path

    @property
    def store(self) -> Path:
        """The embedded store's directory."""
        return self.directory / "store"

    @property
    def seal_key(self) -> Path:
        """The static seal's key."""
        return self.directory / "seal.key"

    @property
    def audit(self) -> Path:
        """The audit device's file."""
        return self.directory / "audit" / "audit.log"


def data_directory() -> Path:
    """`$STRONGROOM_DATA`, else `$XDG_DATA_HOME/strongroom`, else `~/.local/share/strongroom`."""
    if os.environ.get("STRONGROOM_DATA"):
        return Path(os.environ["STRONGROOM_DATA"])
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "strongroom"


def stored(layout: Layout) -> Config:
    """The configuration of a data directory, without the listener."""
    return Config(
        storage=Store("sqlite", str(layout.store)),
        seals=(SealStanza("static", {"path": str(layout.seal_key)}),),
        audit=(AuditStanza("file", "file/", "everything that is asked and answered", {"file_path": str(layout.audit)}),),
    )


def run(argv: list[str]) -> int:
    """Set up if needed, then serve in the foreground."""
    flags = argparse.ArgumentParser(prog="strongroom up", description=__doc__.partition("\n")[0], allow_abbrev=False)
    flags.add_argument("-data", "--data", type=Path, default=None, help="data directory; default $STRONGROOM_DATA")
    flags.add_argument("-port", "--port", type=int, default=PORT, help=f"first port to try on {HOST}")
    flags.add_argument("-log-level", "--log-level", default="info")
    options = flags.parse_args(argv)
    os.umask(0o077)
    layout = Layout((options.data or data_directory()).absolute())
    port = _free_port(options.port)
    with lock_directory(layout.directory):
        certificates = _certificates(layout.directory)
        _make_seal_key(layout.seal_key)
        layout.audit.parent.mkdir(mode=0o700, exist_ok=True)
        config = msgspec.structs.replace(
            stored(layout),
            listeners=(Listener(address=f"{HOST}:{port}", tls_cert_file=str(certificates.cert), tls_key_file=str(certificates.key)),),
            api_addr=f"https://{HOST}:{port}",
            log_level=options.log_level,
        )
        return serve(config, lambda worker: _ready(worker, layout, port, options.port, certificates.ca))


async def _ready(worker: Worker, layout: Layout, port: int, wanted: int, authority: Path) -> None:
    if port != wanted:
        print(f"Port {wanted} is taken; using {port}.", flush=True)
    address = f"https://{HOST}:{port}"
    if worker.core.barrier.installation() is None:
        made = initialise(worker.core, InitParameters(recovery_shares=RECOVERY_SHARES, recovery_threshold=RECOVERY_THRESHOLD))
        recovery = [base64.b64encode(key).decode() for key in made.recovery_keys or ()]
        _print_first(made.root_token.reveal(), recovery, address, authority, layout)
    else:
        worker.open_by_itself()
        print(f"Address: {address}\nCA certificate: {authority}\nData: {layout.directory}", flush=True)


def _print_first(token: str, recovery: list[str], address: str, authority: Path, layout: Layout) -> None:
    lines = [
        f"Address: {address}",
        f"CA certificate: {authority}",
        f"Root token: {token}",
        *(f"Recovery key {number}: {key}" for number, key in enumerate(recovery, 1)),
        "",
        "Keep the root token and the recovery keys: they are shown this once.",
        f"Back up {layout.directory} except seal.key, and keep seal.key somewhere else: together they open everything.",
        "",
        "Paste this to use it from another terminal:",
        "",
        f"    export VAULT_ADDR={address}",
        f"    export VAULT_CACERT={authority}",
        f"    export VAULT_TOKEN={token}",
        *_where_it_is(),
        "    strongroom secrets enable -path=secret kv-v2",
        "    strongroom kv put -mount=secret app/db password=change-me",
        "    strongroom kv get -mount=secret app/db",
        "",
    ]
    print("\n".join(lines), flush=True)


def _where_it_is() -> list[str]:
    """How the other terminal finds this program, where it would not: `make up` installs into the folder it is run in."""
    program = Path(sys.executable).with_name("strongroom")
    if shutil.which("strongroom") or not program.exists():
        return []
    return [f'    export PATH="{program.parent}:$PATH"']


def _certificates(directory: Path) -> Authority:
    """The server's certificate and its own authority: made at the first run, renewed before they end."""
    now = SystemClock().now()
    paths = files(directory)
    if not paths.cert.exists():
        return make_authority(directory, ["localhost"], [HOST, "::1"], now)
    renew_if_due(directory, now)
    return paths


def _make_seal_key(path: Path) -> None:
    """Write a fresh key where there is none. It is on the disk before anything is sealed with it."""
    if path.exists():
        return
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = open_private(temporary)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_hex(32).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _free_port(first: int) -> int:
    for port in range(first, min(first + TRIES, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ConfigError(f"no free port from {first} on {HOST}; stop what uses them or say -port")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
