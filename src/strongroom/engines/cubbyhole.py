"""Each token's own drawer: nobody else can open it, root included, and it goes when the token goes.

Rules of this file:
- Rows lie below the hex digest of the token, where the core empties them when the token is removed.
- A batch token is not stored, so there is no moment at which its drawer could be emptied: it has none.
- `response` is where clients older than sys/wrapping/unwrap look for what a wrapping token keeps; the token's one use is spent by it.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.engine import Engine, ListBody, delete, keys_response, list_, listed, read, scan, scanned, write
from strongroom.core.request import Operation
from strongroom.core.response import Json, Response
from strongroom.core.token.entry import Token
from strongroom.core.transaction import entry_masks
from strongroom.core.wrapping import Wrapped
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, StrongroomError

RESPONSE = "response"


class Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """JSON text as it came in."""

    data: bytes

    def __repr__(self) -> str:
        return f"Value({len(self.data)} bytes)"


class Cubbyhole(Engine, kind="cubbyhole"):
    """Private storage of the token that asks; it ends with the token."""

    def check_mount(self) -> None:
        """There is one, and it is always there."""
        raise InvalidRequest('mount type of "cubbyhole" is not mountable')

    @classmethod
    def unmatched(cls, operation: Operation, path: str) -> StrongroomError | None:
        """The drawer itself holds no value."""
        return InvalidRequest("missing path") if not path and operation in (Operation.READ, Operation.UPDATE) else None

    def _token(self) -> Token:
        token = self.call.token
        if token is None:
            raise PermissionDenied
        if token.entry.kind != "service":
            raise InvalidRequest('cubbyhole operations are only supported by "service" type tokens')
        return token

    def _key(self, path: str = "") -> str:
        return f"{self._token().digest.hex()}/{path}"

    def has(self, path: str) -> bool:
        """Whether there is something, which makes a write an update."""
        return self.store.exists(self._key(path))

    @read("{path...}", unchecked=True)
    def read_value(self, path: str) -> Response:
        """Read what this token keeps at a path."""
        key = self._key(path)
        value = self.store.get(key, Value)
        if value is not None:
            return Response(data=Json(value.data, entry_masks(self.call.transaction, self.store.row(key))))
        wrapped = self.call.transaction.view(areas.WRAPPING).get(self._token().digest, Wrapped) if path == RESPONSE else None
        if wrapped is None:
            raise NotFound
        return Response(data={"response": wrapped.body.decode()})

    @write("{path...}", exists="has", unchecked=True)
    def write_value(self, path: str) -> None:
        """Keep an object at a path, for this token only."""
        if not self.call.request.data:
            raise InvalidRequest("missing data fields")
        self.store.put(self._key(path), Value(self.call.request.raw))

    @delete("{path...}", unchecked=True)
    def delete_value(self, path: str) -> None:
        """Remove what this token keeps at a path."""
        self.store.delete(self._key(path))

    @list_("", body=ListBody)
    def list_root(self, body: ListBody) -> Response:
        """List the names at the top of this token's drawer."""
        return self.list_names("", body)

    @list_("{path...}", body=ListBody)
    def list_names(self, path: str, body: ListBody) -> Response:
        """List the names directly below a path; those that end in "/" have more below them."""
        return listed(self.store, self._key(path), body)

    @scan("", body=ListBody)
    def scan_root(self, body: ListBody) -> Response:
        """List every name in this token's drawer."""
        return self.scan_names("", body)

    @scan("{path...}", body=ListBody)
    def scan_names(self, path: str, body: ListBody) -> Response:
        """List every name below a path."""
        return keys_response(scanned(self.call, self.store, self._key(path), body))
