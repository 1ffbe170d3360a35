"""Answers of a directory are read or malformed, whatever bytes they are."""

from __future__ import annotations

import contextlib
import time

from hypothesis import given
from hypothesis import strategies as st

from strongroom.outbound.ldap import ber, messages
from strongroom.outbound.ldap.ber import Malformed
from strongroom.outbound.ldap.messages import Answer, Search

KINDS = st.sampled_from([0x02, 0x04, 0x0A, 0x30, 0x31, 0x61, 0x64, 0x65, 0x78, 0xA0])
NESTED = st.recursive(
    st.builds(ber.element, KINDS, st.binary(max_size=6)),
    lambda inner: st.builds(lambda kind, parts: ber.element(kind, *parts), KINDS, st.lists(inner, max_size=4)),
    max_leaves=12,
)
"""Well-formed elements that make no sense, which get further than random bytes do."""


@given(NESTED | st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        messages.read_answer(data)
    for reader in (messages.result_code, messages.read_entry, messages.page_cookie):
        with contextlib.suppress(Malformed):
            reader(Answer(1, 0x64, data, data))


@given(st.integers(1, 1 << 30), st.sampled_from([0x61, 0x65, 0x78]), st.integers(0, 4_096))
def test_a_result_is_read_as_it_was_written(number: int, kind: int, code: int) -> None:
    written = ber.element(
        ber.SEQUENCE, ber.integer(number), ber.element(kind, ber.integer(code, ber.ENUMERATED), ber.octets(""), ber.octets(""))
    )
    answer = messages.read_answer(written)
    assert (answer.id, answer.kind, messages.result_code(answer)) == (number, kind, code)


def test_a_search_is_written_as_the_standard_says() -> None:
    """The search of RFC 4511's grammar, byte for byte: base, scope, aliases, limits, types only, filter, attributes."""
    filled = bytes.fromhex("870b6f626a656374436c617373")
    wanted = Search("dc=example", messages.SUBTREE, filled, ("cn",), dereference=3, size_limit=2)
    parts = "040a64633d6578616d706c650a01020a0103020102020100010100" + filled.hex() + "30040402636e"
    assert messages.search(7, wanted).hex() == "3033020107632e" + parts


def test_a_page_is_asked_for_with_its_control() -> None:
    """RFC 2696."""
    wanted = Search("", messages.BASE, bytes.fromhex("870161"), (), page_size=500)
    value = "300a020201f4040461626364"
    control = "30290416" + messages.PAGED_RESULTS.encode().hex() + "0101ff040c" + value
    assert messages.search(1, wanted, b"abcd").hex().endswith("a02b" + control)


def test_an_attribute_that_is_named_again_and_again_costs_what_its_bytes_cost() -> None:
    """A directory is not trusted with the server's time either: an entry of half a megabyte is read in a moment, however it is made."""
    again = ber.element(ber.SEQUENCE, ber.octets("a"), ber.element(ber.SET, ber.octets("")))
    answer = Answer(1, messages.ENTRY, ber.octets("cn=x") + ber.element(ber.SEQUENCE, again * 60_000))
    began = time.process_time()
    assert len(messages.read_entry(answer).attributes["a"]) == 60_000
    assert time.process_time() - began < 2.5  # 0.3 s; it was 5 s while each value made all those before it be copied
