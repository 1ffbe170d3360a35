"""Which web pages of other origins may call the API (CORS), as `sys/config/cors` sets it and the server reads it.

Rules of this file: off unless somebody switches it on; origins are compared whole.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.transaction import Transaction

STANDARD_HEADERS = (
    "Content-Type",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Vault-Policy-Override",
    "Authorization",
    "X-Vault-Token",
)
"""Request headers that every allowed page may send."""


class Cors(msgspec.Struct, frozen=True):
    """The stored settings; an origin of "*" stands for all."""

    enabled: bool = False
    allowed_origins: tuple[str, ...] = ()
    allowed_headers: tuple[str, ...] = ()

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call."""
        return self.enabled and ("*" in self.allowed_origins or origin in self.allowed_origins)


def cors(transaction: Transaction) -> Cors:
    """The settings as this call sees them."""
    return transaction.view(areas.SETTINGS).settings("cors", Cors) or Cors()
