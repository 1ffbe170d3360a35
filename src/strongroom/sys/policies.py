"""sys/policy and sys/policies/acl: who may do what, as text that is parsed before it is stored.

Rules of this file:
- A name is canonical or refused (core/policy/rules.py); upper-case ASCII letters are lowered, and the answer says so.
- `root` and `response-wrapping` are not written by anybody, `default` not deleted.
- A version counts the writes; `cas` makes a write depend on it, -1 or 0 on there being no policy.
- A read answers name and text alone, as Vault does and clients compare it, unless writes need `cas` or the policy ends; the detailed list
  has version and times of all.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.clock import SECOND, parse_rfc3339, rfc3339
from strongroom.core import areas
from strongroom.core.engine import ListBody, delete, keys_response, list_, paged, patch, read, write
from strongroom.core.fields import Seconds, decoded
from strongroom.core.policy.builtin import UNDELETABLE, UNEDITABLE
from strongroom.core.policy.policies import PolicyEntry, PolicyJob
from strongroom.core.policy.rules import parse_policy, policy_name
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound
from strongroom.sys.routes import Routes, warned

LONG = 16_384
"""Characters of a policy that takes more than some milliseconds to read."""
MOST_ENTRIES = 10_000
"""Entries of a policy, five for a path with two capabilities. Who has it is first served after a quarter of a second of compiling, and so
is everybody else. What was stored before may have more."""


class OldPolicyBody(msgspec.Struct, frozen=True):
    """What the old path takes."""

    policy: Annotated[str, "HCL or JSON, also in base64"] = ""
    rules: Annotated[str, "older name of policy"] = ""


class PolicyBody(msgspec.Struct, frozen=True):
    """What writing a policy takes."""

    policy: Annotated[str | UnsetType, "HCL or JSON, also in base64"] = UNSET
    ttl: Annotated[Seconds | UnsetType, "how long the policy counts; 0 = for ever"] = UNSET
    expiration: Annotated[str | UnsetType, "RFC 3339 time at which the policy ends; blank = never"] = UNSET
    cas: Annotated[int | UnsetType, "version that must be there now; -1 = there must be none"] = UNSET
    cas_required: Annotated[bool | UnsetType, "whether every later write must say cas"] = UNSET


class PolicyRoutes(Routes):
    """ACL policies."""

    # -- sys/policy -----------------------------------------------------------------------------------------------

    @read("policy")
    def read_policy_names(self) -> Response:
        """List the policies."""
        names = self._names()
        return Response(data={"keys": names, "policies": names}, mirror=True)

    @list_("policy/")
    def list_policy_names(self) -> Response:
        """List the policies."""
        return self.read_policy_names()

    @read("policy/{name...}")
    def read_old_policy(self, name: str) -> Response:
        """Read a policy."""
        canonical, entry = self._find(name)
        return Response(data={"name": canonical, "rules": entry.text}, mirror=True)

    @write("policy/{name...}", body=OldPolicyBody)
    def write_old_policy(self, name: str, body: OldPolicyBody) -> Response | None:
        """Write a policy."""
        old = () if body.policy or not body.rules else ("'rules' is deprecated, please use 'policy' instead",)
        return self._write(name, PolicyBody(policy=body.policy or body.rules), old)

    @delete("policy/{name...}")
    def delete_old_policy(self, name: str) -> None:
        """Delete a policy."""
        self.delete_policy(name)

    # -- sys/policies/acl -----------------------------------------------------------------------------------------

    @list_("policies/acl/", body=ListBody)
    def list_policies(self, body: ListBody) -> Response:
        """List the policies."""
        return keys_response(paged(sorted(self._names()), body))

    @list_("policies/detailed/acl/", body=ListBody)
    def list_detailed_policies(self, body: ListBody) -> Response:
        """List the policies with their versions and times."""
        names = paged(sorted(self._names()), body)
        entries = {name: self.core.policies.text(self.call.transaction, name) for name in names}
        return keys_response(names, {name: _details(entry) for name, entry in entries.items() if entry is not None})

    @read("policies/acl/{name...}")
    def read_policy(self, name: str) -> Response:
        """Read a policy."""
        canonical, entry = self._find(name)
        details = _details(entry) if entry.cas_required or entry.expires else {}
        return Response(data={"name": canonical, "policy": entry.text, **details})

    @write("policies/acl/{name...}", body=PolicyBody)
    def write_policy(self, name: str, body: PolicyBody) -> Response | None:
        """Write a policy: from the answer on, every token that names it is judged by it."""
        return self._write(name, body)

    @patch("policies/acl/{name...}", body=PolicyBody)
    def patch_policy(self, name: str, body: PolicyBody) -> Response | None:
        """Change what is sent of a policy, and nothing else of it."""
        canonical, entry = self._find(name)
        if body.policy is UNSET:
            body = msgspec.structs.replace(body, policy=entry.text)
        if body.ttl is UNSET and body.expiration is UNSET:
            body = msgspec.structs.replace(body, expiration=rfc3339(entry.expires))
        return self._write(canonical, body)

    @delete("policies/acl/{name...}")
    def delete_policy(self, name: str) -> None:
        """Delete a policy: tokens that name it have its rights no more."""
        canonical = policy_name(name)
        if canonical == "default":
            raise InvalidRequest("cannot delete default policy")
        if canonical in UNDELETABLE:
            raise InvalidRequest(f'cannot delete "{canonical}" policy')
        self.call.transaction.view(areas.POLICIES).delete(f"acl/{canonical}")

    # -- both -----------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        now = self.call.transaction.now
        names = self.core.policies.names(self.call.transaction)
        entries = {name: self.core.policies.text(self.call.transaction, name) for name in names}
        return [*(name for name, entry in entries.items() if entry is not None and not _over(entry, now)), "root"]

    def _find(self, name: str) -> tuple[str, PolicyEntry]:
        canonical = policy_name(name)
        entry = self.core.policies.text(self.call.transaction, canonical)
        if entry is None or _over(entry, self.call.transaction.now):
            raise NotFound
        return canonical, entry

    def _check(self, name: str, text: str) -> None:
        """Refuse what is no policy; a long one is read beside the loop. Raises InvalidRequest."""
        try:
            if len(text) > LONG:
                self.call.once("policy", name, text, fn=lambda: parse_policy(name, text, most=MOST_ENTRIES))
            else:
                parse_policy(name, text, most=MOST_ENTRIES)
        except InvalidRequest as error:
            raise InvalidRequest(*(f"failed to parse policy: {message}" for message in error.messages)) from None

    def _write(self, name: str, body: PolicyBody, warnings: tuple[str, ...] = ()) -> Response | None:
        canonical = policy_name(name)
        if canonical in UNEDITABLE:
            raise InvalidRequest(f'cannot update "{canonical}" policy')
        if not body.policy:
            raise InvalidRequest("'policy' parameter not supplied or empty")
        text = decoded(body.policy)
        self._check(canonical, text)
        transaction = self.call.transaction
        before = self.core.policies.text(transaction, canonical)
        if before is not None and _over(before, transaction.now):
            before = None
        _check_cas(before, body.cas)
        entry = PolicyEntry(
            text=text,
            modified=transaction.now,
            version=before.version + 1 if before is not None else 1,
            cas_required=(before is not None and before.cas_required) if body.cas_required is UNSET else body.cas_required,
            expires=_expiry(body, transaction.now),
        )
        view = transaction.view(areas.POLICIES)
        view.put(f"acl/{canonical}", entry)
        if entry.expires:
            view.at(entry.expires, "expire", PolicyJob(canonical))
        converted = (f"policy name was converted to {canonical}",) if canonical != name else ()
        return warned(converted + warnings)


def _over(entry: PolicyEntry, now: int) -> bool:
    return 0 < entry.expires <= now


def _details(entry: PolicyEntry) -> dict[str, Any]:
    details: dict[str, Any] = {"version": entry.version, "cas_required": entry.cas_required}
    if entry.modified:
        details["modified"] = rfc3339(entry.modified)
    if entry.expires:
        details["expiration"] = rfc3339(entry.expires)
    return details


def _check_cas(before: PolicyEntry | None, cas: int | UnsetType) -> None:
    if cas is UNSET:
        if before is not None and before.cas_required:
            raise InvalidRequest("check-and-set parameter required for this call")
    elif max(cas, 0) != (before.version if before is not None else 0):
        raise InvalidRequest("check-and-set parameter did not match the current version")


def _expiry(body: PolicyBody, now: int) -> int:
    if body.ttl is not UNSET and body.ttl and body.expiration is not UNSET and body.expiration:
        raise InvalidRequest("ttl and expiration say the same thing; send one of them")
    if body.ttl is not UNSET and body.ttl:
        return now + body.ttl * SECOND
    if body.expiration is UNSET or not body.expiration:
        return 0
    try:
        expires = parse_rfc3339(body.expiration)
    except ValueError as error:
        raise InvalidRequest(f"expiration: {error}") from None
    if expires <= now:
        raise InvalidRequest("expiration has passed already")
    if expires >= 1 << 63:
        raise InvalidRequest("expiration is after the year 2262, beyond what is counted here; leave it out")
    return expires
