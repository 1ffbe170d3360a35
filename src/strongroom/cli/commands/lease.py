"""lease: lookup, renew, revoke."""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, CommandError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session
from strongroom.client.values import Object


def lookup(session: Session) -> int:
    """Show when a lease was made and when it ends."""
    return session.show(session.client.write("sys/leases/lookup", {"lease_id": session.arguments[0]}))


def renew(session: Session) -> int:
    """Renew a lease."""
    body: Object = {"lease_id": session.arguments[0]}
    if session.flags.given("increment"):
        body["increment"] = session.flags.text("increment")
    return session.show(session.client.write("sys/leases/renew", body))


def revoke(session: Session) -> int:
    """Revoke a lease, or with -prefix all below a path."""
    lease, flags = session.arguments[0], session.flags
    sync = flags.switch("sync")
    if flags.switch("force") and not flags.switch("prefix"):
        raise CommandError("-force gives up on leases that cannot be revoked, and works on a path only: add -prefix", LOCAL)
    if flags.switch("prefix"):
        lease = lease.rstrip("/")
        part = "revoke-force" if flags.switch("force") else "revoke-prefix"
        answer = session.client.write(f"sys/leases/{part}/{lease}", {"sync": sync})
        return session.show(answer, _said(sync, f"Success! Revoked any leases with prefix: {lease}"))
    answer = session.client.write("sys/leases/revoke", {"lease_id": lease, "sync": sync})
    return session.show(answer, _said(sync, f"Success! Revoked lease: {lease}"))


def _said(sync: bool, done: str) -> str:
    return done if sync else "All revocation operations queued successfully!"


COMMANDS = (
    Command("lease lookup", "LEASE_ID", lookup, (), 1, 1),
    Command("lease renew", "LEASE_ID", renew, (Flag("increment", "Lifetime to ask for.", aliases=("i",)),), 1, 1),
    Command(
        "lease revoke",
        "LEASE_ID",
        revoke,
        (
            Flag("prefix", "The argument is a path: revoke all leases below it.", "switch"),
            Flag("force", "With -prefix: forget leases even where revoking fails; what they gave may live on.", "switch", aliases=("f",)),
            Flag("sync", "Wait until it is done.", "switch"),
        ),
        1,
        1,
    ),
)
