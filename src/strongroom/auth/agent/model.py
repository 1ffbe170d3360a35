"""What is stored of roles, enrolment tokens and agents, and how it is shown.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is shown again. Durations in seconds, instants in ns, 0 = not set.
- A name is ASCII and counts without case (core/names.py).
"""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.agent.keys import KINDS
from strongroom.clock import rfc3339
from strongroom.core.fields import Names, Seconds, Texts
from strongroom.core.forms import Duration, NameList, Reads, merged
from strongroom.core.names import role_name
from strongroom.core.token.creation import check_metadata
from strongroom.core.token.parameters import TokenParameters
from strongroom.core.token.terms import bound_cidrs
from strongroom.errors import InvalidRequest

ENROL_TTL: Final = 3_600
MAX_ENROL_TTL: Final = 30 * 86_400
"""An enrolment token lies in images, environments and tickets until it is used: a month is long."""


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role. `key` is random: agents and enrolment tokens of a role that is made anew under its name are not its."""

    key: bytes
    key_types: Annotated[NameList, "Kinds of keys that agents may have: ed25519, ml-dsa-65; both where none is named."] = tuple(KINDS)
    max_agents: Annotated[int, "How many agents may be enrolled, revoked ones included; 0 = any number."] = 0
    enrol_ttl: Annotated[Duration, "How long enrolment tokens live that ask for no time of their own; an hour at first."] = ENROL_TTL
    enrol_bound_cidrs: Annotated[NameList, "Where an enrolment may come from."] = ()
    token: TokenParameters = TokenParameters()


class Enrolment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an enrolment token is good for: one agent of a role, until it expires; of this name alone where one is given."""

    id: str
    role: str
    role_key: bytes
    expires: int
    created: int = 0
    agent: str = ""
    metadata: dict[str, str] = {}
    cidrs: tuple[str, ...] = ()


class Agent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored agent. `id` is new with each enrolment and is its alias's name; `enrolment` names the token it enrolled with."""

    id: str
    role: str
    role_key: bytes
    kind: str
    key: bytes
    enrolled: int
    enrolment: str = ""
    metadata: dict[str, str] = {}
    rotated: int = 0
    revoked: int = 0


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A challenge that was answered, kept until nobody could take it for a fresh one."""

    until: int
    nonce: bytes


class Uses(msgspec.Struct, frozen=True, omit_defaults=True):
    """When and from where an agent last proved who it is, and the challenges it answered of late."""

    last: int
    address: str = ""
    answered: tuple[Answered, ...] = ()


class EnrolTokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """What an enrolment token is made with."""

    ttl: Annotated[Seconds | UnsetType, "How long it is good for; the role's enrol_ttl where none is given."] = UNSET
    agent: Annotated[str, "The only name that may be enrolled with it."] = ""
    metadata: Annotated[Texts, "Texts that go on the agent, its tokens and into the audit log."] = Texts()
    bound_cidrs: Annotated[Names, "Where the enrolment may come from, beside what the role says."] = Names()


def agent_name(text: str) -> str:
    """An agent's name in its one form. Raises InvalidRequest."""
    try:
        return role_name(text)
    except InvalidRequest:
        raise InvalidRequest("an agent's name is made of up to 128 ASCII letters, digits and _ . - and has no . or - at its ends") from None


def changed_role(before: Role, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    return merged(before, body, _READS)


def _key_types(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise InvalidRequest(f"key_types are among {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names) or tuple(KINDS)


def checked_ttl(name: str, seconds: int) -> int:
    """The lifetime of an enrolment token. Raises InvalidRequest."""
    if not 0 < seconds <= MAX_ENROL_TTL:
        raise InvalidRequest(f"{name} is positive and at most {MAX_ENROL_TTL // 86_400} days")
    return seconds


def _number(count: int) -> int:
    if count < 0:
        raise InvalidRequest("max_agents cannot be negative")
    return count


_READS: Final[Reads] = {
    "key_types": _key_types,
    "enrol_bound_cidrs": bound_cidrs,
    "max_agents": _number,
    "enrol_ttl": lambda ttl: checked_ttl("enrol_ttl", ttl or ENROL_TTL),
}


def checked_metadata(given: dict[str, str]) -> dict[str, str]:
    """The metadata of an enrolment. Raises InvalidRequest."""
    check_metadata("metadata", given)
    return given


def shown_enrolment(found: Enrolment) -> dict[str, Any]:
    """What is shown of an enrolment token: never the token."""
    return {
        "id": found.id,
        "role": found.role,
        "agent": found.agent,
        "metadata": found.metadata,
        "bound_cidrs": found.cidrs,
        "creation_time": rfc3339(found.created),
        "expiration_time": rfc3339(found.expires),
    }


def shown_agent(name: str, agent: Agent, uses: Uses | None) -> dict[str, Any]:
    """What is shown of an agent; instants that are not set are blank."""
    return {
        "name": name,
        "id": agent.id,
        "role": agent.role,
        "key_type": agent.kind,
        "public_key": base64.b64encode(agent.key).decode(),
        "fingerprint": sha256(agent.key).hexdigest(),
        "metadata": agent.metadata,
        "enrolment_token_id": agent.enrolment,
        "enrolled_time": rfc3339(agent.enrolled),
        "rotated_time": rfc3339(agent.rotated) if agent.rotated else "",
        "last_login_time": rfc3339(uses.last) if uses is not None else "",
        "last_login_address": uses.address if uses is not None else "",
        "revoked": bool(agent.revoked),
        "revoked_time": rfc3339(agent.revoked) if agent.revoked else "",
    }
