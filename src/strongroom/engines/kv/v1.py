"""KV version 1: one value per name.

Rules of this file:
- The row is version 2's, without its metadata text: enabling versions on the mount makes every secret readable as version 1 of itself.
- A value is answered as the JSON text that came in. `ttl` or `lease` in it, a duration, only tells readers when to come again.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from strongroom.core.engine import ListBody, delete, keys_response, list_, read, scan, write
from strongroom.core.request import Operation
from strongroom.core.response import Json, LeaseInfo, Response, RowText
from strongroom.engines.kv.item import plain_head
from strongroom.engines.kv.store import KeyValue, decoded_head
from strongroom.errors import InvalidRequest, NotFound, StrongroomError
from strongroom.types import parse_duration

_EXACT = msgspec.json.Decoder(float_hook=Decimal)
"""Not the parser's own floats: ten microseconds for one such as 1e300, and whoever may write chooses what readers pay."""


def _data(plaintext: bytes) -> bytes:
    return decoded_head(plaintext).data


class Plain(KeyValue, kind="kv"):
    """Key/value secrets without versions."""

    @classmethod
    def unmatched(cls, operation: Operation, path: str) -> StrongroomError | None:
        """The mount itself is no secret."""
        if path:
            return None
        return {Operation.READ: NotFound(), Operation.UPDATE: InvalidRequest("missing path")}.get(operation)

    @read("{path...}", unchecked=True)
    def read_secret(self, path: str) -> Response:
        """Read a secret."""
        row = self.row(path)
        head = self.head(row)
        if head is None or not head.data:
            raise NotFound
        masks = None if head.metadata else self.masks(row)
        source = RowText(row, _data) if masks is not None else None
        return Response(data=Json(head.data, masks), lease=LeaseInfo(duration=self._lease(head.data)), source=source)

    def _lease(self, data: bytes) -> int:
        """Seconds after which a reader should look again."""
        if b'"ttl"' in data or b'"lease"' in data:
            members = _EXACT.decode(data)
            try:
                return max(parse_duration(members["ttl"] if "ttl" in members else members["lease"]), 0)
            except (ValueError, KeyError):
                pass
        return self.default_ttl

    @write("{path...}", exists="has", unchecked=True)
    def write_secret(self, path: str) -> None:
        """Store a secret, in place of what was there."""
        if not self.call.request.data:
            raise InvalidRequest("missing data fields")
        self.save(self.row(path), plain_head(self.call.request.raw, self.call.transaction.now))

    @delete("{path...}", unchecked=True)
    def delete_secret(self, path: str) -> None:
        """Remove a secret."""
        self.remove(self.row(path))

    @list_("", body=ListBody)
    def list_root(self, body: ListBody) -> Response:
        """List the names at the top."""
        return self.listed("", body)

    @list_("{path...}", body=ListBody)
    def list_names(self, path: str, body: ListBody) -> Response:
        """List the names directly below a path; those that end in "/" have more below them."""
        return self.listed(path, body)

    @scan("", body=ListBody)
    def scan_root(self, body: ListBody) -> Response:
        """List the names of all secrets."""
        return keys_response(self.scanned("", body))

    @scan("{path...}", body=ListBody)
    def scan_names(self, path: str, body: ListBody) -> Response:
        """List the names of all secrets below a path."""
        return keys_response(self.scanned(path, body))
