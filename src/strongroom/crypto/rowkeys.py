"""Row keys: where a value lies, without telling the store its name.

    header 17 = mount uuid 16 | kind 1,  then per path segment:  length u16 | AES-SIV(segment; parent row key)

Rules of this file:
- Deterministic: the same path gives the same row key, so a read needs no index. The price: the store learns lengths, and
  which keys of one parent are equal over time.
- A segment is bound to the whole row key before it: the same name under two parents looks different, and a component moved
  below another parent does not decrypt.
- The namespace is not in the key, so a mount moves between namespaces by one write.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from strongroom.crypto.errors import InvalidRecord
from strongroom.memo import remember

KEY_BYTES = 64
"""AES-SIV takes two AES-256 keys, one for each of its halves."""
COMPONENT_OVERHEAD = 18
"""Bytes a component is longer than its name: the length and the synthetic nonce."""
MEMO_ENTRIES = 16_384
"""About 6 MiB. A worker meets the same parents in every request; leaves beyond this cost two AES passes each."""

_LENGTH = struct.Struct(">H")


class RowNames:
    """Encrypts path segments under the installation's row-name key. `known` has the row keys of whole paths met lately."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a row-name key has {KEY_BYTES} bytes")
        self._siv = AESSIV(key)
        self._memo: dict[tuple[bytes, str], bytes] = {}
        self.known: dict[tuple[bytes, str], bytes] = {}

    def component(self, parent: bytes, name: str) -> bytes:
        """What `name` adds to its parent's row key."""
        sealed = self._siv.encrypt(name.encode(), [parent])
        return _LENGTH.pack(len(sealed)) + sealed

    def key(self, header: bytes, path: Sequence[str]) -> bytes:
        """The row key of a path below `header` (or below any row key)."""
        memo = self._memo
        key = header
        for name in path:
            place = (key, name)
            child = memo.get(place)
            if child is None:
                child = remember(memo, MEMO_ENTRIES, place, key + self.component(*place))
            key = child
        return key

    def path(self, header: bytes, text: str, segments: Sequence[str]) -> bytes:
        """The row key of a path that is spelled `text`; `known` then has it."""
        key = self.key(header, segments)
        return remember(self.known, MEMO_ENTRIES, (header, text), key)

    def name(self, parent: bytes, component: bytes) -> str:
        """The name that a component below `parent` hides. Raises InvalidRecord."""
        if len(component) < COMPONENT_OVERHEAD or _LENGTH.unpack_from(component)[0] != len(component) - _LENGTH.size:
            raise InvalidRecord("row key component does not have the length it says")
        try:
            return self._siv.decrypt(component[_LENGTH.size :], [parent]).decode()
        except (InvalidTag, UnicodeDecodeError):
            raise InvalidRecord("row key component does not decrypt: it was changed, or belongs below another parent") from None
