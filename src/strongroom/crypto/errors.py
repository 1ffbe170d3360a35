"""What a failed check in this layer raises.

Rules of this file:
- A message names the check that failed, never the bytes it failed on; callers turn these into errors a client may see.
- One class for everything that was sealed: a wrong key, a wrong place and a changed byte cannot be told apart.
"""

from __future__ import annotations


class InvalidRecord(ValueError):
    """Sealed bytes are not what was sealed under this key, for this place."""


class InvalidSignature(ValueError):
    """A MAC or a signature does not belong to this message."""
