"""A stored row as a form: one Struct declares what is kept, how it is written and what a read tells of it.

    class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
        role_id: str
        groups: Annotated[NameList, "Groups that may log in."] = ()
        max_age: Annotated[Duration, "How old a proof may be."] = 0
        password: Annotated[HiddenText, "What is shown to the directory; never told."] = ""
        token: TokenParameters = TokenParameters()

Rules of this file:
- A field with a text is written and told; one without (`role_id`) is the server's own. A row with `token` takes the token parameters.
- What was not sent keeps its value: in the body that belongs to a row every field can be left out.
- A hidden field is written and never told, and a row that has one is not kept decoded in memory.
- Pure functions of a row and a body.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import READERS, Names, Seconds, SignedSeconds, Texts, given
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.token.parameters import TokenBody, changed, shown
from strongroom.errors import InvalidRequest

Row = TypeVar("Row", bound=msgspec.Struct)

_HIDDEN: Final = object()

NameList = Annotated[tuple[str, ...], Names]
Duration = Annotated[int, Seconds]
SignedDuration = Annotated[int, SignedSeconds]
TextMap = Annotated[dict[str, str], Texts]
HiddenText = Annotated[str, _HIDDEN]
"""Types of fields that are stored as one thing and read from a body as another (core/fields.py)."""

Reads = Mapping[str, Callable[[Any], Any]]
"""How fields are read that are more than their type: each raises InvalidRequest for what it cannot be."""


POLICIES: Final[Reads] = {"policies": assignable_policies}
"""Of rows that lead to policies: what is mapped to a user or a group."""


def one_of(allowed: Sequence[str], otherwise: str) -> Callable[[str], str]:
    """Reads a text that is one of a few. Raises InvalidRequest, which says `otherwise`."""

    def read(text: str) -> str:
        if text not in allowed:
            raise InvalidRequest(otherwise)
        return text

    return read


def some_of(known: Sequence[str], default: Sequence[str], otherwise: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Reads names of which some are chosen, such as the fields of an alias's metadata; `default` among them stands for several.

    What is chosen is kept in the order of `known`. Raises InvalidRequest, which says `otherwise`.
    """

    def read(names: tuple[str, ...]) -> tuple[str, ...]:
        chosen = {each for name in names for each in (default if name == "default" else (name,))}
        if not chosen.issubset(known):
            raise InvalidRequest(otherwise)
        return tuple(name for name in known if name in chosen)

    return read


class _Form(NamedTuple):
    """What a row's declaration comes to."""

    fields: dict[str, Any]
    """The type in the body of each field that is written."""
    hidden: frozenset[str]


@cache
def _form(row: type[msgspec.Struct]) -> _Form:
    fields, never_told = {}, set()
    for name, hint in typing.get_type_hints(row, include_extras=True).items():
        if typing.get_origin(hint) is not Annotated:
            continue
        kind, *notes = typing.get_args(hint)
        if _HIDDEN in notes:
            never_told.add(name)
        text = next((note for note in notes if isinstance(note, str)), "")
        if text:
            reader = next((note for note in notes if note is not _HIDDEN and note in READERS), kind)
            fields[name] = Annotated[reader | UnsetType, text]
    return _Form(fields, frozenset(never_told))


def body_of(row: type[msgspec.Struct], beside: type[msgspec.Struct] | None = None) -> type[msgspec.Struct]:
    """The body that a row is written with. `beside` has fields that are not the row's: old names, and what is not kept."""
    fields = [(name, hint, UNSET) for name, hint in _form(row).fields.items()]
    more = (beside, TokenBody if "token" in row.__struct_fields__ else None)
    fields += [field for struct in more if struct is not None for field in _written(struct)]
    return msgspec.defstruct(f"{row.__name__}Body", fields, frozen=True, kw_only=True)


def _written(struct: type[msgspec.Struct]) -> list[tuple[str, Any, UnsetType]]:
    """The fields of a body, each of which can be left out."""
    return [(name, hint, UNSET) for name, hint in typing.get_type_hints(struct, include_extras=True).items()]


def own(row: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of a row that are written and told."""
    return tuple(_form(row).fields)


def hidden(row: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a row that are never told."""
    return _form(row).hidden


def merged(before: Row, body: msgspec.Struct, reads: Reads | None = None, old: Mapping[str, str] | None = None, **more: Any) -> Row:
    """A row after a write. Raises InvalidRequest.

    `old` are old names of fields, which count where the new one was not sent; `more` are fields that the body comes to otherwise.
    """
    sent = given(body)
    fields = {name: sent[name] for name in own(type(before)) if name in sent}
    fields |= {name: sent[former] for former, name in (old or {}).items() if former in sent and name not in sent}
    for name, read in (reads or {}).items():
        if name in fields:
            fields[name] = read(fields[name])
    token = getattr(before, "token", None)
    if token is not None:
        fields["token"] = changed(token, body)
    return msgspec.structs.replace(before, **fields | more)


def members(row: msgspec.Struct, old: tuple[str, ...] = ()) -> dict[str, Any]:
    """The members of a read: each field that may be told, and the token parameters, those of `old` by their old names, too."""
    form = _form(type(row))
    found = {name: getattr(row, name) for name in form.fields if name not in form.hidden}
    token = getattr(row, "token", None)
    return found if token is None else found | shown(token, old)
