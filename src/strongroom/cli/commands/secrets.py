"""secrets: enable, disable, list, move, tune."""

from __future__ import annotations

import time

from strongroom.cli.command import Command
from strongroom.cli.errors import SUCCESS, CommandError
from strongroom.cli.flags import Flag
from strongroom.cli.mounts import ENABLE_FLAGS, SECRETS_DETAILS, TUNE_FLAGS, Column, enabling, show_mounts, tuned
from strongroom.cli.session import Session
from strongroom.client import values

_SUMMARY = (Column("Type", "type"), Column("Accessor", "accessor"), Column("Description", "description"))
_ENDED = ("success", "failure")
_POLL = 0.5


def enable(session: Session) -> int:
    """Mount a secrets engine, at its type's name or at -path."""
    kind = session.arguments[0]
    path = session.flags.text("path", kind).strip("/")
    answer = session.client.request("POST", f"sys/mounts/{path}", body=enabling(session, kind))
    return session.show(answer, f"Success! Enabled the {kind} secrets engine at: {path}/")


def disable(session: Session) -> int:
    """Unmount a secrets engine; its secrets are gone and its leases revoked."""
    path = session.arguments[0].strip("/")
    answer = session.client.delete(f"sys/mounts/{path}")
    return session.show(answer, f"Success! Disabled the secrets engine (if it existed) at: {path}/")


def list_mounts(session: Session) -> int:
    """List the secrets engines."""
    columns = SECRETS_DETAILS if session.flags.switch("detailed") else _SUMMARY
    return show_mounts(session, session.client.read("sys/mounts"), columns)


def move(session: Session) -> int:
    """Move a secrets engine to another path; leases below the old one are revoked."""
    source, target = (path.strip("/") for path in session.arguments)
    return move_mount(session, source, target, "secrets engine")


def move_mount(session: Session, source: str, target: str, what: str) -> int:
    """Start a move and wait for its end."""
    answer = session.client.write("sys/remount", {"from": source, "to": target})
    migration = values.text(answer.data.get("migration_id"))
    if not migration:
        return session.done(f"Success! Moved {what} {source}/ to: {target}/")
    session.done(f"Started moving {what} {source}/ to {target}/, with migration ID {migration}")
    status = ""
    while status not in _ENDED:
        if status:
            time.sleep(_POLL)
        info = session.client.read(f"sys/remount/status/{migration}").data.get("migration_info")
        status = values.text(values.mapping(info).get("status"), "unknown")
    if status == "failure":
        raise CommandError(f"moving {source}/ to {target}/ failed; the server's log says why")
    session.done(f"Success! Finished moving {what} {source}/ to {target}/, with migration ID {migration}")
    return SUCCESS


def tune(session: Session) -> int:
    """Change the settings of a secrets engine."""
    path = session.arguments[0].strip("/")
    answer = session.client.request("POST", f"sys/mounts/{path}/tune", body=tuned(session))
    return session.show(answer, f"Success! Tuned the secrets engine at: {path}/")


_VERSION = Flag("version", "Version of the engine, as of kv: 1 or 2.")

COMMANDS = (
    Command("secrets enable", "TYPE", enable, (*ENABLE_FLAGS, _VERSION), 1, 1),
    Command("secrets disable", "PATH", disable, (), 1, 1),
    Command("secrets list", "", list_mounts, (Flag("detailed", "Show all settings.", "switch"),)),
    Command("secrets move", "SOURCE TARGET", move, (), 2, 2),
    Command("secrets tune", "PATH", tune, (*TUNE_FLAGS, _VERSION), 1, 1),
)
