"""KV version 2: secrets with versions, check-and-set, deletion that can be undone and destruction that cannot.

Rules of this file:
- Data is answered as the JSON text that came in; only PATCH and subkeys parse it, with Decimal, so that every number stays exact.
- The current version is answered from one row without opening the item; everything else takes the longer way.
- What Vault's clients test for is said in Vault's words: the check-and-set texts, the warning for a path without `data/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from strongroom.core.engine import delete, patch, read, write
from strongroom.core.envelope import encode as encode_json
from strongroom.core.fields import READERS
from strongroom.core.request import Operation
from strongroom.core.response import Json, Response, RowText
from strongroom.engines.kv import item as model
from strongroom.engines.kv.item import Config, Head, Item, Kept
from strongroom.engines.kv.merge import check_size, merged, subkeys
from strongroom.engines.kv.metadata import Metadata
from strongroom.engines.kv.store import decoded_head
from strongroom.errors import InvalidRequest, NotFound, StrongroomError

UNSET = msgspec.UNSET

ROOTS = frozenset(("data", "metadata", "delete", "undelete", "destroy"))
PREFIXES = ROOTS | {"detailed-metadata", "subkeys"}

WRONG_PATH = (
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. "
    "If using the Vault CLI, use 'vault kv {}' for this operation."
)
WRONG_ROOT = "Non-listing operations on the root of a K/V v2 mount are not supported."
COMMANDS = {
    Operation.READ: "get",
    Operation.UPDATE: "put",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
    Operation.LIST: "list",
}
"""What the command line has for an operation that clients of version 1 send to the wrong path."""

CAS_REQUIRED = "check-and-set parameter required for this call"
CAS_MISMATCH = "check-and-set parameter did not match the current version"


class AtBody(msgspec.Struct, frozen=True):
    """Which version."""

    version: Annotated[int, "Number of the version; 0 is the current one."] = 0


class SubkeysBody(msgspec.Struct, frozen=True):
    """Which version, and how deep."""

    version: Annotated[int, "Number of the version; 0 is the current one."] = 0
    depth: Annotated[int, "Levels to show; 0 shows all."] = 0


class DataBody(msgspec.Struct, frozen=True):
    """A new version."""

    data: Annotated[dict[str, Any] | msgspec.UnsetType, "The secret: an object of any shape."] = UNSET
    options: Annotated[dict[str, Any] | msgspec.UnsetType, "`cas`: the version that must be the current one; 0: none may exist."] = UNSET


class VersionsBody(msgspec.Struct, frozen=True):
    """Some versions."""

    versions: Annotated[list[int], "Numbers of the versions."] = []


class _Sent(msgspec.Struct):
    data: msgspec.Raw

    def __repr__(self) -> str:
        return "_Sent()"


_sent = msgspec.json.Decoder(_Sent)
_exact = msgspec.json.Decoder(float_hook=Decimal)


def _current(plaintext: bytes) -> bytes:
    """The answer to a read of the current version, which does not end by itself, from its row."""
    head = decoded_head(plaintext)
    return b'{"data":%b,"metadata":%b}' % (head.data, head.metadata)


class Versioned(Metadata, kind="kv", variant="2"):
    """Key/value secrets that keep their earlier versions."""

    @classmethod
    def unmatched(cls, operation: Operation, path: str) -> StrongroomError | None:
        """Clients of version 1 leave the prefix out, and look for names where the data is."""
        prefix, slash, name = path.partition("/")
        if path in ROOTS:
            return NotFound(warnings=(WRONG_ROOT,))
        if path == "config" or (slash and prefix in PREFIXES and (prefix != "data" or (name and not name.endswith("/")))):
            return None
        return NotFound(warnings=(WRONG_PATH.format(COMMANDS.get(operation, "list")),))

    # ---- read

    @read("data/{path...}", body=AtBody)
    def read_data(self, path: str, body: AtBody) -> Response:
        """Read a version of a secret."""
        row = self.row(path)
        head = self.head(row)
        if head is None:
            raise NotFound
        ends = head.ends
        if head.data and head.metadata and (body.version <= 0 or body.version == head.number) and not 0 < ends <= self.call.transaction.now:
            text = Json(b'{"data":%b,"metadata":%b}' % (head.data, head.metadata), self.masks(row))
            return Response(data=text, source=RowText(row, _current) if not ends else None)
        item, number, data = self._version(head, body.version)
        if not data:
            raise NotFound(data={"data": None, "metadata": model.version_members(item, number)})
        return Response(data=Json(b'{"data":%b,"metadata":%b}' % (data, model.metadata_text(item, number))))

    @read("subkeys/{path...}", body=SubkeysBody)
    def read_subkeys(self, path: str, body: SubkeysBody) -> Response:
        """Read the shape of a secret: its names, with null for every value."""
        head = self.head(self.row(path))
        if head is None:
            raise NotFound
        item, number, data = self._version(head, body.version)
        metadata = model.version_members(item, number)
        if not data:
            raise NotFound(data={"subkeys": None, "metadata": metadata})
        return Response(data={"subkeys": subkeys(_exact.decode(data), body.depth), "metadata": metadata})

    def _version(self, head: Head, asked: int) -> tuple[Item, int, bytes]:
        """A version's item, number and data; no data when it is deleted or destroyed. Raises NotFound where there is no such version."""
        item = model.item_of(head)
        number = asked if asked > 0 else item.current
        version = item.versions.get(number)
        if version is None or (version.labels is not None and version.labels.draft):
            raise NotFound
        if not model.readable(version, self.call.transaction.now):
            return item, number, b""
        if number == head.number:
            return item, number, head.data
        return item, number, model.verified(item, number, self.store.get(model.version_key(item, number), Kept))

    # ---- write

    @write("data/{path...}", body=DataBody, exists="has")
    def write_data(self, path: str, body: DataBody) -> Response:
        """Store a new version of a secret."""
        if body.data is UNSET:
            raise InvalidRequest("no data provided")
        now = self.call.transaction.now
        row = self.row(path)
        head = self.head(row)
        item = model.new_item(now) if head is None else model.item_of(head)
        config = self.config()
        _check_cas(item.cas_required or config.cas_required, body.options, item.current)
        return self._add(row, item, head.data if head else b"", config, bytes(_sent.decode(self.call.request.raw).data))

    @patch("data/{path...}", body=DataBody)
    def patch_data(self, path: str, body: DataBody) -> Response:
        """Merge an object into the current version (RFC 7396) and store the result as a new one."""
        if body.data is UNSET:
            raise InvalidRequest("no data provided")
        row = self.row(path)
        head = self.head(row)
        if head is None:
            raise NotFound
        item, number, data = self._version(head, 0)
        config = self.config()
        _check_cas(item.cas_required or config.cas_required, body.options, item.current)
        if not data:
            raise NotFound(data=model.version_members(item, number))
        after = merged(_exact.decode(data), body.data)
        text = encode_json(after)
        check_size(after, text)
        return self._add(row, item, data, config, text)

    def _add(self, row: bytes, item: Item, replaced: bytes, config: Config, data: bytes) -> Response:
        grown, pruned = model.added(item, config, self.call.transaction.now, replaced)
        if replaced and item.current not in pruned:
            self.store.create(model.version_key(grown, item.current), Kept(replaced))
        if pruned:
            self.drop(item, [number for number in pruned if number != item.current and item.versions[number].digest])
        head = model.head_of(grown, data)
        self.save(row, head)
        return Response(data=Json(head.metadata))

    # ---- delete, undelete, destroy

    @delete("data/{path...}")
    def delete_data(self, path: str) -> None:
        """Delete the current version; `undelete` brings it back."""
        row = self.row(path)
        head = self.head(row)
        if head is not None:
            item = model.item_of(head)
            self._update(row, head, item, model.deleted(item, [item.current], self.call.transaction.now))

    @write("delete/{path...}", body=VersionsBody)
    def delete_versions(self, path: str, body: VersionsBody) -> None:
        """Delete versions; `undelete` brings them back."""
        row = self.row(path)
        head = self._chosen(row, body)
        if head is not None:
            item = model.item_of(head)
            self._update(row, head, item, model.deleted(item, body.versions, self.call.transaction.now))

    @write("undelete/{path...}", body=VersionsBody)
    def undelete_versions(self, path: str, body: VersionsBody) -> None:
        """Bring deleted versions back."""
        row = self.row(path)
        head = self._chosen(row, body)
        if head is not None:
            item = model.item_of(head)
            self._update(row, head, item, model.undeleted(item, body.versions, self.config(), self.call.transaction.now))

    @write("destroy/{path...}", body=VersionsBody)
    def destroy_versions(self, path: str, body: VersionsBody) -> None:
        """Remove the data of versions for ever."""
        row = self.row(path)
        head = self._chosen(row, body, "no version number provided")
        if head is None:
            return
        item = model.item_of(head)
        self.drop(item, [number for number in set(body.versions) if number in item.versions and item.versions[number].digest])
        self._update(row, head, item, model.destroyed(item, body.versions))

    def _chosen(self, row: bytes, body: VersionsBody, otherwise: str = "No version number provided") -> Head | None:
        if not body.versions:
            raise InvalidRequest(otherwise)
        return self.head(row)

    def _update(self, row: bytes, head: Head, before: Item, after: Item) -> None:
        """Stage an item whose versions' marks changed."""
        if after is before:
            return
        gone = after.current in after.versions and after.versions[after.current].destroyed
        self.save(row, model.head_of(after, b"" if gone else head.data))


def _check_cas(required: bool, options: Mapping[str, Any] | msgspec.UnsetType, current: int) -> None:
    """Raise InvalidRequest unless the caller's idea of the current version is right, or none was asked for."""
    if options is UNSET or "cas" not in options:
        if required:
            raise InvalidRequest(CAS_REQUIRED)
        return
    try:
        sent = options["cas"]
        expected = 0 if sent is None else READERS[int](sent)
    except ValueError:
        raise InvalidRequest("error parsing check-and-set parameter") from None
    if expected != current:
        raise InvalidRequest(CAS_MISMATCH)
