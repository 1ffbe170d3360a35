"""Forged tokens, by class: each is one that some implementation of some year took, beside the claims a good one has.

Rules of this file:
- Every class comes with the check that refuses it, by a name of `CHECKS`. `lenient` is a plain verifier, written apart from ours, that
  makes all of them but the one it is told to leave out: it refuses every token of a class, and without that check it takes every one. So
  each is wrong in exactly one way, and a server that lacks the check would let it in.
- The generator signs with the issuer's keys where the forger has a token of the issuer's, and with his own where he has none.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tests.support.tokens import HASHES, Part, Private, b64, ec_key, jwk, pem, rsa_key, signature, signed

ISSUER, AUDIENCE, SUBJECT = "https://issuer.example", "strongroom", "job-1"
ALLOWED = ("RS256", "ES256", "EdDSA")
SKEW = 60


class Forged(NamedTuple):
    """A forged token: the check that refuses it, what it is, and its text."""

    check: str
    name: str
    token: str


class Issuer:
    """Whose tokens are good: three keys, and the claims of a good token."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.rsa, self.ec, self.ed = rsa_key(), ec_key(), ed25519.Ed25519PrivateKey.generate()
        self.keys: dict[str, Private] = {"RS256": self.rsa, "ES256": self.ec, "EdDSA": self.ed}
        self.pems = [pem(key) for key in self.keys.values()]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; what is `...` is left out."""
        good = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "iat": self.now, "nbf": self.now, "exp": self.now + 300, "env": "prod"}
        return {name: value for name, value in {**good, **changes}.items() if value is not ...}

    def good(self, algorithm: str = "RS256", **changes: Any) -> str:
        """A good token, but for the changes."""
        return signed(self.keys[algorithm], self.claims(**changes), algorithm)

    def signed(self, payload: Part, algorithm: str = "RS256", header: Part | None = None) -> str:
        """A token by the issuer's key."""
        return signed(self.keys[algorithm], payload, algorithm, header)


# -- the corpus ---------------------------------------------------------------------------------------------------------------


def corpus(issuer: Issuer) -> Iterator[Forged]:
    """All of them."""
    for check, make in GENERATORS:
        for name, token in make(issuer):
            yield Forged(check, name, token)


Named = Iterator[tuple[str, str]]


def _unsigned(issuer: Issuer) -> Named:
    """CVE-2015-9235 and its many returns: an algorithm that is none, however it is spelt."""
    body = b64(json.dumps(issuer.claims()).encode())
    junk = b64(b"junk")
    for spelling in ("none", "None", "NONE", "nOnE", "n\u043ene", "", " none", "none\0"):
        head = b64(json.dumps({"alg": spelling, "typ": "JWT"}).encode())
        for what, trailer in {"junk": junk, "a signature": issuer.good().rpartition(".")[2]}.items():
            yield f"alg {spelling!r} with {what}", f"{head}.{body}.{trailer}"


def _symmetric(issuer: Issuer) -> Named:
    """CVE-2015-9235, CVE-2022-29217, CVE-2024-33663: the public key, which everybody has, as the secret of an HMAC."""
    key = issuer.rsa.public_key()
    text = pem(issuer.rsa).encode()
    secrets = {
        "PEM": text,
        "PEM without its last newline": text.rstrip(),
        "PEM with CR": text.replace(b"\n", b"\r\n"),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS #1": key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "modulus": key.public_numbers().n.to_bytes(256),
        "JWK": json.dumps(jwk(issuer.rsa)).encode(),
        "OpenSSH": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "PEM of the EC key": pem(issuer.ec).encode(),
    }
    for algorithm in ("HS256", "HS384", "HS512"):
        for name, secret in secrets.items():
            head = b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
            message = f"{head}.{b64(json.dumps(issuer.claims()).encode())}"
            tag = hmac.digest(secret, message.encode(), f"sha{algorithm[2:]}")
            yield f"{algorithm} with {name}", f"{message}.{b64(tag)}"


