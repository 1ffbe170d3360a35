"""Distinguished names: a value of unknown origin stays one value of one attribute (T13.1)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.outbound.ldap.names import MAX_NAME, InvalidName, common_name, escape, parse

VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
HOSTILE = st.text(st.sampled_from(' ",+;<>=#\\\0\n*()&|ab0'), min_size=1, max_size=20)

INJECTIONS = [
    "alice,dc=example",
    "alice+uid=bob",
    "a\\",
    "a\\,ou=admins",
    "#0401",
    " alice",
    "alice ",
    "a\0b",
    'a"b',
    "a;b",
    "<a>",
    "cn=x",
    "a\nb",
    "*",
    "a)(uid=*",
    "a,dc=x",
    "a\\00",
    "#04020202",
    "ü",
    "\u202ea",
]


@given(VALUES | HOSTILE)
def test_an_escaped_value_is_read_back_and_adds_nothing_to_the_name(value: str) -> None:
    assert parse(f"uid={escape(value)},ou=people,dc=example") == ((("uid", value),), (("ou", "people"),), (("dc", "example"),))


@pytest.mark.parametrize("value", INJECTIONS)
def test_known_injections_stay_one_value(value: str) -> None:
    assert parse(f"uid={escape(value)},ou=people") == ((("uid", value),), (("ou", "people"),))


@pytest.mark.parametrize("value", ["alice,ou=admins", "alice+uid=bob", "a\\", "#0401", " a", '"'])
def test_without_escaping_they_would_not(value: str) -> None:
    """The negative control."""
    try:
        found = parse(f"uid={value},ou=people")
    except InvalidName:
        return
    assert found != ((("uid", value),), (("ou", "people"),))


@given(VALUES)
def test_an_escaped_value_is_printable_ascii(value: str) -> None:
    text = escape(value)
    assert text.isascii() and text.isprintable()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ()),
        ("UID=jsmith,DC=example,DC=net", ((("UID", "jsmith"),), (("DC", "example"),), (("DC", "net"),))),
        ("OU=Sales+CN=J.  Smith,DC=example", ((("OU", "Sales"), ("CN", "J.  Smith")), (("DC", "example"),))),
        (r"CN=James \"Jim\" Smith\, III,DC=example", ((("CN", 'James "Jim" Smith, III'),), (("DC", "example"),))),
        (r"CN=Before\0dAfter,DC=example", ((("CN", "Before\rAfter"),), (("DC", "example"),))),
        ("1.3.6.1.4.1.1466.0=#04024869", ((("1.3.6.1.4.1.1466.0", "Hi"),),)),
        (r"CN=Lu\C4\8Di\C4\87", ((("CN", "Lučić"),),)),
        ("ou = people , dc = example", ((("ou", "people"),), (("dc", "example"),))),
        (r"cn=a\ ,dc=b", ((("cn", "a "),), (("dc", "b"),))),
    ],
)
def test_names_of_the_standard_are_read(text: str, name: object) -> None:
    """RFC 4514, 4, and spaces around separators."""
    assert parse(text) == name


@pytest.mark.parametrize(
    "text", ["people", "=x", "ou=a,,dc=b", "ou=a,", 'ou="a"', "ou=a\\", "ou=a\\z", "ou=#1", "ou=\\ff", "1a=b", "ö=x", "ou=a\0"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        parse(text)


def test_a_name_has_a_greatest_length() -> None:
    with pytest.raises(InvalidName):
        parse("ou=" + "a" * MAX_NAME)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidName):
        parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cn=dev,ou=groups,dc=example", "dev"),
        ("CN=Domain Admins,OU=x", "Domain Admins"),
        (r"cn=a\,b,ou=x", "a,b"),
        ("dev", "dev"),
        ("ou=groups,dc=example", "ou=groups,dc=example"),
        ("a=b=c, d", "a=b=c, d"),
    ],
)
def test_a_group_is_called_by_its_common_name(text: str, found: str) -> None:
    assert common_name(text) == found
