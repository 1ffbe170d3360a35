"""Writes the reference pages from the declarations they describe: `make docs` (docs/api.md, docs/cli.md,
docs/differences.md).

Rules of this file: nothing is said here that a route, a field, a command or a flag does not say of itself; a page that is behind fails
tests/docs/test_reference.py.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from unittest.mock import patch

from strongroom.cli import usage, verbs
from strongroom.cli.command import CONNECTION_FLAGS, OUTPUT_FLAGS, Command
from strongroom.cli.flags import Flag
from strongroom.core.engine import CLASSES, Engine, Route
from strongroom.core.fields import SCHEMAS, Field, Seconds
from strongroom.core.mounts import system_mounts
from strongroom.core.registry import engine_class, kinds
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest
from strongroom.server.commands import COMMANDS
from tests.docs.differences import differences_page
from tests.docs.faults import with_table
from tests.lint.source import ROOT

DOCS = ROOT / "docs"
NOTE = "<!-- Made by `make docs` from the declarations in the code; edits here are lost. -->"

# -- api.md -------------------------------------------------------------------------------------------------------------------------

AT = {"secrets": "{kind}/", "auth": "auth/{kind}/"}
"""Where an engine is shown that lies wherever it was mounted."""

SYSTEM = {mount.kind: mount.path for mount in system_mounts()}
"""Where those lie that are always there."""


def engines() -> list[tuple[str, type[Engine]]]:
    """Every engine that there is a file for, and where it is shown; the server's own come first."""
    for family in ("secrets", "auth", "system"):
        for kind in kinds(family):
            with suppress(InvalidRequest):  # a module beside the engines is no engine
                engine_class(family, kind)
    found = {
        f"{SYSTEM.get(engine.kind) or AT[engine.family].format(kind=engine.kind)}{engine.variant}": engine
        for engine in CLASSES.values()
        if engine.__module__.startswith("strongroom.")
    }
    return [(at.rstrip("12"), found[at]) for at in sorted(found, key=lambda at: (at != "sys/", at != "auth/token/", at))]


API = """# API reference

{note}

Paths are below `/v1/`. A token goes into `X-Vault-Token` (or `Authorization: Bearer`), bodies are JSON; `LIST` and `SCAN` may be sent as
`GET` with `?list=true` or `?scan=true`. Answers have Vault's envelope. `PUT` and `POST` are the same. *public* needs no token, *sudo* needs
that capability too. What Vault means by a route is what is meant here.
The same in OpenAPI: `/v1/sys/internal/specs/openapi`; about one path: `?help=1`.
"""

VERBS = {Operation.READ: "GET", Operation.UPDATE: "POST", Operation.PATCH: "PATCH", Operation.DELETE: "DELETE"}


def api_page() -> str:
    """All engines, their paths, and what they take."""
    parts = [API.format(note=NOTE)]
    for at, engine in engines():
        title = f"{engine.kind}, version {engine.variant}" if engine.variant else engine.kind
        parts.append(f"## {title}: `{at}`\n\n{engine.help.partition(chr(10))[0]}\n")
        parts += _paths(at, engine)
    return "\n".join(parts)


def _paths(at: str, engine: type[Engine]) -> Iterator[str]:
    by_path: dict[str, list[Route]] = {}
    for route in engine.router.routes:
        by_path.setdefault(route.pattern.replace("...}", "}"), []).append(route)
    for path, routes in sorted(by_path.items()):
        yield f"### `{at}{path}`\n"
        for route in sorted(routes, key=_order):
            yield from _route(route)
        yield ""


def _order(route: Route) -> int:
    """Reading stands before writing, and deleting comes last, in whatever order an engine declares them."""
    return max(list(Operation).index(operation) for operation in route.operations)


def _route(route: Route) -> Iterator[str]:
    verbs_ = ", ".join(f"`{VERBS.get(each, each.upper())}`" for each in route.operations if each is not Operation.CREATE)
    marks = [name for name, set_ in (("public", route.public and not route.opened), ("sudo", route.sudo)) if set_]
    if route.opened:
        marks.append(f"public where a listener opens {route.opened.replace('_', ' ')}")
    marked = f" *({', '.join(marks)})*" if marks else ""
    yield f"- {verbs_} {route.summary}{marked}"
    for field in route.fields.table if route.fields is not None else ():
        if field.name not in route.holes:
            yield _field(field)


