"""Another implementation writes and reads the same: ldap3's, which is not needed to run."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.outbound.ldap.filters import compile_filter, encode_filter
from strongroom.outbound.ldap.names import escape, parse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses names that pyasn1 has deprecated
    search: Any = pytest.importorskip("ldap3.operation.search")
    dn: Any = pytest.importorskip("ldap3.utils.dn")
    conv: Any = pytest.importorskip("ldap3.utils.conv")
    asn1: Any = pytest.importorskip("ldap3.utils.asn1")

ATTRIBUTES = st.sampled_from(["uid", "cn", "memberUid", "sAMAccountName"])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12).filter(lambda text: text == text.strip())
"""Without outer spaces: ldap3 strips them, we do not."""


def theirs(text: str) -> bytes:
    """A filter as ldap3 encodes it."""
    compiled = search.compile_filter(search.parse_filter(text, None, False, None, None, False).elements[0])
    encoded: bytes = asn1.encode(compiled)
    return encoded


def ours(text: str) -> bytes:
    return encode_filter(compile_filter(text, frozenset()), {})


def written(value: str) -> str:
    """A value as text in a filter."""
    text: str = conv.escape_filter_chars(value)
    return text


ITEMS = st.builds("({}={})".format, ATTRIBUTES, VALUES.map(written)) | st.builds("({}=*)".format, ATTRIBUTES)
FILTERS = st.recursive(
    ITEMS, lambda inner: st.builds("({}{}{})".format, st.sampled_from("&|"), inner, inner) | inner.map("(!{})".format), max_leaves=6
)


@given(FILTERS)
def test_filters_are_encoded_as_ldap3_does(text: str) -> None:
    assert ours(text) == theirs(text)


ASSERTIONS = (
    "(cn=a*) (cn=*a) (cn=*a*) (cn=a*b*c) (a>=1) (a<=1) (a~=1) (member:1.2.840.113556.1.4.1941:=cn=a) (cn:dn:2.4.6.8:=x) (cn:=x)".split()
)


@pytest.mark.parametrize("text", ASSERTIONS)
def test_all_kinds_of_assertions_are_encoded_as_ldap3_does(text: str) -> None:
    assert ours(text) == theirs(text)


@given(ATTRIBUTES, VALUES)
def test_a_value_in_a_hole_is_what_ldap3_makes_of_the_escaped_text(attribute: str, value: str) -> None:
    filled = encode_filter(compile_filter(f"({attribute}={{{{.Username}}}})", frozenset({"Username"})), {"Username": value})
    assert filled == theirs(f"({attribute}={written(value)})")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12))
def test_an_escaped_name_has_as_many_parts_for_ldap3(value: str) -> None:
    text = f"uid={escape(value)},ou=people,dc=example"
    assert [(kind, separator) for kind, _, separator in dn.parse_dn(text)] == [("uid", ","), ("ou", ","), ("dc", "")]
    assert len(parse(text)) == 3
