"""A dual signature holds only whole: both halves, this message, this purpose, this key."""

from __future__ import annotations

import pytest

from strongroom.crypto import signatures
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.signatures import DualSigner, DualVerifier

CONTEXT = b"audit checkpoint"
MESSAGE = b"gsn 7"
SIGNER = DualSigner.from_bytes(bytes(range(64)))
OTHER = DualSigner.from_bytes(bytes(range(1, 65)))
SIGNATURE = SIGNER.sign(MESSAGE, context=CONTEXT)
MLDSA_START = 2 + signatures.ED25519_SIGNATURE_BYTES


def refused(signature: bytes, message: bytes = MESSAGE, context: bytes = CONTEXT, by: DualSigner = SIGNER) -> bool:
    try:
        by.public().verify(message, signature, context=context)
    except InvalidSignature:
        return True
    return False


def test_a_signature_verifies() -> None:
    SIGNER.public().verify(MESSAGE, SIGNATURE, context=CONTEXT)
    assert len(SIGNATURE) == signatures.SIGNATURE_BYTES


def test_keys_survive_their_serialisation() -> None:
    assert DualSigner.from_bytes(SIGNER.to_bytes()).to_bytes() == SIGNER.to_bytes() == bytes(range(64))
    public = SIGNER.public().to_bytes()
    assert len(public) == signatures.PUBLIC_BYTES
    DualVerifier.from_bytes(public).verify(MESSAGE, SIGNATURE, context=CONTEXT)


def test_the_ed25519_half_is_that_of_rfc_8032() -> None:
    """Test 1 of section 7.1: the public key of a known seed."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert DualSigner.from_bytes(seed + bytes(32)).public().to_bytes()[:32].hex() == public


def test_generated_keys_differ_and_do_not_verify_each_other() -> None:
    one, other = DualSigner.generate(), DualSigner.generate()
    assert one.to_bytes() != other.to_bytes()
    assert refused(one.sign(MESSAGE, context=CONTEXT), by=other)


def test_another_message_purpose_or_key_is_refused() -> None:
    assert refused(SIGNATURE, message=b"gsn 8")
    assert refused(SIGNATURE, context=b"backup manifest")
    assert refused(SIGNATURE, by=OTHER)


def test_bytes_cannot_move_between_purpose_and_message() -> None:
    assert refused(SIGNATURE, context=CONTEXT + b"g", message=MESSAGE[1:])


@pytest.mark.parametrize("half", ["ed25519", "mldsa"])
def test_either_half_from_another_key_is_refused(half: str) -> None:
    """One scheme broken is not enough: the other half is still asked for."""
    forged = OTHER.sign(MESSAGE, context=CONTEXT)
    mixed = forged[:MLDSA_START] + SIGNATURE[MLDSA_START:] if half == "ed25519" else SIGNATURE[:MLDSA_START] + forged[MLDSA_START:]
    assert refused(mixed)


@pytest.mark.parametrize(
    "stripped",
    [
        b"",
        SIGNATURE[:MLDSA_START],
        SIGNATURE[MLDSA_START:],
        SIGNATURE[:MLDSA_START] + b"\0\0",
        b"\0\0" + SIGNATURE[MLDSA_START:],
        SIGNATURE[:-1],
        SIGNATURE + b"\0",
        SIGNATURE[2:MLDSA_START],
        b"\x00\x00" + SIGNATURE[2:],
        SIGNATURE[:MLDSA_START] + b"\x00\x00" + SIGNATURE[MLDSA_START + 2 :],
    ],
)
def test_a_signature_without_one_half_is_refused(stripped: bytes) -> None:
    assert refused(stripped)


@pytest.mark.parametrize("place", [0, 1, 2, 33, 65, MLDSA_START, MLDSA_START + 1, MLDSA_START + 2, 1_700, signatures.SIGNATURE_BYTES - 1])
def test_a_changed_byte_in_either_half_is_refused(place: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[place] ^= 1
    assert refused(bytes(changed))


def test_private_keys_do_not_show() -> None:
    assert bytes(range(32)).hex() not in repr(SIGNER)
    assert "Private" not in repr(SIGNER)


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        DualSigner.from_bytes(bytes(length))
    with pytest.raises(ValueError, match="1984 bytes"):
        DualVerifier.from_bytes(bytes(length))
