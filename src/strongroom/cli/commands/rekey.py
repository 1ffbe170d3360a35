"""operator rekey: new unseal or recovery keys, made by a quorum of the old ones, verified by the new ones.

Rules of this file:
- `-init` starts, then each holder runs it with a share; the last share makes the new keys. With -verify they count only after
  a quorum of them has been typed back in.
"""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, CommandError
from strongroom.cli.flags import Flag
from strongroom.cli.pgpkeys import pgp_keys
from strongroom.cli.quorum import call, fields, nonce, share, show_state
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.values import Object

_LABELS = (
    ("Nonce", "nonce"),
    ("Started", "started"),
    ("Rekey Progress", "progress"),
    ("New Shares", "n"),
    ("New Threshold", "t"),
    ("Complete", "complete"),
    ("Verification Required", "verification_required"),
    ("Verification Nonce", "verification_nonce"),
    ("PGP Fingerprints", "pgp_fingerprints"),
    ("Backup", "backup"),
)
_VERIFICATION = (
    ("Started", "started"),
    ("New Shares", "n"),
    ("New Threshold", "t"),
    ("Verification Nonce", "nonce"),
    ("Verification Progress", "progress"),
)
"""Of a verification; a quorum of it is `t`."""


def rekey(session: Session) -> int:
    """Make new unseal keys, or with -target=recovery new recovery keys."""
    flags = session.flags
    if flags.switch("init"):
        return _init(session)
    part, show = ("verify", _show_verification) if flags.switch("verify") else ("init", _show)
    if flags.switch("status"):
        return show(session, fields(call(session, "GET", _paths(session, part))))
    if flags.switch("cancel"):
        call(session, "DELETE", _paths(session, part))
        return session.done(f"Success! Canceled {'verification' if part == 'verify' else 'rekeying'} (if it was started)")
    if flags.switch("backup-retrieve"):
        return session.show(call(session, "GET", _paths(session, "backup")))
    if flags.switch("backup-delete"):
        return session.show(call(session, "DELETE", _paths(session, "backup")), "Success! Delete stored keys (if they existed)")
    return _verify(session) if flags.switch("verify") else _update(session)


def _show(session: Session, state: Object) -> int:
    """Of an attempt that is not under way there is nothing more to say; a backup there is of encrypted shares only."""
    under_way = state.get("started") or state.get("complete")
    labels = _LABELS if state.get("pgp_fingerprints") else _LABELS[:-1]
    state = {**state, "verification_nonce": state.get("verification_nonce", "")}  # Vault's program has it always
    return show_state(session, state, labels if under_way else _LABELS[:2])


def _show_verification(session: Session, state: Object) -> int:
    shown = {**state, "required": state.get("t")} if session.is_table else state
    return show_state(session, shown, _VERIFICATION if state.get("nonce") else _LABELS[:2])


def _paths(session: Session, part: str) -> tuple[str, str]:
    recovery = session.flags.text("target") == "recovery"
    if part == "backup":
        return f"sys/rotate/{'recovery' if recovery else 'root'}/backup", f"sys/rekey/{'recovery-key-' if recovery else ''}backup"
    return f"sys/rotate/{'recovery' if recovery else 'root'}/{part}", f"sys/{'rekey-recovery-key' if recovery else 'rekey'}/{part}"


def _init(session: Session) -> int:
    flags = session.flags
    shares, threshold = flags.number("key-shares"), flags.number("key-threshold")
    body: Object = {
        "secret_shares": 5 if shares is None else shares,
        "secret_threshold": 3 if threshold is None else threshold,
        "require_verification": flags.switch("verify"),
        "backup": flags.switch("backup"),
    }
    if flags.given("pgp-keys"):
        body["pgp_keys"] = pgp_keys(session, flags.listed("pgp-keys"))
    answer = call(session, "PUT", _paths(session, "init"), body)
    state = fields(answer) or fields(call(session, "GET", _paths(session, "init")))
    return _show(session, state)


def _update(session: Session) -> int:
    state = fields(call(session, "GET", _paths(session, "init")))
    if not state.get("started"):
        raise CommandError("no rekey is in progress; start one with 'strongroom operator rekey -init'", LOCAL)
    body: Object = {"key": share(session, "Share of the present key"), "nonce": nonce(session, state)}
    state = fields(call(session, "PUT", _paths(session, "update"), body))
    if not state.get("complete") or not session.is_table or session.flags.given("field"):
        return _show(session, state)
    return session.done(_completed(state))


def _completed(state: Object) -> str:
    keys = values.texts(state.get("keys_base64")) or values.texts(state.get("keys"))
    holders = [f" fingerprint: {each}; value" for each in values.texts(state.get("pgp_fingerprints"))] or [""] * len(keys)
    lines = [f"Key {number}{holder}: {key}" for number, (holder, key) in enumerate(zip(holders, keys, strict=True), 1)]
    lines += ["", f"Operation nonce: {values.text(state.get('nonce'))}"]
    if checked := values.text(state.get("verification_nonce")):
        return "\n".join([*lines, f"Verification nonce: {checked}", "", _TO_VERIFY])
    return "\n".join([*lines, "", "Success! The new keys above replace the old ones from now on. They are shown this once."])


_TO_VERIFY = (
    "The old keys still count. Now type a quorum of the new ones back in:\n"
    "'strongroom operator rekey -verify' once for each, with the verification nonce above."
)


def _verify(session: Session) -> int:
    state = fields(call(session, "GET", _paths(session, "verify")))
    body: Object = {"key": share(session, "Share of the new key"), "nonce": nonce(session, state)}
    state = fields(call(session, "PUT", _paths(session, "verify"), body))
    if state.get("complete") and session.is_table and not session.flags.given("field"):
        return session.done("Success! Rekey verification complete: the new keys replace the old ones from now on.")
    return _show_verification(session, state)


COMMANDS = (
    Command(
        "operator rekey",
        "[SHARE|-]",
        rekey,
        (
            Flag("init", "Start.", "switch"),
            Flag("status", "Show how far it is.", "switch"),
            Flag("cancel", "Give up.", "switch"),
            Flag("verify", "With -init: ask for verification. Otherwise: about the verification.", "switch"),
            Flag("nonce", "The attempt that the share is for."),
            Flag("target", "barrier (default) or recovery.", choices=("barrier", "recovery", "root")),
            Flag("key-shares", "How many new shares (default 5).", "number", aliases=("n",)),
            Flag("key-threshold", "How many of them are needed (default 3).", "number", aliases=("t",)),
            Flag("pgp-keys", "Files of public keys, one a share.", "many"),
            Flag("backup", "Keep a copy of the PGP-encrypted shares on the server.", "switch"),
            Flag("backup-retrieve", "Print that copy.", "switch"),
            Flag("backup-delete", "Delete that copy.", "switch"),
        ),
        0,
        1,
        "A share on the command line shows up in process lists: leave it out to be asked.",
    ),
)
