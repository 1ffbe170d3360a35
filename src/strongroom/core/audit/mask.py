"""Values become HMACs: what of a body may stand in an audit line.

Rules of this file:
- Names, numbers, booleans, null and instants stay; every text becomes `hmac-sha256:` and the hex HMAC-SHA-256 of its UTF-8 under the
  device's key. Bytes, and whatever this file does not know, count as text.
- A text stays only under a name that the mount's `audit_non_hmac_*_keys` lists, at any depth, as in Vault.
- Text that should be JSON and is not becomes one HMAC of the whole.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Final

import msgspec

from strongroom.barrier.directory import Edit
from strongroom.core.response import Json
from strongroom.core.secret import Secret
from strongroom.crypto.mac import Mac
from strongroom.memo import remember

NONE: Final[frozenset[str]] = frozenset()

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_EXACT: Final = msgspec.json.Decoder(float_hook=Decimal)
_CLEAR: Final = frozenset({bool, int, float, Decimal, datetime, NoneType})

_LISTED: Final = frozenset({"keys", "key_info"})

encode = _ENCODER.encode


class Mask:
    """The HMAC of one device, and what it makes of values."""

    __slots__ = ("_inner", "_mac", "_outer")

    def __init__(self, key: bytes) -> None:
        mac = self._mac = Mac(key)
        self._inner, self._outer = mac.inner, mac.outer

    def hash(self, text: bytes) -> str:
        """What stands for a text."""
        return f"hmac-sha256:{self._mac.hex(text)}"

    def quoted(self, text: bytes) -> bytes:
        """The same as a JSON string. It is the HMAC written out: a line has a dozen of them, and a call less counts."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return b'"hmac-sha256:%b"' % hexlify(outer.digest())

    def json(self, text: bytes, clear: frozenset[str] = NONE) -> bytes:
        """The masked form of JSON text, on one line."""
        try:
            return self.value(_EXACT.decode(text), clear)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self.quoted(text)

    def value(self, value: object, clear: frozenset[str] = NONE, name: str = "") -> bytes:
        """The masked form of a value under the innermost name it stands below. What JSON consists of is looked for first."""
        if isinstance(value, str):
            return name_text(value) if name in clear else self.quoted(_utf8(value))
        if type(value) in _CLEAR:
            return encode(value)
        if isinstance(value, dict):
            return self._members(value.items(), clear)
        if isinstance(value, (list, tuple, set, frozenset)):
            return b"[%b]" % b",".join([self.value(item, clear, name) for item in value])
        return self._rarely(value, clear)

    def _rarely(self, value: object, clear: frozenset[str]) -> bytes:
        match value:
            case date() | int():
                return encode(value)
            case Secret():
                return self.quoted(_utf8(value.reveal()))
            case Json():
                return self.json(value.text, clear)
            case msgspec.Raw():
                return self.json(bytes(value), clear)
            case Mapping():
                return self._members(value.items(), clear)
            case bytes() | bytearray() | memoryview():
                return self.quoted(bytes(value))
            case msgspec.Struct():
                return self._members(((field, getattr(value, field)) for field in value.__struct_fields__), clear)
        return self.quoted(_utf8(repr(value)))

    def _members(self, members: Iterable[tuple[object, object]], clear: frozenset[str]) -> bytes:
        """Names and masked values. A body is mostly texts below names: those are masked here, as `quoted` does, without a call for each."""
        inner, outer, names = self._inner.copy, self._outer.copy, _NAMES
        parts = []
        for key, value in members:
            name = key if type(key) is str else str(key)
            kind = type(value)
            if kind is str and name not in clear:
                first, second = inner(), outer()
                first.update(value.encode("utf-8", "surrogatepass"))  # type: ignore[attr-defined]  # its type was looked at
                second.update(first.digest())
                text = b'"hmac-sha256:%b"' % hexlify(second.digest())
            elif kind is int:
                text = b"%d" % value  # type: ignore[str-format]  # the same
            elif kind is bool or value is None:
                text = _WORDS[value]
            else:
                text = self.value(value, clear, name)
            parts.append(b"%b:%b" % (names.get(name) or name_text(name), text))
        return b"{%b}" % b",".join(parts)


class Names:
    """The masked names of a directory, from the first one on as far as they were needed (`grow`).

    Each takes as many bytes as any other, so one comes or goes without a look at the rest.
    """

    __slots__ = ("_block", "_mask")

    def __init__(self, mask: Mask, block: bytearray | None = None) -> None:
        self._mask = mask
        self._block = bytearray() if block is None else block

    def __len__(self) -> int:
        return len(self._block) // _WIDTH

    def grow(self, names: Sequence[str], most: int) -> bool:
        """Mask as many more of the directory's names; whether that was all."""
        start = len(self)
        quoted = self._mask.quoted
        self._block += b"".join([quoted(_utf8(name)) + b"," for name in names[start : start + most]])
        return start + most >= len(names)

    def data(self, names: Sequence[str]) -> bytes:
        """The `data` of a listing of the directory's names."""
        self.grow(names, len(names))
        return b"".join((b'{"keys":[', memoryview(self._block)[:-1], b"]}"))

    def amended(self, edits: Sequence[Edit]) -> Names:
        """What there is for a directory with these names more or less."""
        block = self._block.copy()
        for at, name, came in edits:
            start = at * _WIDTH
            if start < len(block):  # what stands behind it was not masked yet
                block[start : start if came else start + _WIDTH] = self._mask.quoted(_utf8(name)) + b"," if came else b""
        return Names(self._mask, block)


_WIDTH: Final = len(b'"hmac-sha256:",') + 64

_WORDS: Final[dict[object, bytes]] = {None: b"null", True: b"true", False: b"false"}
_NAMES: Final[dict[str, bytes]] = {}
"""JSON strings of the names and paths that come again and again; none is secret."""
_KEPT_NAMES: Final = 8_192
_LONGEST_KEPT: Final = 128


def name_text(name: str) -> bytes:
    """A text in the clear as a JSON string; what is not Unicode is escaped."""
    known = _NAMES.get(name)
    if known is not None:
        return known
    text = _escaped(name)
    return remember(_NAMES, _KEPT_NAMES, name, text) if len(name) <= _LONGEST_KEPT else text


def _escaped(name: str) -> bytes:
    try:
        return encode(name)
    except UnicodeEncodeError:
        return encode(name.encode("utf-8", "backslashreplace").decode())


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def elide(value: Mapping[str, object]) -> dict[str, object]:
    """A listing with its names replaced by their number, as the option `elide_list_responses` asks for."""
    return {name: len(part) if name in _LISTED and isinstance(part, (Mapping, list, tuple)) else part for name, part in value.items()}
