"""What is stored of a role and the rules it obeys. Pure functions of what was sent and what is stored.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is read back, normalised.
- A role of type `oidc` is for browsers and needs redirect URIs; one of type `jwt` is for tokens and needs at least one bound.
- Leeways are stored as sent: 0 means the default, a negative one means none at all.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.jwt import redirects
from strongroom.auth.jwt.claims import Bound, Scalar, check_mappings
from strongroom.core.fields import Names, Seconds, Texts, given
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, shown
from strongroom.crypto.claims import Leeway
from strongroom.errors import InvalidRequest

MAX_BOUND: Final = 64
"""Bound claims, values of one, mapped claims, audiences, scopes and redirect URIs of a role. All are looked through at a login."""

MAX_TEXT: Final = 1_024
"""Characters of one of them."""


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored role. Durations in seconds."""

    role_type: str = "oidc"
    bound_audiences: tuple[str, ...] = ()
    bound_subject: str = ""
    bound_claims_type: str = "string"
    bound_claims: dict[str, Bound] = {}
    claim_mappings: dict[str, str] = {}
    user_claim: str = ""
    user_claim_json_pointer: bool = False
    groups_claim: str = ""
    oidc_scopes: tuple[str, ...] = ()
    allowed_redirect_uris: tuple[str, ...] = ()
    callback_mode: str = "client"
    poll_interval: int = 0
    verbose_oidc_logging: bool = False
    max_age: int = 0
    clock_skew_leeway: int = 0
    expiration_leeway: int = 0
    not_before_leeway: int = 0
    token: TokenParameters = TokenParameters()

    @property
    def leeway(self) -> Leeway:
        """How far a token's times may be off."""
        return leeway(self.clock_skew_leeway, self.expiration_leeway, self.not_before_leeway)


class RoleBody(TokenBody, frozen=True, kw_only=True):
    """What a role is written with."""

    role_type: Annotated[str | UnsetType, "jwt for tokens, oidc (the default) for browsers."] = UNSET
    bound_audiences: Annotated[Names | UnsetType, "The token's aud must name one of these."] = UNSET
    bound_subject: Annotated[str | UnsetType, "The token's sub must be this."] = UNSET
    bound_claims_type: Annotated[str | UnsetType, "string: bound values are compared whole; glob: a * in them stands for anything."] = UNSET
    bound_claims: Annotated[dict[str, Any] | UnsetType, "Claims and the value, or values, of which each must have one."] = UNSET
    claim_mappings: Annotated[Texts | UnsetType, "Claims that are copied to the metadata field they are mapped to."] = UNSET
    user_claim: Annotated[str | UnsetType, "The claim that names the user."] = UNSET
    user_claim_json_pointer: Annotated[bool | UnsetType, "user_claim is a JSON pointer."] = UNSET
    groups_claim: Annotated[str | UnsetType, "The claim that lists the user's groups."] = UNSET
    oidc_scopes: Annotated[Names | UnsetType, "Scopes that a browser login asks for, beside openid."] = UNSET
    allowed_redirect_uris: Annotated[Names | UnsetType, "Where a browser login may lead back to."] = UNSET
    callback_mode: Annotated[
        str | UnsetType, "client: the provider leads back to the client; direct: to this server, and the client polls."
    ] = UNSET
    poll_interval: Annotated[int | UnsetType, "Seconds between polls in direct mode."] = UNSET
    verbose_oidc_logging: Annotated[bool | UnsetType, "Kept for clients that read it back; tokens and claims are never logged."] = UNSET
    max_age: Annotated[Seconds | UnsetType, "How long ago the user may have proved himself to the provider."] = UNSET
    clock_skew_leeway: Annotated[Seconds | UnsetType, "How far clocks may differ; 0 = 60 s, -1 = not at all."] = UNSET
    expiration_leeway: Annotated[Seconds | UnsetType, "How long a token without exp is good; 0 = 150 s, -1 = not at all."] = UNSET
    not_before_leeway: Annotated[Seconds | UnsetType, "How long before exp a token without nbf was good; 0 = 150 s."] = UNSET


_LISTS: Final = ("bound_audiences", "oidc_scopes", "allowed_redirect_uris")
_PLAIN: Final = (
    "bound_subject",
    "user_claim",
    "user_claim_json_pointer",
    "groups_claim",
    "poll_interval",
    "verbose_oidc_logging",
    "max_age",
    "clock_skew_leeway",
    "expiration_leeway",
    "not_before_leeway",
)
_OLD: Final = ("policies", "ttl", "max_ttl", "period", "num_uses", "bound_cidrs")
_CHOICES: Final = {
    "role_type": ("jwt", "oidc"),
    "bound_claims_type": ("string", "glob"),
    "callback_mode": ("client", "direct"),
}
MAX_LEEWAY: Final = 86_400
"""Seconds; a longer one is a token that does not end."""


