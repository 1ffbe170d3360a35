"""Configuration, login and renewal.

Rules of this file:
- A locked name is refused before Okta hears of it, so that guesses here do not lock the account there. Wrong passwords and wrong second
  factors count alike; what Okta could not say is no guess.
- Whoever logs in by a short form of his name is the same alias as by the long one, and locked if that one is.
- A renewal asks Okta whether the person is still active and in which groups, by the API token. Without one nobody can say, so tokens end.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.auth.okta.api import PROVIDERS, Credentials, Person, Questions, Refused
from strongroom.auth.okta.config import Config, ConfigBody, changed_config, read_warnings, shown_config, warnings
from strongroom.auth.okta.mappings import Mappings
from strongroom.core.configuration import Configuration
from strongroom.core.engine import login
from strongroom.core.lockout import canonical_name
from strongroom.core.names import subject_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, renewed, with_policies
from strongroom.errors import InvalidRequest

MAX_PASSWORD: Final = 1_024
"""Characters; Okta takes 72 bytes."""


class LoginBody(msgspec.Struct, frozen=True):
    """What a person proves himself with."""

    password: Annotated[str, "The password at Okta."] = ""
    totp: Annotated[str, "A passcode of Okta Verify or Google Authenticator; without one Okta may push a question to the phone."] = ""
    provider: Annotated[str, "Whose passcode it is, OKTA or GOOGLE."] = ""
    nonce: Annotated[str, "Accepted; number challenges are not supported."] = ""


class Okta(Mappings, kind="okta", family="auth"):
    """Log in with a name and password that Okta knows."""

    config = Configuration(
        Config,
        body=ConfigBody,
        changed=changed_config,
        told=shown_config,
        missing="Okta auth method not configured",
        warnings=warnings,
        read_warnings=read_warnings,
        says={"read": "Show the configuration; never the API token.", "write": "Configure the organization, or change what is given."},
    )

    # -- login --------------------------------------------------------------------------------------------------

    @login("login/{username}", body=LoginBody)
    def login(self, username: str, body: LoginBody) -> Response:
        """Log in."""
        name = canonical_name(username)
        config = self.config.known()
        credentials = _checked(name, body)
        check_peer(config.token, self.call.request.peer)
        lock = self.lockout(name, known=self.users.get(name) is not None)
        lock.check()
        try:
            person = self._asked(config, credentials)
        except Refused as refusal:
            if refusal.counts:
                lock.failed()
            raise InvalidRequest(str(refusal)) from None
        alias = _alias_name(person, name)
        if alias != name:
            self.lockout(alias, known=self.users.get(alias) is not None).check()
        lock.succeeded()
        return self._welcome(config, name, alias, person)

    def _asked(self, config: Config, credentials: Credentials) -> Person:
        questions = Questions(self.outbound, self.clock, config.url, config.api_token)
        bypass = config.bypass_okta_mfa
        return self.call.outside("okta login", config, credentials, fn=lambda: questions.log_in(credentials, bypass=bypass))

    def _welcome(self, config: Config, name: str, alias: str, person: Person) -> Response:
        mapped = self.mapped({name, alias}, person.groups)
        parameters = with_policies(config.token, *mapped.values())
        metadata = {"username": alias, "policies": ",".join(parameters.policies)}
        internal = {"id": person.id, "username": name, "alias": alias}
        grant = granted(parameters, self.call, Alias(alias, metadata), alias, internal, rests_on=tuple(mapped), path=f"login/{name}")
        return Response(grant=grant, warnings=person.warnings)

    def renew_login(self, grant: Grant) -> Grant:
        """Okta must still know the person as active, in groups that come to the same policies."""
        config = self.config.known()
        if not config.api_token:
            raise InvalidRequest("without an api_token Okta cannot be asked whether the user still may, not renewing; log in again")
        number, name, alias = (grant.internal.get(field, "") for field in ("id", "username", "alias"))
        questions = Questions(self.outbound, self.clock, config.url, config.api_token)
        try:
            person = self.call.outside("okta user", config, number, fn=lambda: questions.look_up(number))
        except Refused:
            raise InvalidRequest("Okta does not know the user as active any more, not renewing") from None
        if _alias_name(person, "") != alias:
            raise InvalidRequest("the user has another name at Okta now, not renewing; log in again")
        mapped = self.mapped({name, alias}, person.groups)
        return renewed(with_policies(config.token, *mapped.values()), grant)


def _alias_name(person: Person, fallback: str) -> str:
    return subject_name((person.login or fallback).lower())


def _checked(name: str, body: LoginBody) -> Credentials:
    if not body.password:
        raise InvalidRequest("missing password")
    if len(body.password) > MAX_PASSWORD or len(body.totp) > MAX_PASSWORD:
        raise InvalidRequest("the password or passcode is too long to be one")
    provider = body.provider.upper() if body.provider.isascii() else "?"
    if provider and provider not in PROVIDERS:
        raise InvalidRequest(f"the provider is not among the supported ones [{' '.join(PROVIDERS)}]")
    return Credentials(name, body.password, body.totp, provider)
