"""The seal whose key is split among people: nobody alone can open the store, and the server cannot without them.

Rules of this file:
- The key that wraps R (KEK) is random, exists while shares are made or combined, and is stored nowhere.
- A rekey makes a new KEK; the shares of the old one are then worth nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.barrier.seal import SHAMIR, KeySeal
from strongroom.errors import ConfigError


class Shamir(KeySeal):
    """A seal with the combined key in hand."""

    kind = SHAMIR


def configured(options: Mapping[str, str]) -> None:
    """A `seal "shamir"` stanza says what holds anyway; it takes no options."""
    if options:
        raise ConfigError(f'seal "shamir" takes no options, not {sorted(options)}')
