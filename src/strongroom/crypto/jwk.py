"""Public keys that signed tokens are checked with: from PEM, and from an issuer's JSON Web Key Set (RFC 7517).

    "RS256" → Scheme(RSA, PKCS #1 v1.5, SHA-256)      "ES384" → Scheme(P-384, 96-byte r ‖ s, SHA-384)      "EdDSA" → Scheme(Ed25519)

Rules of this file:
- A key decides which algorithms may be used with it, never the token: `Key.algorithms` comes from the kind of key (and the key set's own
  `alg`), so an RSA key cannot serve as an HMAC secret. There are no symmetric algorithms at all, and "none" is no algorithm.
- A key set is what an outsider sends: members are read by type, a key that cannot be used is left out and never a reason to fail, and a
  set is bounded. A single key that an administrator wrote is refused with its reason instead.
- Keys that carry private parts are not used: whoever published them published the means to sign.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from strongroom.crypto.errors import UnusableKey

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey

MAX_KEYS = 128
"""Keys of one set. The largest public issuers publish about a dozen; each costs a try where a token names none."""

MIN_RSA_BITS = 2_048
"""RFC 7518, section 3.3."""

MAX_RSA_BITS = 8_192
"""Checking a signature grows with the square of it."""

MAX_KEY_ID = 256
"""Characters of a key id; it is only ever compared."""

_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "P-256": ("ES256", ec.SECP256R1()),
    "P-384": ("ES384", ec.SECP384R1()),
    "P-521": ("ES512", ec.SECP521R1()),
}
_BY_CURVE = {curve.name: (algorithm, (curve.key_size + 7) // 8) for algorithm, curve in _CURVES.values()}
_RSA = frozenset(family + bits for family in ("RS", "PS") for bits in _HASHES)
_ED25519 = frozenset(("EdDSA", "Ed25519"))
"""RFC 8037's name and the one that RFC 9864 put in its place."""

ALGORITHMS = frozenset((*_RSA, *(algorithm for algorithm, _ in _CURVES.values()), *_ED25519))
"""Every algorithm a token may be signed with, asymmetric ones only."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, the id its set gives it ("" = none) and the algorithms that it may be used with."""

    public: PublicKey
    algorithms: frozenset[str]
    kid: str = ""

    def verify(self, algorithm: str, signature: bytes, message: bytes) -> None:
        """Raises cryptography's InvalidSignature."""
        if algorithm not in self.algorithms:
            raise exceptions.InvalidSignature
        if isinstance(self.public, rsa.RSAPublicKey):
            digest = _HASHES[algorithm[2:]]
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            self.public.verify(signature, message, pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest)
        elif isinstance(self.public, ec.EllipticCurvePublicKey):
            _, size = _BY_CURVE[self.public.curve.name]
            self.public.verify(_der(signature, size), message, ec.ECDSA(_HASHES["512" if size == 66 else str(size * 8)]))
        else:
            self.public.verify(signature, message)


def _der(signature: bytes, size: int) -> bytes:
    """RFC 7518, section 3.4: r and s, each as long as the curve's order; any other length is no signature."""
    if len(signature) != 2 * size:
        raise exceptions.InvalidSignature
    return utils.encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))


def usable(public: object, kid: str = "", algorithm: str = "") -> Key:
    """The key with the algorithms that fit it, or only `algorithm`. Raises UnusableKey."""
    match public:
        case rsa.RSAPublicKey():
            if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
                raise UnusableKey(f"an RSA key needs {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
            fitting = _RSA
        case ec.EllipticCurvePublicKey() if public.curve.name in _BY_CURVE:
            fitting = frozenset((_BY_CURVE[public.curve.name][0],))
        case Ed25519PublicKey():
            fitting = _ED25519
        case _:
            raise UnusableKey("a key is RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")
    if algorithm:
        fitting &= {algorithm}
    if not fitting:
        raise UnusableKey("the key's algorithm does not fit its kind")
    return Key(public, fitting, kid)


def from_pem(text: str) -> Key:
    """A public key or a certificate in PEM. Raises UnusableKey, also for a private key."""
    data = text.encode()
    if b"PRIVATE KEY" in data:
        raise UnusableKey("it is a private key; give the public key that belongs to it")
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return usable(x509.load_pem_x509_certificate(data).public_key())
        return usable(load_pem_public_key(data))
    except UnusableKey:
        raise
    except (ValueError, exceptions.UnsupportedAlgorithm):
        raise UnusableKey("it is neither a public key nor a certificate in PEM") from None


def from_key_set(keys: object) -> tuple[Key, ...]:
    """The keys of a set's `keys` member that can check signatures. Raises UnusableKey where the member is not a bounded list."""
    if not isinstance(keys, list):
        raise UnusableKey("a key set has a list of keys")
    if len(keys) > MAX_KEYS:
        raise UnusableKey(f"a key set has at most {MAX_KEYS} keys")
    return tuple(_each(keys))


def _each(keys: Iterable[object]) -> Iterable[Key]:
    for key in keys:
        try:
            yield from_jwk(key)
        except UnusableKey:
            continue


def from_jwk(jwk: object) -> Key:
    """One JSON Web Key. Raises UnusableKey."""
    if not isinstance(jwk, Mapping):
        raise UnusableKey("a key is an object")
    if "d" in jwk or "k" in jwk:
        raise UnusableKey("a key with private parts is not used")
    if jwk.get("use", "sig") != "sig" or "verify" not in _operations(jwk):
        raise UnusableKey("the key is not for signatures")
    kid, kind, algorithm = (_text(jwk, name) for name in ("kid", "kty", "alg"))
    if len(kid) > MAX_KEY_ID:
        raise UnusableKey(f"a key id has at most {MAX_KEY_ID} characters")
    if kind not in _KINDS:
        raise UnusableKey("a key is RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")
    try:
        public = _KINDS[kind](jwk)
    except (ValueError, exceptions.UnsupportedAlgorithm):
        raise UnusableKey("the key's numbers are not those of a key") from None
    return usable(public, kid, algorithm)


def _operations(jwk: Mapping[str, object]) -> list[object]:
    operations = jwk.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else []


def _text(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name, "")
    if not isinstance(value, str):
        raise UnusableKey(f"a key's '{name}' is a text")
    return value


def _number(jwk: Mapping[str, object], name: str) -> int:
    return int.from_bytes(decode(_text(jwk, name)))


def _rsa(jwk: Mapping[str, object]) -> PublicKey:
    if len(_text(jwk, "n")) > MAX_RSA_BITS // 4:
        raise UnusableKey(f"an RSA key needs {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    return rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n")).public_key()


def _ec(jwk: Mapping[str, object]) -> PublicKey:
    name = _text(jwk, "crv")
    if name not in _CURVES:
        raise UnusableKey("the key's curve is not P-256, P-384 or P-521")
    return ec.EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), _CURVES[name][1]).public_key()


def _okp(jwk: Mapping[str, object]) -> PublicKey:
    if _text(jwk, "crv") != "Ed25519":
        raise UnusableKey("the key's curve is not Ed25519")
    return Ed25519PublicKey.from_public_bytes(decode(_text(jwk, "x")))


_KINDS: dict[str, Callable[[Mapping[str, object]], PublicKey]] = {"RSA": _rsa, "EC": _ec, "OKP": _okp}


def decode(text: str) -> bytes:
    """base64url without padding, in its one canonical spelling (RFC 7515, section 2). Raises ValueError."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        raise ValueError("not base64url") from None
    if urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("not canonical base64url")
    return data
