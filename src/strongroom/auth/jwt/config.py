"""How a mount knows whose tokens to trust: what is written, what is stored of it, and the rules between.

    jwt_validation_pubkeys      keys written down
    jwks_url, jwks_pairs        key sets fetched from addresses written down
    oidc_discovery_url          an issuer that describes itself; with a client id and secret browsers can log in, too

Rules of this file:
- Exactly one of these. A write replaces the whole configuration, as Vault does; the client secret alone stays where only it is left out.
- The client secret has a row of its own, is never shown, and is read only to be sent to the provider.
- Pure: what the addresses answer is tried by the routes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names
from strongroom.core.names import role_name
from strongroom.crypto.errors import UnusableKey
from strongroom.crypto.jwk import ALGORITHMS, MAX_KEYS, Key, from_pem
from strongroom.errors import InvalidRequest
from strongroom.outbound.issuers import Source
from strongroom.outbound.tls import MAX_PEM, check_authorities

PROVIDERS: Final = ("azure", "ibmisam", "secureauth")
"""Providers whose claims are read like everybody's, but for secureauth's groups: one text with commas."""

UNBUILT: Final = ("gsuite", "kubernetes", "okta")
"""Providers that Vault asks for groups or keys beside the token, which this server does not."""


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key set's address and whom to trust there."""

    jwks_url: str
    jwks_ca_pem: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored configuration, without the client secret."""

    oidc_discovery_url: str = ""
    oidc_discovery_ca_pem: str = ""
    oidc_client_id: str = ""
    oidc_response_mode: str = ""
    oidc_response_types: tuple[str, ...] = ()
    jwks_url: str = ""
    jwks_ca_pem: str = ""
    jwks_pairs: tuple[Pair, ...] = ()
    jwt_validation_pubkeys: tuple[str, ...] = ()
    jwt_supported_algs: tuple[str, ...] = ()
    bound_issuer: str = ""
    default_role: str = ""
    provider_config: dict[str, Any] = {}
    namespace_in_state: bool = True

    @property
    def algorithms(self) -> frozenset[str]:
        """What a token may be signed with: what is configured, else every asymmetric algorithm."""
        return frozenset(self.jwt_supported_algs) or ALGORITHMS

    @property
    def key_sets(self) -> tuple[Source, ...]:
        """Where key sets are fetched from, where they are written down."""
        pairs = self.jwks_pairs or ((Pair(self.jwks_url, self.jwks_ca_pem),) if self.jwks_url else ())
        return tuple(Source(pair.jwks_url, pair.jwks_ca_pem) for pair in pairs)

    @property
    def issuer(self) -> Source | None:
        """The issuer that describes itself."""
        return Source(self.oidc_discovery_url, self.oidc_discovery_ca_pem) if self.oidc_discovery_url else None

    @property
    def implicit(self) -> bool:
        """The provider sends the id token through the browser, without a code."""
        return "id_token" in self.oidc_response_types


class ClientSecret(msgspec.Struct, frozen=True):
    """What this server proves itself to the provider with."""

    text: str

    def __repr__(self) -> str:
        return "ClientSecret()"


class ConfigBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration is written with."""

    oidc_discovery_url: Annotated[str, "The issuer, without .well-known."] = ""
    oidc_discovery_ca_pem: Annotated[str, "Authorities to trust there, in place of the system's."] = ""
    oidc_client_id: Annotated[str, "This server's client id at the provider; browsers can log in with it."] = ""
    oidc_client_secret: Annotated[str | UnsetType, "The secret that belongs to the client id."] = UNSET
    oidc_response_mode: Annotated[str, "query (the default) or form_post."] = ""
    oidc_response_types: Annotated[Names, "code (the default) or id_token, the latter with form_post only."] = Names()
    jwks_url: Annotated[str, "The address of a key set."] = ""
    jwks_ca_pem: Annotated[str, "Authorities to trust there, in place of the system's."] = ""
    jwks_pairs: Annotated[list[Any], "Several addresses: objects with jwks_url and, if wanted, jwks_ca_pem."] = []
    jwt_validation_pubkeys: Annotated[Names, "Public keys in PEM."] = Names()
    jwt_supported_algs: Annotated[Names, "Algorithms a token may be signed with; every asymmetric one where none is given."] = Names()
    bound_issuer: Annotated[str, "The token's iss must be this."] = ""
    default_role: Annotated[str, "The role of a login that names none."] = ""
    provider_config: Annotated[dict[str, Any], "Peculiarities of a provider, by its name in `provider`."] = {}
    namespace_in_state: Annotated[bool | UnsetType, "Kept for clients that read it back; there are no namespaces yet."] = UNSET


