"""The rows of KV items, and what both versions of the engine do with them.

    item/<path>          Head       listed, read, one row per secret
    config               Config     the mount's settings
    instant | id | number  Kept     older versions, under opaque keys

Rules of this file:
- Every change of a secret goes through `save`, which writes its Head; older versions' rows are written once and then only deleted.
- At most ROWS_AT_ONCE rows are deleted beside a change; a job goes on with the rest. Nothing reads them any more: the item says so.
- A version that ends by itself needs no timer: its end is in the Head, and every read looks at it. Its data stays, for undelete.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from strongroom.core.engine import Engine, ListBody, listed, scanned
from strongroom.core.response import Response
from strongroom.core.transaction import entry_masks
from strongroom.engines.kv.item import Head, Item, version_key
from strongroom.errors import InvalidRequest, NotFound
from strongroom.memo import Memo

ITEM = "item/"
ROWS_AT_ONCE = 100
"""Deletions in one change: a call may stage 1,000 rows, and a group holds the store's lock while it runs."""

VERSIONS = ("", "1", "2")

_encode = msgspec.msgpack.Encoder().encode
decoded_head = msgspec.msgpack.Decoder(Head).decode


class Leftovers(msgspec.Struct, frozen=True):
    """Rows of an item's versions that are to be removed, by their keys."""

    keys: list[bytes] = []


class KeyValue(Engine):
    """What versions 1 and 2 of the engine share."""

    def check_mount(self) -> None:
        """Only two versions exist."""
        if self.mount.options.get("version", "") not in VERSIONS:
            raise InvalidRequest("the option version of a kv mount is 1 or 2")

    def has(self, path: str) -> bool:
        """Whether there is a secret, which makes a write an update."""
        return self.store.exists(ITEM + path)

    def row(self, path: str) -> bytes:
        """The row key of a secret; a handler works it out once. Raises NotFound: no secret's name ends in "/", and whoever reads or deletes
        a folder does not mean the secret of that name."""
        if self.call.request.slashed:
            raise self.unmatched(self.call.operation, self.call.request.path.removeprefix(self.mount.path) + "/") or NotFound
        return self.store.row(ITEM + path)

    def head(self, row: bytes) -> Head | None:
        """The row of a secret."""
        plaintext = self.call.transaction.get(row)
        return None if plaintext is None else decoded_head(plaintext)

    def masks(self, row: bytes) -> Memo[object, bytes] | None:
        """Audit's place beside the row of a secret."""
        return entry_masks(self.call.transaction, row)

    def save(self, row: bytes, head: Head) -> None:
        """Stage the row of a secret."""
        self.call.transaction.put(row, _encode(head), charge=False)

    def remove(self, row: bytes) -> None:
        """Stage the removal of a secret's row."""
        self.call.transaction.put(row, None, charge=False)

    def drop(self, item: Item, numbers: Sequence[int]) -> None:
        """Stage the removal of older versions' rows: some here and now, the rest by a job."""
        self._drop([version_key(item, number) for number in numbers])

    def _drop(self, keys: list[bytes]) -> None:
        for key in keys[:ROWS_AT_ONCE]:
            self.store.delete(key)
        if len(keys) > ROWS_AT_ONCE:
            self.store.at(self.call.transaction.now, "drop", Leftovers(keys[ROWS_AT_ONCE:]))

    def due(self, job: str, payload: bytes) -> None:
        """Go on removing the rows of versions that their item does not show any more."""
        self._drop(msgspec.msgpack.decode(payload, type=Leftovers).keys)

    # ---- names

    def listed(self, path: str, body: ListBody) -> Response:
        """The answer that lists the names directly below a path."""
        return listed(self.store, ITEM + path, body)

    def scanned(self, path: str, body: ListBody) -> list[str]:
        """Names of all secrets below a path, relative to it, in order."""
        return scanned(self.call, self.store, ITEM + path, body)