def _field(field: Field) -> str:
    schema = SCHEMAS[field.kind]
    kind = "duration" if isinstance(field.kind, type) and issubclass(field.kind, Seconds) else schema.get("type", "any")
    if kind == "array":
        kind = f"list of {schema['items'].get('type', 'any')}s" if schema["items"] else "list"
    needed = ", required" if field.required else ""
    said = f": {field.description}" if field.description else ""
    return f"  - `{field.name}` ({kind}{needed}){said}"


# -- cli.md -------------------------------------------------------------------------------------------------------------------------

CLI = """# Command line reference

{note}

`strongroom COMMAND [flags] [arguments]`. Flags take one dash or two, `=` or a space, and may stand before or after the arguments. Each
variable `VAULT_…` may also be called `STRONGROOM_…`. Exit codes are Vault's: 0 done, 1 the command line or a file or setting that it names
is wrong, 2 the server refused, has nothing there, or could not be reached; `status` exits 2 for sealed and 1 for everything else.
`strongroom completion bash` (or `zsh`, `fish`) prints a completion script.
"""


def cli_page() -> str:
    """All commands, their arguments and flags."""
    parts = [CLI.format(note=NOTE)]
    for title, flags in (
        ("Flags of every client command: output", OUTPUT_FLAGS),
        ("Flags of every client command: connection", CONNECTION_FLAGS),
    ):
        parts += [f"## {title}\n", *map(_flag, flags), ""]
    parts.append("## Commands\n")
    sections = {command.name: _command(command) for verb in verbs.VERBS for command in verbs.load(verb)}
    sections |= {name: _server_command(name) for name in COMMANDS}
    parts += [sections[name] for name in sorted(sections)]
    return "\n".join(parts)


def _flag(flag: Flag) -> str:
    names, _, text = usage._flag(flag).strip().partition("  ")
    return f"- `{names}` {text.strip()}"


def _command(command: Command) -> str:
    lines = [f"### `{f'{command.name} {command.arguments}'.strip()}`\n", command.summary]
    if command.detail:
        lines += ["", *(line.strip() for line in command.detail.strip().splitlines())]
    if command.flags:
        lines += ["", *map(_flag, command.flags)]
    return "\n".join([*lines, ""])


class _Seen(Exception):
    """Carries a parser out of the command that made it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def server_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command that runs on the server's side; it exists only while the command reads its arguments."""

    def seen(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Seen(parser)

    module, _, function = COMMANDS[name].partition(":")
    run: Callable[[list[str]], int] = getattr(importlib.import_module(module), function or "run")
    with patch.object(argparse.ArgumentParser, "parse_args", seen):
        try:
            run([])
        except _Seen as found:
            return found.parser
    raise AssertionError(f"{name} reads no arguments")


def _server_command(name: str) -> str:
    parser = server_parser(name)
    actions = [action for action in parser._actions if action.help is not argparse.SUPPRESS and action.dest != "help"]
    words = " ".join(f"[{action.metavar or action.dest} …]" for action in actions if not action.option_strings)
    lines = [f"### `{f'{name} {words}'.strip()}`\n", f"{verbs.SERVER_COMMANDS[name]}. Runs on the server's machine, on its files.", ""]
    for action in actions:
        names = ", ".join(option for option in action.option_strings if not option.startswith("--")) or str(action.metavar)
        value = "|".join(action.choices) if action.choices else action.metavar or "VALUE"
        value = "" if action.nargs == 0 or not action.option_strings else f"={value}"
        lines.append(f"- `{names}{value}` {action.help or ''}".rstrip())
    return "\n".join([*lines, ""])


PAGES: dict[str, Callable[[], str]] = {"api.md": api_page, "cli.md": cli_page, "differences.md": differences_page}


def text_of(page: str) -> str:
    """What a page should hold."""
    return PAGES[page]().rstrip("\n") + "\n"


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(text_of(name), encoding="utf-8")
    page = DOCS / "faults.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
