"""The half of KV version 2 that never shows data: the mount's settings, a secret's settings, listings.

Rules of this file:
- Settings are shown as they are stored; which one is in force, the key's or the mount's, is item.py's to say.
- Each change of a secret's settings counts `current_metadata_version` up; `metadata_cas` refers to that number, as in OpenBao.
- POST replaces the fields it names, PATCH also merges custom_metadata; null takes a field back to its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from strongroom.core.engine import ListBody, delete, keys_response, list_, patch, read, scan, write
from strongroom.core.envelope import encode as encode_json
from strongroom.core.fields import READERS, Seconds, SignedSeconds
from strongroom.core.response import Response
from strongroom.engines.kv import item as model
from strongroom.engines.kv.item import Config, Head, Item
from strongroom.engines.kv.merge import merged
from strongroom.engines.kv.store import ITEM, KeyValue
from strongroom.errors import InvalidRequest, NotFound, several
from strongroom.types import format_duration

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

MAX_PAIRS = 64
MAX_NAME = 128
MAX_VALUE = 512
"""Bounds of custom_metadata, as in Vault: it lies in the row that every read opens."""

MAX_NUMBER = (1 << 32) - 1

MOST_DETAILS = 10_000
DETAILS_OF_ONE = 10
"""What one listing may tell of secrets: each counts as ten versions, and so do its versions. That is about 30 ms during which nobody else
is served; without it, whoever may write names of his own would choose how long."""
UNTOLD = "key_info leaves out {} of the names; ask for them in pages, with 'after' and 'limit'"

METADATA_CAS_REQUIRED = "metadata check-and-set parameter required for this call"
METADATA_CAS_MISMATCH = "metadata check-and-set parameter did not match the current version"


class ConfigBody(msgspec.Struct, frozen=True):
    """Settings of the mount."""

    max_versions: Annotated[int | Unset, "Versions to keep per secret; 0 means 10."] = UNSET
    cas_required: Annotated[bool | Unset, "Every write must say which version it follows."] = UNSET
    delete_version_after: Annotated[SignedSeconds | Unset, "Time after which a version is deleted; negative switches this off."] = UNSET
    metadata_cas_required: Annotated[bool | Unset, "Every change of a secret's settings must say which one it follows."] = UNSET


class MetadataBody(msgspec.Struct, frozen=True):
    """Settings of a secret."""

    max_versions: Annotated[int | Unset | None, "Versions to keep; 0 leaves it to the mount."] = UNSET
    cas_required: Annotated[bool | Unset | None, "Every write must say which version it follows."] = UNSET
    delete_version_after: Annotated[Seconds | Unset | None, "Time after which a new version is deleted; 0 leaves it to the mount."] = UNSET
    metadata_cas_required: Annotated[bool | Unset | None, "Every change of these settings must say which one it follows."] = UNSET
    custom_metadata: Annotated[dict[str, Any] | Unset | None, "Texts to keep beside the secret; not secret themselves."] = UNSET
    metadata_cas: Annotated[int | Unset, "The current_metadata_version that this change follows."] = UNSET


SETTINGS = {"max_versions": 0, "cas_required": False, "delete_version_after": 0, "metadata_cas_required": False, "custom_metadata": None}
"""Defaults of a secret's settings, which null brings back."""


