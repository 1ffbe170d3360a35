"""audit: enable, disable, list. `audit verify` reads files and is the server's own command."""

from __future__ import annotations

from strongroom.cli import output
from strongroom.cli.command import MANY, Command
from strongroom.cli.errors import REMOTE
from strongroom.cli.flags import Flag
from strongroom.cli.mounts import REPLICATION, Column, show_mounts
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.values import Json, Object

_SUMMARY = (Column("Type", "type"), Column("Description", "description"))


def _pairs(options: Json) -> str:
    return " ".join(f"{name}={output.cell(value)}" for name, value in sorted(values.mapping(options).items()))


_DETAILS = (*_SUMMARY, REPLICATION, Column("Options", "options", _pairs))


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
        session.say("No audit devices are enabled.")
        session.note("Nothing is being recorded: declare a device in the server's configuration.")
        return REMOTE
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
