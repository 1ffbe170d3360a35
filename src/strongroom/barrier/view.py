"""The View: all that an engine sees of the store.

Rules of this file:
- A view is bound to one mount's rows and to one call; keys are paths of names ("role/ci"), values are frozen Structs.
- Names are encrypted into row keys here and nowhere else. A key given as bytes is an opaque keyed digest and is used as it is.
- `put`, `create` and `delete` stage: nothing is written unless the call succeeds, save through `charge()`.
- Kinds of rows below a mount: 1 names, 2 due queue (in the queue's own area), 3 digests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from strongroom.barrier.barrier import Keys
from strongroom.barrier.directory import Directory
from strongroom.crypto.ids import RandomPool
from strongroom.crypto.rowkeys import RowNames
from strongroom.errors import InvalidRequest
from strongroom.storage.api import Child

T = TypeVar("T")

NAMES = b"\x01"
DUE = b"\x02"
DIGESTS = b"\x03"

QUEUE_AREA = bytes(15) + b"\x01"
"""Area of the due queue."""

MAX_KEY = 2_048
MAX_SEGMENTS = 128
"""Of a key: the longest path and what an engine or the core puts around it. Keys also come out of bodies, such as lease ids, and the row
key of every prefix is remembered, so that a key's cost grows with the square of its segments."""

KEYS_OF_A_FOLDER = 16
"""What reading one of few names costs, in names of a directory that is known."""

_salt = RandomPool(8).take
_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """The one decoder for a type of stored row."""
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return found


def page_of(names: list[str], after: str, limit: int) -> list[str]:
    """Of sorted names those greater than `after`, at most `limit`; a limit of 0 or less is none."""
    start = bisect_right(names, after) if after else 0
    return names[start : start + limit if limit > 0 else None]


class Rows(Protocol):
    """One call's plaintext rows: committed ones, overlaid with what the group and the call itself staged."""

    keys: Keys

    def get(self, key: bytes) -> bytes | None: ...
    def holds(self, key: bytes) -> bool: ...
    def value(self, key: bytes, kind: type[T]) -> T | None: ...
    def put(self, key: bytes, plaintext: bytes | None, *, charge: bool, fresh: bool = False) -> None: ...
    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]: ...
    def directory(self, prefix: bytes) -> Directory: ...
    def listing(self, prefix: bytes) -> Directory: ...
    def want(self, keys: Collection[bytes]) -> None: ...
    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]: ...


class Due(msgspec.Struct, frozen=True):
    """A timer: at its time the mount's engine is called with `job` and `payload`."""

    area: bytes
    job: str
    payload: bytes
    attempts: int = 0


class View:
    """Typed rows of one mount, for one call."""

    __slots__ = ("_area", "_charging", "_names", "_rows")

    def __init__(self, rows: Rows, area: bytes, *, charging: bool = False) -> None:
        self._rows = rows
        self._area = area
        self._names = area + NAMES
        self._charging = charging

    def row(self, key: str | bytes) -> bytes:
        """The row key of a name path or an opaque digest."""
        if isinstance(key, bytes):
            return self._area + DIGESTS + key
        names = self._rows.keys.names
        return names.known.get((self._names, key)) or self._spelled(names, key)

    def _spelled(self, names: RowNames, key: str) -> bytes:
        segments = key.split("/")
        if len(key) > MAX_KEY or len(segments) > MAX_SEGMENTS:
            raise InvalidRequest(f"a name has at most {MAX_KEY} characters in {MAX_SEGMENTS} segments")
        if "" in segments:
            raise InvalidRequest("a name cannot be empty")
        return names.path(self._names, key, segments)

    def get(self, key: str | bytes, kind: type[T]) -> T | None:
        """The value at a key, decrypted anew: for secrets."""
        plaintext = self._rows.get(self.row(key))
        return None if plaintext is None else decoder(kind).decode(plaintext)

    def settings(self, key: str | bytes, kind: type[T]) -> T | None:
        """The value at a key, kept decoded in memory while it stands: for configuration and tables, never for secrets."""
        return self._rows.value(self.row(key), kind)

    def exists(self, key: str | bytes) -> bool:
        """Whether there is a value at the key; it is not opened, so this says nothing of what it holds."""
        return self._rows.holds(self.row(key))

    def put(self, key: str | bytes, value: msgspec.Struct) -> None:
        """Stage a value; later reads of this call see it."""
        self._rows.put(self.row(key), _encode(value), charge=self._charging)

    def create(self, key: bytes, value: msgspec.Struct) -> None:
        """Stage a value under a digest that is freshly random, so that nothing can stand there: saves looking."""
        self._rows.put(self.row(key), _encode(value), charge=self._charging, fresh=True)

    def delete(self, key: str | bytes) -> None:
        """Stage the removal of a value; nothing happens where there is none."""
        self._rows.put(self.row(key), None, charge=self._charging)

    def want(self, keys: Iterable[str | bytes]) -> None:
        """These keys will be read, one by one: a store on another machine is asked for all of them at once."""
        self._rows.want([self.row(key) for key in keys])

    def directory(self, prefix: str) -> Directory:
        """The names directly below a path as `list` gives them, to be answered as they are: where they are very many the call pauses."""
        return self._rows.listing(self._prefix(prefix))

    def _prefix(self, path: str) -> bytes:
        path = path.strip("/")
        return self.row(path) if path else self._names

    def list(self, prefix: str, after: str = "", limit: int = -1) -> list[str]:
        """Names directly below a path, sorted; those with more below them end in "/" (a name may stand twice).

        Only names greater than `after`, at most `limit` of them; a limit of 0 or less is none.
        """
        names = self._rows.directory(self._prefix(prefix)).names
        return page_of(names, after, limit)

    def walk(self, prefix: str = "") -> Iterator[str]:
        """Every key below a path, depth first, sorted per level."""
        path = prefix.strip("/")
        for name in self.list(path):
            full = f"{path}/{name}" if path else name
            if name.endswith("/"):
                yield from self.walk(full)
            else:
                yield full

    def walked(self, pending: tuple[str, ...], most: int) -> tuple[Sequence[str], tuple[str, ...]]:
        """A share of a walk: about `most` keys, and what is still to be walked. `pending` holds keys, and paths that end in "/"; the last
        comes first. A directory that is very long makes the call pause."""
        found, stack = [], [*pending]
        while stack and most > 0:
            path = stack.pop()
            if path.endswith("/"):
                stack += [path + name for name in reversed(self.directory(path).names)]
                most -= KEYS_OF_A_FOLDER
            else:
                found.append(path)
                most -= 1
        return found, tuple(stack)

    def digests(self, prefix: bytes, limit: int = -1) -> Sequence[bytes]:
        """Digest keys that begin with `prefix`, in order."""
        head = self._area + DIGESTS
        rows = self._rows.scan(head + prefix, head + prefix + b"\xff" * 80, limit)
        return [key[len(head) :] for key, _ in rows]

    def at(self, when: int, job: str, payload: msgspec.Struct) -> None:
        """Have this mount's `due(job, payload)` called once `when` (ns since the epoch) has come; part of the same commit."""
        key = QUEUE_AREA + DUE + when.to_bytes(8, "big") + _salt()
        due = Due(self._area, job, _encode(payload))
        self._rows.put(key, _encode(due), charge=self._charging, fresh=True)

    def charge(self) -> View:
        """The part that commits even when the call fails: attempts, uses, steps."""
        return View(self._rows, self._area, charging=True)