def leeway(skew: int, expiration: int, not_before: int) -> Leeway:
    """What stored leeways mean."""
    standard = Leeway()
    return Leeway(
        skew=_meant(skew, standard.skew),
        expiration=_meant(expiration, standard.expiration),
        not_before=_meant(not_before, standard.not_before),
    )


def _meant(stored: int, default: int) -> int:
    return max(stored, 0) if stored else default


def changed_role(before: Role | None, body: RoleBody) -> Role:
    """A role after a write. Raises InvalidRequest."""
    fields = given(body, (*_PLAIN, *_LISTS, *_CHOICES))
    for name, allowed in _CHOICES.items():
        if name in fields:
            fields[name] = fields[name] or allowed[-1 if name == "role_type" else 0]
            if fields[name] not in allowed:
                raise InvalidRequest(f"invalid '{name}': it is {' or '.join(allowed)}")
    if body.claim_mappings is not UNSET:
        check_mappings(body.claim_mappings)
        fields["claim_mappings"] = dict(body.claim_mappings)
    if body.bound_claims is not UNSET:
        fields["bound_claims"] = bound_claims(body.bound_claims)
    start = before or Role()
    after = msgspec.structs.replace(start, **fields, token=changed(start.token, body))
    _check(after)
    return after


def bound_claims(sent: dict[str, Any]) -> dict[str, Bound]:
    """Bound claims as they are stored. Raises InvalidRequest."""
    if any(len(value) > MAX_BOUND for value in sent.values() if isinstance(value, list)):
        raise InvalidRequest(f"a bound claim has at most {MAX_BOUND} values")
    for name, value in sent.items():
        if not all(_is_scalar(each) for each in (value if isinstance(value, list) else [value])) or value == []:
            raise InvalidRequest(f'bound claim "{name}" is not a string, bool, int or list of these')
    return dict(sent)


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 1 << 53)


def _check(role: Role) -> None:
    """Raises InvalidRequest for a role that cannot be right."""
    if not role.user_claim:
        raise InvalidRequest("a user claim must be defined on the role")
    for name in (*_LISTS, "bound_claims", "claim_mappings"):
        _check_bounds(name, getattr(role, name))
    if role.bound_claims_type == "glob" and not all(isinstance(each, str) for value in role.bound_claims.values() for each in _list(value)):
        raise InvalidRequest("claim is not a string: bound_claims_type=glob takes texts only")
    if role.role_type == "oidc" and not role.allowed_redirect_uris:
        raise InvalidRequest("'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.")
    for uri in role.allowed_redirect_uris:
        redirects.check(uri)
    if role.role_type == "jwt" and not (role.bound_audiences or role.token.bound_cidrs or role.bound_subject or role.bound_claims):
        raise InvalidRequest("must have at least one bound constraint when creating/updating a role")
    if role.max_age < 0 or role.poll_interval < 0:
        raise InvalidRequest("'max_age' and 'poll_interval' cannot be negative")
    if max(role.clock_skew_leeway, role.expiration_leeway, role.not_before_leeway) > MAX_LEEWAY:
        raise InvalidRequest(f"a leeway has at most {MAX_LEEWAY} seconds")


def _list(value: Bound) -> list[Scalar]:
    return value if isinstance(value, list) else [value]


def _check_bounds(name: str, texts: Any) -> None:
    flat = [*texts, *(each for value in texts.values() for each in _list(value))] if isinstance(texts, dict) else texts
    if len(texts) > MAX_BOUND or any(isinstance(text, str) and len(text) > MAX_TEXT for text in flat):
        raise InvalidRequest(f"'{name}' has at most {MAX_BOUND} members of {MAX_TEXT} characters")


def warnings(role: Role, max_ttl: int) -> tuple[str, ...]:
    """What whoever wrote the role should know."""
    found = []
    if max_ttl and role.token.max_ttl > max_ttl:
        found.append(
            "token max ttl is greater than the system or backend mount's maximum TTL value; issued tokens' max TTL value will be truncated"
        )
    if role.verbose_oidc_logging:
        found.append("verbose_oidc_logging is kept and has no effect: this server does not log tokens or claims")
    if role.role_type == "jwt" and not role.bound_audiences:
        found.append(
            "the role has no bound_audiences: tokens that are for an audience are refused, set it to those that are for this server"
        )
    return tuple(found)


def shown_role(role: Role) -> dict[str, Any]:
    """The members of a read."""
    members = {name: getattr(role, name) for name in Role.__struct_fields__ if name != "token"} | shown(role.token, _OLD)
    for name in (*_LISTS, "bound_claims", "claim_mappings"):
        members[name] = members[name] or None
    if not role.poll_interval:
        del members["poll_interval"]
    return members