def changed_config(before: Config | None, body: ConfigBody, *, has_secret: bool) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    _check_source(body, has_secret=has_secret)
    _check_algorithms(body)
    _check_response(body)
    _check_provider(body.provider_config)
    for name in ("oidc_discovery_ca_pem", "jwks_ca_pem"):
        check_authorities(getattr(body, name), name)
    plain = {name: getattr(body, name) for name in Config.__struct_fields__ if name not in ("jwks_pairs", "namespace_in_state")}
    kept = before.namespace_in_state if before is not None else True
    plain["jwt_validation_pubkeys"] = tuple(text.strip() for text in body.jwt_validation_pubkeys)
    plain["default_role"] = role_name(body.default_role) if body.default_role else ""
    return Config(
        **plain,
        jwks_pairs=_pairs(body.jwks_pairs),
        namespace_in_state=kept if body.namespace_in_state is UNSET else body.namespace_in_state,
    )


def _check_source(body: ConfigBody, *, has_secret: bool) -> None:
    given = [name for name in ("jwt_validation_pubkeys", "jwks_url", "jwks_pairs", "oidc_discovery_url") if getattr(body, name)]
    if len(given) != 1:
        raise InvalidRequest("exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs' or 'oidc_discovery_url' must be set")
    if body.jwks_pairs and body.jwks_ca_pem:
        raise InvalidRequest("'jwks_ca_pem' belongs to 'jwks_url'; give each pair its own")
    if bool(body.oidc_client_id) is not has_secret:
        raise InvalidRequest("both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
    if body.oidc_client_id and not body.oidc_discovery_url:
        raise InvalidRequest("'oidc_discovery_url' must be set for OIDC")
    static_keys(body.jwt_validation_pubkeys)


@lru_cache(maxsize=64)
def static_keys(texts: tuple[str, ...]) -> tuple[Key, ...]:
    """The keys that are written down. Raises InvalidRequest."""
    if len(texts) > MAX_KEYS or any(len(text) > MAX_PEM for text in texts):
        raise InvalidRequest(f"'jwt_validation_pubkeys' has at most {MAX_KEYS} keys of {MAX_PEM} characters")
    try:
        return tuple(from_pem(text) for text in texts)
    except UnusableKey:
        raise InvalidRequest("error parsing public key: data does not contain any valid public keys") from None


def _check_algorithms(body: ConfigBody) -> None:
    if not ALGORITHMS.issuperset(body.jwt_supported_algs):
        raise InvalidRequest(f"invalid jwt_supported_algs: unsupported signing algorithm; it may be {', '.join(sorted(ALGORITHMS))}")


def _check_response(body: ConfigBody) -> None:
    if not {"code", "id_token"}.issuperset(body.oidc_response_types):
        raise InvalidRequest("invalid response_types. 'code' and 'id_token' are allowed")
    if body.oidc_response_mode not in ("", "query", "form_post"):
        raise InvalidRequest("invalid response_mode: it is query or form_post")
    if "id_token" in body.oidc_response_types and body.oidc_response_mode != "form_post":
        raise InvalidRequest("query response_mode may not be used with an id_token response_type")


def _check_provider(config: dict[str, Any]) -> None:
    name = config.get("provider", "")
    if name in UNBUILT:
        raise InvalidRequest("invalid provider_config: this server asks no provider beside the token; leave it out and use a groups claim")
    if (config and name not in PROVIDERS) or not all(isinstance(value, str | bool | int) for value in config.values()):
        raise InvalidRequest("invalid provider_config: 'provider' is azure, ibmisam or secureauth, other members are texts or numbers")


def _pairs(sent: list[Any]) -> tuple[Pair, ...]:
    if len(sent) > MAX_KEYS:
        raise InvalidRequest(f"'jwks_pairs' has at most {MAX_KEYS} members")
    try:
        pairs = msgspec.convert(sent, tuple[Pair, ...])
    except msgspec.ValidationError:
        raise InvalidRequest("'jwks_pairs' is a list of objects with jwks_url and, if wanted, jwks_ca_pem") from None
    for pair in pairs:
        check_authorities(pair.jwks_ca_pem, "jwks_ca_pem")
    return pairs


def shown_config(config: Config) -> dict[str, Any]:
    """The members of a read."""
    members = {name: getattr(config, name) for name in Config.__struct_fields__}
    members["jwks_pairs"] = [msgspec.structs.asdict(pair) for pair in config.jwks_pairs]
    return members | {"unsupported_critical_cert_extensions": ()}  # none can be allowed here