def _other_algorithms(issuer: Issuer) -> Named:
    """Signed by the right key, with an algorithm that nobody allowed."""
    for algorithm in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        yield algorithm, signed(issuer.rsa, issuer.claims(), algorithm)


def _spelt_algorithms(issuer: Issuer) -> Named:
    """The right signature under a name that is none."""
    for spelling in ("rs256", "RS256 ", "RS\u200b256", "RS256\0", "RSA256", "SHA256withRSA", ["RS256"], {"RS256": 1}, None, 256, True):
        header: dict[str, Any] = {"alg": spelling}
        yield f"alg {spelling!r}", issuer.signed(issuer.claims(), header=header)


def _bring_a_key(issuer: Issuer) -> Named:
    """CVE-2018-0114: the token brings or names the key it is to be checked with."""
    mine = rsa_key()
    table: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": jwk(mine)},
        "jwk with the right kid": {"jwk": jwk(mine, "1"), "kid": "1"},
        "jku": {"jku": "https://evil.example/keys", "kid": "evil"},
        "jku of the issuer with a redirect": {"jku": f"{ISSUER}/login?next=https://evil.example/keys"},
        "x5u": {"x5u": "https://evil.example/chain.pem"},
        "x5u of metadata": {"x5u": "http://169.254.169.254/latest/meta-data"},
        "x5c": {"x5c": [base64.b64encode(b"certificate").decode()]},
    }
    for name, member in table.items():
        yield name, signed(mine, issuer.claims(), header=member)


def _unknown_headers(issuer: Issuer) -> Named:
    """RFC 7515, 4.1.11 and RFC 7797: extensions that change what is signed or must be understood, in tokens of the issuer's."""
    table: dict[str, dict[str, Any]] = {
        "crit": {"crit": ["exp"], "exp": 0},
        "crit b64": {"crit": ["b64"], "b64": True},
        "empty crit": {"crit": []},
        "b64": {"b64": True},
        "zip": {"zip": "DEF"},
        "enc": {"enc": "A256GCM"},
        "cty": {"cty": "JWT"},
        "epk": {"epk": jwk(issuer.ec)},
        "another jwk": {"jwk": jwk(issuer.rsa)},
        "jku": {"jku": f"{ISSUER}/keys"},
        "x5u": {"x5u": f"{ISSUER}/chain"},
        "x5c": {"x5c": []},
        "made up": {"http://example.com/extension": True},
    }
    for name, member in table.items():
        yield name, issuer.signed(issuer.claims(), header=member)


def _wrong_types(issuer: Issuer) -> Named:
    """RFC 8725, 3.11: another sort of token of the same issuer."""
    for kind in ("logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-authz-req+jwt", "entity-statement+jwt", "JOSE", "application/json"):
        yield kind, issuer.signed(issuer.claims(), header={"typ": kind})


def _header_values(issuer: Issuer) -> Named:
    """Members of the header that are no texts, or longer than any."""
    table: dict[str, dict[str, Any]] = {
        "kid number": {"kid": 1},
        "kid list": {"kid": ["1"]},
        "kid object": {"kid": {"$ne": ""}},
        "kid null": {"kid": None},
        "kid too long": {"kid": "../" * 200},
        "typ number": {"typ": 1},
        "typ list": {"typ": ["JWT"]},
        "x5t number": {"x5t": 1},
    }
    for name, member in table.items():
        yield name, issuer.signed(issuer.claims(), header=member)


def _other_keys(issuer: Issuer) -> Named:
    """Signed by the forger."""
    mine = rsa_key()
    yield "RSA", signed(mine, issuer.claims())
    yield "RSA with kid", signed(mine, issuer.claims(), header={"kid": "1"})
    yield "EC", signed(ec_key(), issuer.claims(), "ES256")
    yield "Ed25519", signed(ed25519.Ed25519PrivateKey.generate(), issuer.claims(), "EdDSA")
    yield "EC under RS256", signed(issuer.ec, issuer.claims(), "RS256")
    yield "RSA under ES256", _resigned(issuer.rsa, issuer, "ES256")
    yield "Ed25519 under RS256", signed(issuer.ed, issuer.claims(), "RS256")
    for kid in ("../../dev/null", "1' OR '1'='1", "1; DROP TABLE keys", "|id", "%00", "{{7*7}}", "\u202e1"):
        yield f"kid {kid!r}", signed(mine, issuer.claims(), header={"kid": kid})


