"""Lists in the audit log: what is kept of a directory's masked names never outlives the change that it stands on."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.barrier.directory import Directory, Edit
from strongroom.core import committed, core
from strongroom.core.audit import format as audit_format
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.mask import Mask, Names
from strongroom.core.call import Pause
from strongroom.core.group import perform
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.crypto.mac import Mac
from strongroom.errors import NotFound
from strongroom.testing import Strongroom
from strongroom.testing.room import FakeClock
from tests.core.audit.kit import KEY, UUID, Memory, device

NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "b/a/a", "é", 'q"', "z" * 200])
STEPS = st.lists(st.tuples(st.sampled_from(["write", "delete", "list", "list", "page", "clear", "mask"]), NAMES), max_size=25)
FOLDERS = ("", "a", "b")


class Audited:
    """A server with two devices; each list is compared with what it would be if nothing had been kept."""

    def __init__(self) -> None:
        self.sink, self.eliding = Memory(), Memory("other")
        broker = Broker(FakeClock(), "test")
        broker.enable(device(self.sink))
        broker.enable(device(self.eliding, uuid=UUID[:-1] + "2", path="eliding/", elide_list_responses="true"))
        self.room = Strongroom(broker=broker)
        self.clear = False

    def compare(self, folder: str, **page: int) -> None:
        try:
            names: Sequence[str] = self.room.list(f"secret/metadata/{folder}", page)
        except NotFound:
            return
        written = self.sink.lines[-1]["response"]["data"]["keys"]
        assert written == (list(names) if self.clear else [f"hmac-sha256:{Mac(KEY).hex(name.encode())}" for name in names])
        assert self.eliding.lines[-1]["response"]["data"] == {"keys": len(names)}

    def do(self, deed: str, name: str) -> None:
        match deed:
            case "write":
                self.room.write(f"secret/data/{name}", {"data": {}})
            case "delete":
                self.room.delete(f"secret/metadata/{name}")
            case "page":
                self.compare("", limit=2)
            case "clear" | "mask":
                self.clear = deed == "clear"
                self.room.write("sys/mounts/secret/tune", {"audit_non_hmac_response_keys": ["keys"] if self.clear else []})
            case _:
                for folder in FOLDERS:
                    self.compare(folder)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([0, 2, 1_000]))
def test_what_is_kept_of_masked_names_is_what_masking_them_anew_gives(steps: list[tuple[str, str]], long: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committed, "LONG", long)
        audited = Audited()
        for deed, name in steps:
            audited.do(deed, name)
        audited.do("list", "")


SEQUENCE = [("write", "a"), ("write", "b"), ("list", ""), ("delete", "a"), ("list", ""), ("write", "é"), ("list", "")]


@pytest.mark.parametrize("broken", ["", "the names", "the masks"])
def test_control_a_form_that_outlived_a_change_would_be_found(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(committed, "LONG", 0)
    if broken == "the names":
        monkeypatch.setattr(committed.Committed, "_note", lambda _self, _keys: None)
    if broken == "the masks":
        monkeypatch.setattr(Names, "amended", lambda names, _edits: names)
    audited = Audited()

    def go_through() -> None:
        for deed, name in SEQUENCE:
            audited.do(deed, name)
        assert audited.room.list("secret/metadata") == ["b", "é"]

    if broken:
        with pytest.raises(AssertionError):
            go_through()
    else:
        go_through()


def test_a_name_that_comes_or_goes_is_the_only_one_that_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[bytes] = []
    quoted = Mask.quoted

    def counted(mask: Mask, text: bytes) -> bytes:
        masked.append(text)
        return quoted(mask, text)

    monkeypatch.setattr(committed, "LONG", 50)
    audited = Audited()
    for number in range(50):
        audited.room.write(f"secret/data/n{number:04}", {"data": {}})
    audited.compare("")
    monkeypatch.setattr(Mask, "quoted", counted)
    audited.compare("")
    assert masked == []
    audited.room.write("secret/data/n0005x", {"data": {}})
    audited.compare("")
    assert [text for text in masked if text[:1] == b"n"] == [b"n0005x"]


@given(
    st.lists(st.text(min_size=1, max_size=5), unique=True),
    st.lists(st.tuples(st.text(min_size=1, max_size=5), st.booleans())),
    st.integers(0, 9),
)
def test_a_directory_that_is_amended_holds_what_was_said(names: list[str], changes: list[tuple[str, bool]], masked: int) -> None:
    mask = Mask(KEY)
    before = Directory(sorted(names))
    some = before.forms["device"] = Names(mask)
    some.grow(before.names, masked)
    after = before.amended(changes)
    expected = set(names)
    for name, there in changes:
        (expected.add if there else expected.discard)(name)
    assert after.names == sorted(expected)
    assert json.loads(after.text) == {"keys": sorted(expected)}
    form = after.forms["device"]
    assert isinstance(form, Names)
    assert json.loads(form.data(after.names)) == {"keys": [mask.hash(name.encode()) for name in sorted(expected)]}
    assert before.names == sorted(names), "whoever still holds the one before sees what it was"


def test_edits_are_applied_in_order() -> None:
    mask = Mask(KEY)
    form = Names(mask)
    form.grow(["a", "c"], 2)
    after = form.amended([Edit(1, "b", True), Edit(0, "a", False)])
    assert json.loads(after.data(["b", "c"])) == {"keys": [mask.hash(b"b"), mask.hash(b"c")]}


def test_a_very_long_list_is_masked_bit_by_bit_however_often_it_changes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "MASKED_AT_ONCE", 3)
    monkeypatch.setattr(audit_format, "MASKED_AT_ONCE", 3)
    monkeypatch.setattr(committed, "LONG", 0)
    audited = Audited()
    room = audited.room
    for number in range(20):
        room.write(f"secret/data/n{number:02}", {"data": {}})
    work = Work(Request("id", Operation.LIST, "secret/metadata/", {}, b"", Secret(room.token), Peer()), lambda _work: None)
    for turn in range(3):
        with pytest.raises(Pause) as paused:
            work.run(room.core, None)
        work.remembered[paused.value.key] = paused.value.state
        room.write(f"secret/data/a{turn}", {"data": {}})
    masked = perform(room.core, work, lambda _error, _call: None)
    assert masked.remembered[core.MASKING] >= 20 // 3 - 1
    audited.compare("")
