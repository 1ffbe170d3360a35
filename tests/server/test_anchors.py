"""The anchor is the newest checkpoint that this installation signed, wherever in its audit files it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.barrier.anchor import Anchor
from strongroom.core.audit.checkpoint import Checkpoint, Draft, body
from strongroom.core.audit.mask import encode
from strongroom.crypto.signatures import DualSigner
from strongroom.server import anchors
from strongroom.server.anchors import newest_anchor
from strongroom.server.config import AuditStanza
from strongroom.testing import Strongroom

ENTRY = b'{"type":"request","request":{"path":"secret/x"},"stream":"s","seq":1,"chain":"c"}\n'


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return Strongroom()


def signed(signer: DualSigner, gsn: int) -> bytes:
    content = Checkpoint(
        node="n", boot="b", number=gsn, previous="", time="2026-01-01T00:00:00Z", gsn=gsn, sigma=f"{gsn:02x}", count=1, streams=()
    )
    draft = Draft(gsn, encode(content))
    return body(draft, draft.sign(signer), b"2026-01-01T00:00:00Z") + b',"stream":"s","seq":1,"chain":"c"}\n'


def own(room: Strongroom) -> DualSigner:
    return DualSigner.from_bytes(room.core.barrier.keys.keyring.stable.signing)


def found(room: Strongroom, *paths: Path) -> Anchor | None:
    stanzas = [AuditStanza("file", f"{number}/", "", {"file_path": str(path)}) for number, path in enumerate(paths)]
    return newest_anchor(stanzas, room.core.barrier)


def test_the_last_checkpoint_of_a_file_counts_and_the_newest_of_several_files(room: Strongroom, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(ENTRY + signed(own(room), 3) + ENTRY + signed(own(room), 7) + ENTRY * 5)
    two.write_bytes(signed(own(room), 5))
    assert found(room, one) == Anchor(7, "07")
    assert found(room, one, two) == found(room, two, one) == Anchor(7, "07")
    assert found(room, two) == Anchor(5, "05")


def test_after_an_accepted_rollback_the_last_one_counts_though_it_is_lower(room: Strongroom, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(signed(own(room), 9) + signed(own(room), 4))
    assert found(room, tmp_path / "one") == Anchor(4, "04")


def test_what_others_signed_or_somebody_changed_or_a_crash_cut_is_passed_over(room: Strongroom, tmp_path: Path) -> None:
    good, path = signed(own(room), 3), tmp_path / "one"
    strange = signed(DualSigner.generate(), 8)
    edited = signed(own(room), 4).replace(b'"gsn":4', b'"gsn":9')
    path.write_bytes(good + strange + edited + signed(own(room), 5)[:300])
    assert found(room, path) == Anchor(3, "03")


def test_a_quoted_checkpoint_inside_an_entry_is_none(room: Strongroom, tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(signed(own(room), 3) + b'{"a":' + signed(own(room), 8))
    assert found(room, path) == Anchor(3, "03")


def test_no_file_an_empty_one_or_one_without_a_checkpoint_is_no_anchor(room: Strongroom, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "entries").write_bytes(ENTRY * 10)
    (tmp_path / "directory").mkdir()
    assert found(room, *(tmp_path / name for name in ("missing", "empty", "entries", "directory"))) is None


def test_more_is_read_where_the_end_holds_none(room: Strongroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "TAILS", (200, 2_000, 20_000))
    path = tmp_path / "one"
    path.write_bytes(ENTRY * 100 + signed(own(room), 3) + ENTRY * 10)
    assert found(room, path) == Anchor(3, "03")
    path.write_bytes(signed(own(room), 3) + ENTRY * 1_000)
    assert found(room, path) is None
