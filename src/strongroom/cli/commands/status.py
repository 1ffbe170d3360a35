"""status: exit code 0 unsealed, 2 sealed, 1 when that cannot be found out.

Rules of this file:
- `seal_table` is what `operator unseal` prints too.
"""

from __future__ import annotations

from strongroom.cli import output
from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, REMOTE, SUCCESS, CommandError
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.errors import ClientError, Refused
from strongroom.client.values import Object

_LABELS = (
    ("Seal Type", "type"),
    ("Recovery Seal", "recovery_seal"),
    ("Initialized", "initialized"),
    ("Sealed", "sealed"),
    ("Total Shares", "n"),
    ("Threshold", "t"),
    ("Version", "version"),
    ("Build Date", "build_date"),
    ("Storage Type", "storage_type"),
    ("Cluster Name", "cluster_name"),
    ("Cluster ID", "cluster_id"),
)
_HIDDEN_WHEN_EMPTY = ("recovery_seal", "storage_type", "cluster_name", "cluster_id")


def status(session: Session) -> int:
    """Show whether the server is initialised and unsealed; exit code 2 when sealed."""
    try:
        answer = session.client.read("sys/seal-status")
    except Refused as error:
        raise CommandError(f"Error checking seal status: Error making API request.\n\n{error}", LOCAL) from None
    except ClientError as error:
        raise CommandError(" ".join(error.messages), LOCAL) from None
    shown = dict(answer.body)
    if shown.get("initialized"):
        shown |= _leader(session)
    show_seal(session, shown)
    return REMOTE if shown.get("sealed") else SUCCESS


def show_seal(session: Session, shown: Object) -> int:
    """Print a seal-status body."""
    if session.flags.given("field"):
        return session.show_field(output.pick(shown, session.flags.text("field")))
    if not session.is_table:
        return session.show_value(shown)
    return session.done(output.table(_rows(shown)))


def _rows(shown: Object) -> list[tuple[str, str]]:
    present = [(label, name) for label, name in _LABELS if name in shown and (name not in _HIDDEN_WHEN_EMPTY or shown[name])]
    rows = [(label, output.cell(shown.get(name))) for label, name in present]
    if shown.get("recovery_seal"):
        rows = [(label.replace("Total Shares", "Total Recovery Shares"), value) for label, value in rows]
    if shown.get("sealed") and values.number(shown.get("t")):
        where = [name for name, _ in rows].index("Threshold") + 1
        progress = f"{output.cell(shown.get('progress'))}/{output.cell(shown.get('t'))}"
        rows[where:where] = [("Unseal Progress", progress), ("Unseal Nonce", values.text(shown.get("nonce")))]
    return rows + [("HA Enabled", output.cell(shown[name])) for name in ("ha_enabled",) if name in shown]


def _leader(session: Session) -> Object:
    try:
        answer = session.client.read("sys/leader", probe=True)
    except Refused:
        return {}
    names = ("ha_enabled", "leader_address", "leader_cluster_address", "active_time")
    return {name: answer.body[name] for name in names if answer.body.get(name) not in (None, "")}


COMMANDS = (Command("status", "", status),)
