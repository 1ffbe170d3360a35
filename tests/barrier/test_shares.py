"""Share sets and seals: what is handed out opens, what is not is named, and nothing of it is printed."""

from __future__ import annotations

import base64
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.barrier.anchor import Anchor, RolledBack, check_anchor
from strongroom.barrier.barrier import Keys
from strongroom.barrier.index import Index
from strongroom.barrier.keyring import Installation, new_keyring, open_handover, seal_handover
from strongroom.barrier.seal import Recovery, SealConfig, configured_seal, decoded_config, recovery_check, unwrapped, wrapped
from strongroom.barrier.seals.shamir import Shamir
from strongroom.barrier.seals.static import Static, parse_key
from strongroom.barrier.shares import combined, parse_share, set_of, split_new_key, wipe
from strongroom.core.sealing.ceremonies import Ceremony, Pending, Quorum
from strongroom.core.sealing.rekey import HandoverJob, Rekeyed
from strongroom.core.sealing.state import Progress, Sealing
from strongroom.core.sealing.unsealing import Initialised
from strongroom.core.secret import Secret
from strongroom.crypto.errors import InvalidRecord
from strongroom.errors import ConfigError, InvalidRequest, StorageTampered

HERE = Installation(1, bytes(16), "cluster", 1)
THERE = Installation(1, bytes(15) + b"\x01", "cluster", 1)
ROOT = bytes(range(32))


# -- shares ------------------------------------------------------------------------------------------------------------


def test_every_quorum_gives_the_key_and_every_share_is_recognised() -> None:
    split = split_new_key(5, 3)
    assert all(combined(some) == split.key for some in combinations(split.shares, 3))
    assert all(set_of(share, [split.share_set]) is split.share_set for share in split.shares)


def test_fewer_shares_give_another_key() -> None:
    split = split_new_key(3, 3)
    assert all(combined(some) != split.key for some in combinations(split.shares, 2))


@given(st.integers(0, 2**264 - 1))
def test_what_was_not_handed_out_is_a_stranger(number: int) -> None:
    with pytest.raises(InvalidRequest, match="it was not counted"):
        set_of(number.to_bytes(33, "big"), [SPLIT.share_set])


SPLIT = split_new_key(3, 2)


@given(st.binary(min_size=33, max_size=33))
def test_a_share_reads_back_from_every_spelling(share: bytes) -> None:
    for text in (
        share.hex(),
        share.hex().upper(),
        base64.b64encode(share).decode(),
        f" {share.hex()}\n",
        base64.b64encode(share).decode().rstrip("="),
    ):
        assert parse_share(text, [33]) == share


@given(st.text(max_size=80))
def test_any_text_is_a_share_or_a_clear_refusal(text: str) -> None:
    with suppress(InvalidRequest):
        assert len(parse_share(text, [33])) == 33


def test_shares_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="do not fit together"):
        combined([SPLIT.shares[0], SPLIT.shares[0]])


def test_a_wiped_key_is_zero() -> None:
    key = bytearray(ROOT)
    wipe(key, bytearray())
    assert key == bytes(32)


# -- wraps -------------------------------------------------------------------------------------------------------------


def test_several_seals_wrap_the_same_root_key_at_once() -> None:
    people, machine = Shamir(SPLIT.key), Static(bytes(32))
    wraps = wrapped(people, ROOT, HERE, SPLIT.share_set), wrapped(machine, ROOT, HERE)
    assert unwrapped(people, wraps[0], HERE) == unwrapped(machine, wraps[1], HERE) == ROOT


def test_a_wrap_opens_for_its_installation_set_and_key_only() -> None:
    people, other = Shamir(SPLIT.key), split_new_key(3, 2)
    wrap = wrapped(people, ROOT, HERE, SPLIT.share_set)
    moved = wrapped(people, ROOT, HERE, other.share_set)
    cases = ((people, wrap, THERE), (Shamir(other.key), wrap, HERE), (Static(bytes(SPLIT.key)), moved, THERE))
    for seal, candidate, installation in cases:
        with pytest.raises(InvalidRecord):
            unwrapped(seal, candidate, installation)
    for sealed in (b"", wrap.sealed[:24], wrap.sealed[:-1], bytes(len(wrap.sealed))):
        with pytest.raises(InvalidRecord):
            people.unwrap(sealed, b"")


def test_an_edited_configuration_is_not_authentic() -> None:
    config = SealConfig((wrapped(Static(bytes(32)), ROOT, HERE),), (Recovery(SPLIT.share_set, recovery_check(SPLIT.key, HERE)),))
    payload = config.signed(ROOT, HERE)
    decoded_config(payload).authenticate(ROOT, HERE)
    for root, installation in ((bytes(32), HERE), (ROOT, THERE)):
        with pytest.raises(StorageTampered):
            decoded_config(payload).authenticate(root, installation)
    for at in range(len(payload)):
        edited = bytearray(payload)
        edited[at] ^= 1
        with pytest.raises(StorageTampered):
            decoded_config(bytes(edited)).authenticate(ROOT, HERE)


def test_a_handover_opens_under_the_old_root_key_only() -> None:
    payload = seal_handover(ROOT, bytes(32), HERE)
    assert open_handover(ROOT, payload, HERE) == bytes(32)
    for root, text, installation in ((bytes(32), payload, HERE), (ROOT, payload, THERE), (ROOT, payload[:20], HERE), (ROOT, b"", HERE)):
        with pytest.raises(InvalidRecord):
            open_handover(root, text, installation)


