"""Which policies Okta's groups and people lead to, and which groups somebody has beside Okta's.

Rules of this file: names are ASCII and count without case, as they do at Okta; a group with another name cannot be mapped.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from strongroom.core.engine import Engine
from strongroom.core.entries import Entries
from strongroom.core.forms import POLICIES, NameList, Reads, merged
from strongroom.core.lockout import canonical_name
from strongroom.core.policy.rules import policies_in_order
from strongroom.errors import InvalidRequest

_GROUP: Final = re.compile(r"[!-.0-~](?:[ -.0-~]{0,253}[!-.0-~])?", re.ASCII)  # printable, without "/"


class User(msgspec.Struct, frozen=True):
    """Groups and policies that somebody has here."""

    groups: Annotated[NameList, "Groups beside those that Okta says."] = ()
    policies: Annotated[NameList, "The user's own policies."] = ()


class Group(msgspec.Struct, frozen=True):
    """What members of a group get."""

    policies: Annotated[NameList, "The policies of the group."] = ()


def group_name(text: str) -> str:
    """A group's name in its one form. Raises InvalidRequest."""
    if not _GROUP.fullmatch(text):
        raise InvalidRequest("a group's name is made of up to 255 printable ASCII characters without /")
    return text.lower()


_USER_READS: Final[Reads] = {"policies": policies_in_order, "groups": lambda names: tuple(dict.fromkeys(map(group_name, names)))}


class Mappings(Engine):
    """Users and groups."""

    users = Entries(
        User,
        pattern="users/{name}",
        noun="user",
        name=canonical_name,
        changed=lambda _before, body: merged(User(), body, _USER_READS),
        ends="user",
        locks=True,
        says={
            "list": "List the users that have groups or policies here.",
            "read": "Show a user's groups and policies.",
            "write": "Give somebody groups and policies; those of before are replaced.",
            "delete": "Forget somebody's groups and policies, and end the tokens that have them; at Okta he stays, and can log in.",
        },
    )
    groups = Entries(
        Group,
        pattern="groups/{name}",
        noun="group",
        name=group_name,
        changed=lambda _before, body: merged(Group(), body, POLICIES),
        ends="group",
        says={
            "list": "List the groups that have policies.",
            "read": "Show a group's policies.",
            "write": "Give a group policies.",
            "delete": "Forget a group's policies; tokens that have them end.",
        },
    )

    def mapped(self, names: set[str], groups: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """What somebody with these names, in these groups of Okta's and his own here, is: "user/alice" and "group/dev" → policies."""
        users = {name: user for name in sorted(names) if (user := self.users.get(name)) is not None}
        all_groups = {group.lower() for group in groups if _GROUP.fullmatch(group)}.union(*(user.groups for user in users.values()))
        found = {name: group for name in sorted(all_groups) if (group := self.groups.get(name)) is not None}
        of_users = {f"user/{name}": user.policies for name, user in users.items()}
        return of_users | {f"group/{name}": group.policies for name, group in found.items()}
