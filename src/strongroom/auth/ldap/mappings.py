"""Routes of local users and groups: which policies the people of a directory get here.

Rules of this file:
- A person is who the entry says: what is written for a user counts by whichever attribute he is found, and nobody leaves a policy that
  denies behind by typing another name of his.
- A group is named as the directory names it. ASCII letters count without case unless the mount says otherwise; nothing else is folded,
  so that no group of the directory passes for another one.
- A write replaces the whole entry, as Vault's does.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.auth.ldap.config import Config
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, read, write
from strongroom.core.fields import Names
from strongroom.core.lockout import canonical_name
from strongroom.core.logins import end_logins
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.request import Response
from strongroom.errors import InvalidRequest, NotFound

MAX_GROUP: Final = 256
"""Characters of a group's name."""

_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Group(msgspec.Struct, frozen=True):
    """What members of a group of the directory get."""

    policies: tuple[str, ...] = ()


class User(msgspec.Struct, frozen=True):
    """What one person gets, and groups that he is in besides those of the directory."""

    policies: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class GroupBody(msgspec.Struct, frozen=True):
    """What a group is written with."""

    policies: Annotated[Names, "The policies of its members."] = Names()


class UserBody(msgspec.Struct, frozen=True):
    """What a user is written with."""

    policies: Annotated[Names, "The user's policies."] = Names()
    groups: Annotated[Names, "Groups the user is in besides those of the directory."] = Names()


def folded(text: str, *, exact: bool) -> str:
    """A group's name as it is compared."""
    return text if exact else text.translate(_LOWER)


def group_name(text: str, *, exact: bool) -> str:
    """A group's name as it is stored. Raises InvalidRequest."""
    if not 0 < len(text) <= MAX_GROUP or not text.isprintable() or text != text.strip():
        raise InvalidRequest(f"a group's name has up to {MAX_GROUP} printable characters and neither begins nor ends with a space")
    return folded(text, exact=exact)


class Mappings(Engine):
    """Local users and groups."""

    def config(self) -> Config | None:
        """The mount's configuration; it holds a password, so it is decrypted each time."""
        return self.store.get("config", Config)

    # -- groups -----------------------------------------------------------------------------------------------------

    @list_("groups/", body=ListBody)
    def list_groups(self, body: ListBody) -> Response:
        """List the groups that have policies here."""
        return listed(self.store, "groups", body)

    @read("groups/{name}")
    def read_group(self, name: str) -> Response:
        """Show a group's policies."""
        group = self.store.settings(self._group_row(name), Group)
        if group is None:
            raise NotFound
        return Response(data={"policies": group.policies})

    def group_exists(self, name: str) -> bool:
        """Whether a write to the group changes it rather than makes it."""
        return self.store.exists(self._group_row(name))

    @write("groups/{name}", body=GroupBody, exists="group_exists")
    def write_group(self, name: str, body: GroupBody) -> None:
        """Say which policies the members of a group of the directory get."""
        self.store.put(self._group_row(name), Group(assignable_policies(body.policies)))

    @delete("groups/{name}")
    def delete_group(self, name: str) -> None:
        """Forget a group; tokens that had its policies end with it."""
        row = self._group_row(name)
        if self.store.exists(row):
            self.store.delete(row)
            end_logins(self.call.transaction, self.mount, f"group/{row.removeprefix('groups/')}")

    # -- users ------------------------------------------------------------------------------------------------------

    @list_("users/", body=ListBody)
    def list_users(self, body: ListBody) -> Response:
        """List the users that have policies or groups here."""
        return listed(self.store, "users", body)

    @read("users/{name}")
    def read_user(self, name: str) -> Response:
        """Show a user's policies and groups."""
        user = self.user(canonical_name(name))
        if user is None:
            raise NotFound
        return Response(data={"policies": user.policies, "groups": ",".join(user.groups)})

    def user_exists(self, name: str) -> bool:
        """Whether a write to the user changes it rather than makes it."""
        return self.user(canonical_name(name)) is not None

    @write("users/{name}", body=UserBody, exists="user_exists")
    def write_user(self, name: str, body: UserBody) -> None:
        """Give a user of the directory policies and groups of his own."""
        exact = self._exact()
        groups = sorted({group_name(group.strip(), exact=exact) for group in body.groups})
        if any("," in group for group in groups):
            raise InvalidRequest("a group whose name has a comma cannot be given to a user here: lists are shown with commas")
        self.store.put(f"users/{canonical_name(name)}", User(assignable_policies(body.policies), tuple(groups)))

    @delete("users/{name}")
    def delete_user(self, name: str) -> None:
        """Forget what a user has here, and end the tokens that had it; in the directory he stays, and can log in."""
        name = canonical_name(name)
        if self.user(name) is not None:
            self.store.delete(f"users/{name}")
            end_logins(self.call.transaction, self.mount, f"user/{name}")

    # -- rows -------------------------------------------------------------------------------------------------------

    def user(self, name: str) -> User | None:
        """A user by his canonical name."""
        return self.store.settings(f"users/{name}", User)

    def mapped(self, names: tuple[str, ...], found: tuple[str, ...], *, exact: bool) -> dict[str, tuple[str, ...]]:
        """What a person of these names is here whom the directory says is in these groups: "user/alice" and "group/dev" → policies."""
        users = {name: user for name in names if (user := self.user(name)) is not None}
        groups = {folded(group, exact=exact) for group in found}.union(*(user.groups for user in users.values()))
        mapped = {f"group/{group}": self._group(group).policies for group in self.store.list("groups") if group in groups}
        return mapped | {f"user/{name}": user.policies for name, user in users.items()}

    def _group(self, name: str) -> Group:
        return self.store.settings(f"groups/{name}", Group) or Group()

    def _exact(self) -> bool:
        config = self.config()
        return config is not None and config.case_sensitive_names

    def _group_row(self, name: str) -> str:
        return f"groups/{group_name(name, exact=self._exact())}"
