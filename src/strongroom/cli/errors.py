"""What ends a command early.

Rules of this file:
- `UsageError` is the caller's: exit 1, with the command's help named. Its text never repeats a value, which may be a secret.
- `Done` is no failure: something else than the request was asked for and has been printed.
"""

from __future__ import annotations

SUCCESS = 0
LOCAL = 1
REMOTE = 2
UNKNOWN = 127
"""A shell's code for a command that there is not; Vault's command line has it too."""
INTERRUPTED = 130


class UsageError(Exception):
    """The command line cannot be understood or is not complete."""


class CommandError(Exception):
    """The command cannot do what was asked; `code` is the exit status."""

    def __init__(self, message: str, code: int = REMOTE) -> None:
        super().__init__(message)
        self.code = code


class Done(Exception):
    """The work is finished without having been sent, as -output-curl-string asks."""
