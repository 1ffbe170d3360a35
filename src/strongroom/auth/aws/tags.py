"""Role tags: what an EC2 instance's tag says of a role, narrowed and with a MAC that nobody else can make.

    v1:<nonce>:r=<role>:d=<bool>:m=<bool>[:p=<policies>][:i=<instance>][:t=<seconds>]:<HMAC-SHA-256, base64>

Rules of this file:
- The key is derived for the mount and the role's own id, so that a role that is deleted and made anew does not honour old tags.
- A tag is compared by its MAC over exactly the text before it; fields are read after that.
- A tag on the deny list stays there until no token from it could live, and the safety buffer is over.
"""

from __future__ import annotations

import binascii
import hmac
import os
from base64 import b64decode, b64encode
from itertools import islice
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.aws.roles import Role, Roles
from strongroom.clock import SECOND, rfc3339
from strongroom.core.engine import ListBody, delete, keys_response, list_, paged, read, write
from strongroom.core.fields import Names, Seconds
from strongroom.core.names import role_name
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound

LABEL: Final = b"aws role tags"
"""Names the key of the MACs."""

MAX_VALUE: Final = 255
"""Characters of a tag's value that EC2 takes."""

PAGE: Final = 300
"""Entries that one tidying removes: each is a row, of the 1,000 that a call may stage. Timers remove them without being asked."""


WIDER_POLICIES: Final = (
    "Policies on the tag are not a subset of the policies set on the role. "
    "Login will not be allowed with this tag unless the role policies are updated."
)
NO_MIGRATION: Final = "Role does not allow instance migration. Login will not be allowed with this tag unless the role value is updated."
LONGER: Final = "Given max TTL of {} is greater than the role maximum of {} seconds, and will be capped at login time."


class TagBody(msgspec.Struct, frozen=True, kw_only=True):
    """How a tag narrows its role."""

    policies: Annotated[Names | UnsetType, "Policies of the role that remain; without this field, all do."] = UNSET
    max_ttl: Annotated[Seconds, "How long tokens may live at most, 0 = as the role says."] = Seconds(0)
    instance_id: Annotated[str, "The one instance that the tag is for."] = ""
    allow_instance_migration: Annotated[bool, "An instance that moved may log in again."] = False
    disallow_reauthentication: Annotated[bool, "An instance logs in once."] = False


class Denied(msgspec.Struct, frozen=True):
    """A tag that is not honoured any more. Instants in ns."""

    created: int
    expires: int


class DeniedJob(msgspec.Struct, frozen=True):
    """An entry of the deny list is over."""

    row: str


