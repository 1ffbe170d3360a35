"""The KV item: one secret with its versions, as every dialect sees it.

    Head   one row per secret:  data | metadata | ends | number | item
    Kept   one row per older version that still has its data, under  instant 8 | item id 16 | number 8
    item   the Item, encoded once more: a read of the current version skips it as one string of bytes

Rules of this file:
- Pure functions over frozen values: no rows, no clock but the instant handed in.
- `current` is what Vault and Azure call latest and AWS calls AWSCURRENT; `latest` is the highest number ever given. A version that was
  never current is a draft: it has a number, and only the dialect that made it shows it.
- A version ends at an instant (Vault's deletion_time) and can be brought back; destroyed is for ever, its data is gone.
- Rows of older versions lie in the order in which they were written: a commit of many fills a few pages of the store, not one page each.
- Whoever has the item has the digest of every older version's data: a version that was taken away or put back is refused at the read.
- Instants are ns since the epoch, 0 = never. New fields are added at the end with a default; none changes its meaning.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from strongroom.clock import SECOND, rfc3339
from strongroom.core.envelope import encode as encode_json
from strongroom.errors import StorageTampered
from strongroom.types import format_duration

DEFAULT_MAX_VERSIONS = 10
"""Versions kept where neither the key nor the mount says a number, as in Vault."""

MILLISECOND = SECOND // 1_000

MOST_VERSIONS = 10_000
"""Versions kept whatever a setting says: each costs about 60 bytes of the one row that every read opens."""


class Labels(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the AWS and Azure dialects know of a version beyond Vault's words.

    `token` is the caller's VersionId where AWS gave one (`version_id` derives one otherwise). `stages` are staging labels except
    AWSCURRENT and AWSPREVIOUS, which are the item's pointers. `kind` is "string" or "binary" for content that is not a map.
    """

    token: str = ""
    stages: tuple[str, ...] = ()
    kind: str = ""
    content_type: str = ""
    tags: dict[str, str] = {}
    enabled: bool = True
    not_before: int = 0
    expires: int = 0
    updated: int = 0
    draft: bool = False


