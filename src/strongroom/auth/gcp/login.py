"""What is kept, and the login.

Rules of this file:
- Who signed decides what a token can be: Google's issuer with Google's keys, or an account with the keys that Google publishes for exactly
  that account. The second is for iam roles only, and nothing it says of a machine is read.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import msgspec

from strongroom.auth.gcp import tokens
from strongroom.auth.gcp.config import Config, ConfigBody, changed_config, shown_config
from strongroom.auth.gcp.roles import Role, RoleBody, changed_role, labels, shown_role
from strongroom.auth.gcp.tokens import Account, Machine
from strongroom.core.configuration import Configuration, answer
from strongroom.core.engine import Engine, login, write
from strongroom.core.entries import Entries
from strongroom.core.fields import Names, given
from strongroom.core.issued import refusal, signed_claims
from strongroom.core.names import role_name, subject_name
from strongroom.core.response import NO_DATA, Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, renewed
from strongroom.crypto.errors import InvalidToken
from strongroom.crypto.ids import uuid4_text
from strongroom.crypto.jws import Claims, parse
from strongroom.errors import InvalidRequest
from strongroom.outbound.errors import BadAnswer

ALGORITHMS: Final = frozenset(("RS256",))
NO_KEY: Final = "the private key was not kept: tokens are judged by what they say, and Google's API is not asked"


class LoginBody(msgspec.Struct, frozen=True):
    """What somebody proves himself with."""

    role: Annotated[str, "The role."] = ""
    jwt: Annotated[str, "The token."] = ""


class EditBody(msgspec.Struct, frozen=True):
    """Values that come and go."""

    add: Annotated[Names, "Those that come: accounts, or key:value labels."] = Names()
    remove: Annotated[Names, "Those that go: accounts, or keys of labels."] = Names()


class Proven(NamedTuple):
    """What a token proved."""

    claims: Claims
    by_google: bool


class Gcp(Engine, kind="gcp", family="auth"):
    """Log in as a service account or a machine of Google Cloud."""

    config = Configuration(
        Config,
        told=shown_config,
        default=Config(),
        creates=False,
        says={"read": "Show the configuration; of credentials only what names them."},
    )
    roles = Entries(Role, told=shown_role, missing='role "{}" not found', ends="role", lists=("role/", "roles/"))

    @write("config", body=ConfigBody)
    def write_config(self, body: msgspec.Struct) -> Response | None:
        """Configure the method; what is not sent stays."""
        self.config.put(changed_config(self.config.get(), body))
        return answer((NO_KEY,) if given(body).get("credentials") else ())

    @write("role/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: msgspec.Struct) -> Response:
        """Create a role, or change what is given of one."""
        name = role_name(name)
        role, warnings = changed_role(self.roles.get(name), body, uuid4_text())
        self.roles.put(name, role)
        return answer(warnings) or NO_DATA

    @write("role/{name}/service-accounts", body=EditBody)
    def edit_service_accounts(self, name: str, body: EditBody) -> Response:
        """Add and remove service accounts of an iam role."""
        role = self._editable(name, body, "iam", "service_accounts")
        kept = [each for each in dict.fromkeys((*role.bound_service_accounts, *body.add)) if each not in body.remove]
        return self.write_role(name, RoleBody(bound_service_accounts=Names(kept)))

    @write("role/{name}/labels", body=EditBody)
    def edit_labels(self, name: str, body: EditBody) -> Response:
        """Add and remove labels of a gce role."""
        role = self._editable(name, body, "gce", "labels")
        kept = {key: value for key, value in (role.bound_labels | labels(body.add)).items() if key not in body.remove}
        return self.write_role(name, RoleBody(bound_labels=Names(f"{key}:{value}" for key, value in kept.items())))

    def _editable(self, name: str, body: EditBody, kind: str, what: str) -> Role:
        if not body.add and not body.remove:
            raise InvalidRequest("must provide at least one value to add or remove")
        role = self.roles.known(role_name(name))
        if role.type != kind:
            raise InvalidRequest(f"role is type '{role.type}', cannot edit attribute '{what}' (expected role type: '{kind}')")
        return role

    # -- login --------------------------------------------------------------------------------------------------

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in with a token of a service account or a machine."""
        if not body.role:
            raise InvalidRequest("role is required")
        if not body.jwt:
            raise InvalidRequest("jwt argument is required")
        name = role_name(body.role)
        role, config = self.roles.known(name), self.config.known()
        check_peer(role.token, self.call.request.peer)
        try:
            proven = self._proven(body.jwt, role, config)
            left = tokens.check_registered(proven.claims, name, self.call.transaction.now)
        except InvalidToken as error:
            raise refusal(error) from None
        account, machine = self._judged(name, role, proven, left)
        return Response(grant=self._granted(name, role, config, account, machine))

    def _proven(self, text: str, role: Role, config: Config) -> Proven:
        """A token whose signature holds. Raises InvalidToken, InvalidRequest and OutboundError."""
        token, now = parse(text, ALGORITHMS), self.clock.monotonic()
        said = token.unverified_claims()
        if said.get("iss") in tokens.GOOGLE_ISSUERS:
            return Proven(signed_claims(self.call, self.outbound, token, (config.google,), now), by_google=True)
        if role.type != "iam":
            raise InvalidRequest("expected JWT to have claims with GCE metadata: a machine's token is Google's")
        account = tokens.account_name(said)
        if said.get("iss", account) != account:
            raise InvalidRequest("the token was issued neither by Google nor by the account that it is about")
        tokens.check_account(role, tokens.account_of(said, by_google=False))  # before strangers have keys fetched by names they made up
        try:
            return Proven(signed_claims(self.call, self.outbound, token, (config.account(account),), now), by_google=False)
        except BadAnswer:
            raise InvalidRequest(f"unable to get public key for signed JWT: no keys are published for {account}") from None

    def _judged(self, name: str, role: Role, proven: Proven, left: int) -> tuple[Account, Machine | None]:
        """Who it is, and that the role is for him. Raises InvalidRequest."""
        account = tokens.account_of(proven.claims, by_google=proven.by_google)
        machine = tokens.machine_of(proven.claims) if proven.by_google else None
        if role.type == "gce":
            if machine is None:
                raise InvalidRequest("expected JWT to have claims with GCE metadata")
            tokens.check_account(role, account, machine.project_id)
            tokens.check_machine(role, machine)
            return account, machine
        if machine is not None and not role.allow_gce_inference:
            raise InvalidRequest(f'Got GCE token but IAM role "{name}" does not allow GCE inference')
        if not proven.by_google and left > role.max_jwt_exp:
            raise InvalidRequest(f"role requires that service account JWTs expire within {role.max_jwt_exp} seconds")
        tokens.check_account(role, account)
        return account, None

    def _granted(self, name: str, role: Role, config: Config, account: Account, machine: Machine | None) -> Grant:
        who = subject_name(tokens.alias_name(config, role, account, machine))
        alias = Alias(who, tokens.metadata(config, name, account, machine))
        shown_as = machine.instance_name if machine is not None else account.email or account.unique_id
        return granted(role.token, self.call, alias, shown_as, {"role": name}, rests_on=(f"role/{name}",))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still exist, with the same policies."""
        return renewed(self.roles.renewed(grant.internal.get("role", "")).token, grant)
