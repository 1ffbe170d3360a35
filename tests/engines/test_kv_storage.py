"""What whoever holds the database can do to KV rows: be noticed (F20), and learn nothing (T14.1)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from strongroom.core.mount import Mount
from strongroom.core.request import Operation
from strongroom.engines.kv import item as model
from strongroom.engines.kv.item import Head, Kept
from strongroom.engines.kv.store import ITEM
from strongroom.errors import StorageTampered
from strongroom.testing.room import Strongroom


class Attacked:
    """A secret `a` with three versions, a secret `b` with two, and the store's rows in the attacker's hands."""

    def __init__(self) -> None:
        self.room = Strongroom()
        for number in (1, 2, 3):
            self.room.write("secret/data/a", {"data": {"of": "a", "number": number}})
        for number in (1, 2):
            self.room.write("secret/data/b", {"data": {"of": "b", "number": number}})
        self.rows: dict[bytes, bytes] = self.room.storage._rows  # type: ignore[attr-defined]

    @property
    def mount(self) -> Mount:
        """The mount of both."""
        return self.room.core.mounts.table(self.room.core.transaction(None)).by_path["secret/"]

    def row(self, name: str, number: int = 0) -> bytes:
        """The row key of a secret, or of an older version of it."""
        view = self.room.core.transaction(None).view(self.mount.uuid)
        if not number:
            return view.row(ITEM + name)
        head = view.get(ITEM + name, Head)
        assert head is not None
        return view.row(model.version_key(model.item_of(head), number))

    def put(self, key: bytes, record: bytes | None) -> None:
        """Change a row behind the server's back."""
        if record is None:
            del self.rows[key]
        else:
            self.rows[key] = record
        self.room.core.committed.forget(None, None)

    def read(self, version: int = 1) -> object:
        """Read a version of `a`."""
        return self.room.json(self.room.read("secret/data/a", {"version": str(version)}))["data"]


def _removed(attacked: Attacked) -> None:
    attacked.put(attacked.row("a", 1), None)


def _damaged(attacked: Attacked) -> None:
    record = bytearray(attacked.rows[attacked.row("a", 1)])
    record[-1] ^= 1
    attacked.put(attacked.row("a", 1), bytes(record))


def _other_version(attacked: Attacked) -> None:
    attacked.put(attacked.row("a", 1), attacked.rows[attacked.row("a", 2)])


def _other_secret(attacked: Attacked) -> None:
    attacked.put(attacked.row("a", 1), attacked.rows[attacked.row("b", 1)])


def _resealed(attacked: Attacked) -> None:
    """What even a holder of the keys must not get past: a well-formed row with other data."""
    key = attacked.row("a", 1)
    attacked.put(key, attacked.room.core.barrier.keys.current.seal(key, 99, b"\x91\xc4\x02{}"))


@pytest.mark.parametrize("attack", [_removed, _damaged, _other_version, _other_secret, _resealed])
def test_a_version_that_is_not_what_was_written_is_refused(attack: Callable[[Attacked], None]) -> None:
    attacked = Attacked()
    assert attacked.read() == {"of": "a", "number": 1}
    attack(attacked)
    with pytest.raises(StorageTampered):
        attacked.read()
    assert attacked.read(3) == {"of": "a", "number": 3}
    assert attacked.read(2) == {"of": "a", "number": 2}


def test_a_destroyed_version_that_is_put_back_stays_destroyed() -> None:
    attacked = Attacked()
    key = attacked.row("a", 1)
    record = attacked.rows[key]
    attacked.room.write("secret/destroy/a", {"versions": [1]})
    assert key not in attacked.rows
    attacked.put(key, record)
    work = attacked.room.request(Operation.READ, "secret/data/a", {"version": "1"})
    assert work.error is not None and work.error.status == 404


def test_a_removed_secrets_rows_never_meet_a_new_one_of_the_same_name() -> None:
    attacked = Attacked()
    old = {number: (attacked.row("a", number), attacked.rows[attacked.row("a", number)]) for number in (1, 2)}
    attacked.room.delete("secret/metadata/a")
    for number in (7, 8, 9):
        attacked.room.write("secret/data/a", {"data": {"number": number}})
    for key, record in old.values():
        attacked.put(key, record)
    assert attacked.read() == {"number": 7}
    attacked.put(attacked.row("a", 1), old[1][1])
    with pytest.raises(StorageTampered):
        attacked.read()