class Metadata(KeyValue):
    """Routes for settings and listings."""

    # ---- the mount

    def config(self) -> Config:
        """The mount's settings."""
        return self.store.settings("config", Config) or Config()

    @read("config")
    def read_config(self) -> Response:
        """Read the settings of the mount."""
        config = self.config()
        return Response(
            data={
                "cas_required": config.cas_required,
                "delete_version_after": format_duration(config.delete_version_after),
                "max_versions": config.max_versions,
                "metadata_cas_required": config.metadata_cas_required,
            }
        )

    @write("config", body=ConfigBody)
    def write_config(self, body: ConfigBody) -> Response | None:
        """Change the settings of the mount."""
        changes = _sent(body)
        _check_max_versions(changes)
        if changes.get("delete_version_after", 0) < 0:
            changes["delete_version_after"] = -1
        self.store.put("config", msgspec.structs.replace(self.config(), **changes))
        return _warned(changes)

    # ---- a secret

    @read("metadata/{path...}")
    def read_metadata(self, path: str) -> Response:
        """Read the settings of a secret and what is known of its versions."""
        return Response(data=model.item_members(self._item(self.row(path))[1]))

    @write("metadata/{path...}", body=MetadataBody, exists="has")
    def write_metadata(self, path: str, body: MetadataBody) -> Response | None:
        """Change the settings of a secret, which need not have a version yet."""
        changes = _sent(body)
        if not changes:
            return None
        row = self.row(path)
        head = self.head(row)
        item = model.new_item(self.call.transaction.now) if head is None else model.item_of(head)
        if changes.get("custom_metadata") is not None:
            changes["custom_metadata"] = _checked_metadata(changes["custom_metadata"])
        return self._change(row, head, item, body, changes)

    @patch("metadata/{path...}", body=MetadataBody)
    def patch_metadata(self, path: str, body: MetadataBody) -> Response | None:
        """Change some settings of a secret; null takes one back."""
        row = self.row(path)
        head, item = self._item(row)
        changes = _sent(body)
        if not changes:
            return None
        if changes.get("custom_metadata") is not None:
            changes["custom_metadata"] = _checked_metadata(merged(item.custom_metadata, changes["custom_metadata"]))
        return self._change(row, head, item, body, changes)

    @delete("metadata/{path...}")
    def delete_metadata(self, path: str) -> None:
        """Remove a secret with all its versions, for ever."""
        row = self.row(path)
        head = self.head(row)
        if head is None:
            return
        item = model.item_of(head)
        self.drop(item, [number for number, version in item.versions.items() if version.digest])
        self.remove(row)

    def _item(self, row: bytes) -> tuple[Head, Item]:
        head = self.head(row)
        if head is None:
            raise NotFound
        return head, model.item_of(head)

    def _change(self, row: bytes, head: Head | None, item: Item, body: MetadataBody, changes: dict[str, Any]) -> Response | None:
        """Check and stage new settings."""
        changes = {name: SETTINGS[name] if value is None else value for name, value in changes.items()}
        config = self.config()
        _check_metadata_cas(item.metadata_cas_required or config.metadata_cas_required, body.metadata_cas, item.metadata_version)
        _check_max_versions(changes)
        now = self.call.transaction.now
        after = msgspec.structs.replace(item, **changes, updated=now, metadata_version=item.metadata_version + 1)
        self.save(row, model.head_of(after, head.data if head else b""))
        return _warned(changes, config)

    # ---- names

    @list_("metadata/", body=ListBody)
    def list_root(self, body: ListBody) -> Response:
        """List the names at the top."""
        return self.listed("", body)

    @list_("metadata/{path...}", body=ListBody)
    def list_names(self, path: str, body: ListBody) -> Response:
        """List the names directly below a path; those that end in "/" have more below them."""
        return self.listed(path, body)

    @scan("metadata/", body=ListBody)
    def scan_root(self, body: ListBody) -> Response:
        """List the names of all secrets."""
        return keys_response(self.scanned("", body))

    @scan("metadata/{path...}", body=ListBody)
    def scan_names(self, path: str, body: ListBody) -> Response:
        """List the names of all secrets below a path."""
        return keys_response(self.scanned(path, body))

    @list_("detailed-metadata/", body=ListBody)
    def list_root_details(self, body: ListBody) -> Response:
        """List the names at the top with their metadata."""
        return self._detailed("", self.store.list(ITEM, body.after, body.limit))

    @list_("detailed-metadata/{path...}", body=ListBody)
    def list_details(self, path: str, body: ListBody) -> Response:
        """List the names directly below a path with their metadata."""
        return self._detailed(path, self.store.list(ITEM + path, body.after, body.limit))

    @scan("detailed-metadata/", body=ListBody)
    def scan_root_details(self, body: ListBody) -> Response:
        """List the names of all secrets with their metadata."""
        return self._detailed("", self.scanned("", body))

    @scan("detailed-metadata/{path...}", body=ListBody)
    def scan_details(self, path: str, body: ListBody) -> Response:
        """List the names of all secrets below a path with their metadata."""
        return self._detailed(path, self.scanned(path, body))

    def _detailed(self, path: str, names: list[str]) -> Response:
        info: dict[str, object] = {}
        left, untold = MOST_DETAILS, 0
        for name in names:
            if name.endswith("/"):
                continue
            if left <= 0:
                untold += 1
            elif (head := self.head(self.row(path + name))) is not None:
                item = model.item_of(head)
                info[name] = model.item_members(item)
                left -= DETAILS_OF_ONE + len(item.versions)
        response = keys_response(names, info)
        return msgspec.structs.replace(response, warnings=(UNTOLD.format(untold),)) if untold else response


