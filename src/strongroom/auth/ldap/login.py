"""Configuration and login.

Rules of this file:
- An empty or blank password, or one with a NUL, is refused before a directory hears of it: some take it for an anonymous bind, which
  succeeds for everybody (RFC 4513, 5.1.2).
- A locked name is refused without asking. Failures count under the name that was typed and under what the entry is known as: a filter
  that lets people in by several attributes gives no further guesses.
- What the directory could not say is no guess and not counted.
- A renewal goes by the groups and policies as they are now, and by the same entry.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final

import msgspec

from strongroom.auth.ldap.config import Config, changed_config, warnings, write_warnings
from strongroom.auth.ldap.directory import Directory, Person, Refused
from strongroom.auth.ldap.mappings import Mappings
from strongroom.core.configuration import Configuration
from strongroom.core.engine import login
from strongroom.core.lockout import Lockout, canonical_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, renewed, with_policies
from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import Reach

FAILED: Final = "ldap operation failed: failed to bind as user"
NO_PASSWORD: Final = "password cannot be of zero length when passwordless binds are being denied"
NOT_CONFIGURED: Final = "ldap backend not configured"

MAX_PASSWORD: Final = 1_024
"""Characters; longer ones are no passwords, and a directory need not see them."""


class LoginBody(msgspec.Struct, frozen=True):
    """What a person proves himself with."""

    password: Annotated[str, "The password in the directory."] = ""


class Ldap(Mappings, kind="ldap", family="auth"):
    """Log in with a name and password that an LDAP directory knows, such as OpenLDAP or Active Directory."""

    config = Configuration(
        Config,
        changed=changed_config,
        default=Config(),
        missing=NOT_CONFIGURED,
        warnings=write_warnings,
        read_warnings=warnings,
        says={"read": "Show the configuration; never passwords and keys.", "write": "Configure the directory, or change what is given."},
    )

    # -- login ------------------------------------------------------------------------------------------------------

    @login("login/{username}", body=LoginBody)
    def login(self, name: str, body: LoginBody) -> Response:
        """Log in."""
        name = canonical_name(name)
        config = self.config.known()
        _check_password(body.password)
        check_peer(config.token, self.call.request.peer)
        self._check_lock(name)
        try:
            person = self._asked(config, name, body.password)
        except Refused as refusal:
            self._check_lock(refusal.known_as or name)
            for each in {name, refusal.known_as or name}:
                self.lockout(each, known=refusal.found).failed()
            raise InvalidRequest(FAILED, reason=refusal.reason) from None
        self._check_lock(person.known_as or name)
        for each in {name, person.known_as or name}:
            for lock in self._locks(each):
                lock.succeeded()
        return self._welcome(config, name, person)

    def renew_login(self, grant: Grant) -> Grant:
        """The directory must still know the person as the same entry, in groups that come to the same policies."""
        config = self.config.known()
        name = grant.internal.get("username", "")
        try:
            person = self._asked(config, name)
        except Refused:
            raise InvalidRequest("the directory does not know the user any more, not renewing") from None
        if person.alias != grant.internal.get("alias"):
            raise InvalidRequest("the name belongs to another entry of the directory now, not renewing")
        mapped = self.mapped(_names(name, person), person.groups, exact=config.case_sensitive_names)
        return renewed(with_policies(config.token, *mapped.values()), grant)

    def _asked(self, config: Config, name: str, password: str = "") -> Person:
        """What the directory says of a name, with a password or without. Raises Refused and DirectoryError."""
        directory = Directory(config, lambda host, port, timeout: self.outbound.dial(host, port, reach=Reach.CONFIGURED, timeout=timeout))
        if password:
            return self.call.outside("ldap login", config, name, password, fn=lambda: directory.log_in(name, password))
        return self.call.outside("ldap look-up", config, name, fn=lambda: directory.look_up(name))

    def _welcome(self, config: Config, name: str, person: Person) -> Response:
        alias = Alias(person.alias, {"username": name})
        internal = {"username": name, "alias": person.alias}
        mapped = self.mapped(_names(name, person), person.groups, exact=config.case_sensitive_names)
        parameters = with_policies(config.token, *mapped.values())
        grant = granted(parameters, self.call, alias, name, internal, rests_on=tuple(mapped), path=f"login/{name}")
        nothing = f'no LDAP groups found in groupDN "{config.groupdn}"; only policies from locally-defined groups available'
        said = () if person.groups else (nothing,)
        return Response(grant=grant, warnings=said)

    # -- guessing ---------------------------------------------------------------------------------------------------

    def _locks(self, name: str) -> tuple[Lockout, ...]:
        """Both places of a name: whether it exists is not known before the directory is asked."""
        return tuple(self.lockout(name, known=known) for known in (True, False))

    def _check_lock(self, name: str) -> None:
        """Raises PermissionDenied while a name is locked."""
        for lock in self._locks(name):
            lock.check()


def _names(typed: str, person: Person) -> tuple[str, ...]:
    """Under which names users here are looked up: what was typed, and what the entry calls him where that can be such a name."""
    with suppress(InvalidRequest):
        return tuple(sorted({typed, canonical_name(person.known_as or typed)}))
    return (typed,)


def _check_password(password: str) -> None:
    """Raises InvalidRequest for what a directory could take for no password."""
    if not password.strip() or "\0" in password or len(password) > MAX_PASSWORD:
        raise InvalidRequest(NO_PASSWORD)