def _resigned(key: rsa.RSAPrivateKey, issuer: Issuer, algorithm: str) -> str:
    text = issuer.good(algorithm).rpartition(".")[0]
    return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _changed_signatures(issuer: Issuer) -> Named:
    """A signature of something else, or of nothing."""
    text, _, last = issuer.good().rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    for bit in range(0, len(raw) * 8, 120):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", f"{text}.{b64(bytes(flipped))}"
    for name, other in {
        "cut": raw[:-1],
        "longer": raw + b"\0",
        "half": raw[:128],
        "zero": bytes(256),
        "one": (1).to_bytes(256),
        "one byte": b"\0",
        "of the payload alone": signature(issuer.rsa, "RS256", text.partition(".")[2].encode()),
        "of another token": base64.urlsafe_b64decode(issuer.good(jti="other").rpartition(".")[2] + "=="),
    }.items():
        yield name, f"{text}.{b64(other)}"
    yield from _changed_curves(issuer)


def _changed_curves(issuer: Issuer) -> Named:
    """CVE-2022-21449 (zero is a signature of everything), DER in place of r and s, and their like."""
    text = issuer.good("ES256").rpartition(".")[0]
    r, s = utils.decode_dss_signature(issuer.ec.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for name, other in {
        "zero": bytes(64),
        "order": order.to_bytes(32) * 2,
        "r alone": r.to_bytes(32) + bytes(32),
        "s alone": bytes(32) + s.to_bytes(32),
        "swapped": s.to_bytes(32) + r.to_bytes(32),
        "DER": utils.encode_dss_signature(r, s),
        "longer halves": r.to_bytes(33) + s.to_bytes(33),
    }.items():
        yield f"ES256 {name}", f"{text}.{b64(other)}"
    text = issuer.good("EdDSA").rpartition(".")[0]
    for name, other in {"zero": bytes(64), "cut": bytes(63), "small order": bytes([1]) + bytes(63)}.items():
        yield f"EdDSA {name}", f"{text}.{b64(other)}"


def _changed_payloads(issuer: Issuer) -> Named:
    """The signature of what was there before."""
    head, _, last = issuer.good().split(".")
    for changes in (
        {"exp": issuer.now + 86_400},
        {"aud": [AUDIENCE, "x"]},
        {"env": ["dev", "prod"], "admin": True},
        {"jti": "2"},
        {},
    ):
        payload = json.dumps(issuer.claims(**changes), indent=None if changes else 1).encode()
        yield f"{changes}", f"{head}.{b64(payload)}.{last}"
    for name, header in {"another kid": {"alg": "RS256", "typ": "JWT", "kid": "2"}, "no typ": {"alg": "RS256"}}.items():
        yield name, f"{b64(json.dumps(header).encode())}.{b64(json.dumps(issuer.claims()).encode())}.{last}"


def _shapes(issuer: Issuer) -> Named:
    """Texts that some decoder reads as the good token."""
    good = next(token for number in range(100) if not {"-", "_"}.isdisjoint((token := issuer.good(jti=str(number))).rpartition(".")[2]))
    head, body, last = good.split(".")
    standard = last.translate(str.maketrans("-_", "+/"))
    yield from {
        "padding": f"{head}.{body}.{last}{'=' * (-len(last) % 4)}",
        "padded header": f"{head}{'=' * (-len(head) % 4) or '=='}.{body}.{last}",
        "space before": f" {good}",
        "space after": f"{good} ",
        "newline": f"{good}\n",
        "newline inside": f"{head}.\n{body}.{last}",
        "tab": f"{head}\t.{body}.{last}",
        "NUL": f"{good}\0",
        "Bearer": f"Bearer {good}",
        "quotes": f'"{good}"',
        "fourth part": f"{good}.",
        "five parts": f"{good}..",
        "dot before": f".{good}",
        "percent": good.replace(".", "%2E"),
        "full-width dots": good.replace(".", "．"),
        "byte order mark": f"\ufeff{good}",
        "letters that mean nothing": f"{head}!.{body}.{last}",
        "last letter": f"{head}.{body}.{_same_bytes(last)}",
        "standard alphabet": f"{head}.{body}.{standard}",
    }.items()


def _same_bytes(text: str) -> str:
    """Another text that a decoder which ignores left-over bits reads as the same bytes."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + letters[letters.index(text[-1]) ^ 1]


def _twice(issuer: Issuer) -> Named:
    """Names that are there twice: one reader takes the first, another the last, and one of them is not who checked."""
    good = json.dumps(issuer.claims())[:-1].encode()
    head = b'{"alg":"RS256","typ":"JWT"'
    for name, extra in {
        "alg": b',"alg":"RS256"}',
        "alg escaped": b',"\\u0061lg":"RS256"}',
        "typ": b',"typ":"JWT"}',
        "kid": b',"kid":"1","kid":"2"}',
    }.items():
        yield f"header {name}", issuer.signed(issuer.claims(), header=head + extra)
    for name, extra in {
        "sub": b',"sub":"job-1"}',
        "sub escaped": b',"s\\u0075b":"job-1"}',
        "exp": f',"exp":{issuer.now + 300}}}'.encode(),
        "aud": b',"aud":"strongroom"}',
        "iss": b',"iss":"https://issuer.example"}',
        "nested": b',"a":{"b":1,"b":2}}',
        "in a list": b',"a":[{"b":1,"b":2}]}',
        "deep": b',"a":[[[{"b":{"c":1,"c":1}}]]]}',
    }.items():
        yield f"payload {name}", issuer.signed(good + extra)


def _no_json(issuer: Issuer) -> Named:
    """What only a lenient parser takes for an object of JSON."""
    good = json.dumps(issuer.claims()).encode()
    for name, payload in {
        "NaN": good[:-1] + b',"a":NaN}',
        "Infinity": good[:-1] + b',"a":-Infinity}',
        "1e999": good[:-1] + b',"a":1e999}',
        "lone surrogate": good[:-1] + b',"a":"\\ud800"}',
        "control character": good[:-1] + b',"a":"\x01"}',
    }.items():
        yield name, issuer.signed(payload)


def _garbage(issuer: Issuer) -> Named:
    """What is no object at all, signed all the same."""
    good = json.dumps(issuer.claims()).encode()
    for name, payload in {
        "list": b"[" + good + b"]",
        "text": json.dumps(good.decode()).encode(),
        "null": b"null",
        "number": b"1",
        "two objects": good + good,
        "trailing comma": good[:-1] + b",}",
        "comment": good[:-1] + b"/* */}",
        "single quotes": good.replace(b'"', b"'"),
        "no quotes": good.replace(b'"sub"', b"sub"),
        "cut": good[:-1],
        "not UTF-8": good[:-1] + b',"a":"\xff"}',
        "over-long UTF-8": good[:-1] + b',"a":"\xc0\xaf"}',
        "UTF-16": good.decode().encode("utf-16"),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "nested token": issuer.good().encode(),
        "deep": good[:-1] + b',"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        "long number": good[:-1] + b',"a":' + b"9" * 5_000 + b"}",
    }.items():
        yield name, issuer.signed(payload)


def _times(issuer: Issuer) -> Named:
    """Before, after and beside the time."""
    now = issuer.now
    table: dict[str, dict[str, Any]] = {
        "over": {"exp": now - SKEW - 1},
        "long over": {"exp": 1},
        "exp negative": {"exp": -1},
        "exp zero": {"exp": 0},
        "not yet": {"nbf": now + SKEW + 1},
        "issued in the future": {"iat": now + SKEW + 1},
        "issued in the far future": {"iat": 1 << 40},
        "no times": {"exp": ..., "nbf": ..., "iat": ...},
        "no end, issued long ago": {"exp": ..., "nbf": ..., "iat": now - 86_400},
    }
    for name, changes in table.items():
        yield name, issuer.good(**changes)


def _time_types(issuer: Issuer) -> Named:
    """Times that are no numbers of seconds."""
    for name in ("exp", "nbf", "iat"):
        values: tuple[Any, ...] = (str(issuer.now + 30), None, True, [issuer.now], {"$gt": 0}, "", 1 << 63, 1 << 64, 10**30)
        for value in values:
            yield f"{name} {value!r}", issuer.good(**{name: value})


def _issuers(issuer: Issuer) -> Named:
    """Issuers that are not the one, but nearly."""
    for value in (
        ...,
        None,
        "",
        f"{ISSUER}/",
        f"{ISSUER}.evil.example",
        ISSUER.upper(),
        ISSUER[:-1],
        f"{ISSUER}\0",
        f" {ISSUER}",
        ISSUER.replace("https", "http"),
        ISSUER.replace("i", "\u0456", 1),
        [ISSUER],
        {ISSUER: 1},
        7,
    ):
        yield f"iss {value!r}", issuer.good(iss=value)


def _audiences(issuer: Issuer) -> Named:
    """CVE-2024-5798 and its kin: tokens for somebody else."""
    for value in (
        ...,
        None,
        "",
        "other",
        f"{AUDIENCE}2",
        AUDIENCE[:-1],
        AUDIENCE.upper(),
        f"{AUDIENCE} other",
        f"{AUDIENCE},other",
        f"other {AUDIENCE}",
        [],
        ["other"],
        [[AUDIENCE]],
        [AUDIENCE, 7],
        {AUDIENCE: True},
        {"0": AUDIENCE},
        7,
        True,
    ):
        yield f"aud {value!r}", issuer.good(aud=value)


def _subjects(issuer: Issuer) -> Named:
    """Somebody else, and nobody."""
    for value in (..., None, "", "job-2", "job-1 ", "JOB-1", "job-1\0", "job\u20111", ["job-1"], {"job-1": 1}, 1, True):
        yield f"sub {value!r}", issuer.good(sub=value)


def _bound(issuer: Issuer) -> Named:
    """Claims that the role binds to another value."""
    for value in (..., None, "", "dev", "production", "prod ", "PROD", "*", "pro*", {"prod": 1}, [], ["dev"], [["prod"]], True, 1):
        yield f"env {value!r}", issuer.good(env=value)


GENERATORS: list[tuple[str, Callable[[Issuer], Named]]] = [
    ("unsigned", _unsigned),
    ("symmetric", _symmetric),
    ("algorithm", _other_algorithms),
    ("algorithm", _spelt_algorithms),
    ("brought key", _bring_a_key),
    ("header members", _unknown_headers),
    ("type", _wrong_types),
    ("header values", _header_values),
    ("signature", _other_keys),
    ("signature", _changed_signatures),
    ("signature", _changed_payloads),
    ("spelling", _shapes),
    ("duplicates", _twice),
    ("strict JSON", _no_json),
    ("object", _garbage),
    ("times", _times),
    ("time types", _time_types),
    ("issuer", _issuers),
    ("audience", _audiences),
    ("subject", _subjects),
    ("bound claim", _bound),
]
CHECKS = tuple(dict.fromkeys(check for check, _ in GENERATORS))


# -- a verifier that leaves one check out -------------------------------------------------------------------------------------


class Refused(Exception):
    """By the check of that name."""


def lenient(token: str, issuer: Issuer, without: str = "") -> None:
    """Check a token, all checks made but one. Raises Refused."""

    def check(name: str, holds: bool) -> None:
        if not holds and name != without:
            raise Refused(name)

    if without == "spelling":
        token = _cleaned(token)
    check("spelling", token.count(".") == 2 and all(_spelt(part) for part in token.split(".")))
    head, body, last = token.split(".")[:3]
    header = _read(_bytes(head), check, "header values")
    algorithm = header.get("alg")
    name = algorithm if isinstance(algorithm, str) else "no text"
    valid = any(_fits(load_pem_public_key(text.encode()), name, _bytes(last), f"{head}.{body}".encode()) for text in issuer.pems)
    _check_header(header, name, check, valid=valid)
    check("signature", valid or without in ("unsigned", "symmetric", "brought key"))
    claims = _read(_bytes(body), check, "object")
    if without != "object":
        _check_claims(claims, issuer, check)


Check = Callable[[str, bool], None]


def _cleaned(token: str) -> str:
    """What a decoder makes of a text that skips what it does not know."""
    token = token.replace("．", ".").replace("%2E", ".").replace("Bearer ", "").translate(str.maketrans("+/", "-_"))
    kept = "".join(letter for letter in token if letter.isascii() and (letter.isalnum() or letter in "-_."))
    return ".".join(part for part in kept.split(".") if part)


def _spelt(part: str) -> bool:
    try:
        return bool(part) and b64(base64.urlsafe_b64decode(part.encode("ascii") + b"==")) == part
    except ValueError:
        return False


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


def _read(data: bytes, check: Check, what: str) -> Mapping[str, Any]:
    """An object, as Python's own parser reads it; `what` is the check that fails where it is none."""
    repeated: list[bool] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)

    try:
        value = json.loads(data.decode(), object_pairs_hook=members, strict=False)
    except (ValueError, RecursionError):
        check(what, False)
        return {}
    check("duplicates", not any(repeated))
    check(what, isinstance(value, dict))
    text = json.dumps(value, ensure_ascii=False)
    strict = not any(word in text for word in ("NaN", "Infinity")) and not any("\ud800" <= letter <= "\udfff" for letter in text)
    check("strict JSON", strict and not any(byte < 9 for byte in data))
    return value if isinstance(value, dict) else {}


