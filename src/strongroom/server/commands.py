"""The commands that run on the server's side, loaded by name so that client commands never pay for them.

Rules of this file: a table from the words of a command to the module that does it; the module's `run(argv)` returns the exit code.
"""

from __future__ import annotations

import importlib
import sys

from strongroom.errors import StrongroomError

COMMANDS = {
    "server": "strongroom.server.serve",
    "up": "strongroom.server.up",
    "operator scrub": "strongroom.server.offline:scrub",
    "operator snapshot save": "strongroom.server.snapshots:save",
    "operator snapshot inspect": "strongroom.server.snapshots:inspect",
    "operator snapshot restore": "strongroom.server.snapshots:restore",
    "operator snapshot rehearse": "strongroom.server.snapshots:rehearse",
    "operator snapshot keygen": "strongroom.server.recipients:keygen",
    "operator migrate": "strongroom.server.migrate:migrate",
    "audit verify": "strongroom.server.offline:verify",
}


def run(verb: str, argv: list[str]) -> int:
    """Run a command; errors become one sentence on standard error and exit code 1."""
    module, _, function = COMMANDS[verb].partition(":")
    words = ["--help" if word == "-help" else word for word in argv]  # as Vault's users ask; argparse would read -h with the value "elp"
    try:
        return int(getattr(importlib.import_module(module), function or "run")(words))
    except StrongroomError as error:
        print(f"strongroom {verb}: {'; '.join(error.messages)}", file=sys.stderr)
        return 1
