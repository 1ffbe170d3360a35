"""Keys of those to whom snapshots are sealed, as files: one line each, with its kind before it.

    strongroom-recipient-1:…      public, base64 of 1,216 bytes: for the configuration, or `operator snapshot save -recipient=FILE`
    STRONGROOM-RECIPIENT-KEY-1:…  private, base64 of 32 bytes: for `operator snapshot restore -identity=FILE`, kept away from the server

Rules of this file: what is not exactly of that form is refused, naming the file and nothing of its content.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import os
import sys
from pathlib import Path
from typing import Final

from strongroom.crypto.hpke import PRIVATE_BYTES, PUBLIC_BYTES, Recipient
from strongroom.errors import ConfigError

PUBLIC: Final = "strongroom-recipient-1:"
PRIVATE: Final = "STRONGROOM-RECIPIENT-KEY-1:"
MAX_FILE: Final = 4_096
"""Bytes; a public key has 1,650."""


def read_public(path: Path) -> bytes:
    """A public key. Raises ConfigError."""
    return _read(path, PUBLIC, PUBLIC_BYTES, "public key of a recipient of snapshots")


def read_private(path: Path) -> Recipient:
    """A private key. Raises ConfigError."""
    return Recipient.from_bytes(_read(path, PRIVATE, PRIVATE_BYTES, "private key of a recipient of snapshots"))


def _read(path: Path, prefix: str, size: int, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).strip().decode("ascii")
        key = base64.b64decode(text.removeprefix(prefix), validate=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, binascii.Error):
        key, text = b"", ""
    if not text.startswith(prefix) or len(key) != size:
        raise ConfigError(f"{path} holds no {what}; 'strongroom operator snapshot keygen' makes one")
    return key


def keygen(argv: list[str]) -> int:
    """Make a key pair: the private one into a file of one's own, the public one to standard output."""
    flags = argparse.ArgumentParser(
        prog="strongroom operator snapshot keygen", description="Make a key pair for a recipient of snapshots.", allow_abbrev=False
    )
    flags.add_argument("file", type=Path, metavar="FILE", help="where the private key goes; FILE.pub gets the public one")
    path: Path = flags.parse_args(argv).file
    made = Recipient.generate()
    try:
        _write(path, PRIVATE, made.to_bytes(), 0o600)
        _write(path.with_name(f"{path.name}.pub"), PUBLIC, made.public(), 0o644)
    except FileExistsError as error:
        raise ConfigError(f"{error.filename} is there already, and is not written over") from None
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from None
    sys.stdout.write(f"private: {path} (take it away from the server)\npublic:  {path}.pub\n")
    return 0


def _write(path: Path, prefix: str, key: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(prefix.encode() + base64.b64encode(key) + b"\n")
