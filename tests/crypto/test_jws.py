"""A signed token has one reading, and is checked with algorithms that caller and key both allow. joserfc, an oracle, signs."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws as oracle
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from strongroom.crypto import jwk, jws
from strongroom.crypto.errors import InvalidToken, UnknownKey, UnusableKey

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # joserfc's word on RFC 9864; issuers still say EdDSA

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
SIGNERS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": Ed25519PrivateKey.generate(),
    "Ed25519": Ed25519PrivateKey.generate(),
}
CLAIMS = {"iss": "https://issuer.example", "sub": "sam"}
PAYLOAD = json.dumps(CLAIMS).encode()


def pem(private: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def oracle_key(private: Any) -> Any:
    data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    kinds = ((rsa.RSAPrivateKey, RSAKey), (ec.EllipticCurvePrivateKey, ECKey), (Ed25519PrivateKey, OKPKey))
    kind = next(wrapped for plain, wrapped in kinds if isinstance(private, plain))
    return kind.import_key(data)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(algorithm: str = "RS256", payload: bytes = PAYLOAD, private: Any = None, **header: Any) -> str:
    """Signed by joserfc."""
    key = oracle_key(private or SIGNERS[algorithm])
    return oracle.serialize_compact({"alg": algorithm, **header}, payload, key, algorithms=[algorithm])


def raw(header: bytes, payload: bytes = PAYLOAD) -> str:
    """Any header at all, with a good RS256 signature over it."""
    signed = f"{b64(header)}.{b64(payload)}"
    key = oracle_key(RSA)
    signature = oracle.JWSRegistry.algorithms["RS256"].sign(signed.encode(), key)
    return f"{signed}.{b64(signature)}"


KEY = jwk.from_pem(pem(RSA))


def refused(text: str, *keys: jwk.Key, algorithms: Any = jwk.ALGORITHMS) -> str:
    with pytest.raises(InvalidToken) as caught:
        jws.parse(text, algorithms).verify(keys or (KEY,))
    return str(caught.value)


def accepted(text: str, *keys: jwk.Key, algorithms: Any = jwk.ALGORITHMS) -> dict[str, Any]:
    return jws.parse(text, algorithms).verify(keys or (KEY,))


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_what_an_independent_signer_signs_verifies_with_a_key_in_either_form(algorithm: str) -> None:
    private = SIGNERS[algorithm]
    published = jwk.from_jwk(oracle_key(private).as_dict(private=False))
    for key in (jwk.from_pem(pem(private)), published):
        assert accepted(token(algorithm), key) == CLAIMS
        changed = token(algorithm, PAYLOAD.replace(b"sam", b"eve")).rpartition(".")[0]
        assert "no known key successfully" in refused(f"{changed}.{token(algorithm).rpartition('.')[2]}", key)


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_an_algorithm_is_used_only_where_caller_and_key_both_allow_it(algorithm: str) -> None:
    key = jwk.from_pem(pem(SIGNERS[algorithm]))
    assert "algorithm that is allowed" in refused(token(algorithm), key, algorithms=jwk.ALGORITHMS - {algorithm})
    narrowed = jwk.Key(key.public, key.algorithms - {algorithm})
    assert "no known key successfully" in refused(token(algorithm), narrowed)
    assert accepted(token(algorithm), key) == CLAIMS  # the control


@pytest.mark.parametrize(
    "name", ["none", "None", "nOnE", "NONE", "", "rs256", "HS256", "HS384", "HS512", "RS1", "ES256K", "dir", "RSA-OAEP"]
)
def test_no_algorithm_but_the_asymmetric_ones_is_read(name: str) -> None:
    header = json.dumps({"alg": name}).encode()
    assert "algorithm that is allowed" in refused(raw(header))
    signed = f"{b64(header)}.{b64(PAYLOAD)}"
    assert "part of the token is empty" in refused(f"{signed}.")
    assert accepted(raw(b'{"alg":"RS256"}')) == CLAIMS  # the control: the same, with its own algorithm


def test_a_public_key_does_not_serve_as_an_hmac_secret() -> None:
    """CVE-2022-29217, CVE-2024-33663. The caller's list is of no help to the forger: a key says what it is good for."""
    forged = oracle.serialize_compact({"alg": "HS256"}, PAYLOAD, OctKey.import_key(b64(pem(RSA).encode())), algorithms=["HS256"])
    assert "algorithm that is allowed" in refused(forged, algorithms={"HS256", "RS256"})
    with pytest.raises(UnusableKey, match="private parts"):
        jwk.from_jwk({"kty": "oct", "k": b64(pem(RSA).encode())})


