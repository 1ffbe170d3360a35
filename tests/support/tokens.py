"""An issuer of tokens, written apart from the code that checks them: it signs whatever header and payload it is given."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def rsa_key() -> rsa.RSAPrivateKey:
    """A fresh one."""
    return rsa.generate_private_key(65_537, 2_048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    """A fresh one on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: Private) -> str:
    """The public key, as it is configured."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(key: Private, kid: str = "", **members: Any) -> dict[str, Any]:
    """The public key, as an issuer publishes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        found = {"kty": "RSA", "n": b64(numbers.n.to_bytes(key.key_size // 8)), "e": b64(numbers.e.to_bytes(3))}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        found = {"kty": "EC", "crv": "P-256", "x": b64(point.x.to_bytes(32)), "y": b64(point.y.to_bytes(32))}
    else:
        found = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))}
    return {**found, **({"kid": kid} if kid else {}), **members}


def signature(key: Private, algorithm: str, message: bytes) -> bytes:
    """A signature, by whatever algorithm is asked for."""
    if isinstance(key, rsa.RSAPrivateKey):
        digest = HASHES[algorithm[2:]]
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return key.sign(message, pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    return key.sign(message)


Part = Mapping[str, Any] | bytes
"""A header or a payload: an object, or the very bytes."""


def signed(key: Private, payload: Part, algorithm: str = "RS256", header: Part | None = None) -> str:
    """A token. Header and payload are objects, or the very bytes to sign; `header` is added to alg and typ."""
    head = header if isinstance(header, bytes) else json.dumps({"alg": algorithm, "typ": "JWT", **(header or {})}).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = f"{b64(head)}.{b64(body)}"
    return f"{text}.{b64(signature(key, algorithm, text.encode()))}"
