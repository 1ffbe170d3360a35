"""audit: enable, disable, list. `audit verify` reads files and is the server's own command."""

from __future__ import annotations

from strongroom.cli.command import MANY, Command
from strongroom.cli.errors import REMOTE, CommandError
from strongroom.cli.flags import Flag
from strongroom.cli.mounts import Column, show_mounts
from strongroom.cli.session import Session
from strongroom.client.values import Object

_SUMMARY = (Column("Type", "type"), Column("Description", "description"))
_DETAILS = (*_SUMMARY, Column("Local", "local"), Column("Options", "options"))


def enable(session: Session) -> int:
    """Add an audit device; its options are key=value, such as file_path=/var/log/audit.log."""
    kind, *words = session.arguments
    path = session.flags.text("path", kind).strip("/")
    options = session.data(words)
    body: Object = {
        "type": kind,
        "description": session.flags.text("description"),
        "options": options,
        "local": session.flags.switch("local"),
    }
    return session.show(session.client.write(f"sys/audit/{path}", body), f"Success! Enabled the {kind} audit device at: {path}/")


def disable(session: Session) -> int:
    """Remove an audit device."""
    path = session.arguments[0].strip("/")
    return session.show(session.client.delete(f"sys/audit/{path}"), f"Success! Disabled audit device (if it was enabled) at: {path}/")


def list_devices(session: Session) -> int:
    """List the audit devices."""
    answer = session.client.read("sys/audit")
    if session.is_table and not answer.data:
        raise CommandError("No audit devices are enabled: nothing is being recorded. Declare one in the server's configuration.", REMOTE)
    return show_mounts(session, answer, _DETAILS if session.flags.switch("detailed") else _SUMMARY)


COMMANDS = (
    Command(
        "audit enable",
        "TYPE [key=value …]",
        enable,
        (
            Flag("path", "Name of the device; default: its type."),
            Flag("description", "Text for people."),
            Flag("local", "Only on this cluster.", "switch"),
        ),
        1,
        MANY,
    ),
    Command("audit disable", "PATH", disable, (), 1, 1),
    Command("audit list", "", list_devices, (Flag("detailed", "Show all settings.", "switch"),)),
)
