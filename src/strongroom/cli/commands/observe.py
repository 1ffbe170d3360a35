"""monitor and version-history: a server's log as it is written, and which versions it was.

Rules of this file: what comes of the log goes to standard output at once and as it is; the server has cleaned it.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from strongroom.cli import output
from strongroom.cli.command import Command
from strongroom.cli.errors import SUCCESS
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session
from strongroom.client import values


def monitor(session: Session) -> int:
    """Print what the server logs from now on, until it is interrupted."""
    query = {"log_level": session.flags.text("log-level") or "info", "log_format": session.flags.text("log-format") or "standard"}
    with suppress(KeyboardInterrupt):
        session.client.follow("sys/monitor", query, _print)
    return SUCCESS


def _print(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def version_history(session: Session) -> int:
    """Show which versions the server was, and since when."""
    answer = session.client.list("sys/version-history")
    if not session.is_table:
        return session.show_value(answer.data)
    known = values.mapping(answer.data.get("key_info"))
    rows = [_row(version, values.mapping(known.get(version))) for version in values.texts(answer.data.get("keys"))]
    session.say(output.table(rows, ("Version", "Installation Time", "Build Date")))
    return SUCCESS


def _row(version: str, told: values.Object) -> tuple[str, str, str]:
    return version, values.text(told.get("timestamp_installed")), values.text(told.get("build_date"))


COMMANDS = (
    Command(
        "monitor",
        "",
        monitor,
        flags=(
            Flag("log-level", "Least level to print; info is the default.", choices=("trace", "debug", "info", "warn", "error")),
            Flag("log-format", "standard or json.", choices=("standard", "json")),
        ),
        detail="It shows what all processes of the node at the address log, whatever log_level its log has.",
    ),
    Command("version-history", "", version_history),
)
