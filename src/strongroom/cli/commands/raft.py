"""operator raft: the commands of Vault's that have a meaning without Raft, which are those about snapshots.

Rules of this file:
- What arrives is written under another name, synced, and then given its name: a broken connection leaves no half a snapshot.
- A snapshot was verified by the server that made it; whoever wants to know again asks `operator snapshot inspect`.
"""

from __future__ import annotations

import os

from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, CommandError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session

PATH = "sys/storage/raft/snapshot"
GZIP = b"\x1f\x8b"


def save(session: Session) -> int:
    """Take a snapshot of the server's store into a file."""
    name = session.arguments[0]
    if os.path.lexists(name):
        raise CommandError(f"{name} is there already, and is not written over; name another file", LOCAL)
    content = session.client.read(PATH).content
    if not content.startswith(GZIP):
        raise CommandError("what the server answered is no snapshot; is that a Vault server?")
    try:
        _write(name, content)
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}", LOCAL) from None
    return session.done(f"Success! Wrote {len(content)} bytes to {name}")


def _write(name: str, content: bytes) -> None:
    new = f"{name}.{os.getpid()}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(new, name)  # unlike a rename, this does not replace what appeared there meanwhile
    finally:
        os.unlink(new)  # noqa: PTH108  pathlib would cost the CLI 4 ms


def restore(session: Session) -> int:
    """Put a snapshot in the place of the server's store; the server then seals itself."""
    name = session.arguments[0]
    try:
        with open(name, "rb") as file:  # noqa: PTH123  pathlib would cost the CLI 4 ms
            content = file.read()
    except OSError as error:
        raise CommandError(f"the file {name} cannot be read: {error.strerror}", LOCAL) from None
    path = f"{PATH}-force" if session.flags.switch("force") else PATH
    answer = session.client.request("POST", path, body=content)
    said = "Success! The snapshot was checked, and is put in place. The server is sealed: unseal it, each key with accept_rollback=true."
    return session.done(said) if session.is_table else session.show(answer)


COMMANDS = (
    Command("operator raft snapshot save", "FILE", save, (), 1, 1, "'strongroom operator snapshot save' does it on the server's host."),
    Command(
        "operator raft snapshot restore",
        "FILE",
        restore,
        (Flag("force", "Also where other recovery keys were in force then: those count again afterwards.", "switch"),),
        1,
        1,
        "'strongroom operator snapshot restore' does it on the server's host, and into an empty store.",
    ),
)
