"""sys/tools: random bytes and hashes, for callers without a good source of their own.

Rules of this file: randomness is the kernel's, whatever source is asked for; nothing is kept of what was asked or answered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import Annotated, Final

import msgspec

from strongroom.core.engine import write
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest
from strongroom.sys.routes import Routes

MOST_BYTES: Final = 128 << 10
SOURCES: Final = ("platform", "seal", "all")
NO_SEAL: Final = "no seal/entropy augmentation available, using platform entropy source"
HASHES: Final = {
    "sha2-224": hashlib.sha224,
    "sha2-256": hashlib.sha256,
    "sha2-384": hashlib.sha384,
    "sha2-512": hashlib.sha512,
    "sha3-224": hashlib.sha3_224,
    "sha3-256": hashlib.sha3_256,
    "sha3-384": hashlib.sha3_384,
    "sha3-512": hashlib.sha3_512,
}
FORMATS: Final = ("hex", "base64")


class RandomBody(msgspec.Struct, frozen=True):
    """How many bytes, and how they are written."""

    bytes: Annotated[int, "how many"] = 32
    format: Annotated[str, "base64 or hex"] = "base64"
    source: Annotated[str, "platform, seal or all"] = "platform"


class HashBody(msgspec.Struct, frozen=True):
    """What to hash, and how."""

    input: Annotated[str, "base64 of the bytes"] = ""
    algorithm: Annotated[str, "sha2-256, sha3-512 and their kin"] = "sha2-256"
    format: Annotated[str, "hex or base64"] = "hex"


class ToolRoutes(Routes):
    """Random bytes and hashes."""

    @write("tools/random", body=RandomBody, writes=False)
    def random(self, body: RandomBody) -> Response:
        """Make random bytes."""
        if body.source not in SOURCES:
            raise InvalidRequest('unsupported entropy source; must be "platform" or "seal", or "all"')
        if body.bytes < 1:
            raise InvalidRequest('"bytes" cannot be less than 1')
        if body.bytes > MOST_BYTES:
            raise InvalidRequest(f'"bytes" should be less than {MOST_BYTES}')
        warnings = (NO_SEAL,) if body.source == "seal" else ()
        return Response(data={"random_bytes": _written(os.urandom(body.bytes), body.format)}, warnings=warnings)

    @write("tools/random/{source}", body=RandomBody, writes=False)
    def random_by_path(self, first: str, body: RandomBody) -> Response:
        """Make random bytes, as many or from where the path says."""
        if first in SOURCES:
            return self.random(msgspec.structs.replace(body, source=first))
        return self.random(msgspec.structs.replace(body, bytes=_count(first)))

    @write("tools/random/{source}/{urlbytes}", body=RandomBody, writes=False)
    def random_from(self, source: str, urlbytes: str, body: RandomBody) -> Response:
        """Make random bytes, as many and from where the path says."""
        return self.random(msgspec.structs.replace(body, source=source, bytes=_count(urlbytes)))

    @write("tools/hash", body=HashBody, writes=False)
    def hash(self, body: HashBody) -> Response:
        """Hash bytes."""
        make = HASHES.get(body.algorithm)
        if make is None:
            raise InvalidRequest(f"unsupported algorithm; there are {', '.join(HASHES)}")
        try:
            data = base64.b64decode(body.input, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest("unable to decode input as base64") from None
        return Response(data={"sum": _written(make(data).digest(), body.format)})

    @write("tools/hash/{urlalgorithm}", body=HashBody, writes=False)
    def hash_by_path(self, urlalgorithm: str, body: HashBody) -> Response:
        """Hash bytes with the algorithm that the path says."""
        return self.hash(msgspec.structs.replace(body, algorithm=urlalgorithm))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise InvalidRequest("error parsing url-set byte count: it is not a number")
    return int(text)


def _written(data: bytes, form: str) -> str:
    if form not in FORMATS:
        raise InvalidRequest('unsupported encoding format; must be "hex" or "base64"')
    return data.hex() if form == "hex" else base64.b64encode(data).decode()
