"""F20 and F21 on PostgreSQL: whoever may write to the database changes its rows. Never a wrong plaintext nor a crash, and scrub finds it.

What a changed row does to each engine is tests/faults/test_damage.py and tests/security/test_tampering.py; here the rows are PostgreSQL's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
import pytest

from strongroom.crypto.records import RecordCipher
from strongroom.storage.postgres.store import PostgresStorage
from strongroom.testing import Strongroom
from tests.faults.rounds import LONG, rounds
from tests.faults.test_damage import Vault, fill, hit, look, scrubbed
from tests.support.postgres import fresh_database

EDITS = 100 if LONG else 40
TABLES = ("strongroom_entries", "strongroom_changes", "strongroom_store")


class Administrator:
    """Somebody who may do everything to the database, and puts it back as it was."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        for table in TABLES:
            self.connection.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")

    def restore(self) -> None:
        with self.connection.transaction():
            for table in TABLES:
                self.connection.execute(f"TRUNCATE {table}")
                self.connection.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")

    def some(self, dice: random.Random, count: int) -> list[tuple[bytes, bytes]]:
        found = self.connection.execute("SELECT key, value FROM strongroom_entries ORDER BY key", binary=True).fetchall()
        return dice.sample(found, count)

    def put(self, key: bytes, value: bytes) -> None:
        self.connection.execute(
            "INSERT INTO strongroom_entries VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, value]
        )

    def delete(self, key: bytes) -> None:
        self.connection.execute("DELETE FROM strongroom_entries WHERE key = %s", [key])


def changed(content: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(content))
    return content[:at] + bytes([content[at] ^ dice.randrange(1, 256)]) + content[at + 1 :]


def flip(admin: Administrator, dice: random.Random) -> None:
    ((key, value),) = admin.some(dice, 1)
    admin.put(key, changed(value, dice))


def rename(admin: Administrator, dice: random.Random) -> None:
    ((key, value),) = admin.some(dice, 1)
    admin.delete(key)
    admin.put(changed(key, dice), value)


def drop(admin: Administrator, dice: random.Random) -> None:
    admin.delete(admin.some(dice, 1)[0][0])


def swap(admin: Administrator, dice: random.Random) -> None:
    (one, first), (other, second) = admin.some(dice, 2)
    admin.put(one, second)
    admin.put(other, first)


def copy(admin: Administrator, dice: random.Random) -> None:
    ((key, value),) = admin.some(dice, 1)
    admin.put(changed(key, dice), value)


def cut(admin: Administrator, dice: random.Random) -> None:
    ((key, value),) = admin.some(dice, 1)
    admin.put(key, value[: dice.randrange(len(value))])


def count_back(admin: Administrator, dice: random.Random) -> None:
    admin.connection.execute("UPDATE strongroom_store SET gsn = gsn - %s", [dice.randrange(1, 4)])


def another_list(admin: Administrator, dice: random.Random) -> None:
    admin.connection.execute("UPDATE strongroom_changes SET keys = %s", [dice.randbytes(40)])


KINDS: tuple[Callable[[Administrator, random.Random], None], ...] = (flip, rename, drop, swap, copy, cut, count_back, another_list)
HARMLESS = (another_list,)
"""Nothing is read by it: readers are told to forget everything."""


class Place(NamedTuple):
    """A store, what was written to it, and who will change it."""

    vault: Vault
    admin: Administrator


@contextmanager
def a_place() -> Iterator[Place]:
    url = fresh_database()
    storage = PostgresStorage(url)
    vault = fill(Strongroom(storage=storage))
    storage.close()
    admin = Administrator(url)
    yield Place(vault._replace(url=url), admin)
    admin.connection.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with a_place() as made:
        yield made


def examine(place: Place, seed: int) -> Counter[str]:
    """Edit, look, scrub, put back; how many edits of each kind scrub found."""
    dice, found = random.Random(seed), Counter[str]()
    for number in range(EDITS):
        kind = KINDS[number % len(KINDS)]
        place.admin.restore()
        kind(place.admin, dice)
        room = place.vault.room
        room.storage = PostgresStorage(place.vault.url)
        try:
            look(room, place.vault)
            if kind not in HARMLESS and hit(room, place.vault):
                assert scrubbed(room, place.vault), f"scrub misses {kind.__name__}, number {number}"
                found[kind.__name__] += 1
        finally:
            room.storage.close()
    place.admin.restore()
    return found


@pytest.mark.fault("F20")
@pytest.mark.fault("F21")
def test_an_untouched_database_reads_without_an_error_and_scrubs_clean(place: Place) -> None:
    room = place.vault.room
    room.storage = PostgresStorage(place.vault.url)
    assert look(room, place.vault) == []
    assert not scrubbed(room, place.vault)
    room.storage.close()


@pytest.mark.fault("F20")
@pytest.mark.fault("F21")
def test_edited_rows_are_never_a_wrong_plaintext_and_scrub_finds_each(place: Place) -> None:
    for number in rounds("F20", "edits of PostgreSQL's rows", short=1, long=10):
        found = examine(place, number)
        assert all(found[kind.__name__] >= EDITS // len(KINDS) // 2 for kind in (flip, rename, drop, swap, copy, cut)), found


@pytest.mark.control
@pytest.mark.fault("F20")
@pytest.mark.fault("F21")
def test_control_records_that_are_not_bound_to_their_row_come_back_as_another_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    seal, sealer, opens, opener = RecordCipher.seal, RecordCipher.sealer, RecordCipher.open, RecordCipher.opener

    def unbound(self: RecordCipher) -> Callable[[bytes, int, bytes], bytes]:
        bound = sealer(self)
        return lambda _key, generation, text: bound(b"", generation, text)

    monkeypatch.setattr(RecordCipher, "seal", lambda self, _key, generation, text: seal(self, b"", generation, text))
    monkeypatch.setattr(RecordCipher, "sealer", unbound)
    monkeypatch.setattr(RecordCipher, "open", lambda self, _key, record: opens(self, b"", record))
    monkeypatch.setattr(RecordCipher, "opener", lambda self, _key, record: opener(self, b"", record))
    with a_place() as loose, pytest.raises(AssertionError, match="came back as something else"):
        for seed in range(40):
            loose.admin.restore()
            swap(loose.admin, random.Random(seed))
            loose.vault.room.storage = PostgresStorage(loose.vault.url)
            try:
                look(loose.vault.room, loose.vault)
            finally:
                loose.vault.room.storage.close()
