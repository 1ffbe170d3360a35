"""A mount's settings. Pure functions of what was sent and what is stored."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.core.forms import merged
from strongroom.errors import InvalidRequest

MAX_CACHE: Final = 100_000
"""Vault's bound of either cache."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mount's settings."""

    disable_binding: Annotated[bool, "Renew without the certificate of the login."] = False
    enable_identity_alias_metadata: Annotated[bool, "Keep the token's metadata with the alias too."] = False
    enable_metadata_on_failures: Annotated[bool, "Say what the certificate was when a login fails."] = False
    ocsp_cache_size: Annotated[int, "OCSP answers kept in memory, 2 to 100000."] = 100
    role_cache_size: Annotated[int, "Taken for Vault's clients; parsed roles are kept in any case."] = 200


def changed_settings(before: Settings | None, body: msgspec.Struct) -> Settings:
    """A mount's settings after a write. Raises InvalidRequest."""
    after = merged(before or Settings(), body)
    if not 2 <= after.ocsp_cache_size <= MAX_CACHE:
        raise InvalidRequest(f"invalid ocsp cache size, must be >= 2 and <= {MAX_CACHE}")
    if not -1 <= after.role_cache_size <= MAX_CACHE:
        raise InvalidRequest(f"invalid role cache size, must be <= {MAX_CACHE} or -1 to disable role caching")
    return after
