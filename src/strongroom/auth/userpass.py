"""userpass: people who log in with a name and a password.

Rules of this file:
- A name is canonical before anything else happens (core/lockout.py); unknown names, wrong passwords and locked names cost one hash each.
- Unknown and wrong answer the same 400, locked answers 403 whether or not the name exists and the password is right. A right password
  from a network that the user is not bound to is a wrong one: else those outside could find it out there and use it inside.
- Hashing runs on the pool, never here; the password is never stored or shown.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine, login, write
from strongroom.core.entries import Entries
from strongroom.core.fields import Names
from strongroom.core.forms import HiddenText, merged
from strongroom.core.lockout import canonical_name
from strongroom.core.logins import end_logins
from strongroom.core.password_policy import check_chosen
from strongroom.core.policy.rules import policy_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, granted, is_here, renewed
from strongroom.crypto.passwords import (
    DUMMY,
    UnusableHash,
    UnusablePassword,
    WrongPassword,
    check_hash,
    hash_password,
    needs_rehash,
    verify_password,
)
from strongroom.errors import InvalidRequest

INVALID = "invalid username or password"


class User(msgspec.Struct, frozen=True):
    """A user."""

    hashed: HiddenText
    token: TokenParameters = TokenParameters()

    def __repr__(self) -> str:
        return "User()"


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for all users of a mount."""

    password_policy: Annotated[str, "Name of the policy that new passwords keep; blank for none."] = ""


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    """The settings after a write. Raises InvalidRequest."""
    return merged(before or Config(), body, {"password_policy": lambda name: name and policy_name(name)})


class UserBody(TokenBody, frozen=True, kw_only=True):
    """What a user is written with."""

    password: Annotated[str, "The password."] = ""
    password_hash: Annotated[str, "A hash made elsewhere, in place of the password: argon2id as a PHC string, or bcrypt."] = ""


class PasswordBody(msgspec.Struct, frozen=True):
    """A new password."""

    password: Annotated[str, "The password."] = ""
    password_hash: Annotated[str, "A hash made elsewhere, in place of the password."] = ""


class PoliciesBody(msgspec.Struct, frozen=True, kw_only=True):
    """New policies."""

    token_policies: Annotated[Names | UnsetType, "The policies of the user's tokens."] = UNSET
    policies: Annotated[Names | UnsetType, "Old name of token_policies."] = UNSET


class LoginBody(msgspec.Struct, frozen=True):
    """What a user proves himself with."""

    password: Annotated[str, "The password."] = ""


