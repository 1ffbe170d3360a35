"""An engine at a path, as it is stored and as everybody knows it."""

from __future__ import annotations

from typing import Any

import msgspec


class MountConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `tune` sets. Durations in seconds, 0 = the system's default."""

    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    force_no_cache: bool = False
    listing_visibility: str = ""
    token_type: str = ""
    audit_non_hmac_request_keys: tuple[str, ...] = ()
    audit_non_hmac_response_keys: tuple[str, ...] = ()
    passthrough_request_headers: tuple[str, ...] = ()
    allowed_response_headers: tuple[str, ...] = ()
    user_lockout_config: dict[str, Any] | None = None


class Mount(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An engine at a path. `path` ends in "/", and begins with "auth/" for auth methods. `uuid` names its rows and never changes.

    `tainted`: it is being removed; nothing resolves to it any more.
    """

    uuid: bytes
    path: str
    kind: str
    family: str
    accessor: str
    description: str = ""
    options: dict[str, str] = {}
    config: MountConfig = MountConfig()
    local: bool = False
    seal_wrap: bool = False
    external_entropy_access: bool = False
    namespace: str = ""
    tainted: bool = False