@pytest.mark.parametrize(
    "member",
    [
        {"jwk": {"kty": "RSA"}},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"b64": False},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
        {"cty": "JWT"},
        {"alg ": "none"},
        {"kid": 7},
        {"kid": None},
        {"kid": "k" * 257},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": ["JWT"]},
        {"alg": ["RS256"]},
    ],
    ids=str,
)
def test_a_header_says_nothing_but_what_is_known(member: dict[str, Any]) -> None:
    refused(raw(json.dumps({"alg": "RS256"} | member).encode()))


@pytest.mark.parametrize(
    "member", [{"kid": "../../etc/passwd"}, {"kid": "' OR 1=1 --"}, {"typ": "JWT"}, {"typ": "application/at+jwt"}, {"x5t": "hint"}], ids=str
)
def test_harmless_header_members_are_read(member: dict[str, Any]) -> None:
    assert accepted(raw(json.dumps({"alg": "RS256"} | member).encode())) == CLAIMS


BAD_JSON: list[bytes] = [
    b'{"alg":"RS256","alg":"RS256"}',
    b'{"alg":"none","alg":"RS256"}',
    b'{"alg":"RS256","x5t":{"a":1,"a":2}}',
    b'\xef\xbb\xbf{"alg":"RS256"}',
    b'{"alg":"RS256"} x',
    b'{"alg":"RS256","kid":"\xff"}',
    rb'{"alg":"RS256","kid":"\ud800"}',
    b'{"alg":"RS256","x5t":NaN}',
    b"{'alg':'RS256'}",
    b'["RS256"]',
    b'"RS256"',
    b"null",
    b'{"alg":"RS256",}',
    '{"alg":"RS256"}'.encode("utf-16"),
    b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    b'{"alg":"RS256","x5t":1e999}',
]


@pytest.mark.parametrize("text", BAD_JSON, ids=lambda text: text[:30].decode("latin-1"))
def test_a_header_or_payload_has_one_reading(text: bytes) -> None:
    assert "not" in refused(raw(text)) or len(text) > jws.MAX_HEADER
    if b"[" not in text[:1] and text not in (b'"RS256"', b"null"):
        refused(raw(b'{"alg":"RS256"}', text))


def test_payload_numbers_are_exact() -> None:
    claims = accepted(raw(b'{"alg":"RS256"}', b'{"n":9007199254740993,"f":1.10}'))
    assert (claims["n"], str(claims["f"])) == (9_007_199_254_740_993, "1.10")


