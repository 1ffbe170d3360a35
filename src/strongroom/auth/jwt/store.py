"""The rows of a jwt mount, with their routes, and how a token becomes claims.

    config        Config          role/<name>   Role            cel/<name>   CelRole
    secret        ClientSecret

Rules of this file:
- A key is fetched outside; what the claims must say is checked after that, by the clock of the commit.
- Whoever has an issuer described by itself gets that issuer's tokens only, also where no bound_issuer is set: large providers sign the
  tokens of all their tenants with the same keys.
"""

from __future__ import annotations

from strongroom.auth.jwt.claims import Claims
from strongroom.auth.jwt.config import ClientSecret, Config, shown_config, static_keys
from strongroom.auth.jwt.roles import Role, changed_role, shown_role, warnings
from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine
from strongroom.core.entries import Entries
from strongroom.core.issued import description, refusal, signed_claims
from strongroom.core.names import role_name
from strongroom.crypto import claims as registered
from strongroom.crypto.errors import InvalidToken
from strongroom.crypto.jws import Token, parse
from strongroom.errors import InvalidRequest
from strongroom.outbound.errors import BadAnswer
from strongroom.outbound.issuers import Discovery, Source, named_by
from strongroom.outbound.url import parse_url


class Store(Engine):
    """The configuration and the roles, and the check of tokens."""

    config = Configuration(
        Config,
        told=shown_config,
        missing="could not load configuration",
        creates=False,
        says={"read": "Show the configuration; never the client secret."},
    )
    roles = Entries(Role, changed=changed_role, told=shown_role, missing='role "{}" could not be found', warnings=warnings, ends="role")

    def client_secret(self) -> ClientSecret | None:
        """What this server proves itself to the provider with."""
        return self.store.get("secret", ClientSecret)

    def asked_role(self, config: Config, name: str) -> str:
        """The name of the role that a login is for. Raises InvalidRequest."""
        asked = name or config.default_role
        if not asked:
            raise InvalidRequest("missing role")
        return role_name(asked)

    def verified(self, text: str, config: Config) -> Claims:
        """The claims of a token whose signature holds and whose issuer is right. Raises InvalidRequest and OutboundError."""
        if not text:
            raise InvalidRequest("missing token")
        try:
            token = parse(text, config.algorithms)
            claims, issuer = self._signed(token, config)
        except InvalidToken as error:
            raise refusal(error, "error verifying token signature: ") from None
        try:
            if config.bound_issuer or issuer:
                registered.check_issuer(claims, {config.bound_issuer or issuer})
        except InvalidToken as error:
            raise refusal(error) from None
        return claims

    def _signed(self, token: Token, config: Config) -> tuple[Claims, str]:
        """Claims, and the issuer that the keys are of where it describes itself."""
        if config.jwt_validation_pubkeys:
            return token.verify(static_keys(config.jwt_validation_pubkeys)), ""
        now, sources, issuer = self.clock.monotonic(), config.key_sets, ""
        if config.issuer is not None:
            discovery = self.described(config.issuer)
            sources, issuer = (named_by(config.issuer, discovery.jwks_uri),), discovery.issuer
        return signed_claims(self.call, self.outbound, token, sources, now), issuer

    def described(self, source: Source) -> Discovery:
        """An issuer's description, which must be of the issuer that was written down (Discovery, section 4.3). Raises OutboundError."""
        discovery = description(self.call, self.outbound, source, self.clock.monotonic())
        if discovery.issuer != source.url:
            raise BadAnswer(parse_url(source.url).host, "it describes another issuer; write oidc_discovery_url as the issuer writes itself")
        return discovery

    def check_claims(self, claims: Claims, audiences: tuple[str, ...], leeway: registered.Leeway) -> None:
        """The token is for this role, now. Raises InvalidRequest."""
        try:
            registered.check_times(claims, self.call.transaction.now, leeway)
            if audiences:
                registered.check_audience(claims, audiences)
            elif registered.audiences(claims):
                raise InvalidRequest("audience claim found in JWT but no audiences bound to the role")
        except InvalidToken as error:
            raise refusal(error) from None