class Tags(Roles):
    """The routes."""

    @write("role/{role}/tag", body=TagBody)
    def write_tag(self, role: str, body: TagBody) -> Response:
        """Make a tag for an instance."""
        name = role_name(role)
        found = self.roles.get(name)
        if found is None:
            raise InvalidRequest(f"entry not found for role {name}")
        if not found.role_tag:
            raise InvalidRequest("tag creation is not enabled for this role")
        if body.disallow_reauthentication and body.allow_instance_migration:
            raise InvalidRequest("cannot set both disallow_reauthentication and allow_instance_migration")
        text = _plain(name, body)
        value = f"{text}:{self._mac(found, text)}"
        if len(value) > MAX_VALUE:
            raise InvalidRequest(f"role tag 'value' exceeding the limit of {MAX_VALUE} characters")
        return Response(data={"tag_key": found.role_tag, "tag_value": value}, warnings=tuple(self._doubts(found, body)))

    def _doubts(self, role: Role, body: TagBody) -> list[str]:
        policies = set() if body.policies is UNSET else set(body.policies)
        longest = role.token.max_ttl
        said = (
            (WIDER_POLICIES, not policies <= {*role.token.policies, "default"}),
            (NO_MIGRATION, body.allow_instance_migration and not role.allow_instance_migration),
            (LONGER.format(body.max_ttl, longest), 0 < longest < body.max_ttl),
        )
        return [text for text, due in said if due]

    def _mac(self, role: Role, text: str) -> str:
        key = self.call.transaction.keys.mac(LABEL).digest(self.mount.uuid + role.role_id.encode())
        return b64encode(hmac.digest(key, text.encode(), "sha256")).decode()

    # -- the deny list ------------------------------------------------------------------------------------------

    @list_("roletag-denylist/", body=ListBody)
    @list_("roletag-blacklist/", body=ListBody)
    def list_denied(self, body: ListBody) -> Response:
        """List the tags that are not honoured any more."""
        return keys_response(paged(sorted(_tag(name) for name in self.store.list("denied")), body))

    @read("roletag-denylist/{role_tag...}")
    @read("roletag-blacklist/{role_tag...}")
    def read_denied(self, role_tag: str) -> Response:
        """Show since when a tag is not honoured."""
        found = self._denied(_given_tag(role_tag))
        if found is None:
            raise NotFound
        return Response(data={"creation_time": rfc3339(found.created), "expiration_time": rfc3339(found.expires)})

    @write("roletag-denylist/{role_tag...}")
    @write("roletag-blacklist/{role_tag...}")
    def write_denied(self, role_tag: str) -> None:
        """Honour a tag no more; given as it is, or in base64."""
        tag = _given_tag(role_tag)
        role = self._verified(tag)
        now = self.clock.now()
        before = self._denied(tag)
        longest = max(role.token.max_ttl, self.max_ttl, _max_ttl(tag))
        entry = Denied(before.created if before is not None else now, now + longest * SECOND)
        self.store.put(f"denied/{_row(tag)}", entry)
        if before is None:
            self.store.at(entry.expires, "denied", DeniedJob(_row(tag)))

    @delete("roletag-denylist/{role_tag...}")
    @delete("roletag-blacklist/{role_tag...}")
    def delete_denied(self, role_tag: str) -> None:
        """Honour a tag again."""
        self.store.delete(f"denied/{_row(_given_tag(role_tag))}")

    def _denied(self, tag: str) -> Denied | None:
        return self.store.get(f"denied/{_row(tag)}", Denied)

    def _verified(self, tag: str) -> Role:
        """The role that a tag is of. Raises InvalidRequest."""
        text, _, mac = tag.rpartition(":")
        version, _, fields = text.partition(":")
        names = [field[2:] for field in fields.split(":")[1:] if field.startswith("r=")]
        if version != "v1" or len(names) != 1:
            raise InvalidRequest("failed to verify the role tag and parse it: it is v1:<nonce>:r=<role>:…:<signature>")
        role = self.roles.get(role_name(names[0]))
        if role is None or not hmac.compare_digest(self._mac(role, text).encode(), mac.encode()):
            raise InvalidRequest("failed to verify the role tag and parse it: role tag signature verification failed")
        return role

    def tidy_denied(self, safety_buffer: int) -> None:
        """Remove entries that have been over for so many seconds."""
        before = self.clock.now() - safety_buffer * SECOND
        found = ((name, self.store.get(f"denied/{name}", Denied)) for name in self.store.list("denied"))
        over = (name for name, entry in found if entry is not None and entry.expires < before)
        for name in islice(over, PAGE):
            self.store.delete(f"denied/{name}")


def _plain(role: str, body: TagBody) -> str:
    """The text of a tag before its MAC."""
    nonce = b64encode(os.urandom(8)).decode()
    flags = f"d={str(body.disallow_reauthentication).lower()}:m={str(body.allow_instance_migration).lower()}"
    parts = [f"v1:{nonce}:r={role}:{flags}"]
    if body.policies is not UNSET:
        parts.append(f"p={','.join(assignable_policies(body.policies)) or 'default'}")
    if body.instance_id:
        if not body.instance_id.replace("-", "").isalnum() or not body.instance_id.isascii():
            raise InvalidRequest("'instance_id' is the id of an instance, such as i-0123456789abcdef0")
        parts.append(f"i={body.instance_id.lower()}")
    if body.max_ttl:
        parts.append(f"t={body.max_ttl}")
    return ":".join(parts)


def _max_ttl(tag: str) -> int:
    """The time that a verified tag gives."""
    return max((int(field[2:]) for field in tag.split(":") if field.startswith("t=")), default=0)


def _given_tag(text: str) -> str:
    """A tag as it is, or in base64: its slashes and colons do not travel well in paths."""
    if text.startswith("v1:"):
        return text
    try:
        return b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return text


def _row(tag: str) -> str:
    """The name of a tag's row: one segment, whatever the tag has in it."""
    return tag.encode().hex()


def _tag(row: str) -> str:
    return bytes.fromhex(row).decode()