MUTATIONS: dict[str, Callable[[str], str]] = {
    "padding": lambda text: text + "=",
    "padding in the header": lambda text: text.replace(".", "=.", 1),
    "four parts": lambda text: text + ".x",
    "two parts": lambda text: text.rpartition(".")[0],
    "five parts": lambda text: text + ".x.x",
    "no signature": lambda text: text.rpartition(".")[0] + ".",
    "a space before": lambda text: " " + text,
    "a line end after": lambda text: text + "\n",
    "a line end within": lambda text: text[:10] + "\n" + text[10:],
    "the other alphabet": lambda text: text[:-4] + "+/+/",
    "no ascii": lambda text: "é" + text,
    "a longer signature": lambda text: text + "AAAA",
    "a shorter signature": lambda text: text[:-4],
    "an empty token": lambda text: "",
    "dots": lambda text: "..",
    "too long": lambda text: text + "A" * jws.MAX_TOKEN,
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_compact_form_has_one_spelling(mutation: str) -> None:
    text = token()
    refused(MUTATIONS[mutation](text))
    assert accepted(text) == CLAIMS


def test_trailing_bits_of_a_part_are_zero() -> None:
    """A 64-byte signature is 86 characters, of whose last one four bits mean nothing: sixteen spellings, one is legal."""
    text, key = token("ES256"), jwk.from_pem(pem(SIGNERS["ES256"]))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = alphabet.index(text[-1])
    assert place % 16 == 0
    for spelling in range(place + 1, place + 16):
        assert "not base64url" in refused(text[:-1] + alphabet[spelling], key)
    assert accepted(text, key) == CLAIMS


def test_an_ecdsa_signature_in_another_form_is_none() -> None:
    key = jwk.from_pem(pem(SIGNERS["ES256"]))
    signed, _, signature = token("ES256").rpartition(".")
    size = len(jwk.decode(signature)) // 2
    r, s = jwk.decode(signature)[:size], jwk.decode(signature)[size:]
    for forged in (bytes(64), jwk._der(r + s, size), bytes(1) + r + bytes(1) + s, s + r):
        assert "no known key successfully" in refused(f"{signed}.{b64(forged)}", key)
    assert accepted(f"{signed}.{signature}", key) == CLAIMS


def test_a_named_key_is_the_only_one_tried_and_an_unknown_one_is_said_to_be_so() -> None:
    one, other = (jwk.usable(private.public_key(), kid) for private, kid in ((RSA, "one"), (OTHER_RSA, "other")))
    assert accepted(token(kid="one"), one, other) == CLAIMS
    assert "no known key successfully" in refused(token(kid="other"), one, other)
    with pytest.raises(UnknownKey):
        jws.parse(token(kid="third")).verify((one, other))
    assert accepted(token(), other, one) == CLAIMS  # no key id: every key that fits is tried
    assert accepted(token(kid="any"), KEY) == CLAIMS  # a key without an id is for every token
    with pytest.raises(UnknownKey):
        jws.parse(token()).verify(())


def test_keys_that_cannot_be_trusted_are_refused_with_their_reason() -> None:
    small = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    private = RSA.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    for text, reason in {
        pem(small): "2048",
        pem(ec.generate_private_key(ec.SECP256K1())): "P-256",
        pem(Ed448PrivateKey.generate()): "Ed25519",
        private: "private key",
        "": "neither",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----": "neither",
    }.items():
        with pytest.raises(UnusableKey, match=reason):
            jwk.from_pem(text)


def test_a_key_set_gives_the_keys_that_can_be_used() -> None:
    good = oracle_key(RSA).as_dict(private=False) | {"kid": "good", "use": "sig", "alg": "RS256"}
    rest: list[Any] = [
        good | {"kid": "private", "d": "AQAB"},
        good | {"kid": "encryption", "use": "enc"},
        good | {"kid": "operations", "key_ops": ["encrypt"]},
        good | {"kid": "misfit", "alg": "ES256"},
        good | {"kid": 7},
        good | {"kid": "k" * 257},
        good | {"kid": "padded", "n": good["n"] + "="},
        good | {"kid": "huge", "n": "A" * 9_000},
        good | {"kid": "kind", "kty": "oct"},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        "text",
        None,
    ]
    (key,) = jwk.from_key_set([*rest, good])
    assert key.kid == "good" and key.algorithms == {"RS256"}
    assert accepted(token(kid="good"), key) == CLAIMS
    for keys in (None, good, [good] * (jwk.MAX_KEYS + 1)):
        with pytest.raises(UnusableKey):
            jwk.from_key_set(keys)


def test_a_token_shows_nothing_of_itself() -> None:
    assert "sam" not in repr(jws.parse(token())) and b64(PAYLOAD) not in repr(jws.parse(token()))
