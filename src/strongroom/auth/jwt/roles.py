"""What is stored of a role and the rules it obeys. Pure functions of what was sent and what is stored.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is read back, normalised.
- A role of type `oidc` is for browsers and needs redirect URIs; one of type `jwt` is for tokens and needs at least one bound.
- Leeways are stored as sent: 0 means the default, a negative one means none at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from strongroom.auth.jwt import redirects
from strongroom.auth.jwt.claims import Bound, Scalar, check_mappings
from strongroom.core.forms import Duration, NameList, Reads, SignedDuration, TextMap, members, merged, one_of
from strongroom.core.mounts import Ttls
from strongroom.core.token.parameters import TokenParameters
from strongroom.crypto.claims import Leeway
from strongroom.errors import InvalidRequest

MAX_BOUND: Final = 64
"""Bound claims, values of one, mapped claims, audiences, scopes and redirect URIs of a role. All are looked through at a login."""

MAX_TEXT: Final = 1_024
"""Characters of one of them."""


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role."""

    role_type: Annotated[str, "jwt for tokens, oidc (the default) for browsers."] = "oidc"
    bound_audiences: Annotated[NameList, "The token's aud must name one of these."] = ()
    bound_subject: Annotated[str, "The token's sub must be this."] = ""
    bound_claims_type: Annotated[str, "string: bound values are compared whole; glob: a * in them stands for anything."] = "string"
    bound_claims: Annotated[dict[str, Bound], dict[str, Any], "Claims and the value, or values, of which each must have one."] = {}
    claim_mappings: Annotated[TextMap, "Claims that are copied to the metadata field they are mapped to."] = {}
    user_claim: Annotated[str, "The claim that names the user."] = ""
    user_claim_json_pointer: Annotated[bool, "user_claim is a JSON pointer."] = False
    groups_claim: Annotated[str, "The claim that lists the user's groups."] = ""
    oidc_scopes: Annotated[NameList, "Scopes that a browser login asks for, beside openid."] = ()
    allowed_redirect_uris: Annotated[NameList, "Where a browser login may lead back to."] = ()
    callback_mode: Annotated[str, "client: the provider leads back to the client; direct: to this server, and the client polls."] = "client"
    poll_interval: Annotated[int, "Seconds between polls in direct mode."] = 0
    verbose_oidc_logging: Annotated[bool, "Kept for clients that read it back; tokens and claims are never logged."] = False
    max_age: Annotated[Duration, "How long ago the user may have proved himself to the provider."] = 0
    clock_skew_leeway: Annotated[SignedDuration, "How far clocks may differ; 0 = 60 s, -1 = not at all."] = 0
    expiration_leeway: Annotated[SignedDuration, "How long a token without exp is good; 0 = 150 s, -1 = not at all."] = 0
    not_before_leeway: Annotated[SignedDuration, "How long before exp a token without nbf was good; 0 = 150 s."] = 0
    token: TokenParameters = TokenParameters()

    @property
    def leeway(self) -> Leeway:
        """How far a token's times may be off."""
        return leeway(self.clock_skew_leeway, self.expiration_leeway, self.not_before_leeway)


_LISTS: Final = ("bound_audiences", "oidc_scopes", "allowed_redirect_uris")
_OLD: Final = ("policies", "ttl", "max_ttl", "period", "num_uses", "bound_cidrs")
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


def changed_role(before: Role | None, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    after = merged(before or Role(), body, _READS)
    _check(after)
    return after


def _choice(name: str, default: str, *allowed: str) -> Callable[[str], str]:
    read = one_of(allowed, f"invalid '{name}': it is {' or '.join(allowed)}")
    return lambda text: read(text or default)


def _mappings(sent: dict[str, str]) -> dict[str, str]:
    check_mappings(sent)
    return dict(sent)


def bound_claims(sent: dict[str, Any]) -> dict[str, Bound]:
    """Bound claims as they are stored. Raises InvalidRequest."""
    if any(len(value) > MAX_BOUND for value in sent.values() if isinstance(value, list)):
        raise InvalidRequest(f"a bound claim has at most {MAX_BOUND} values")
    for name, value in sent.items():
        if not all(_is_scalar(each) for each in (value if isinstance(value, list) else [value])) or value == []:
            raise InvalidRequest(f'bound claim "{name}" is not a string, bool, int or list of these')
    return dict(sent)


_READS: Final[Reads] = {
    "role_type": _choice("role_type", "oidc", "jwt", "oidc"),
    "bound_claims_type": _choice("bound_claims_type", "string", "string", "glob"),
    "callback_mode": _choice("callback_mode", "client", "client", "direct"),
    "claim_mappings": _mappings,
    "bound_claims": bound_claims,
}


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
    if role.poll_interval < 0:
        raise InvalidRequest("'poll_interval' cannot be negative")
    if max(role.clock_skew_leeway, role.expiration_leeway, role.not_before_leeway) > MAX_LEEWAY:
        raise InvalidRequest(f"a leeway has at most {MAX_LEEWAY} seconds")


def _list(value: Bound) -> list[Scalar]:
    return value if isinstance(value, list) else [value]


def _check_bounds(name: str, texts: Any) -> None:
    flat = [*texts, *(each for value in texts.values() for each in _list(value))] if isinstance(texts, dict) else texts
    if len(texts) > MAX_BOUND or any(isinstance(text, str) and len(text) > MAX_TEXT for text in flat):
        raise InvalidRequest(f"'{name}' has at most {MAX_BOUND} members of {MAX_TEXT} characters")


def warnings(role: Role, ttls: Ttls) -> tuple[str, ...]:
    """What whoever wrote the role should know."""
    found = []
    if 0 < ttls.max < role.token.max_ttl:
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
    told = members(role, _OLD)
    for name in (*_LISTS, "bound_claims", "claim_mappings"):
        told[name] = told[name] or None
    if not role.poll_interval:
        del told["poll_interval"]
    return told
