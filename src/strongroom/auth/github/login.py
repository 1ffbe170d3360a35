"""The routes of github: the organization, policies for its teams and people, and the login.

Rules of this file:
- A mapping leads from a team's slug or a person's login, in lower case, to policies. The name `default` is everybody's.
- A login names its entity in lower case: at GitHub it counts without, and whoever could write himself anew would be somebody else here.
- The organization's number is found when the configuration is written, not at somebody's login: whoever configures decides whom to trust.
- A mapping is read back as it was written. Reading one that is not there is no error, as in Vault: the answer has no data.
- A renewal asks GitHub again: whoever left the organization or a team that counted does not go on. It asks where the login did: a new
  base_url does not bring those who logged in before to send it their tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.github.api import BASE_URL, Member, Questions, checked_base_url, checked_organization
from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine, login, read, write
from strongroom.core.entries import Entries, MountEntries
from strongroom.core.fields import given
from strongroom.core.forms import body_of, merged
from strongroom.core.names import subject_name
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.response import NO_DATA, Alias, Grant, Response
from strongroom.core.token.parameters import TokenParameters, check_peer, granted, renewed, with_policies
from strongroom.errors import InvalidRequest
from strongroom.outbound.errors import OutboundError

EVERYBODY: Final = "default"
"""The mapping that counts for whoever logs in."""


class Config(msgspec.Struct, frozen=True):
    """Which organization logs in, where it is asked about, and what its tokens are like."""

    organization: Annotated[str, "The organization that users must be part of."]
    organization_id: Annotated[int, "Its number; GitHub is asked for it where it is not given."]
    base_url: Annotated[str, "The API to ask, for GitHub Enterprise Server: https://host/api/v3/."] = ""
    token: TokenParameters = TokenParameters()


class Mapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a team or a person may, and how name and policies were written."""

    policies: tuple[str, ...]
    key: str = ""
    value: str | UnsetType = UNSET


class MappingBody(msgspec.Struct, frozen=True):
    """The policies of a team or a person."""

    value: Annotated[str | UnsetType, "Policies, separated by commas."] = UNSET


class LoginBody(msgspec.Struct, frozen=True):
    """What somebody proves himself with."""

    token: Annotated[str, "A GitHub access token with the scope read:org."] = ""


def told(mapping: Mapping) -> dict[str, Any]:
    """What a read tells of a mapping, beside its name. Earlier rows have their policies alone."""
    value = ",".join(mapping.policies) if mapping.value is UNSET else mapping.value
    return {} if mapping.value is UNSET and not value else {"value": value}


def mapped(noun: str) -> Entries[Mapping]:
    """Teams or users, and what they may."""
    return Entries(
        Mapping,
        pattern=f"map/{noun}s/{{key}}",
        folder=f"{noun}s",
        noun=noun,
        body=MappingBody,
        changed=lambda _before, body: Mapping(assignable_policies(body.value or ""), value=body.value),
        told=told,
        named="key",
        spelled=True,
        absent=NO_DATA,
        ends=f"{noun}s",
        says={
            "list": f"List the {noun}s that have policies.",
            "read": f"Show the policies of a {noun}.",
            "write": f"Give a {noun} policies; those of a name that was written before are replaced.",
            "delete": f"Take a {noun}'s policies away; tokens that have them end.",
        },
    )


def names(entries: MountEntries[Mapping]) -> Response:
    """The names that are mapped, for whoever reads where others list."""
    found = entries.names()
    return Response(data={"keys": found} if found else {})


class GitHub(Engine, kind="github", family="auth"):
    """Log in with a GitHub access token."""

    # -- configuration ------------------------------------------------------------------------------------------

    config = Configuration(Config, old=("ttl", "max_ttl"), missing="configuration has not been set")

    @write("config", body=body_of(Config), exists="config_exists")
    def write_config(self, body: msgspec.Struct) -> None:
        """Say which organization logs in, or change what is given of it."""
        before = self.config.get() or Config("", 0)
        after = merged(before, body, {"base_url": lambda url: url and checked_base_url(url)})
        checked_organization(after.organization)
        if not given(body).get("organization_id"):
            same = (after.organization, after.base_url) == (before.organization, before.base_url)
            number = before.organization_id if same else self._number(after.organization, after.base_url)
            after = msgspec.structs.replace(after, organization_id=number)
        self.config.put(after)

    def _number(self, organization: str, base_url: str) -> int:
        questions = Questions(self.outbound, self.clock, base_url or BASE_URL)
        try:
            return self.call.outside("organization", organization, base_url, fn=lambda: questions.organization_id(organization))
        except OutboundError as error:
            raise InvalidRequest(f"the number of the organization could not be asked for; give organization_id ({error})") from None

    # -- mappings -----------------------------------------------------------------------------------------------

    teams = mapped("team")
    users = mapped("user")

    @read("map/teams")
    def read_teams(self) -> Response:
        """List the teams that have policies, in lower case; none are an empty answer."""
        return names(self.teams)

    @read("map/users")
    def read_users(self) -> Response:
        """List the users that have policies, in lower case; none are an empty answer."""
        return names(self.users)

    # -- login --------------------------------------------------------------------------------------------------

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        config = self.config.known()
        check_peer(config.token, self.call.request.peer)
        if not body.token:
            raise InvalidRequest("missing token")
        member = self._member(config, body.token)
        name = subject_name(member.login)
        alias = Alias(name.lower(), {"username": name, "org": member.organization})
        mapped = self._mapped(member)
        internal = {"token": body.token, "base_url": config.base_url}
        grant = granted(_parameters(config, mapped), self.call, alias, name, internal, rests_on=tuple(mapped))
        return Response(grant=grant, warnings=_warnings(config, member))

    def renew_login(self, grant: Grant) -> Grant:
        """GitHub must say the same of the token's holder as at the login."""
        config = self.config.known()
        if grant.internal.get("base_url", config.base_url) != config.base_url:
            raise InvalidRequest("GitHub is asked at another address now, where this login's token was not sent; log in again")
        member = self._member(config, grant.internal.get("token", ""))
        return renewed(_parameters(config, self._mapped(member)), grant)

    def _member(self, config: Config, token: str) -> Member:
        questions = Questions(self.outbound, self.clock, config.base_url or BASE_URL, token)
        number = config.organization_id
        return self.call.outside("member", config.base_url, number, token, fn=lambda: questions.member(number))

    def _mapped(self, member: Member) -> dict[str, tuple[str, ...]]:
        """What a member is here: "teams/dev" and "users/ada" → policies."""
        found = {f"teams/{name}": self.teams.get(name) for name in (EVERYBODY, *member.teams)}
        found |= {f"users/{name}": self.users.get(name) for name in (EVERYBODY, member.login.lower())}
        return {place: mapping.policies for place, mapping in found.items() if mapping is not None}


def _parameters(config: Config, mapped: dict[str, tuple[str, ...]]) -> TokenParameters:
    """The configured parameters, with the policies of what a member is here."""
    return with_policies(config.token, *mapped.values())


def _warnings(config: Config, member: Member) -> tuple[str, ...]:
    if member.organization.lower() == config.organization.lower():
        return ()
    number = config.organization_id
    news = f'the organization name has changed to "{member.organization}"'
    return (f"{news}. It is recommended to verify and update the organization name in the config: organization_id={number}",)
