"""`~/.vault-token`, where `login` keeps the token and every other command finds it.

Rules of this file:
- Written whole or not at all (a new file, mode 0600, renamed over the old one), so it is never readable by others, not for a moment.
- A file that cannot be read counts as no token; the server then says what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from strongroom.cli.errors import LOCAL, CommandError

NAME = ".vault-token"
_MOST = 65_536


def path(environment: Mapping[str, str]) -> str:
    """Where the file is, or nothing when there is no home."""
    home = environment.get("HOME") or ""
    return f"{home}/{NAME}" if home else ""


def read(environment: Mapping[str, str]) -> str:
    """The stored token, or nothing."""
    try:
        with open(path(environment), "rb") as file:  # noqa: PTH123  pathlib would cost the CLI 4 ms
            return file.read(_MOST).decode("ascii", "replace").strip()
    except OSError:
        return ""


def write(environment: Mapping[str, str], token: str) -> str:
    """Store a token and return the file's path. Raises CommandError."""
    target = path(environment)
    if not target:
        raise CommandError("there is no HOME to keep the token in; set HOME, or use -no-store and set VAULT_TOKEN", LOCAL)
    temporary = f"{target}.{os.getpid()}"
    try:
        with open(temporary, "x", encoding="ascii", opener=_private) as file:
            file.write(token)
        os.replace(temporary, target)  # noqa: PTH105  pathlib would cost the CLI 4 ms
    except OSError as error:
        raise CommandError(f"the token cannot be stored in {target}: {error.strerror}; use -no-store and set VAULT_TOKEN", LOCAL) from None
    return target


def _private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)