class Version(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version. `ends` is when it is deleted, or was; `digest` is that of its data once it has a row of its own, and `after` how many
    milliseconds after its making it got it (-1: before that was written down)."""

    created: int
    ends: int = 0
    destroyed: bool = False
    digest: bytes = b""
    labels: Labels | None = None
    after: int = -1


class Tombstone(msgspec.Struct, frozen=True):
    """The whole item is deleted but can be recovered until `purge_at`."""

    deleted: int
    purge_at: int
    by: str = ""


class Item(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A secret with its settings and versions. `delete_version_after` in seconds, 0 = the mount's.

    `oldest` is 0 until there are as many versions as are kept, as in Vault. `attributes` holds what dialects keep per item: description,
    rotation, resource policy.
    """

    created: int
    updated: int
    id: bytes = b""
    current: int = 0
    latest: int = 0
    previous: int = 0
    oldest: int = 0
    versions: dict[int, Version] = {}
    max_versions: int = 0
    cas_required: bool = False
    metadata_cas_required: bool = False
    delete_version_after: int = 0
    custom_metadata: dict[str, str] | None = None
    metadata_version: int = 0
    tombstone: Tombstone | None = None
    attributes: dict[str, str] = {}


class Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The row of a secret: the current version ready to be answered, and the encoded Item.

    `data` is the JSON text as it came in, b"" when there is none; `metadata` the JSON text shown beside it, b"" when it is still to be
    made (version 1 of the engine does not need it); `ends` and `number` are the current version's.
    """

    data: bytes
    metadata: bytes
    ends: int
    number: int
    item: bytes

    def __repr__(self) -> str:
        return f"Head(version {self.number}, {len(self.data)} bytes)"


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The data of an older version."""

    data: bytes

    def __repr__(self) -> str:
        return f"Kept({len(self.data)} bytes)"


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of a mount. `delete_version_after` in seconds; negative: no version ends by itself, whatever its key says."""

    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: int = 0
    metadata_cas_required: bool = False


class Added(NamedTuple):
    """An item after a version was added, and the numbers that were pruned for it."""

    item: Item
    pruned: list[int]


_encode = msgspec.msgpack.Encoder().encode
_items = msgspec.msgpack.Decoder(Item)


def head_of(item: Item, data: bytes) -> Head:
    """The row of an item whose current version's data is `data`."""
    current = item.versions.get(item.current)
    return Head(data, metadata_text(item, item.current), current.ends if current else 0, item.current, _encode(item))


def plain_head(data: bytes, now: int) -> Head:
    """The row of a secret without history: version 1, its metadata to be made when somebody asks for it."""
    item = Item(created=now, updated=now, current=1, latest=1, versions={1: Version(now)})
    return Head(data, b"", 0, 1, _encode(item))


def item_of(head: Head) -> Item:
    """The item in a row."""
    return _items.decode(head.item)


def new_item(now: int) -> Item:
    """An item without versions."""
    return Item(created=now, updated=now, id=secrets.token_bytes(16))


def version_key(item: Item, number: int) -> bytes:
    """The digest key of an older version's row. The id is new for each item, so a name used again never meets old rows."""
    version = item.versions[number]
    written = (version.created // MILLISECOND + version.after).to_bytes(8, "big") if version.after >= 0 else b""
    return written + _named(item, number)


def _named(item: Item, number: int) -> bytes:
    return item.id + number.to_bytes(8, "big")


def version_id(item: Item, number: int) -> str:
    """32 hex: a version's id in Azure and, with hyphens, in AWS, where the caller brought none."""
    return hashlib.sha256(b"strongroom kv version" + _named(item, number)).hexdigest()[:32]


DIGEST_BYTES = 16
"""Of SHA-256: nobody finds a second text for half of it, and ten whole ones would be a third of the row that every read opens."""


def digest(data: bytes) -> bytes:
    """What the item remembers of an older version's data."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def verified(item: Item, number: int, kept: Kept | None) -> bytes:
    """The data of an older version that has not been destroyed. Raises StorageTampered."""
    if kept is None or not hmac.compare_digest(digest(kept.data), item.versions[number].digest[:DIGEST_BYTES]):
        raise StorageTampered(f"version {number} of a secret")
    return kept.data


# ---- what is shown


def version_members(item: Item, number: int) -> dict[str, Any]:
    """The metadata of one version, as it is shown beside its data."""
    version = item.versions[number]
    return {
        "created_time": rfc3339(version.created),
        "custom_metadata": item.custom_metadata,
        "deletion_time": rfc3339(version.ends),
        "destroyed": version.destroyed,
        "version": number,
    }


def metadata_text(item: Item, number: int) -> bytes:
    """The same as JSON text; b"" where there is no such version."""
    return encode_json(version_members(item, number)) if number in item.versions else b""


def item_members(item: Item) -> dict[str, Any]:
    """The metadata of the secret: stored settings, not the effective ones."""
    return {
        "cas_required": item.cas_required,
        "created_time": rfc3339(item.created),
        "current_metadata_version": item.metadata_version,
        "current_version": item.current,
        "custom_metadata": item.custom_metadata,
        "delete_version_after": format_duration(item.delete_version_after),
        "max_versions": item.max_versions,
        "metadata_cas_required": item.metadata_cas_required,
        "oldest_version": item.oldest,
        "updated_time": rfc3339(item.updated),
        "versions": {
            str(number): {
                "created_time": rfc3339(version.created),
                "deletion_time": rfc3339(version.ends),
                "destroyed": version.destroyed,
            }
            for number, version in item.versions.items()
            if version.labels is None or not version.labels.draft
        },
    }


# ---- what changes


def readable(version: Version | None, now: int) -> bool:
    """Whether a version's data may be shown."""
    return version is not None and not version.destroyed and not 0 < version.ends <= now


def _lifetime(item: Item, config: Config) -> int:
    """Seconds after which a new version ends, 0 = never: the shorter of the key's and the mount's."""
    if config.delete_version_after < 0:
        return 0
    own, mount = item.delete_version_after, config.delete_version_after
    return min(own, mount) if own and mount else own or mount


def _versions_kept(item: Item, config: Config) -> int:
    """How many versions stay: the larger of the key's and the mount's number, as Vault has it."""
    return min(max(item.max_versions, config.max_versions) or DEFAULT_MAX_VERSIONS, MOST_VERSIONS)


def added(item: Item, config: Config, now: int, replaced: bytes) -> Added:
    """Add a version and make it current. `replaced` is the data of the one that was current, b"" when it has none."""
    after = _lifetime(item, config)
    number = item.latest + 1
    versions = dict(item.versions)
    if replaced:
        before = versions[item.current]
        waited = max(0, now // MILLISECOND - before.created // MILLISECOND)
        versions[item.current] = Version(before.created, before.ends, before.destroyed, digest(replaced), before.labels, waited)
    versions[number] = Version(now, now + after * SECOND if after else 0)
    pruned = []
    kept = _versions_kept(item, config)
    last = number - kept
    oldest = last + 1 if number - item.oldest >= kept else item.oldest
    while last > 0 and last in versions:
        del versions[last]
        pruned.append(last)
        last -= 1
    grown = msgspec.structs.replace(
        item,
        id=item.id or secrets.token_bytes(16),
        updated=now,
        current=number,
        latest=number,
        previous=item.current,
        oldest=oldest,
        versions=versions,
    )
    return Added(grown, pruned)


def _changed(item: Item, changes: dict[int, Version]) -> Item:
    return msgspec.structs.replace(item, versions=item.versions | changes) if changes else item


def _known(item: Item, numbers: Iterable[int]) -> Iterable[tuple[int, Version]]:
    """The versions among `numbers` that exist and are not destroyed; the rest is passed over, as in Vault."""
    for number in numbers:
        version = item.versions.get(number)
        if version is not None and not version.destroyed:
            yield number, version


def deleted(item: Item, numbers: Iterable[int], now: int) -> Item:
    """End versions now, so that they can be brought back."""
    known = _known(item, numbers)
    return _changed(item, {number: msgspec.structs.replace(version, ends=now) for number, version in known if readable(version, now)})


def undeleted(item: Item, numbers: Iterable[int], config: Config, now: int) -> Item:
    """Bring versions back; where versions end by themselves, their time starts anew."""
    after = _lifetime(item, config)
    ends = now + after * SECOND if after else 0
    return _changed(item, {number: msgspec.structs.replace(version, ends=ends) for number, version in _known(item, numbers)})


def destroyed(item: Item, numbers: Iterable[int]) -> Item:
    """Mark versions as gone for ever."""
    known = _known(item, numbers)
    return _changed(item, {number: msgspec.structs.replace(version, destroyed=True, digest=b"") for number, version in known})
