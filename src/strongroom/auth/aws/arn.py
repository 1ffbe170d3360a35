"""Who a principal is, read from its ARN.

    arn:aws:iam::123456789012:user/path/alice        arn:aws:sts::123456789012:assumed-role/deploy/session

Rules of this file:
- Pure, and strict: an account has twelve digits, names obey IAM's grammar, what is not a user or a role is refused.
- The session of an assumed role does not say the role's path: the canonical form of a role has none. Only IAM knows the full ARN.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from strongroom.errors import InvalidRequest

_ARN = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):(?:iam|sts)::(?P<account>\d{12}):(?P<kind>user|role|assumed-role)/(?P<path>[!-9;-~]*/)?(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)
_BOUND = re.compile(r"arn:aws(?:-[a-z]+)*:iam::\d{12}:[!-9;-~]{1,600}", re.ASCII)
_ROLE = re.compile(r"arn:aws(?:-[a-z]+)*:iam::\d{12}:role/[!-9;-~]{1,600}", re.ASCII)


class Principal(NamedTuple):
    """A user, or a role that somebody has assumed in a session."""

    partition: str
    account: str
    kind: str
    name: str
    session: str = ""

    @property
    def canonical(self) -> str:
        """Its ARN without a path."""
        return f"arn:{self.partition}:iam::{self.account}:{self.kind}/{self.name}"


def parse_arn(text: str) -> Principal:
    """The principal of a whole ARN. Raises InvalidRequest."""
    match = _ARN.fullmatch(text)
    if match is None:
        raise InvalidRequest("unrecognized arn: it is not that of an IAM user, role or assumed role")
    partition, account, kind, path, name = match.groups(default="")
    if kind != "assumed-role":
        return Principal(partition, account, kind, name)
    role = path.removesuffix("/")
    if not role or "/" in role:
        raise InvalidRequest("unrecognized arn: an assumed role has a name and a session")
    return Principal(partition, account, "role", role, name)


def check_bound(text: str) -> None:
    """What a role may be bound to: an ARN, or the beginning of ARNs and a `*`, in an account that it names. Raises InvalidRequest."""
    if not _BOUND.fullmatch(text) or "*" in text[:-1]:
        raise InvalidRequest("a bound_iam_principal_arn is arn:aws:iam::<account>:<user or role>, with * at its end if anywhere")
    if not text.endswith("*"):
        parse_arn(text)


def check_role(text: str) -> None:
    """The ARN of a role that the server assumes. Raises InvalidRequest."""
    if not _ROLE.fullmatch(text):
        raise InvalidRequest("an sts_role is arn:aws:iam::<account>:role/<name>")
