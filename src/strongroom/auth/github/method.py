"""The routes of github: the organization, policies for its teams and people, and the login.

Rules of this file:
- A mapping leads from a team's slug or a person's login, in lower case, to policies. The name `default` is everybody's.
- The organization's number is found when the configuration is written, not at somebody's login: whoever configures decides whom to trust.
- Reading a mapping that is not there is no error, as in Vault: the answer has no data, and says so.
- A renewal asks GitHub again: whoever left the organization or a team that counted does not go on. It asks where the login did: a new
  base_url does not bring those who logged in before to send it their tokens.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.github.api import BASE_URL, Member, Questions, checked_base_url, checked_organization
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, login, read, write
from strongroom.core.logins import end_logins
from strongroom.core.names import role_name, subject_name
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.request import Alias, Grant, Response
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, check_peer, granted, renewed, shown, with_policies
from strongroom.errors import InvalidRequest, NotFound
from strongroom.outbound.errors import OutboundError

EVERYBODY: Final = "default"
"""The mapping that counts for whoever logs in."""
UNMAPPED: Final = "no policies are mapped to this name"


class Config(msgspec.Struct, frozen=True):
    """Which organization logs in, where it is asked about, and what its tokens are like."""

    organization: str
    organization_id: int
    base_url: str = ""
    token: TokenParameters = TokenParameters()


class Mapping(msgspec.Struct, frozen=True):
    """What a team or a person may."""

    policies: tuple[str, ...]


class ConfigBody(TokenBody, frozen=True, kw_only=True):
    """What the method is configured with."""

    organization: Annotated[str | UnsetType, "The organization that users must be part of."] = UNSET
    organization_id: Annotated[int | UnsetType, "Its number; GitHub is asked for it where it is not given."] = UNSET
    base_url: Annotated[str | UnsetType, "The API to ask, for GitHub Enterprise Server: https://host/api/v3/."] = UNSET


class MappingBody(msgspec.Struct, frozen=True):
    """The policies of a team or a person."""

    value: Annotated[str, "Policies, separated by commas."] = ""


class LoginBody(msgspec.Struct, frozen=True):
    """What somebody proves himself with."""

    token: Annotated[str, "A GitHub access token with the scope read:org."] = ""


class GitHub(Engine, kind="github", family="auth"):
    """Log in with a GitHub access token."""

    # -- configuration ------------------------------------------------------------------------------------------

    def is_configured(self) -> bool:
        """Whether a write to the configuration changes it."""
        return self._stored() is not None

    @read("config")
    def read_config(self) -> Response:
        """Show the configuration."""
        config = self._stored()
        if config is None:
            raise NotFound
        members = {"organization": config.organization, "organization_id": config.organization_id, "base_url": config.base_url}
        return Response(data=members | shown(config.token, ("ttl", "max_ttl")))

    @write("config", body=ConfigBody, exists="is_configured")
    def write_config(self, body: ConfigBody) -> None:
        """Say which organization logs in, or change what is given of it."""
        before = self._stored() or Config("", 0)
        organization = before.organization if body.organization is UNSET else body.organization
        base_url = before.base_url if body.base_url is UNSET else body.base_url
        checked_organization(organization)
        base_url = base_url and checked_base_url(base_url)
        if body.organization_id is not UNSET and body.organization_id:
            number = body.organization_id
        elif (organization, base_url) == (before.organization, before.base_url):
            number = before.organization_id
        else:
            number = self._number(organization, base_url)
        self.store.put("config", Config(organization, number, base_url, changed(before.token, body)))

    def _number(self, organization: str, base_url: str) -> int:
        questions = Questions(self.outbound, self.clock, base_url or BASE_URL)
        try:
            return self.call.outside("organization", organization, base_url, fn=lambda: questions.organization_id(organization))
        except OutboundError as error:
            raise InvalidRequest(f"the number of the organization could not be asked for; give organization_id ({error})") from None

    def _stored(self) -> Config | None:
        return self.store.get("config", Config)

    # -- mappings -----------------------------------------------------------------------------------------------

    @list_("map/{kind}/", body=ListBody)
    def list_mappings(self, kind: str, body: ListBody) -> Response:
        """List the teams or users that have policies. The kind is teams or users."""
        return listed(self.store, _rows(kind), body)

    @read("map/{kind}/{name}")
    def read_mapping(self, kind: str, name: str) -> Response:
        """Show the policies of a team or user."""
        found = self._mapping(kind, role_name(name))
        if found is None:
            return Response(warnings=(UNMAPPED,))
        return Response(data={"key": role_name(name), "value": ",".join(found.policies)})

    def mapping_exists(self, kind: str, name: str) -> bool:
        """Whether a write to the mapping changes it."""
        return self._mapping(kind, role_name(name)) is not None

    @write("map/{kind}/{name}", body=MappingBody, exists="mapping_exists")
    def write_mapping(self, kind: str, name: str, body: MappingBody) -> None:
        """Give a team or user policies; those of a name that was written before are replaced."""
        self.store.put(f"{_rows(kind)}/{role_name(name)}", Mapping(assignable_policies(body.value)))

    @delete("map/{kind}/{name}")
    def delete_mapping(self, kind: str, name: str) -> None:
        """Take a team's or user's policies away; tokens that have them end."""
        name = role_name(name)
        if self._mapping(kind, name) is not None:
            self.store.delete(f"{_rows(kind)}/{name}")
            end_logins(self.call.transaction, self.mount, f"{kind}/{name}")

    def _mapping(self, kind: str, name: str) -> Mapping | None:
        return self.store.get(f"{_rows(kind)}/{name}", Mapping)

    # -- login --------------------------------------------------------------------------------------------------

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        config = self._configured()
        check_peer(config.token, self.call.request.peer)
        if not body.token:
            raise InvalidRequest("missing token")
        member = self._member(config, body.token)
        name = subject_name(member.login)
        alias = Alias(name, {"username": name, "org": member.organization})
        mapped = self._mapped(member)
        internal = {"token": body.token, "base_url": config.base_url}
        grant = granted(_parameters(config, mapped), self.call, alias, name, internal, rests_on=tuple(mapped))
        return Response(grant=grant, warnings=_warnings(config, member))

    def renew_login(self, grant: Grant) -> Grant:
        """GitHub must say the same of the token's holder as at the login."""
        config = self._configured()
        if grant.internal.get("base_url", config.base_url) != config.base_url:
            raise InvalidRequest("GitHub is asked at another address now, where this login's token was not sent; log in again")
        member = self._member(config, grant.internal.get("token", ""))
        return renewed(_parameters(config, self._mapped(member)), grant)

    def _configured(self) -> Config:
        config = self._stored()
        if config is None:
            raise InvalidRequest("configuration has not been set")
        return config

    def _member(self, config: Config, token: str) -> Member:
        questions = Questions(self.outbound, self.clock, config.base_url or BASE_URL, token)
        number = config.organization_id
        return self.call.outside("member", config.base_url, number, token, fn=lambda: questions.member(number))

    def _mapped(self, member: Member) -> dict[str, tuple[str, ...]]:
        """What a member is here: "teams/dev" and "users/ada" → policies."""
        names = [("teams", name) for name in (EVERYBODY, *member.teams)] + [("users", name) for name in (EVERYBODY, member.login.lower())]
        found = {f"{kind}/{name}": self._mapping(kind, name) for kind, name in names}
        return {place: mapping.policies for place, mapping in found.items() if mapping is not None}


def _parameters(config: Config, mapped: dict[str, tuple[str, ...]]) -> TokenParameters:
    """The configured parameters, with the policies of what a member is here."""
    return with_policies(config.token, *mapped.values())


def _rows(kind: str) -> str:
    if kind not in ("teams", "users"):
        raise NotFound
    return kind


def _warnings(config: Config, member: Member) -> tuple[str, ...]:
    if member.organization.lower() == config.organization.lower():
        return ()
    number = config.organization_id
    news = f'the organization name has changed to "{member.organization}"'
    return (f"{news}. It is recommended to verify and update the organization name in the config: organization_id={number}",)