def _check_header(header: Mapping[str, Any], algorithm: str, check: Check, *, valid: bool) -> None:
    if algorithm.startswith("HS"):
        check("symmetric", False)
    elif algorithm.strip().strip("\0").lower().replace("\u043e", "o") in ("none", ""):
        check("unsigned", False)
    else:
        check("algorithm", algorithm in ALLOWED)
    brought = {"jwk", "jku", "x5u", "x5c"} & header.keys()
    check("header members" if valid else "brought key", not brought)
    check("header members", header.keys() - brought <= {"alg", "kid", "typ", "x5t"})
    texts = {member: value for member, value in header.items() if member in ("kid", "typ", "x5t")}
    check("header values", all(isinstance(value, str) and len(value) <= 256 for value in texts.values()))
    kind = texts.get("typ", "")
    check("type", not isinstance(kind, str) or kind.lower() in ("", "jwt", "at+jwt"))


def _fits(key: Any, algorithm: str, given: bytes, message: bytes) -> bool:
    """Whether a signature fits, by an algorithm of RSA where the name is none."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm == "ES256" and len(given) == 64:
            pair = utils.encode_dss_signature(int.from_bytes(given[:32]), int.from_bytes(given[32:]))
            key.verify(pair, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey) and algorithm == "EdDSA":
            key.verify(given, message)
        elif isinstance(key, rsa.RSAPublicKey) and algorithm not in ("ES256", "EdDSA"):
            digest = HASHES.get(algorithm[2:5] if algorithm[:2] in ("RS", "PS") else "256", hashes.SHA256())
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            key.verify(given, message, pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest)
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_claims(claims: Mapping[str, Any], issuer: Issuer, check: Check) -> None:
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value <= 1 << 53 for value in times.values())
    check("time types", whole)
    if whole:
        start = max(times.get("nbf", 0), times.get("iat", 0))
        end = times.get("exp", start + 150)
        check("times", bool(times) and end >= issuer.now - SKEW and start <= issuer.now + SKEW)
    check("issuer", claims.get("iss") == ISSUER)
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    check("audience", isinstance(audiences, list) and all(isinstance(each, str) for each in audiences) and AUDIENCE in audiences)
    check("subject", claims.get("sub") == SUBJECT)
    value = claims.get("env")
    check("bound claim", "prod" in (value if isinstance(value, list) else [value]))
