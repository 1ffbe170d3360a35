"""Programs of CEL roles: expressions over a token's claims that say who gets what. Needs the extra `cel`.

    variables, each named and worked out in order, then the expression; they see `claims`, `now`, `operation` and earlier variables

    false              refused                       "a sentence"       refused, with that sentence
    {"alias": claims.sub, "policies": ["reader"], "token_ttl": "10m"}   the alias's name, and any token parameter

Rules of this file:
- Pure but for compiled programs, which are kept by source. What a program gives is read as strictly as a role that somebody wrote: unknown
  members are refused, and so is every policy that no role may have.
- CEL has no loops but over lists that it is given, and its library bounds nesting and matches patterns in linear time.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Protocol

import msgspec

from strongroom.core.fields import Texts, compile_fields, read_fields
from strongroom.core.names import subject_name
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed
from strongroom.errors import InvalidRequest
from strongroom.memo import remember

MAX_SOURCE: Final = 4_096
"""Characters of an expression."""

MAX_VARIABLES: Final = 32
MAX_METADATA: Final = 64

_NAME: Final = re.compile(r"[a-z_][a-zA-Z0-9_]{0,63}", re.ASCII)
_GIVEN: Final = ("claims", "now", "operation")
_FAILURES: Final = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, AttributeError)
"""What the library raises for programs and values that do not fit."""


class Variable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named intermediate result."""

    name: str
    expression: str


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What decides."""

    expression: str
    variables: tuple[Variable, ...] = ()


class Decision(TokenBody, frozen=True, kw_only=True):
    """What an expression gives: who it is, and token parameters as a role has them."""

    alias: Annotated[str, "The alias's name."] = ""
    metadata: Annotated[Texts, "What goes on the alias."] = Texts()


class _Compiled(Protocol):
    def execute(self, context: dict[str, Any]) -> Any: ...


_DECISION: Final = compile_fields(Decision)
_compiled: dict[str, _Compiled] = {}


def program(sent: object) -> Program:
    """A program as it was written. Raises InvalidRequest where it cannot run."""
    try:
        found = msgspec.convert(sent, Program)
    except msgspec.ValidationError:
        raise InvalidRequest("failed to parse cel_program: it has an expression, and may have variables with name and expression") from None
    names = [variable.name for variable in found.variables]
    if len(names) > MAX_VARIABLES or len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise InvalidRequest(f"failed to validate CEL program: it has at most {MAX_VARIABLES} variables, each with a name of its own")
    if set(names).intersection(_GIVEN):
        raise InvalidRequest(f"failed to validate CEL program: a variable is not called {', '.join(_GIVEN)}")
    for expression in (found.expression, *(variable.expression for variable in found.variables)):
        _compile(expression)
    return found


def _compile(source: str) -> _Compiled:
    """Raises InvalidRequest."""
    kept = _compiled.get(source)
    if kept is not None:
        return kept
    try:
        cel = importlib.import_module("cel")
    except ImportError:
        raise InvalidRequest("CEL roles need the extra 'cel': install strongroom[cel] and start the server again") from None
    if len(source) > MAX_SOURCE:
        raise InvalidRequest(f"failed to validate CEL program: an expression has at most {MAX_SOURCE} characters")
    try:
        made: _Compiled = cel.compile(source)
    except _FAILURES:
        raise InvalidRequest("failed to validate CEL program: an expression is not CEL") from None
    return remember(_compiled, 1_000, source, made)


def evaluated(program: Program, claims: Mapping[str, Any], now: datetime) -> Any:
    """What a program makes of claims. Raises InvalidRequest where it cannot."""
    context: dict[str, Any] = {"claims": plain(claims), "now": now, "operation": "update"}
    try:
        for variable in program.variables:
            context[variable.name] = _compile(variable.expression).execute(context)
        return _compile(program.expression).execute(context)
    except _FAILURES as error:
        raise InvalidRequest(f"error executing cel program: it failed on these claims ({type(error).__name__})") from None


def plain(value: Any) -> Any:
    """Claims as CEL's numbers can hold them: what has more than 64 bits is a text."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    return value


def decided(role: str, result: Any, message: str) -> tuple[str, dict[str, str], TokenParameters]:
    """Alias, metadata and token parameters that a result says. Raises InvalidRequest where it refuses or says something else."""
    if isinstance(result, bool) and not result:
        raise InvalidRequest(message or f"error executing cel program: Cel role '{role}' blocked authorization with boolean false return")
    if isinstance(result, str):
        raise InvalidRequest(f"error executing cel program: Cel role '{role}' blocked authorization with message: {result[:256]}")
    if not isinstance(result, dict) or not all(isinstance(name, str) for name in result) or not _DECISION.names.issuperset(result):
        raise InvalidRequest(f"error executing cel program: '{role}' gave neither false, nor a text, nor a map of alias and parameters")
    found: Decision = read_fields(_DECISION, result)
    if len(found.metadata) > MAX_METADATA or "role" in found.metadata:
        raise InvalidRequest(f"error executing cel program: metadata has at most {MAX_METADATA} members, and 'role' is not one of them")
    return subject_name(found.alias), dict(found.metadata), changed(TokenParameters(), found)
