"""Writing the configuration.

Rules of this file: a configuration is stored once its addresses answered as they should, so that a mistake shows where it was made.
"""

from __future__ import annotations

from msgspec import UNSET

from strongroom.auth.jwt.config import ClientSecret, Config, ConfigBody, changed_config
from strongroom.auth.jwt.store import Store
from strongroom.core.engine import write
from strongroom.errors import InvalidRequest
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.issuers import issuers, named_by


class Configuring(Store):
    """The write of the configuration."""

    @write("config", body=ConfigBody)
    def write_config(self, body: ConfigBody) -> None:
        """Say whose tokens are trusted: replaces the whole configuration."""
        secret = self._secret(body)
        config = changed_config(self.config.get(), body, has_secret=secret is not None)
        self._try_addresses(config)
        self.config.put(config)
        if secret is None:
            self.store.delete("secret")
        else:
            self.store.put("secret", secret)

    def _secret(self, body: ConfigBody) -> ClientSecret | None:
        """The client secret after a write: kept where only it is left out, since nobody could read it to send it again."""
        if body.oidc_client_secret is not UNSET:
            return ClientSecret(body.oidc_client_secret) if body.oidc_client_secret else None
        before = self.config.get()
        if before is None or not body.oidc_client_id:
            return None
        same = (before.oidc_client_id, before.oidc_discovery_url) == (body.oidc_client_id, body.oidc_discovery_url)
        return self.client_secret() if same else None

    def _try_addresses(self, config: Config) -> None:
        """Raises InvalidRequest where an address does not answer with what belongs there."""
        now, found = self.clock.monotonic(), issuers(self.outbound)
        try:
            if config.issuer is not None:
                named_by(config.issuer, self.described(config.issuer).jwks_uri)
            for source in config.key_sets:
                self.call.outside("keys", source, fn=lambda source=source: found.keys(source, now))  # type: ignore[misc]
        except OutboundError as error:
            what = "oidc discovery URL" if config.issuer is not None else "jwks URL"
            raise InvalidRequest(f"error checking {what}: {error}") from None
