"""F20: damaged bytes and pages under the whole core: never a wrong plaintext, never a crash, and scrub finds whatever hit live data."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from strongroom.barrier.scrub import scrub
from strongroom.core.request import Operation
from strongroom.crypto.errors import InvalidRecord
from strongroom.errors import NotFound, Sealed, StorageTampered, StorageUnusable, StrongroomError, Unavailable
from strongroom.storage.api import INDEX_KEY, Storage
from strongroom.storage.directory import DATABASE
from strongroom.storage.sqlite import SqliteStorage
from strongroom.testing import Strongroom

pytestmark = pytest.mark.fault("F20")

PAGE = 4_096
SECRETS = 25
TYPED = (StorageTampered, StorageUnusable, Sealed, Unavailable, InvalidRecord)


class Vault(NamedTuple):
    """A stopped store, and what was written to it."""

    room: Strongroom
    root: bytes
    wanted: dict[str, object]
    rows: dict[bytes, bytes]
    directory: Path = Path()
    url: str = ""

    def pages(self) -> int:
        return (self.directory / DATABASE).stat().st_size // PAGE


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """All of it in one database file, its log copied into it."""
    directory = tmp_path_factory.mktemp("vault") / "store"
    storage = SqliteStorage(directory)
    made = fill(Strongroom(storage=storage))
    storage.close()
    return made._replace(directory=directory)


def fill(room: Strongroom) -> Vault:
    """Secrets, versions, policies and tokens."""
    wanted: dict[str, object] = {}
    for number in range(SECRETS):
        path = f"secret/data/app-{number}"
        for version in range(1 + number % 3):
            value = {"n": number, "v": version, "text": hashlib.sha512(b"%d %d" % (number, version)).hexdigest() * (1 + number % 5)}
            room.write(path, {"data": value})
        wanted[path] = value
    for number in range(5):
        room.write(f"sys/policies/acl/p{number}", {"policy": f'path "secret/data/app-{number}" {{ capabilities = ["read"] }}'})
        room.create_token(f"p{number}", ttl="1h")
    return Vault(room, bytes(room.core.barrier.keys.root), wanted, rows(room.storage))


@contextmanager
def damaged(vault: Vault, where: Path, content: bytes) -> Iterator[Strongroom]:
    """A server of its own on a copy whose database file holds `content`."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(mode=0o700)
    (where / DATABASE).write_bytes(content)
    room = vault.room
    room.storage = SqliteStorage(where)
    try:
        yield room
    finally:
        room.storage.close()


def look(room: Strongroom, vault: Vault) -> list[str]:
    """Open and read everything. What is answered must be right; whatever else happens must have a name. Returns the errors."""
    errors: list[str] = []
    try:
        room.restart()
        room.core.barrier.unseal(vault.root)
    except TYPED as error:
        return [repr(error)]
    for path, value in vault.wanted.items():
        work = room.request(Operation.READ, path)
        if work.error is None:
            assert work.response is not None
            assert room.json(work.response)["data"] == value, f"{path} came back as something else"
        else:
            assert isinstance(work.error, (*TYPED, NotFound, StrongroomError)), repr(work.error)
            assert work.fault is None or isinstance(work.fault, StorageTampered), repr(work.fault)
            errors.append(f"{path}: {work.error}")
    return errors


def scrubbed(room: Strongroom, vault: Vault) -> bool:
    """Whether scrub, or opening the store for it, reports the damage."""
    try:
        room.restart()
        room.core.barrier.unseal(vault.root)
        return not scrub(room.core.barrier).clean
    except (*TYPED, StrongroomError):
        return True


def rows(storage: Storage) -> dict[bytes, bytes]:
    return dict(storage.scan(b"", b"\xff" * 64, -1))


def hit(room: Strongroom, vault: Vault) -> bool:
    """Whether the damage is in live data: old copies of rows lie in the file too."""
    try:
        return rows(room.storage) != vault.rows
    except StorageUnusable:
        return True


def flipped(content: bytes, at: int, dice: random.Random) -> bytes:
    changed = bytearray(content)
    changed[at] ^= dice.randrange(1, 256)
    return bytes(changed)


def live_bytes(vault: Vault, content: bytes) -> list[int]:
    """Where the rows of the store lie in its file: the first stretch of each record that lies in one piece."""
    places: list[int] = []
    for key, record in vault.rows.items():
        at = content.find(record[:200])
        if at >= 0 and key != INDEX_KEY:
            places += range(at, at + min(200, len(record)))
    assert len(places) > 5_000
    return places


def run(vault: Vault, where: Path, flips: int, live: int, pages: int, seed: int) -> None:
    dice, content = random.Random(seed), (vault.directory / DATABASE).read_bytes()
    for _ in range(flips):
        with damaged(vault, where, flipped(content, dice.randrange(len(content)), dice)) as room:
            look(room, vault)
    places, hits = live_bytes(vault, content), 0
    for _ in range(live):
        at = dice.choice(places)
        with damaged(vault, where, flipped(content, at, dice)) as room:
            look(room, vault)
            if hit(room, vault):
                hits += 1
                assert scrubbed(room, vault), f"scrub misses a change at byte {at}"
    assert hits > live // 2
    for _ in range(pages):
        at = PAGE * dice.randrange(vault.pages())
        with damaged(vault, where, content[:at] + bytes(PAGE) + content[at + PAGE :]) as room:
            look(room, vault)


def test_an_undamaged_copy_reads_without_an_error_and_scrubs_clean(vault: Vault, tmp_path: Path) -> None:
    with damaged(vault, tmp_path / "copy", (vault.directory / DATABASE).read_bytes()) as room:
        assert look(room, vault) == []
        assert not scrubbed(room, vault)


def test_damage_is_never_a_wrong_plaintext_and_never_a_crash(vault: Vault, tmp_path: Path) -> None:
    run(vault, tmp_path / "copy", flips=120, live=120, pages=30, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
def test_damage_at_length(vault: Vault, tmp_path: Path, seed: int) -> None:
    run(vault, tmp_path / "copy", flips=500, live=500, pages=50, seed=seed)


def test_an_error_names_the_row_and_others_are_readable(vault: Vault, tmp_path: Path) -> None:
    dice, content = random.Random(5), (vault.directory / DATABASE).read_bytes()
    named = 0
    for at in dice.sample(live_bytes(vault, content), 25):
        with damaged(vault, tmp_path / "copy", flipped(content, at, dice)) as room:
            errors = look(room, vault)
        if 0 < len(errors) < 3:
            assert all("storage_tampered: the row" in error or "the store cannot be read" in error for error in errors), errors
            named += 1
    assert named > 3


@pytest.mark.control
def test_without_authentication_a_flip_is_a_wrong_plaintext(vault: Vault, tmp_path: Path) -> None:
    """The negative control: the same flips on rows that are stored as they are come back changed."""
    dice, plain = random.Random(7), b"".join(hashlib.sha512(b"%d" % number).digest() for number in range(8))
    where = tmp_path / "plain"
    storage = SqliteStorage(where)
    group = storage.begin(0, [])
    group.apply({bytes(17) + b"\x00\x01x": plain}, [])
    group.commit()
    storage.close()
    content = (where / DATABASE).read_bytes()
    (where / DATABASE).write_bytes(flipped(content, content.index(plain) + dice.randrange(200), dice))
    again = SqliteStorage(where)
    assert again.get_many([bytes(17) + b"\x00\x01x"]) != {bytes(17) + b"\x00\x01x": plain}
    again.close()