class Userpass(Engine, kind="userpass", family="auth"):
    """Log in with a name and a password."""

    config = Configuration(
        Config,
        changed=changed_config,
        default=Config(),
        creates=False,
        says={"read": "Show the settings for all users.", "write": "Change the settings for all users; passwords that are there stay."},
    )
    users = Entries(
        User,
        pattern="users/{username}",
        noun="user",
        name=canonical_name,
        old=("policies", "ttl", "max_ttl", "bound_cidrs"),
        missing="username does not exist",
        ends="user",
        locks=True,
        says={
            "list": "List the users.",
            "read": "Show a user's token parameters; never the password.",
            "delete": "Delete a user; tokens of earlier logins end with him.",
        },
    )

    # -- users --------------------------------------------------------------------------------------------------

    @write("users/{username}", body=UserBody, exists="user_exists")
    def write_user(self, name: str, body: UserBody) -> None:
        """Create a user, or change what is given of one."""
        name = canonical_name(name)
        before = self.users.get(name)
        token = changed(before.token if before is not None else TokenParameters(), body)
        if body.password or body.password_hash:
            hashed = self._hashed(name, before, body.password, body.password_hash)
        elif before is not None:
            hashed = before.hashed
        else:
            raise InvalidRequest('"password" or "password_hash" must be supplied')
        self.users.put(name, User(hashed, token))

    @write("users/{username}/password", body=PasswordBody)
    def write_password(self, name: str, body: PasswordBody) -> None:
        """Change a user's password; tokens of earlier logins end, unless it is the one he has."""
        name = canonical_name(name)
        user = self.users.known(name)
        if not body.password and not body.password_hash:
            raise InvalidRequest('"password" or "password_hash" must be supplied')
        hashed = self._hashed(name, user, body.password, body.password_hash)
        self.users.put(name, msgspec.structs.replace(user, hashed=hashed))

    @write("users/{username}/policies", body=PoliciesBody)
    def write_policies(self, name: str, body: PoliciesBody) -> None:
        """Change a user's policies."""
        name = canonical_name(name)
        user = self.users.known(name)
        self.users.put(name, msgspec.structs.replace(user, token=changed(user.token, body)))

    def _hashed(self, name: str, before: User | None, password: str, given: str) -> str:
        """The hash to store; where it is a new one, tokens of earlier logins end. Raises InvalidRequest."""
        if password and given:
            raise InvalidRequest('"password" and "password_hash" cannot be supplied together')
        if before is not None and self._is_same(before.hashed, password, given):
            return before.hashed  # scripts write the same user again and again, which is no reason to log him out
        policy = self.config.known().password_policy
        if policy and given:
            raise InvalidRequest("this mount has a password policy, which a hash cannot be held against; give the password itself")
        if policy:
            check_chosen(self.call.transaction, policy, password)
        hashed = self._imported(given) if given else self._made(password)
        if before is not None:
            end_logins(self.call.transaction, self.mount, f"user/{name}")
        return hashed

    def _is_same(self, hashed: str, password: str, given: str) -> bool:
        return self._matches(hashed, password) if password else compare_digest(hashed.encode(), given.encode())

    def _made(self, password: str) -> str:
        try:
            return self.call.once("hash", password, fn=lambda: hash_password(password))
        except UnusablePassword as error:
            raise InvalidRequest(str(error)) from None

    def _imported(self, given: str) -> str:
        try:
            check_hash(given)
        except UnusableHash as error:
            raise InvalidRequest(str(error)) from None
        return given

    # -- login --------------------------------------------------------------------------------------------------

    @login("login/{username}", body=LoginBody)
    def login(self, name: str, body: LoginBody) -> Response:
        """Log in."""
        name = canonical_name(name)
        if not body.password:
            raise InvalidRequest("invalid credentials")
        user = self.users.get(name)
        right = self._matches(user.hashed if user is not None else DUMMY, body.password)
        lockout = self.lockout(name, known=user is not None)
        lockout.check()
        if user is None or not (right and is_here(user.token, self.call.request.peer)):
            lockout.failed()
            raise InvalidRequest(INVALID, reason=_why(user, right=right))
        lockout.succeeded()
        if needs_rehash(user.hashed):
            fresh = self.call.once("hash", body.password, fn=lambda: hash_password(body.password))
            self.users.put(name, msgspec.structs.replace(user, hashed=fresh))
        alias = Alias(name, {"username": name})
        path, rests_on = f"login/{name}", (f"user/{name}",)
        return Response(grant=granted(user.token, self.call, alias, name, {"username": name}, rests_on=rests_on, path=path))

    def _matches(self, hashed: str, password: str) -> bool:
        """Whether the password belongs to the hash; worked out on the pool."""
        try:
            self.call.once("verify", hashed, password, fn=lambda: verify_password(hashed, password))
        except (WrongPassword, UnusableHash):
            return False
        return True

    def renew_login(self, grant: Grant) -> Grant:
        """The user must still exist, with the same policies."""
        return renewed(self.users.renewed(grant.internal.get("username", "")).token, grant)


def _why(user: User | None, *, right: bool) -> str:
    """What the audit log says of a login that was refused."""
    if user is None:
        return "there is no such user"
    return "the user's networks do not have this address" if right else "wrong password"