def test_names_and_values_are_not_in_the_store() -> None:
    room = Strongroom()
    name, value = "name-of-sixteen-and-more", "value-of-sixteen-and-more"
    for _ in range(2):
        room.write(f"secret/data/{name}/{name}", {"data": {name: value}})
        room.write(f"secret/metadata/{name}/{name}", {"custom_metadata": {name: value}})
    stored = b"".join(key + record for key, record in room.storage._rows.items())  # type: ignore[attr-defined]
    for text in (name, value):
        assert text.encode() not in stored
    installation = room.core.barrier.installation()
    assert installation is not None and installation.id in stored, "the search finds what is there"


# ---- version 1 becomes version 2


def test_enabling_versions_makes_every_secret_its_own_version_1() -> None:
    room = Strongroom()
    room.write("sys/mounts/kv", {"type": "kv", "options": {"version": "1"}})
    room.write("kv/a/b", {"n": 1, "text": "x"})
    room.read("kv/a/b")
    room.clock.advance(60)
    room.write("sys/mounts/kv/tune", {"options": {"version": "2"}})
    metadata = {"created_time": "2026-01-01T00:00:00Z", "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": 1}
    for version in ("0", "1"):
        found = room.read("kv/data/a/b", {"version": version})
        assert room.json(found) == {"data": {"n": 1, "text": "x"}, "metadata": metadata}
        assert found.data.masks is None  # type: ignore[union-attr]  # what audit kept of version 1's answer is not version 2's
    assert room.list("kv/metadata/a") == ["b"]
    room.write("kv/data/a/b", {"data": {"n": 2}, "options": {"cas": 1}})
    assert room.json(room.read("kv/data/a/b", {"version": "1"}))["data"] == {"n": 1, "text": "x"}
    assert room.json(room.read("kv/data/a/b"))["data"] == {"n": 2}


# ---- the model carries what AWS and Azure need


def test_labels_of_other_dialects_survive_what_vaults_clients_do() -> None:
    labels = model.Labels(token="t" * 32, stages=("beta",), enabled=False, not_before=5, expires=9, tags={"a": "b"}, content_type="x/y")
    item = model.new_item(1)
    item, _ = model.added(item, model.Config(), 2, b"")
    version = model.Version(2, labels=labels)
    item = model.Item(created=1, updated=2, id=item.id, current=1, latest=1, versions={1: version}, attributes={"description": "d"})
    item, _ = model.added(item, model.Config(), 3, b"{}")
    item = model.undeleted(model.deleted(item, [1, 2], 4), [1, 2], model.Config(), 5)
    again = model.item_of(model.head_of(item, b"{}"))
    assert again == item
    assert (again.versions[1].labels, again.attributes, again.previous) == (labels, {"description": "d"}, 1)
    assert model.verified(again, 1, Kept(b"{}")) == b"{}"
    ids = {model.version_id(again, 1), model.version_id(again, 2)}
    assert len(ids) == 2 and all(len(each) == 32 for each in ids)


def test_a_draft_is_invisible_to_vaults_clients() -> None:
    item = model.Item(
        created=1, updated=1, current=1, latest=2, versions={1: model.Version(1), 2: model.Version(2, labels=model.Labels(draft=True))}
    )
    assert list(model.item_members(item)["versions"]) == ["1"]
    grown, _ = model.added(item, model.Config(), 3, b"{}")
    assert (grown.current, grown.latest, grown.previous) == (3, 3, 1)


def test_reprs_show_sizes_only() -> None:
    assert "canary" not in repr([Head(b"canary", b"", 0, 1, b"canary"), Kept(b"canary")])


def test_older_versions_of_many_secrets_lie_side_by_side_and_those_of_before_are_found() -> None:
    """In the order of their writing: a commit that keeps many of them touches few pages."""
    config, item = model.Config(), model.new_item(1_000_000_000)
    for number in range(1, 4):
        item = model.added(item, config, number * 1_000_000_000, b"data" if number > 1 else b"").item
    other = model.added(model.added(model.new_item(0), config, 1_500_000_000, b"").item, config, 2_500_000_000, b"data").item
    assert [model.version_key(item, 1)[:8], model.version_key(other, 1)[:8], model.version_key(item, 2)[:8]] == [
        (milliseconds).to_bytes(8, "big") for milliseconds in (2_000, 2_500, 3_000)
    ]
    unplaced = msgspec.structs.replace(item.versions[1], after=-1)
    older = msgspec.structs.replace(item, versions={**item.versions, 1: unplaced})
    assert model.version_key(older, 1) == item.id + (1).to_bytes(8, "big")
