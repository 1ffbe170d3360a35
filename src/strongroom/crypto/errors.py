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


class UnusableKey(ValueError):
    """A public key that signatures will not be checked with: malformed, too weak, private, or of a kind that no algorithm here uses."""


class InvalidToken(ValueError):
    """A signed token (JWT) fails a check. The message names the check and quotes nothing that the token says."""


class UnknownKey(InvalidToken):
    """No key of those given bears the token's key id: the issuer may have a new one."""
