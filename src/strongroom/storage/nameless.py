"""Files without a name: nothing is left of them once nobody has them open, crash or not.

Rules of this file: whoever gets one need not close it, because an answer that was to be read from it may never be sent.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import suppress


class Nameless(io.BufferedRandom):
    """A file on a descriptor of its own, which closes with its last user."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        super().__init__(io.FileIO(descriptor, "r+", closefd=False))  # else the collector may take this for forgotten, and warn

    def close(self) -> None:
        """Close it; what could not be written goes no more, least of all to another file."""
        try:
            super().close()
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def __del__(self) -> None:
        with suppress(OSError, ValueError):
            self.close()


def nameless(directory: str = "") -> Nameless:
    """A new file for reading and writing, in this directory or where temporary files lie. Raises OSError."""
    with tempfile.TemporaryFile(dir=directory or None) as made:
        return Nameless(os.dup(made.fileno()))
