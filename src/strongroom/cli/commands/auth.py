"""auth: enable, disable, list, move, tune, help."""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.commands.basic import path_help
from strongroom.cli.commands.secrets import move_mount
from strongroom.cli.flags import Flag
from strongroom.cli.mounts import AUTH_DETAILS, ENABLE_FLAGS, TUNE_FLAGS, Column, enabling, show_mounts, tuned
from strongroom.cli.session import Session
from strongroom.client.values import Json, Object

_SUMMARY = (
    Column("Type", "type"),
    Column("Accessor", "accessor"),
    Column("Description", "description"),
    Column("Version", "plugin_version"),
)


_LOCKOUT_FLAGS = (
    Flag("user-lockout-threshold", "Wrong tries that lock a name.", "number"),
    Flag("user-lockout-duration", "How long a name stays locked."),
    Flag("user-lockout-counter-reset-duration", "After how long without a wrong try the earlier ones are forgotten."),
    Flag("user-lockout-disable", "Never lock.", "switch"),
    Flag("user-lockout-profile", "The three numbers by name: default or pci-dss.", choices=("default", "pci-dss")),
)


def enable(session: Session) -> int:
    """Mount an auth method, at its type's name or at -path."""
    kind = session.arguments[0]
    path = session.flags.text("path", kind).strip("/")
    answer = session.client.request("POST", f"sys/auth/{path}", body=enabling(session, kind))
    return session.show(answer, f"Success! Enabled {kind} auth method at: {path}/")


def disable(session: Session) -> int:
    """Unmount an auth method; tokens made by it are revoked."""
    path = session.arguments[0].strip("/")
    return session.show(session.client.delete(f"sys/auth/{path}"), f"Success! Disabled the auth method (if it existed) at: {path}/")


def list_mounts(session: Session) -> int:
    """List the auth methods."""
    columns = AUTH_DETAILS if session.flags.switch("detailed") else _SUMMARY
    return show_mounts(session, session.client.read("sys/auth"), columns)


def move(session: Session) -> int:
    """Move an auth method to another path; tokens made by it are revoked."""
    source, target = (f"auth/{path.strip('/').removeprefix('auth/')}" for path in session.arguments)
    return move_mount(session, source, target, "auth method")


def tune(session: Session) -> int:
    """Change the settings of an auth method."""
    path = session.arguments[0].strip("/")
    body = tuned(session)
    lockout = _lockout(session)
    if lockout:
        body["user_lockout_config"] = lockout
    answer = session.client.request("POST", f"sys/auth/{path}/tune", body=body)
    return session.show(answer, f"Success! Tuned the auth method at: {path}/")


def _lockout(session: Session) -> Object:
    """What was said of guessing."""
    given = [flag for flag in _LOCKOUT_FLAGS if session.flags.given(flag.name)]
    return {flag.name.removeprefix("user-").replace("-", "_"): _value(session, flag) for flag in given}


def _value(session: Session, flag: Flag) -> Json:
    if flag.kind == "switch":
        return session.flags.switch(flag.name)
    return session.flags.number(flag.name) if flag.kind == "number" else session.flags.text(flag.name)


def help_on(session: Session) -> int:
    """Show the server's help for an auth method."""
    session.arguments[0] = f"auth/{session.arguments[0].strip('/').removeprefix('auth/')}/"
    return path_help(session)


COMMANDS = (
    Command("auth enable", "TYPE", enable, ENABLE_FLAGS, 1, 1),
    Command("auth disable", "PATH", disable, (), 1, 1),
    Command("auth list", "", list_mounts, (Flag("detailed", "Show all settings.", "switch"),)),
    Command("auth move", "SOURCE TARGET", move, (), 2, 2),
    Command("auth tune", "PATH", tune, (*TUNE_FLAGS, *_LOCKOUT_FLAGS), 1, 1),
    Command("auth help", "PATH", help_on, (), 1, 1),
)
