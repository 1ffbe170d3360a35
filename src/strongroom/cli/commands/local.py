"""version and print: what needs no server."""

from __future__ import annotations

import sys
from pathlib import Path

from strongroom import VAULT_VERSION, __version__
from strongroom.cli.command import Command
from strongroom.cli.errors import SUCCESS
from strongroom.cli.session import Session


def version(session: Session) -> int:
    """Print the version; called by the name of vault, what programs that look for Vault's expect."""
    name = f"Vault v{VAULT_VERSION} (strongroom {__version__})" if Path(sys.argv[0]).name == "vault" else f"strongroom {__version__}"
    return session.done(name) if session.is_table else session.show_value({"version": __version__})


def print_token(session: Session) -> int:
    """Print the token that the other commands would use, for scripts such as those of -output-curl-string."""
    session.say(session.settings().token)
    return SUCCESS


COMMANDS = (
    Command("version", "", version),
    Command("print token", "", print_token),
)
