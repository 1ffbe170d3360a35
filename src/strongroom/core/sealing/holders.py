"""How shares go to their holders: as they are, or each as a message to its holder's PGP key.

Rules of this file: keys are judged before anything is made, and shares are encrypted before anything is stored, so that no share is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.crypto import pgp
from strongroom.errors import InvalidRequest


def fingerprints(keys: Sequence[str], shares: int) -> tuple[str, ...]:
    """What the keys are known by. Raises InvalidRequest, in Vault's words, unless there are none or one for each share, all usable."""
    if keys and len(keys) != shares:
        raise InvalidRequest("count mismatch between number of provided PGP keys and number of shares")
    return tuple(recipient.fingerprint for recipient in pgp.recipients(keys))


def handed_out(shares: Sequence[bytes], keys: Sequence[str]) -> list[bytes]:
    """What each holder gets. Messages hold a share in hex, as in Vault."""
    return pgp.encrypted((share.hex().encode() for share in shares), keys) if keys else list(shares)
