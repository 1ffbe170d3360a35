"""A mount's settings. Pure functions of what was sent and what is stored.

Rules of this file: a size that nobody set is told as 0, as Vault tells it, and means the default; what later Vaults know is told once set.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from strongroom.core.fields import given
from strongroom.core.forms import members, merged
from strongroom.errors import InvalidRequest

MAX_CACHE: Final = 100_000
"""Vault's bound of either cache."""
OCSP_CACHE: Final = 100
"""Answers that are kept where no size is set."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mount's settings."""

    disable_binding: Annotated[bool, "Renew without the certificate of the login."] = False
    enable_identity_alias_metadata: Annotated[bool, "Keep the token's metadata with the alias too."] = False
    enable_metadata_on_failures: Annotated[bool, "Say what the certificate was when a login fails."] = False
    ocsp_cache_size: Annotated[int, "OCSP answers kept in memory, 2 to 100000; 100 where it is not set."] = 0
    role_cache_size: Annotated[int, "Taken for Vault's clients; parsed roles are kept in any case."] = 0


def changed_settings(before: Settings | None, body: msgspec.Struct) -> Settings:
    """A mount's settings after a write. Raises InvalidRequest."""
    after, size = merged(before or Settings(), body), given(body).get("ocsp_cache_size")
    if size is not None and not 2 <= size <= MAX_CACHE:
        raise InvalidRequest(f"invalid ocsp cache size, must be >= 2 and <= {MAX_CACHE}")
    if not -1 <= after.role_cache_size <= MAX_CACHE:
        raise InvalidRequest(f"invalid role cache size, must be <= {MAX_CACHE} or -1 to disable role caching")
    return after


def shown_settings(settings: Settings) -> dict[str, Any]:
    """The members of a read."""
    told = members(settings)
    if not settings.enable_metadata_on_failures:
        del told["enable_metadata_on_failures"]
    return told