def _sent(body: ConfigBody | MetadataBody) -> dict[str, Any]:
    """The settings that the caller named."""
    fields = ((name, getattr(body, name)) for name in body.__struct_fields__ if name != "metadata_cas")
    return {name: value for name, value in fields if value is not UNSET}


def _checked_metadata(pairs: Mapping[str, Any]) -> dict[str, str] | None:
    """Texts within bounds, None for none at all. Raises InvalidRequest naming every rule that was broken."""
    said = "custom_metadata validation failed: "
    if len(pairs) > MAX_PAIRS:
        raise InvalidRequest(several(f"{said}payload must contain at most {MAX_PAIRS} keys, provided {len(pairs)}"))
    texts = {name: _as_text(value, said) for name, value in pairs.items()}
    wrong = [said + what for name, value in texts.items() for what in _wrong_pair(name, value)]
    if wrong:
        raise InvalidRequest(several(*wrong))
    return texts or None


def _as_text(value: Any, said: str) -> str:
    """Numbers and booleans as Vault makes texts of them. Raises InvalidRequest."""
    if isinstance(value, bool):
        return "1" if value else "0"
    try:
        return "" if value is None else READERS[str](value)
    except ValueError:
        raise InvalidRequest(f"{said}a value is neither a text nor a number") from None


def _wrong_pair(name: str, value: str) -> Iterator[str]:
    shown = encode_json(name).decode()
    for what, text, most in (("key", name, MAX_NAME), ("value for key", value, MAX_VALUE)):
        length = len(text.encode())
        if not 0 < length <= most:
            yield f"length of {what} {shown} is {length} but must be 0 < len({what.split()[0]}) <= {most}"
        if not text.isprintable():
            yield f"{what} {shown} contains unprintable characters"


def _check_max_versions(changes: Mapping[str, Any]) -> None:
    if not 0 <= changes.get("max_versions", 0) <= MAX_NUMBER:
        raise InvalidRequest(f"max_versions is a number from 0 to {MAX_NUMBER}")


def _check_metadata_cas(required: bool, sent: int | Unset, current: int) -> None:
    if sent is UNSET:
        if required:
            raise InvalidRequest(METADATA_CAS_REQUIRED)
    elif sent != current:
        raise InvalidRequest(METADATA_CAS_MISMATCH)


def _warned(changes: Mapping[str, Any], config: Config | None = None) -> Response | None:
    """Say which settings have no effect."""
    warnings = [
        f'"{name}" set to false, but is mandated by backend config. This value will be ignored.'
        for name in ("cas_required", "metadata_cas_required")
        if config is not None and changes.get(name) is False and getattr(config, name)
    ]
    if changes.get("max_versions", 0) > model.MOST_VERSIONS:
        warnings.append(f"at most {model.MOST_VERSIONS} versions are kept, whatever max_versions says")
    return Response(warnings=tuple(warnings)) if warnings else None
