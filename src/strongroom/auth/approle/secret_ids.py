"""Routes of secret ids: made, listed by accessor, looked up and destroyed.

Rules of this file:
- A secret id is answered once, by the call that makes it; wrapped where the caller or a policy says so.
- What a caller does not hold he names by accessor, within the role he has rights on.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.auth.approle.model import MAX_SECRET, Role, SecretIdBody, new_secret_id, shown_secret_id
from strongroom.auth.approle.store import Below, Store
from strongroom.clock import SECOND
from strongroom.core.engine import ListBody, delete, keys_response, list_, write
from strongroom.core.response import NOTHING, Response
from strongroom.crypto.ids import secret_id as random_secret_id
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest


class CustomSecretIdBody(SecretIdBody, frozen=True, kw_only=True):
    """A secret id that the caller chose."""

    secret_id: Annotated[str, "The secret id."] = ""


class GivenSecretIdBody(msgspec.Struct, frozen=True):
    """A secret id."""

    secret_id: Annotated[str, "The secret id."] = ""


class AccessorBody(msgspec.Struct, frozen=True):
    """A secret id that is known by its accessor only."""

    secret_id_accessor: Annotated[str, "The secret id's accessor."] = ""


class SecretIds(Store):
    """Secret ids."""

    @write("role/{role_name}/secret-id", body=SecretIdBody)
    def create_secret_id(self, name: str, body: SecretIdBody) -> Response:
        """Make a secret id of a role."""
        return self._create(self.role(name), random_secret_id(), body)

    @write("role/{role_name}/custom-secret-id", body=CustomSecretIdBody)
    def create_custom_secret_id(self, name: str, body: CustomSecretIdBody) -> Response:
        """Take a secret id that the caller chose; what he chooses has to be as hard to guess as a random one."""
        if not body.secret_id:
            raise InvalidRequest("missing secret_id")
        if len(body.secret_id) > MAX_SECRET:
            raise InvalidRequest(f"a secret_id has at most {MAX_SECRET} characters")
        return self._create(self.role(name), body.secret_id, body)

    def _create(self, role: Role, text: str, body: SecretIdBody) -> Response:
        now = self.call.transaction.now
        made = new_secret_id(role, body, uuid4_text(), self.max_ttl)
        made = msgspec.structs.replace(made, created=now, updated=now, expires=now + made.ttl * SECOND if made.ttl else 0)
        self.add(role, self.place(role, text), made)
        data = {
            "secret_id": text,
            "secret_id_accessor": made.accessor,
            "secret_id_ttl": made.ttl,
            "secret_id_num_uses": made.num_uses,
        }
        return Response(data=data, accessor=made.accessor)

    @list_("role/{role_name}/secret-id/", body=ListBody)
    def list_secret_ids(self, name: str, body: ListBody) -> Response:
        """List the accessors of a role's secret ids."""
        return keys_response(self.accessors(self.roles.known(self.roles.canonical(name)), body.after, body.limit))

    @write("role/{role_name}/secret-id/lookup", body=GivenSecretIdBody)
    def lookup(self, name: str, body: GivenSecretIdBody) -> Response:
        """Show what is known about a secret id; nothing where the role has none like it."""
        found = self.secret_id(self._given(name, body))
        return NOTHING if found is None else Response(data=shown_secret_id(found))

    @write("role/{role_name}/secret-id/destroy", body=GivenSecretIdBody)
    @delete("role/{role_name}/secret-id/destroy", body=GivenSecretIdBody)
    def destroy(self, name: str, body: GivenSecretIdBody) -> None:
        """Destroy a secret id; one that is not there is no error."""
        place = self._given(name, body)
        found = self.secret_id(place)
        if found is not None:
            self.drop(place, found)

    def _given(self, name: str, body: GivenSecretIdBody) -> bytes:
        if not body.secret_id:
            raise InvalidRequest("missing secret_id")
        return self.place(self.role(name), body.secret_id)

    @write("role/{role_name}/secret-id-accessor/lookup", body=AccessorBody)
    def lookup_accessor(self, name: str, body: AccessorBody) -> Response:
        """Show what is known about a secret id of the role."""
        _, found = self.by_accessor(self.role(name), body.secret_id_accessor)
        return Response(data=shown_secret_id(found))

    @write("role/{role_name}/secret-id-accessor/destroy", body=AccessorBody)
    @delete("role/{role_name}/secret-id-accessor/destroy", body=AccessorBody)
    def destroy_accessor(self, name: str, body: AccessorBody) -> None:
        """Destroy a secret id of the role."""
        self.drop(*self.by_accessor(self.role(name), body.secret_id_accessor))

    @write("tidy/secret-id")
    def tidy(self) -> Response:
        """Remove secret ids that are over; their timers do so anyway."""
        self.store.at(self.call.transaction.now, "tidy", Below(b"s"))
        warning = "Tidy operation successfully started. It runs in the background; the server's log tells of what it found."
        return Response(status=202, warnings=(warning,))
