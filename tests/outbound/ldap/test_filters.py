"""Filters: what a user typed is one assertion value, whatever it holds (T13.1)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.outbound.ldap import ber
from strongroom.outbound.ldap.ber import Reader
from strongroom.outbound.ldap.filters import MAX_FILTER, InvalidFilter, compile_filter, encode_filter

HOLES = frozenset({"UserAttr", "Username", "UserDN"})
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(st.sampled_from("*()\\&|!=\0 a2"), max_size=20)


def encoded(text: str, **values: str) -> str:
    return encode_filter(compile_filter(text, HOLES), values).hex()


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        # Known encodings: the filter of the search in RFC 4511's grammar spelt out, and what other implementations send for these.
        ("(&(objectClass=person)(uid=jdoe))", "a024a315040b6f626a656374436c6173730406706572736f6ea30b040375696404046a646f65"),
        ("(objectClass=*)", "870b6f626a656374436c617373"),
        ("(|(a=1)(b=2))", "a110a306040161040131a306040162040132"),
        ("(!(a=1))", "a208a306040161040131"),
        ("(a>=1)", "a506040161040131"),
        ("(a<=1)", "a606040161040131"),
        ("(a~=1)", "a806040161040131"),
        ("(a=)", "a3050401610400"),
        ("(cn=ab*cd*ef)", "a4120402636e300c800261628102636482026566"),
        ("(cn=*cd)", "a40a0402636e300482026364"),
        ("(cn=ab*)", "a40a0402636e300480026162"),
        ("(cn=*b*)", "a4090402636e3003810162"),
        (r"(cn=\2a)", "a3070402636e04012a"),
        (r"(cn=a\00b)", "a3090402636e0403610062"),
        ("(cn=Jörg)", "a30b0402636e04054ac3b67267"),
        ("(cn;lang-de=a)", "a30f040a636e3b6c616e672d6465040161"),
        ("(member:1.2.840.113556.1.4.1941:=x)", "a9248117312e322e3834302e3131333535362e312e342e3139343182066d656d626572830178"),
        ("(cn:dn:2.4.6:=x)", "a9118105322e342e368202636e8301788401ff"),
        ("(cn:caseExactMatch:=x)", "a917810e6361736545786163744d617463688202636e830178"),
        ("(cn:=x)", "a9078202636e830178"),
        ("(:2.4.6:=x)", "a90a8105322e342e36830178"),
    ],
)
def test_filters_are_written_as_the_standard_says(text: str, octets: str) -> None:
    """RFC 4511, 4.5.1.7, and RFC 4515, 4."""
    assert encoded(text) == octets


@given(VALUES)
def test_a_value_is_the_octets_of_one_assertion(value: str) -> None:
    equality = Reader(bytes.fromhex(encoded("(&(uid={{.Username}})(a=b))", Username=value))).inside(0xA0).inside(0xA3)
    assert equality.text() == "uid"
    assert equality.take(ber.OCTETS) == value.encode()
    assert not equality


@given(VALUES)
def test_a_value_in_the_middle_adds_nothing_around_it(value: str) -> None:
    substrings = Reader(bytes.fromhex(encoded("(mail=*{{.Username}}@*)", Username=value))).inside(0xA4)
    substrings.text()
    pieces = substrings.inside(ber.SEQUENCE)
    assert pieces.take(0x81) == f"{value}@".encode()
    assert not pieces


@pytest.mark.parametrize("value", ["*", "a)(uid=*", "*)(|(uid=*", r"\2a", "a\0", "{{.UserDN}}", "a*"])
def test_putting_it_in_as_text_would_change_the_filter(value: str) -> None:
    """The negative control: the same by substitution means something else, or nothing."""
    meant = encoded("(uid={{.Username}})", Username=value)
    try:
        pasted = encode_filter(compile_filter(f"(uid={value})", HOLES), {"UserDN": "x"}).hex()
    except InvalidFilter:
        return
    assert pasted != meant


def test_the_default_filters_of_vault_are_read() -> None:
    for text in (
        "({{.UserAttr}}={{.Username}})",
        "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{ .UserDN }}))",
        "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))",
        "(&(objectClass=user)(!(userAccountControl:1.2.840.113556.1.4.803:=2))({{.UserAttr}}={{.Username}}))",
    ):
        assert encoded(text, UserAttr="uid", Username="alice", UserDN="uid=alice")


@pytest.mark.parametrize(
    "text",
    [
        "", "uid=a", "(uid=a", "(uid=a))", "(uid=a)(b=c)", "()", "(&)", "(|)", "(!)", "(!(a=b)(c=d))", "(&(a=b)", "(&a=b)", "(uid)", "(=a)",
        "(u id=a)", "(uid=a(b)", r"(uid=\2)", r"(uid=\zz)", "(uid=**)", "(uid>=a*)", "(uid={{.Password}})", "(uid={{Username}})",
        "({{.Username}}=a)", "(a{{.UserDN}}:=b)", "({{.UserAttr}}\\2a=b)",
        "(uid={{.Username | printf}})", "(uid={{range}})", "(uid=a\0)", "(a:b:c:=d)", "(:=d)", "(:dn:=d)", "((a=b))", "(&(a=b) )",
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidFilter):
        compile_filter(text, HOLES)


def test_depth_and_length_are_bounded() -> None:
    compile_filter("(!" * 15 + "(a=b)" + ")" * 15, HOLES)
    with pytest.raises(InvalidFilter):
        compile_filter("(!" * 16 + "(a=b)" + ")" * 16, HOLES)
    with pytest.raises(InvalidFilter):
        compile_filter("(!" * 1_000 + "(a=b)" + ")" * 1_000, HOLES)
    with pytest.raises(InvalidFilter):
        compile_filter(f"(a={'b' * MAX_FILTER})", HOLES)


def test_a_value_that_is_no_attribute_is_refused_as_one() -> None:
    for value in ("uid)(a", "", "a b", "uid="):
        with pytest.raises(InvalidFilter):
            encoded("({{.UserAttr}}=x)", UserAttr=value)


@given(st.text(st.sampled_from("()&|!=*\\:<>~{}.aU2 ") | st.characters(), max_size=60))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidFilter, UnicodeEncodeError):
        compile_filter(text, HOLES)
