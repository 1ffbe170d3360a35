"""Routes of the configuration and the roles.

Rules of this file:
- A configuration is stored once its addresses answered as they should, so that a mistake shows where it was made.
- A read of what is not there is 404.
"""

from __future__ import annotations

from msgspec import UNSET

from strongroom.auth.jwt.config import ClientSecret, Config, ConfigBody, changed_config, shown_config
from strongroom.auth.jwt.roles import Role, RoleBody, changed_role, shown_role, warnings
from strongroom.auth.jwt.store import Store
from strongroom.core.engine import ListBody, delete, list_, listed, read, write
from strongroom.core.logins import end_logins
from strongroom.core.names import role_name
from strongroom.core.request import Response
from strongroom.errors import InvalidRequest, NotFound
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.issuers import issuers, named_by


class Routes(Store):
    """Configuration and roles."""

    @read("config")
    def read_config(self) -> Response:
        """Show the configuration; never the client secret."""
        config = self.store.settings("config", Config)
        if config is None:
            raise NotFound
        return Response(data=shown_config(config))

    @write("config", body=ConfigBody)
    def write_config(self, body: ConfigBody) -> None:
        """Say whose tokens are trusted: replaces the whole configuration."""
        secret = self._secret(body)
        config = changed_config(self.store.settings("config", Config), body, has_secret=secret is not None)
        self._try_addresses(config)
        self.store.put("config", config)
        if secret is None:
            self.store.delete("secret")
        else:
            self.store.put("secret", secret)

    def _secret(self, body: ConfigBody) -> ClientSecret | None:
        """The client secret after a write: kept where only it is left out, since nobody could read it to send it again."""
        if body.oidc_client_secret is not UNSET:
            return ClientSecret(body.oidc_client_secret) if body.oidc_client_secret else None
        before = self.store.settings("config", Config)
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

    # -- roles --------------------------------------------------------------------------------------------------

    @list_("role/", body=ListBody)
    def list_roles(self, body: ListBody) -> Response:
        """List the roles, in lower case."""
        return listed(self.store, "role", body)

    @read("role/{name}")
    def read_role(self, name: str) -> Response:
        """Show a role."""
        role = self.role(role_name(name))
        if role is None:
            raise NotFound
        return Response(data=shown_role(role))

    def role_exists(self, name: str) -> bool:
        """Whether a write to the role changes it rather than makes it."""
        return self.role(role_name(name)) is not None

    @write("role/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: RoleBody) -> Response | None:
        """Create a role, or change what is given of one."""
        name = role_name(name)
        role: Role = changed_role(self.role(name), body)
        self.store.put(f"role/{name}", role)
        said = warnings(role, self.max_ttl)
        return Response(warnings=said) if said else None

    @delete("role/{name}")
    def delete_role(self, name: str) -> None:
        """Delete a role; tokens of earlier logins end with it."""
        name = role_name(name)
        self.store.delete(f"role/{name}")
        end_logins(self.call.transaction, self.mount, f"role/{name}")
