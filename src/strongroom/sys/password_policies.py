"""sys/policies/password: rules for generated passwords. Their grammar and the drawing are core/password_policy.py.

Rules of this file: a policy is tried before it is stored; what was generated is shown once and kept nowhere. Both take up to half a
second, so they are done on the pool.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.barrier.view import View
from strongroom.core import areas
from strongroom.core.engine import ListBody, delete, list_, listed, read, write
from strongroom.core.fields import decoded
from strongroom.core.password_policy import PasswordEntry, check, generate, parse_password_policy
from strongroom.core.policy.rules import policy_name
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound, several
from strongroom.sys.routes import Routes


class PasswordPolicyBody(msgspec.Struct, frozen=True):
    """What writing one takes."""

    policy: Annotated[str, "length and charset rules, also in base64"] = ""


class PasswordPolicyRoutes(Routes):
    """Password policies."""

    @list_("policies/password/", body=ListBody)
    def list_password_policies(self, body: ListBody) -> Response:
        """List the password policies."""
        return listed(self._rows(), "password", body)

    @read("policies/password/{name}")
    def read_password_policy(self, name: str) -> Response:
        """Read a password policy."""
        return Response(data={"policy": self._entry(name).text})

    @write("policies/password/{name}", body=PasswordPolicyBody)
    def write_password_policy(self, name: str, body: PasswordPolicyBody) -> None:
        """Write a password policy."""
        if not body.policy:
            raise InvalidRequest(several("missing policy"))
        text = decoded(body.policy)
        try:
            self.call.once("check", text, fn=lambda: check(text))
        except InvalidRequest as error:
            raise InvalidRequest(several(*(f"invalid password policy: {message}" for message in error.messages))) from None
        self._rows().put(f"password/{policy_name(name)}", PasswordEntry(text))

    @delete("policies/password/{name}")
    def delete_password_policy(self, name: str) -> None:
        """Delete a password policy."""
        self._rows().delete(f"password/{policy_name(name)}")

    @read("policies/password/{name}/generate")
    def generate_password(self, name: str) -> Response:
        """Generate a password that keeps the policy."""
        text = self._entry(name).text
        return Response(data={"password": self.call.once("generate", text, fn=lambda: generate(parse_password_policy(text)))})

    def _rows(self) -> View:
        return self.call.transaction.view(areas.POLICIES)

    def _entry(self, name: str) -> PasswordEntry:
        entry = self._rows().settings(f"password/{policy_name(name)}", PasswordEntry)
        if entry is None:
            raise NotFound(several("policy does not exist"))
        return entry
