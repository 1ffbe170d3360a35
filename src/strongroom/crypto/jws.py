"""Signed tokens: a JWT as a compact JWS (RFC 7515, 7519), read strictly and trusted only once its signature holds.

    header . payload . signature        each base64url without padding, in its one canonical spelling

    claims = jws.parse(text, algorithms={"RS256"}).verify(keys)

Rules of this file:
- The caller says which algorithms are legal, a key says which fit it (crypto/jwk.py); the token's own `alg` only picks among those.
- The header may have the members of `HEADERS` and no others. Those that bring or fetch a key (`jwk`, `jku`, `x5u`, `x5c`), change what is
  signed (`crit`, `b64`, `zip`) or wrap another token (`cty`, `enc`) are refused, not ignored.
- JSON is read so that there is one reading: strict UTF-8, an object at the top, no name twice at any level, no number beyond a double.
- `verify` is what gives the claims. `unverified_claims` has its name for the caller who has the issuer check the token.
- Strangers send these: what a token costs to read is told by its length. Floats are read by Python, since the parser takes ten
  microseconds for one such as 1e300, which has five characters.
- Nothing here knows the time or an issuer: crypto/claims.py checks what the claims say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature

from strongroom.crypto.errors import InvalidToken, UnknownKey
from strongroom.crypto.jwk import ALGORITHMS, MAX_KEY_ID, Key, decode

Claims = dict[str, Any]

MAX_TOKEN = 64 * 1024
"""Characters. Tokens that list a user's groups reach about 20,000."""

MAX_HEADER = 4 * 1024
"""Characters of the header: an algorithm, a key id and thumbprints."""

HEADERS = frozenset(("alg", "kid", "typ", "x5t", "x5t#S256"))
"""What a header may say. The thumbprints (Entra ID sends one) are hints that nobody reads here."""

TYPES = frozenset(("", "jwt", "at+jwt"))
"""RFC 8725, section 3.11: a logout token or a proof of possession is not to be taken for a login, though the same issuer signed it."""


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token that is well-formed. Nothing it says is true yet."""

    algorithm: str
    kid: str
    signed: bytes
    signature: bytes
    payload: bytes

    def verify(self, keys: Sequence[Key]) -> Claims:
        """What the token says, signed by one of the keys. Raises InvalidToken; UnknownKey where no key bears its key id."""
        named = [key for key in keys if not (self.kid and key.kid) or key.kid == self.kid]
        if not named:
            raise UnknownKey("no known key bears the token's key id")
        for key in named:
            if self.algorithm in key.algorithms and self._signed_by(key):
                return _object(self.payload, "payload")
        raise InvalidToken("no known key successfully validated the token signature")

    def _signed_by(self, key: Key) -> bool:
        try:
            key.verify(self.algorithm, self.signature, self.signed)
        except InvalidSignature:
            return False
        return True

    def unverified_claims(self) -> Claims:
        """What the token says of itself, for whoever has somebody else verify it. Raises InvalidToken."""
        return _object(self.payload, "payload")


def parse(text: str, algorithms: Collection[str] = ALGORITHMS) -> Token:
    """A token in compact form, signed with one of the algorithms. Raises InvalidToken."""
    if len(text) > MAX_TOKEN:
        raise InvalidToken(f"a token has at most {MAX_TOKEN} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise InvalidToken("compact JWS format must have three parts")
    if len(parts[0]) > MAX_HEADER:
        raise InvalidToken(f"a token's header has at most {MAX_HEADER} characters")
    header, payload, signature = (_part(part) for part in parts)
    algorithm, kid = _header(_object(header, "header"), algorithms)
    return Token(algorithm, kid, text.rpartition(".")[0].encode("ascii"), signature, payload)


def _part(text: str) -> bytes:
    if not text:
        raise InvalidToken("a part of the token is empty")
    try:
        return decode(text)
    except ValueError:
        raise InvalidToken("a part of the token is not base64url without padding") from None


def _header(header: Claims, algorithms: Collection[str]) -> tuple[str, str]:
    """The algorithm and the key id."""
    if not header.keys() <= HEADERS:
        raise InvalidToken(f"the token's header has a member that is not allowed; it may have {', '.join(sorted(HEADERS))}")
    if not all(isinstance(value, str) for value in header.values()):
        raise InvalidToken("a member of the token's header is not a text")
    if header.get("alg", "") not in ALGORITHMS.intersection(algorithms):
        raise InvalidToken("the token is not signed with an algorithm that is allowed here")
    if header.get("typ", "").lower().removeprefix("application/") not in TYPES:
        raise InvalidToken("the token's 'typ' is not that of an identity or access token")
    if len(header.get("kid", "")) > MAX_KEY_ID:
        raise InvalidToken(f"the token's key id has more than {MAX_KEY_ID} characters")
    return header["alg"], header.get("kid", "")


def _object(data: bytes, part: str) -> Claims:
    """A JSON object. Two parsers must accept it: msgspec's is strict about UTF-8, surrogates and ranges, the other sees names twice."""
    try:
        _STRICT.decode(data)
        value = json.loads(data.decode(), object_pairs_hook=_members, parse_float=Decimal)
    except (ValueError, ArithmeticError, msgspec.MsgspecError, RecursionError):
        raise InvalidToken(f"the token's {part} is not strict JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"the token's {part} is not a JSON object")
    return value


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if number.copy_abs() > _LARGEST:
        raise ValueError("beyond a double")
    return number


_LARGEST = Decimal(sys.float_info.max)
_STRICT = msgspec.json.Decoder(float_hook=_number)


def _members(pairs: list[tuple[str, Any]]) -> Claims:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members
