"""Hashes of passwords that people choose.

Rules of this file:
- Argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), kept as PHC strings: parameters and salt travel with the hash.
- About 30 ms a hash: never on the event loop. Random secrets (tokens, secret-ids) need a keyed hash only, not this.
- A check raises. For a user that does not exist, check against `DUMMY`: it takes as long and never succeeds.
- A hash that came from outside states its own cost; costs over the limits here are refused before they are paid.
- bcrypt hashes from elsewhere are verified, never made, and need the extra `strongroom[bcrypt]`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MAX_PASSWORD_BYTES = 1_024
"""Long enough for any passphrase; a bound, since hashing the password itself is linear in it."""

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
_SALT_BYTES = 16
_HASH_BYTES = 32

MAX_MEMORY_KIB = 1 << 20
"""1 GiB for one hash would already be felt by everything else on the host."""
MAX_WORK_KIB = 4 << 20
"""Memory times passes: about five seconds on one core."""
MAX_BCRYPT_COST = 15
"""About three seconds on one core."""
_BCRYPT_BYTES = 72
"""What bcrypt reads; it ignores the rest, so two long passwords with one beginning would be the same."""

DUMMY = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${'A' * 22}${'A' * 43}"
"""All zeros for salt and hash. Nobody knows a password that hashes to zeros."""

_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,4}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}",
    re.ASCII,
)
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)


class UnusablePassword(ValueError):
    """This password cannot be hashed."""


class UnusableHash(ValueError):
    """This is not a password hash that this server verifies."""


class WrongPassword(ValueError):
    """The password does not belong to the hash."""

    def __init__(self) -> None:
        super().__init__("password does not match")


def hash_password(password: str | bytes) -> str:
    """A new PHC string. Raises UnusablePassword."""
    salt = os.urandom(_SALT_BYTES)
    kdf = Argon2id(salt=salt, length=_HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return kdf.derive_phc_encoded(_checked(password))


def verify_password(hashed: str, password: str | bytes) -> None:
    """Raises WrongPassword, or UnusableHash when the fault is the hash's."""
    verify = _verifier(hashed)
    try:
        data = _checked(password)
    except UnusablePassword:
        raise WrongPassword from None
    verify(hashed, data)


def check_hash(hashed: str) -> None:
    """Raises UnusableHash unless `verify_password` can work with it; for hashes that are imported."""
    _verifier(hashed)


def needs_rehash(hashed: str) -> bool:
    """Whether to store a new hash at the next correct login: another scheme, or any parameter below today's."""
    match = _ARGON2ID.fullmatch(hashed)
    return match is None or int(match[1]) < MEMORY_KIB or int(match[2]) < PASSES


def _checked(password: str | bytes) -> bytes:
    try:
        data = password.encode() if isinstance(password, str) else password
    except UnicodeEncodeError:
        raise UnusablePassword("password is not Unicode text") from None
    if not 1 <= len(data) <= MAX_PASSWORD_BYTES:
        raise UnusablePassword(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes")
    return data


def _verifier(hashed: str) -> Callable[[str, bytes], None]:
    """Chosen by the hash's own form, after its cost was looked at."""
    if match := _ARGON2ID.fullmatch(hashed):
        memory, passes, lanes = map(int, match.groups())
        if not 8 * lanes <= memory <= MAX_MEMORY_KIB or lanes < 1 or not 1 <= passes <= MAX_WORK_KIB // memory:
            raise UnusableHash("password hash asks for more memory or time than this server spends on one login, or for none")
        return _verify_argon2id
    if match := _BCRYPT.fullmatch(hashed):
        if not 4 <= int(match[1]) <= MAX_BCRYPT_COST:
            raise UnusableHash(f"bcrypt costs of 4 to {MAX_BCRYPT_COST} are verified; set the password anew")
        return _bcrypt_verifier()
    raise UnusableHash("password hash has a form that is not known here; use argon2id as a PHC string, or bcrypt")


def _verify_argon2id(hashed: str, password: bytes) -> None:
    try:
        Argon2id.verify_phc_encoded(password, hashed)
    except InvalidKey:
        raise WrongPassword from None


def _bcrypt_verifier() -> Callable[[str, bytes], None]:
    try:
        matches: Callable[[bytes, bytes], bool] = import_module("bcrypt").checkpw
    except ImportError:
        raise UnusableHash("verifying bcrypt hashes needs the extra 'bcrypt': pip install 'strongroom[bcrypt]'") from None

    def verify(hashed: str, password: bytes) -> None:
        if len(password) > _BCRYPT_BYTES or b"\0" in password or not matches(password, hashed.encode()):
            raise WrongPassword

    return verify
