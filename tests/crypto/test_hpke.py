"""A sealed message opens for its recipient and purpose, and not at all when either of the two schemes' halves was touched."""

from __future__ import annotations

import pytest

from strongroom.crypto import hpke
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.hpke import Recipient, seal

RECIPIENT = Recipient.from_bytes(bytes(range(32)))
INFO = b"unseal wrap"
PLAINTEXT = b"root key of thirty-two bytes long"


def test_public_key_of_a_seed_is_that_of_x_wing() -> None:
    """draft-connolly-cfrg-xwing-kem, appendix C, first vector: both ends of the 1,216 bytes, hence both halves."""
    public = Recipient.from_bytes(bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")).public()
    assert len(public) == hpke.PUBLIC_BYTES
    assert public[:32].hex() == "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5"
    assert public[-32:].hex() == "859edb06eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534"


def test_what_was_sealed_opens() -> None:
    sealed = seal(RECIPIENT.public(), PLAINTEXT, INFO)
    assert RECIPIENT.open(sealed, INFO) == PLAINTEXT
    assert len(sealed) == len(PLAINTEXT) + hpke.OVERHEAD
    assert seal(RECIPIENT.public(), b"", INFO) != seal(RECIPIENT.public(), b"", INFO)


def test_a_recipient_survives_its_serialisation() -> None:
    recipient = Recipient.generate()
    again = Recipient.from_bytes(recipient.to_bytes())
    assert again.open(seal(recipient.public(), PLAINTEXT, INFO), INFO) == PLAINTEXT
    assert recipient.public() != Recipient.generate().public()


def test_another_purpose_or_recipient_does_not_open() -> None:
    sealed = seal(RECIPIENT.public(), PLAINTEXT, INFO)
    with pytest.raises(InvalidRecord):
        RECIPIENT.open(sealed, INFO + b"s")
    with pytest.raises(InvalidRecord):
        Recipient.generate().open(sealed, INFO)


@pytest.mark.parametrize("place", [0, 1_087, 1_088, 1_119, 1_120, -16, -1], ids=str)
def test_a_changed_byte_in_either_encapsulation_the_text_or_the_tag_is_refused(place: int) -> None:
    """1,088 bytes are ML-KEM's, 32 X25519's."""
    sealed = bytearray(seal(RECIPIENT.public(), PLAINTEXT, INFO))
    sealed[place] ^= 1
    with pytest.raises(InvalidRecord):
        RECIPIENT.open(bytes(sealed), INFO)


@pytest.mark.parametrize("length", [0, 1, 1_119, 1_120, 1_135])
def test_truncated_messages_are_refused(length: int) -> None:
    with pytest.raises(InvalidRecord):
        RECIPIENT.open(seal(RECIPIENT.public(), b"", INFO)[:length], INFO)


@pytest.mark.parametrize(
    "public",
    [
        b"",
        RECIPIENT.public()[:-1],
        RECIPIENT.public() + b"\0",
        b"\xff" * 1_184 + RECIPIENT.public()[1_184:],
        RECIPIENT.public()[:1_184] + bytes(32),
    ],
    ids=["empty", "short", "long", "no ML-KEM key", "X25519 point of small order"],
)
def test_bytes_that_are_no_public_key_are_refused(public: bytes) -> None:
    with pytest.raises(ValueError, match="public key"):
        seal(public, PLAINTEXT, INFO)


@pytest.mark.parametrize("length", [0, 31, 33, 96])
def test_private_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Recipient.from_bytes(bytes(length))


def test_the_private_key_does_not_show() -> None:
    assert repr(RECIPIENT) == "Recipient()"
