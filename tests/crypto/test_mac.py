"""The pre-keyed HMAC equals the published one; derived keys are those of HKDF-Expand."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.mac import Mac, Mac512, derive

LONG_MESSAGE = (
    b"This is a test using a larger than block-size key and a larger than block-size data. "
    b"The key needs to be hashed before being used by the HMAC algorithm."
)

# RFC 4231, test cases 1-4, 6, 7: key, data, HMAC-SHA-256, HMAC-SHA-512.
RFC_4231 = [
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
    ),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
    ),
    (
        b"\xaa" * 131,
        LONG_MESSAGE,
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
    ),
]


@pytest.mark.parametrize(("key", "data", "sha256", "sha512"), RFC_4231)
def test_vectors_of_rfc_4231_hold(key: bytes, data: bytes, sha256: str, sha512: str) -> None:
    assert Mac(key).hex(data) == sha256
    assert Mac512(key).digest(data).hex() == sha512


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=4))
def test_one_object_serves_many_messages(key: bytes, messages: list[bytes]) -> None:
    mac, mac512 = Mac(key), Mac512(key)
    for message in messages:
        assert mac.digest(message) == hmac.digest(key, message, "sha256")
        assert mac512.digest(message) == hmac.digest(key, message, "sha512")


def test_verify_accepts_the_whole_tag_and_nothing_else() -> None:
    mac = Mac(b"k" * 32)
    tag = mac.digest(b"message")
    mac.verify(b"message", tag)
    for message, wrong in (
        (b"massage", tag),
        (b"message", tag[:-1]),
        (b"message", b""),
        (b"message", bytes(32)),
        (b"message", tag + b"\0"),
    ):
        with pytest.raises(InvalidSignature):
            mac.verify(message, wrong)
    with pytest.raises(InvalidSignature):
        Mac(b"j" * 32).verify(b"message", tag)


LONG_KEY = (
    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
    "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
)

# RFC 5869, test cases 1-3: PRK, info, OKM.
RFC_5869 = [
    (
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        bytes(range(0xB0, 0x100)).hex(),
        LONG_KEY,
    ),
    (
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("key", "label", "derived"), RFC_5869)
def test_vectors_of_rfc_5869_hold(key: str, label: str, derived: str) -> None:
    assert derive(bytes.fromhex(key), bytes.fromhex(label), len(derived) // 2).hex() == derived


def test_labels_give_unrelated_keys() -> None:
    key = hashlib.sha256(b"root").digest()
    assert len(derive(key, b"audit")) == 32
    assert derive(key, b"audit") != derive(key, b"index")


@pytest.mark.parametrize("length", [0, 16, 31])
def test_a_short_key_derives_nothing(length: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        derive(bytes(length), b"audit")
