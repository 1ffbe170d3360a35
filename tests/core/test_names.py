"""Names have one form: what is accepted stays as it is, and what could be spelt in several ways is refused (T1.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.names import MAX_SUBJECT, role_name, subject_name
from strongroom.core.response import Alias
from strongroom.errors import InvalidRequest
from strongroom.testing import Strongroom


@given(st.text(max_size=140))
def test_a_role_has_one_name(text: str) -> None:
    try:
        name = role_name(text)
    except InvalidRequest:
        return
    assert role_name(name) == name == text.lower() and name.isascii()


@given(st.text(max_size=40) | st.text(alphabet=st.characters(max_codepoint=127), max_size=40))
def test_a_subject_is_taken_as_it_is_or_not_at_all(text: str) -> None:
    try:
        assert subject_name(text) == text
    except InvalidRequest:
        return
    assert text.isascii() and text.isprintable() and text == text.strip() and text


@pytest.mark.parametrize("text", ["", " a", "a ", "a\n", "a\tb", "a\0b", "ａlice", "al\u0131ce", "a\u200db", "x" * (MAX_SUBJECT + 1)])
def test_a_subject_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        subject_name(text)


def test_an_alias_is_one_row_whatever_it_is_called() -> None:
    room = Strongroom()
    room.write("sys/auth/userpass", {"type": "userpass"})
    names = ["repo:a/b:ref:refs/heads/main", "a//b", "/", "a%2Fb", "a/b", "%", "a", "a%252Fb"]
    identities = room.core.identities

    def log_in(name: str) -> str:
        def change(call: object) -> str:
            transaction = call.transaction  # type: ignore[attr-defined]
            mount = room.core.mounts.table(transaction).by_path["auth/userpass/"]
            return identities.login(transaction, Alias(name), mount)

        entity: str = room.transact(change)
        return entity

    entities = [log_in(name) for name in names]
    assert len(set(entities)) == len(names)
    assert [log_in(name) for name in names] == entities
