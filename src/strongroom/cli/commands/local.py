"""version and print: what needs no server."""

from __future__ import annotations

from strongroom import __version__
from strongroom.cli.command import Command
from strongroom.cli.errors import SUCCESS
from strongroom.cli.session import Session


def version(session: Session) -> int:
    """Print the version."""
    return session.done(f"strongroom {__version__}") if session.is_table else session.show_value({"version": __version__})


def print_token(session: Session) -> int:
    """Print the token that the other commands would use, for scripts such as those of -output-curl-string."""
    session.say(session.settings().token)
    return SUCCESS


COMMANDS = (
    Command("version", "", version),
    Command("print token", "", print_token),
)
