"""Row keys hide names, keep the tree's shape, and bind a name to its parents."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import rowkeys
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.rowkeys import RowNames

KEY = bytes(range(64))
HEADER = b"m" * 16 + b"\x01"
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
PATHS = st.lists(NAMES, max_size=6)


def test_siv_of_rfc_5297_a1_holds() -> None:
    """The cipher under the names is the published one: its deterministic example."""
    siv = AESSIV(bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"))
    aad = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = siv.encrypt(bytes.fromhex("112233445566778899aabbccddee"), [aad])
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@given(PATHS)
def test_names_come_back_segment_by_segment(path: list[str]) -> None:
    names, parent = RowNames(KEY), HEADER
    for depth, name in enumerate(path):
        key = names.key(HEADER, path[: depth + 1])
        assert names.name(parent, key[len(parent) :]) == name
        parent = key


@given(PATHS, PATHS)
def test_a_key_starts_with_its_parents_key_and_continues_from_it(parent: list[str], rest: list[str]) -> None:
    names = RowNames(KEY)
    parent_key = names.key(HEADER, parent)
    key = names.key(HEADER, parent + rest)
    assert key == names.key(parent_key, rest)
    assert key.startswith(parent_key)


@given(PATHS, PATHS)
def test_equal_paths_and_only_they_have_equal_keys(one: list[str], other: list[str]) -> None:
    assert (RowNames(KEY).key(HEADER, one) == RowNames(KEY).key(HEADER, other)) == (one == other)


def test_layout_is_the_documented_one() -> None:
    component = RowNames(KEY).component(HEADER, "app")
    assert component == (19).to_bytes(2, "big") + AESSIV(KEY).encrypt(b"app", [HEADER])
    assert len(component) == len("app") + rowkeys.COMPONENT_OVERHEAD


def test_the_same_name_below_two_parents_looks_different() -> None:
    names = RowNames(KEY)
    assert names.component(HEADER, "app") != names.component(names.key(HEADER, ["a"]), "app")
    assert names.component(HEADER, "app") != names.component(b"n" + HEADER[1:], "app")
    assert names.component(HEADER, "app") != RowNames(KEY[::-1]).component(HEADER, "app")


def test_a_component_below_another_parent_does_not_decrypt() -> None:
    names = RowNames(KEY)
    with pytest.raises(InvalidRecord):
        names.name(names.key(HEADER, ["a"]), names.component(HEADER, "app"))


def test_every_changed_bit_and_every_truncation_is_refused() -> None:
    names = RowNames(KEY)
    component = names.component(HEADER, "app")
    for bit in range(8 * len(component)):
        changed = bytearray(component)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidRecord):
            names.name(HEADER, bytes(changed))
    for length in range(len(component)):
        with pytest.raises(InvalidRecord):
            names.name(HEADER, component[:length])


def test_names_do_not_appear_in_the_key() -> None:
    assert b"very-secret-project" not in RowNames(KEY).key(HEADER, ["very-secret-project"])


def test_a_full_memo_starts_over_and_changes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowkeys, "MEMO_ENTRIES", 3)
    small = RowNames(KEY)
    paths = [["a", str(number)] for number in range(10)] * 2
    assert [small.key(HEADER, path) for path in paths] == [RowNames(KEY).key(HEADER, path) for path in paths]


def test_the_longest_legal_path_stays_below_the_index_limit_of_postgresql() -> None:
    path = ["a" * 15] * 63 + ["a" * 16]
    assert len("/".join(path)) == 1_024
    assert len(RowNames(KEY).key(HEADER, path)) < 2_704


@pytest.mark.parametrize("length", [0, 32, 48, 63, 65])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        RowNames(bytes(length))
