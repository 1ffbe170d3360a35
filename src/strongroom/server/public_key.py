"""The public half of what signs audit checkpoints, as a file: all that an auditor needs beside the audit files.

Rules of this file:
- Base64 of both keys (crypto/signatures.py) on one line. Nothing in it is secret; what counts is that it is the right one: take it away
  before the files are in doubt, because whoever can change an audit file may change a key that lies on the same disk.
- The server keeps it in the store's directory, and writes it anew where it is another one than the store's.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path
from typing import Final

from strongroom.crypto.signatures import DualVerifier
from strongroom.errors import ConfigError
from strongroom.storage.directory import open_private

NAME: Final = "audit-key.pub"


def text_of(key: DualVerifier) -> bytes:
    """What the file holds."""
    return base64.b64encode(key.to_bytes()) + b"\n"


def publish(directory: Path, key: DualVerifier) -> bool:
    """Make sure that the directory has the file. False: it held another key until now. Raises OSError and StorageUnusable."""
    path, text = directory / NAME, text_of(key)
    there = b""
    with suppress(FileNotFoundError):
        there = path.read_bytes()
    if compare_digest(there, text):
        return True
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(open_private(temporary), "wb") as file:
        file.write(text)
    temporary.rename(path)
    return not there


def read_key(path: Path) -> DualVerifier:
    """The key in a file. Raises ConfigError."""
    try:
        return DualVerifier.from_bytes(base64.b64decode(path.read_bytes()))
    except (OSError, ValueError):
        raise ConfigError(
            f"{path} is no public key; the server keeps it as {NAME} in the store's directory, and "
            "'strongroom audit verify -write-public-key=FILE' makes it from the store"
        ) from None
