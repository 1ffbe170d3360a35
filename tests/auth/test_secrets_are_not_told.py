"""What a method keeps and never tells: of every row that is declared, whatever method it is of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest

from strongroom.core.configuration import Configuration, Kept
from strongroom.core.engine import Engine
from strongroom.core.entries import Entries
from strongroom.core.forms import HiddenText, hidden
from strongroom.core.registry import engine_class, kinds
from strongroom.errors import InvalidRequest

MARK = "a-secret-that-nobody-is-told"


def classes() -> Iterator[type[Engine]]:
    """Every auth method there is a file for."""
    for kind in kinds("auth"):
        try:
            yield engine_class("auth", kind)
        except InvalidRequest:  # auth/token is a system engine
            yield engine_class("system", kind)


def declared(engine: type[Engine]) -> Iterator[tuple[str, Kept[Any]]]:
    """What a method declares that it keeps."""
    for owner in engine.__mro__:
        for name, value in vars(owner).items():
            if isinstance(value, Configuration | Entries):
                yield f"{engine.kind}.{name}", value


KEPT = dict(pair for engine in classes() for pair in declared(engine))


def marked(row: type[msgspec.Struct]) -> Any:
    """A row all of whose hidden fields are the mark."""
    required = {field.name: "x" for field in msgspec.structs.fields(row) if field.required}
    return row(**required | dict.fromkeys(hidden(row), MARK))


def told(kept: Kept[Any]) -> str:
    """All that a read says of such a row."""
    return repr(kept.members(marked(kept.row)))


SECRET = sorted(name for name, kept in KEPT.items() if hidden(kept.row))


def test_the_methods_with_secrets_are_all_looked_at() -> None:
    assert set(SECRET) == {"aws.client", "kubernetes.config", "ldap.config", "okta.config", "radius.config", "userpass.users"}
    assert len(KEPT) > 25


@pytest.mark.parametrize("name", SECRET)
def test_no_read_tells_a_hidden_field_and_no_log_shows_it(name: str) -> None:
    assert MARK not in told(KEPT[name])
    assert MARK not in repr(marked(KEPT[name].row))


@pytest.mark.parametrize("name", KEPT)
def test_a_row_that_hides_itself_from_logs_says_what_it_hides(name: str) -> None:
    """A repr of its own is the sign of a secret: then the field is declared hidden, and the row is not kept decoded in memory."""
    row = KEPT[name].row
    assert ("__repr__" in vars(row)) is bool(hidden(row))


def test_the_check_finds_what_it_is_for() -> None:
    """The negative control."""

    class Careless(msgspec.Struct, frozen=True):
        secret: Annotated[HiddenText, "A secret."] = ""

    assert MARK not in told(Configuration(Careless))
    assert MARK in told(Configuration(Careless, told=msgspec.structs.asdict))
    assert MARK in repr(marked(Careless))
