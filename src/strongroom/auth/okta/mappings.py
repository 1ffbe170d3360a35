"""Which policies Okta's groups and people lead to, and which groups somebody has beside Okta's.

Rules of this file: names are ASCII and count without case, as they do at Okta; a group with another name cannot be mapped.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.engine import Engine, ListBody, delete, list_, listed, read, write
from strongroom.core.fields import Names
from strongroom.core.lockout import canonical_name, unlock
from strongroom.core.logins import end_logins
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.request import Response
from strongroom.errors import InvalidRequest, NotFound

_GROUP: Final = re.compile(r"[!-.0-~](?:[ -.0-~]{0,253}[!-.0-~])?", re.ASCII)  # printable, without "/"


class User(msgspec.Struct, frozen=True):
    """Groups and policies that somebody has here."""

    groups: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """The policies of a group."""

    policies: tuple[str, ...] = ()


class UserBody(msgspec.Struct, frozen=True):
    """What a user is written with."""

    groups: Annotated[Names | UnsetType, "Groups beside those that Okta says."] = UNSET
    policies: Annotated[Names | UnsetType, "The user's own policies."] = UNSET


class GroupBody(msgspec.Struct, frozen=True):
    """What a group is written with."""

    policies: Annotated[Names, "The policies of the group."] = Names()


def group_name(text: str) -> str:
    """A group's name in its one form. Raises InvalidRequest."""
    if not _GROUP.fullmatch(text):
        raise InvalidRequest("a group's name is made of up to 255 printable ASCII characters without /")
    return text.lower()


class Mappings(Engine):
    """The routes of users and groups."""

    @list_("users/", body=ListBody)
    def list_users(self, body: ListBody) -> Response:
        """List the users that have groups or policies here."""
        return listed(self.store, "users", body)

    @read("users/{username}")
    def read_user(self, username: str) -> Response:
        """Show a user's groups and policies."""
        user = self.user(canonical_name(username))
        if user is None:
            raise NotFound
        return Response(data={"groups": user.groups, "policies": user.policies})

    def user_exists(self, username: str) -> bool:
        """Whether a write to the user changes it rather than makes it."""
        return self.user(canonical_name(username)) is not None

    @write("users/{username}", body=UserBody, exists="user_exists")
    def write_user(self, username: str, body: UserBody) -> None:
        """Give somebody groups and policies."""
        name = canonical_name(username)
        before = self.user(name) or User()
        groups = before.groups if body.groups is UNSET else tuple(sorted({group_name(group) for group in body.groups}))
        policies = before.policies if body.policies is UNSET else assignable_policies(body.policies)
        self.store.put(f"users/{name}", User(groups, policies))

    @delete("users/{username}")
    def delete_user(self, username: str) -> None:
        """Forget somebody's groups and policies, and end the tokens that have them; at Okta he stays, and can log in."""
        name = canonical_name(username)
        if self.user(name) is not None:
            self.store.delete(f"users/{name}")
            end_logins(self.call.transaction, self.mount, f"user/{name}")
        unlock(self.call.transaction, self.mount, name)

    @list_("groups/", body=ListBody)
    def list_groups(self, body: ListBody) -> Response:
        """List the groups that have policies."""
        return listed(self.store, "groups", body)

    @read("groups/{name}")
    def read_group(self, name: str) -> Response:
        """Show a group's policies."""
        group = self.group(group_name(name))
        if group is None:
            raise NotFound
        return Response(data={"policies": group.policies})

    def group_exists(self, name: str) -> bool:
        """Whether a write to the group changes it rather than makes it."""
        return self.group(group_name(name)) is not None

    @write("groups/{name}", body=GroupBody, exists="group_exists")
    def write_group(self, name: str, body: GroupBody) -> None:
        """Give a group policies."""
        self.store.put(f"groups/{group_name(name)}", Group(assignable_policies(body.policies)))

    @delete("groups/{name}")
    def delete_group(self, name: str) -> None:
        """Forget a group's policies; tokens that have them end."""
        name = group_name(name)
        if self.group(name) is not None:
            self.store.delete(f"groups/{name}")
            end_logins(self.call.transaction, self.mount, f"group/{name}")

    def user(self, name: str) -> User | None:
        """What is stored of a user."""
        return self.store.get(f"users/{name}", User)

    def group(self, name: str) -> Group | None:
        """What is stored of a group."""
        return self.store.get(f"groups/{name}", Group)

    def mapped(self, names: set[str], groups: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """What somebody with these names, in these groups of Okta's and his own here, is: "user/alice" and "group/dev" → policies."""
        users = {name: user for name in sorted(names) if (user := self.user(name)) is not None}
        all_groups = {group.lower() for group in groups if _GROUP.fullmatch(group)}.union(*(user.groups for user in users.values()))
        found = {name: group for name in sorted(all_groups) if (group := self.group(name)) is not None}
        of_users = {f"user/{name}": user.policies for name, user in users.items()}
        return of_users | {f"group/{name}": group.policies for name, group in found.items()}
