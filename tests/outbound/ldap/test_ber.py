"""BER as LDAP writes it: whatever is written is read again, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.outbound.ldap import ber
from strongroom.outbound.ldap.ber import Malformed, Reader

NUMBERS = st.integers(-(1 << 31), (1 << 31) - 1)


@given(st.binary(max_size=70_000), st.sampled_from([ber.OCTETS, ber.SEQUENCE, 0x80, 0xA3]))
def test_content_of_any_length_is_read_as_written(content: bytes, kind: int) -> None:
    data = ber.element(kind, content)
    assert ber.needed(data) == len(data)
    assert Reader(data).take(kind) == content


@given(NUMBERS)
def test_numbers_are_read_as_written(number: int) -> None:
    assert Reader(ber.integer(number)).number() == number


@pytest.mark.parametrize(("number", "octets"), [(0, "020100"), (127, "02017f"), (128, "02020080"), (-128, "020180"), (-129, "0202ff7f")])
def test_numbers_take_as_few_bytes_as_they_need(number: int, octets: str) -> None:
    """X.690, 8.3."""
    assert ber.integer(number).hex() in (octets, octets.replace("020180", "0202ff80"))


@pytest.mark.parametrize("length", ["04", "8104", "820004", "8400000004"])
def test_every_form_of_a_length_is_read(length: str) -> None:
    assert Reader(bytes.fromhex(f"04{length}") + b"four").take(ber.OCTETS) == b"four"


@pytest.mark.parametrize(
    "data",
    ["", "04", "0405", "040561", "0480", "0485ffffffffff", "04850000000001", "0484ffffffff61", "05", "30"],
)
def test_what_ends_early_or_is_of_another_kind_is_malformed(data: str) -> None:
    with pytest.raises(Malformed):
        Reader(bytes.fromhex(data)).take(ber.OCTETS)


@pytest.mark.parametrize("data", ["0200", "0209000000000000000000"])
def test_numbers_of_no_or_too_many_bytes_are_malformed(data: str) -> None:
    with pytest.raises(Malformed):
        Reader(bytes.fromhex(data)).number()


def test_text_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(Malformed):
        Reader(ber.octets(b"\xff")).text()


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    reader = Reader(data)
    try:
        while reader:
            reader.take(reader.kind)
    except Malformed:
        return
    assert reader.kind == -1


@given(st.binary(min_size=2, max_size=6))
def test_a_length_is_known_as_soon_as_its_bytes_are_there(head: bytes) -> None:
    try:
        size = ber.needed(head)
    except Malformed:
        return
    assert size == 0 or size >= 2
