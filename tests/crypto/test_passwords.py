"""Password hashes verify the right password only, cost what is allowed only, and age."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from strongroom.crypto import passwords
from strongroom.crypto.passwords import (
    DUMMY,
    UnusableHash,
    UnusablePassword,
    WrongPassword,
    check_hash,
    hash_password,
    needs_rehash,
    verify_password,
)

BCRYPT = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
"""Of `U*U`, from the test vectors of crypt_blowfish."""


def argon2id(password: bytes, memory: int, passes: int, lanes: int = 1) -> str:
    return Argon2id(salt=b"saltsaltsaltsalt", length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive_phc_encoded(password)


def test_the_right_password_is_accepted_and_others_are_not() -> None:
    hashed = hash_password("correct horse")
    verify_password(hashed, "correct horse")
    verify_password(hashed, b"correct horse")
    for wrong in ("correct horsf", "correct horse ", "Correct horse", "correct horse\0", "x" * 2_000, ""):
        with pytest.raises(WrongPassword):
            verify_password(hashed, wrong)


def test_hashes_state_the_parameters_of_owasp_and_are_salted() -> None:
    first, second = hash_password("p"), hash_password("p")
    assert first != second
    assert re.fullmatch(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", first)


def test_a_hash_of_the_reference_implementation_verifies() -> None:
    """From the test file of the Argon2 reference code: version 19, t=2, m=2^16, p=1."""
    verify_password("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password")


@pytest.mark.parametrize("password", [b"\0", b"a\0b", b"\xff\xfe", b"x" * 1_024])
def test_any_bytes_within_the_limits_are_a_password(password: bytes) -> None:
    verify_password(hash_password(password), password)


@pytest.mark.parametrize("password", ["", b"", b"x" * 1_025, "é" * 513])
def test_passwords_outside_the_limits_are_not_hashed(password: str | bytes) -> None:
    with pytest.raises(UnusablePassword, match="1 to 1024 bytes"):
        hash_password(password)


def test_a_password_that_is_no_text_is_refused_without_being_quoted() -> None:
    with pytest.raises(UnusablePassword) as caught:
        hash_password("secret\udcff")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(WrongPassword):
        verify_password(DUMMY, "secret\udcff")


def test_the_dummy_is_verified_at_full_cost_and_never_matches() -> None:
    check_hash(DUMMY)
    assert not needs_rehash(DUMMY)
    for password in ("", "password", b"\0" * 32):
        with pytest.raises(WrongPassword):
            verify_password(DUMMY, password)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "plain",
        "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFh",
        "$argon2id$v=19$m=19456,t=2,p=1$$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        BCRYPT[:-1],
        BCRYPT + "\n",
        "$5$salt$hash",
    ],
)
def test_unknown_forms_are_refused(hashed: str) -> None:
    with pytest.raises(UnusableHash, match="form"):
        check_hash(hashed)


@pytest.mark.parametrize(
    "cost",
    ["m=1048577,t=1,p=1", "m=1048576,t=5,p=1", "m=8,t=0,p=1", "m=0,t=1,p=0", "m=0,t=1,p=1", "m=8,t=1,p=2", "m=19456,t=9999,p=1"],
)
def test_a_hash_cannot_make_the_server_spend_more_than_its_limit(cost: str) -> None:
    with pytest.raises(UnusableHash, match="memory or time"):
        verify_password(DUMMY.replace("m=19456,t=2,p=1", cost), "password")


@pytest.mark.parametrize("cost", ["03", "16", "31"])
def test_a_bcrypt_cost_outside_the_limits_is_refused(cost: str) -> None:
    with pytest.raises(UnusableHash, match="bcrypt costs"):
        check_hash(BCRYPT.replace("$05$", f"${cost}$"))


def test_hashes_below_todays_parameters_are_to_be_renewed() -> None:
    assert not needs_rehash(argon2id(b"p", 19_456, 2))
    assert not needs_rehash(argon2id(b"p", 20_000, 3))
    assert needs_rehash(argon2id(b"p", 9_728, 2))
    assert needs_rehash(argon2id(b"p", 19_456, 1))
    assert needs_rehash(BCRYPT)


def test_weaker_argon2id_hashes_still_verify() -> None:
    verify_password(argon2id(b"p", 64, 1, lanes=2), "p")


def test_without_its_extra_a_bcrypt_hash_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bcrypt", None)
    with pytest.raises(UnusableHash, match=r"strongroom\[bcrypt\]"):
        verify_password(BCRYPT, "U*U")


class TestWithTheBcryptExtra:
    """Runs where the extra is installed."""

    @pytest.fixture(autouse=True)
    def _extra(self) -> None:
        pytest.importorskip("bcrypt")

    @pytest.mark.parametrize("variant", ["$2a$", "$2b$", "$2y$"])
    def test_the_right_password_only_is_accepted(self, variant: str) -> None:
        hashed = BCRYPT.replace("$2b$", variant)
        verify_password(hashed, "U*U")
        for wrong in ("U*V", "U*U\0", "U*U" + "x" * 100):
            with pytest.raises(WrongPassword):
                verify_password(hashed, wrong)

    def test_a_password_longer_than_bcrypt_reads_never_matches(self) -> None:
        """crypt_blowfish's vector of a 72-byte password, which a longer one with that beginning would match."""
        hashed = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"
        password = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        verify_password(hashed, password)
        with pytest.raises(WrongPassword):
            verify_password(hashed, password + "chars after 72 are ignored")


def test_limits_leave_room_for_todays_own_hashes() -> None:
    assert passwords.MEMORY_KIB * passwords.PASSES <= passwords.MAX_WORK_KIB
