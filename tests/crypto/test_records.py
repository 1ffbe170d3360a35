"""Records open only unchanged, at their place, under their key; the cipher is the published one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import records
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.records import HEADER_BYTES, NONCE_BYTES, Header, RecordCipher, record_header, xaes_open, xaes_seal

INSTALLATION = bytes(range(16))
KEY = bytes(range(32))
ROW = b"m" * 16 + b"\x01" + b"row"


def cipher(installation: bytes = INSTALLATION, epoch: int = 3, key: bytes = KEY) -> RecordCipher:
    return RecordCipher(installation, epoch, key)


@pytest.mark.parametrize(
    ("key", "aad", "sealed"),
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
    ids=["msb(L)=0", "msb(L)=1"],
)
def test_published_vectors_of_c2sp_hold(key: bytes, aad: bytes, sealed: str) -> None:
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert xaes_seal(key, nonce, b"XAES-256-GCM", aad).hex() == sealed
    assert xaes_open(key, nonce, bytes.fromhex(sealed), aad) == b"XAES-256-GCM"


def test_accumulated_vectors_of_c2sp_hold() -> None:
    """10,000 seals of lengths drawn from SHAKE128, as the specification's accumulated test does."""
    source, hashed = iter_shake(), hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = source(32), source(24)
        plaintext = source(source(1)[0])
        aad = source(source(1)[0])
        hashed.update(xaes_seal(key, nonce, plaintext, aad))
    assert hashed.digest(32).hex() == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


def iter_shake() -> Callable[[int], bytes]:
    stream, place = hashlib.shake_128().digest(8_000_000), 0

    def take(length: int) -> bytes:
        nonlocal place
        place += length
        return stream[place - length : place]

    return take


@given(st.binary(max_size=2_000), st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_what_was_sealed_opens_at_its_place(plaintext: bytes, row_key: bytes, generation: int) -> None:
    record = cipher().seal(row_key, generation, plaintext)
    assert len(record) == len(plaintext) + records.OVERHEAD
    assert record_header(record) == Header(1, 1, 3, generation)
    assert cipher().open(row_key, record) == plaintext


def test_layout_is_the_documented_one() -> None:
    record = cipher().seal(ROW, 0x0102030405060708, b"plain")
    assert record[:14].hex() == "0101" + "00000003" + "0102030405060708"
    aad = b"\x00\x10" + INSTALLATION + len(ROW).to_bytes(2, "big") + ROW + record[:14]
    assert xaes_open(KEY, record[14:38], record[38:], aad) == b"plain"


def test_every_changed_bit_is_refused() -> None:
    record = cipher().seal(ROW, 7, b"secret value")
    for bit in range(8 * len(record)):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidRecord):
            cipher().open(ROW, bytes(changed))
    assert cipher().open(ROW, record) == b"secret value"


def test_every_truncation_and_an_extension_is_refused() -> None:
    record = cipher().seal(ROW, 7, b"secret value")
    for cut in [*(record[:length] for length in range(len(record))), record + b"\0"]:
        with pytest.raises(InvalidRecord):
            cipher().open(ROW, cut)


@pytest.mark.parametrize(
    "other",
    [cipher(installation=bytes(16)), cipher(epoch=4), cipher(key=bytes(32)), cipher(installation=INSTALLATION + b"\0")],
    ids=["installation", "epoch", "key", "installation length"],
)
def test_another_installation_epoch_or_key_does_not_open_it(other: RecordCipher) -> None:
    with pytest.raises(InvalidRecord):
        other.open(ROW, cipher().seal(ROW, 7, b"v"))


def test_a_record_moved_to_another_row_does_not_open() -> None:
    with pytest.raises(InvalidRecord):
        cipher().open(ROW + b"2", cipher().seal(ROW, 7, b"v"))


def test_bytes_cannot_move_between_installation_and_row_key() -> None:
    """What a joined-up AAD would allow: the same bytes, cut elsewhere."""
    with pytest.raises(InvalidRecord):
        cipher(installation=b"ab").open(b"cd", cipher(installation=b"abc").seal(b"d", 7, b"v"))


def test_sealing_twice_never_gives_the_same_record() -> None:
    assert len({cipher().seal(ROW, 7, b"v") for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("length", [0, 1, records.OVERHEAD - 1])
def test_a_header_is_not_read_from_less_than_an_empty_record(length: int) -> None:
    with pytest.raises(InvalidRecord):
        record_header(bytes(length))


def test_errors_carry_no_bytes_of_the_record() -> None:
    record = cipher().seal(ROW, 7, b"secret value")
    with pytest.raises(InvalidRecord) as caught:
        cipher().open(b"other", record)
    assert caught.value.__cause__ is None
    assert record.hex() not in str(caught.value)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_keys_and_nonces_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="key has 32 bytes"):
        xaes_seal(bytes(length), bytes(24), b"")
    with pytest.raises(ValueError, match="nonce has 24 bytes"):
        xaes_seal(bytes(32), bytes(length), b"")


def test_one_cipher_serves_several_threads() -> None:
    """The kept block encryptor holds no state between blocks, so pool threads may share it with the loop."""
    shared = cipher()

    def round_trips(thread: int) -> bool:
        plaintext = bytes([thread]) * 600
        return all(shared.open(ROW, shared.seal(ROW, 7, plaintext)) == plaintext for _ in range(3_000))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(round_trips, range(4)))


def test_the_records_of_a_group_are_records_as_any_others() -> None:
    """A group's sealer derives one key; what it seals opens by the ordinary way, at its own place only, and no nonce comes twice."""
    cipher = RecordCipher(b"installation", 1, bytes(32))
    seal = cipher.sealer()
    records = [seal(b"row-%d" % number, 7, b"text-%d" % number) for number in range(500)]
    assert [cipher.open(b"row-%d" % number, record) for number, record in enumerate(records)] == [b"text-%d" % n for n in range(500)]
    assert len({record[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES] for record in records}) == 500
    assert cipher.sealer()(b"row-0", 7, b"")[HEADER_BYTES : HEADER_BYTES + 12] != records[0][HEADER_BYTES : HEADER_BYTES + 12]
    with pytest.raises(InvalidRecord):
        cipher.open(b"row-1", records[0])


def test_a_record_opens_again_and_again_through_its_opener() -> None:
    cipher = RecordCipher(b"installation", 1, bytes(32))
    opened = cipher.opener(b"row", cipher.seal(b"row", 7, b"text"))
    assert opened() == opened() == b"text"
    with pytest.raises(InvalidTag):
        cipher.opener(b"other", cipher.seal(b"row", 7, b"text"))()