def test_handovers_lead_on_from_any_root_key_in_the_row() -> None:
    second, third, fourth = (bytes([number]) * 32 for number in (2, 3, 4))
    row = seal_handover(ROOT, second, HERE) + seal_handover(second, third, HERE) + seal_handover(third, fourth, HERE)
    assert {open_handover(root, row, HERE) for root in (ROOT, second, third)} == {fourth}
    for root, text in ((fourth, row), (ROOT, row[:-1]), (ROOT, row[len(row) // 3 :])):
        with pytest.raises(InvalidRecord):
            open_handover(root, text, HERE)


# -- configuration -----------------------------------------------------------------------------------------------------


def test_a_seal_is_found_by_its_name() -> None:
    assert configured_seal("shamir", {}) is None
    assert isinstance(configured_seal("static", {"current_key": ROOT.hex()}), Static)
    for name in ("", "nothing", "../static", "Static", "static.Static", "__init__"):
        with pytest.raises(ConfigError, match="there is no such seal"):
            configured_seal(name, {})
    with pytest.raises(ConfigError, match="takes no options"):
        configured_seal("shamir", {"shares": "5"})


@pytest.mark.parametrize("content", [ROOT, ROOT.hex().encode(), base64.b64encode(ROOT), ROOT.hex().encode() + b"\n"])
def test_a_key_file_is_raw_hex_or_base64(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seal.key"
    path.write_bytes(content)
    reference = Static(ROOT)
    sealed = reference.wrap(ROOT, b"context")
    options: list[dict[str, str]] = [{"path": str(path)}, {"current_key": f"file://{path}", "current_key_id": "1"}]
    if content != ROOT:
        monkeypatch.setenv("SEAL", content.decode())
        monkeypatch.setenv("STRONGROOM_SEAL_KEY", content.decode())
        options += [{"env": "SEAL"}, {"current_key": "env://SEAL"}, {}]
    for option in options:
        seal = configured_seal("static", option)
        assert seal is not None
        assert seal.unwrap(sealed, b"context") == ROOT


def test_the_previous_key_still_opens() -> None:
    sealed = Static(ROOT).wrap(ROOT, b"c")
    seal = configured_seal("static", {"current_key": bytes(32).hex(), "previous_key": ROOT.hex(), "previous_key_id": "0"})
    assert seal is not None
    assert seal.unwrap(sealed, b"c") == ROOT


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "needs a key"),
        ({"path": "/nonexistent/seal.key"}, "cannot be read"),
        ({"path": "/dev/null"}, "holds no key of 32 bytes"),
        ({"path": "/dev/zero"}, "holds no key of 32 bytes"),
        ({"env": "STRONGROOM_NO_SUCH"}, "no environment variable STRONGROOM_NO_SUCH"),
        ({"current_key": "short"}, "the configuration holds no key"),
        ({"current_key": "zz" * 32}, "the configuration holds no key"),
        ({"key": "x"}, "does not know"),
    ],
)
def test_a_static_seal_that_cannot_be_says_why(options: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRONGROOM_SEAL_KEY", raising=False)
    monkeypatch.delenv("BAO_STATIC_SEAL_CURRENT_KEY", raising=False)
    with pytest.raises(ConfigError, match=text):
        configured_seal("static", options)


def test_a_refused_key_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_key(b"super-secret-but-too-short", "the file x")
    assert "super-secret" not in str(caught.value)


# -- anchor ------------------------------------------------------------------------------------------------------------


def test_a_store_may_be_ahead_of_its_anchor_never_behind() -> None:
    index = Index(5, 1, bytes(64))
    for anchor in (None, Anchor(4, "ff"), Anchor(5, "00" * 64)):
        check_anchor(index, anchor)
    for anchor in (Anchor(6, "00" * 64), Anchor(5, "01" * 64), Anchor(5, "")):
        with pytest.raises(RolledBack):
            check_anchor(index, anchor)
        check_anchor(index, anchor, accepted=True)


# -- T14.4: nothing that holds a key prints it ---------------------------------------------------------------------------


def _holders() -> list[Any]:
    keyring = new_keyring(1)
    progress, sealing = Progress(), Sealing()
    progress.give(SPLIT.share_set.id, 2, SPLIT.shares[0], accept=False)
    sealing.progress = progress
    sealing.seals = (Static(ROOT),)
    wrap = wrapped(Static(ROOT), ROOT, HERE)
    recovery = Recovery(SPLIT.share_set, ROOT)
    pending = Pending("n", SPLIT.share_set, ROOT, (SPLIT.shares[0],))
    return [
        keyring, keyring.current, keyring.stable, Keys(ROOT, keyring, HERE), Static(ROOT), Shamir(ROOT), wrap, recovery, progress, sealing,
        SealConfig((wrap,), (recovery,)), SPLIT, Quorum(SPLIT.share_set, bytearray(ROOT)), Rekeyed(SPLIT.shares, "n", []), pending,
        Ceremony("n", otp=ROOT.hex(), given=(SPLIT.shares[0],), pending=pending), HandoverJob(ROOT),
        Initialised([SPLIT.shares[0]], [SPLIT.shares[1]], Secret("srs_canary")),
    ]  # fmt: skip


@pytest.mark.parametrize("holder", _holders(), ids=lambda holder: type(holder).__name__)
def test_what_holds_a_key_does_not_print_it(holder: Any) -> None:
    secrets = [ROOT, bytes(SPLIT.key), *SPLIT.shares]
    keyring = next((part for part in (holder, getattr(holder, "keyring", None)) if hasattr(part, "epochs")), None)
    if keyring is not None:
        secrets += [keyring.current.key, keyring.stable.index, keyring.stable.names]
    for shown in (repr(holder), str(holder), f"{holder}"):
        assert "canary" not in shown
        for secret in secrets:
            assert secret.hex() not in shown
            assert repr(secret)[2:-1] not in shown
            assert base64.b64encode(secret).decode() not in shown
