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
from strongroom.core.engine import Engine, write
from strongroom.core.entries import Entries
from strongroom.core.forms import POLICIES, NameList, body_of, merged
from strongroom.core.lockout import canonical_name
from strongroom.errors import InvalidRequest

MAX_GROUP: Final = 256
"""Characters of a group's name."""

_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Group(msgspec.Struct, frozen=True):
    """What members of a group of the directory get."""

    policies: Annotated[NameList, "The policies of its members."] = ()


class User(msgspec.Struct, frozen=True):
    """What one person gets, and groups that he is in besides those of the directory."""

    policies: Annotated[NameList, "The user's policies."] = ()
    groups: Annotated[NameList, "Groups the user is in besides those of the directory."] = ()


def folded(text: str, *, exact: bool) -> str:
    """A group's name as it is compared."""
    return text if exact else text.translate(_LOWER)


def group_name(text: str, *, exact: bool) -> str:
    """A group's name as it is stored. Raises InvalidRequest."""
    if not 0 < len(text) <= MAX_GROUP or not text.isprintable() or text != text.strip():
        raise InvalidRequest(f"a group's name has up to {MAX_GROUP} printable characters and neither begins nor ends with a space")
    return folded(text, exact=exact)


def exact(engine: Engine) -> bool:
    """Whether groups count with case at a mount."""
    config = engine.store.get("config", Config)
    return config is not None and config.case_sensitive_names


class Groups(Entries[Group], frozen=True, eq=False, kw_only=True):
    """Groups: whether their names count with case is the mount's to say."""

    def canonical(self, engine: Engine, text: str) -> str:
        """A group's name as it is stored. Raises InvalidRequest."""
        return group_name(text, exact=exact(engine))


class Mappings(Engine):
    """Local users and groups."""

    groups = Groups(
        Group,
        pattern="groups/{name}",
        noun="group",
        changed=lambda _before, body: merged(Group(), body, POLICIES),
        ends="group",
        says={
            "list": "List the groups that have policies here.",
            "read": "Show a group's policies.",
            "write": "Say which policies the members of a group of the directory get.",
            "delete": "Forget a group; tokens that had its policies end with it.",
        },
    )
    users = Entries(
        User,
        pattern="users/{name}",
        noun="user",
        name=canonical_name,
        told=lambda user: {"policies": user.policies, "groups": ",".join(user.groups)},
        ends="user",
        says={
            "list": "List the users that have policies or groups here.",
            "read": "Show a user's policies and groups.",
            "delete": "Forget what a user has here, and end the tokens that had it; in the directory he stays, and can log in.",
        },
    )

    @write("users/{name}", body=body_of(User), exists="user_exists")
    def write_user(self, name: str, body: msgspec.Struct) -> None:
        """Give a user of the directory policies and groups of his own."""
        with_case = exact(self)
        user = merged(User(), body, {**POLICIES, "groups": lambda names: _group_names(names, exact=with_case)})
        self.users.put(canonical_name(name), user)

    def mapped(self, names: tuple[str, ...], found: tuple[str, ...], *, exact: bool) -> dict[str, tuple[str, ...]]:
        """What a person of these names is here whom the directory says is in these groups: "user/alice" and "group/dev" → policies."""
        users = {name: user for name in names if (user := self.users.get(name)) is not None}
        groups = {folded(group, exact=exact) for group in found}.union(*(user.groups for user in users.values()))
        mapped = {f"group/{name}": (self.groups.get(name) or Group()).policies for name in self.groups.names() if name in groups}
        return mapped | {f"user/{name}": user.policies for name, user in users.items()}


def _group_names(names: tuple[str, ...], *, exact: bool) -> tuple[str, ...]:
    """The groups of a user. Raises InvalidRequest."""
    groups = {group_name(name.strip(), exact=exact) for name in names}
    if any("," in group for group in groups):
        raise InvalidRequest("a group whose name has a comma cannot be given to a user here: lists are shown with commas")
    return tuple(sorted(groups))
