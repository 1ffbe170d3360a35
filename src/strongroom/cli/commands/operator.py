"""operator: init, unseal, seal, rotate, key-status, step-down, members.

Rules of this file:
- Keys and shares are printed once, by init, and nowhere else; unseal asks for a share without showing it.
- Lines such as `Unseal Key 1:` and `Initial Root Token:` are read by scripts and stay as Vault writes them.
"""

from __future__ import annotations

from strongroom.cli import output
from strongroom.cli.command import Command
from strongroom.cli.commands.status import show_seal
from strongroom.cli.errors import REMOTE, SUCCESS, CommandError
from strongroom.cli.flags import Flag
from strongroom.cli.pgpkeys import pgp_keys
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.values import Object


def init(session: Session) -> int:
    """Initialise a new server: make its keys and its first root token."""
    if session.flags.switch("status"):
        return _init_status(session)
    status = session.client.read("sys/seal-status", probe=True).body
    with_recovery = bool(status.get("recovery_seal"))
    answer = session.client.write("sys/init", _init_body(session, with_recovery))
    if session.flags.given("field") or not session.is_table:
        return session.show_data(_init_fields(session, answer.body))
    session.say(_init_text(answer.body, _threshold(session, with_recovery), with_recovery))
    return SUCCESS


def _init_status(session: Session) -> int:
    done = session.client.read("sys/init").body.get("initialized") is True
    session.done("The server is initialised" if done else "The server is not initialised")
    if not session.is_table:
        session.show_value({"initialized": done})
    return SUCCESS if done else REMOTE


def _init_body(session: Session, with_recovery: bool) -> Object:
    flags = session.flags
    names = ("recovery-shares", "recovery-threshold") if with_recovery else ("key-shares", "key-threshold")
    prefix = "recovery" if with_recovery else "secret"
    body: Object = {
        f"{prefix}_shares": _or(flags.number(names[0]), 5),
        f"{prefix}_threshold": _or(flags.number(names[1]), 3),
    }
    for flag, field in (("pgp-keys", "pgp_keys"), ("recovery-pgp-keys", "recovery_pgp_keys")):
        if flags.given(flag):
            body[field] = pgp_keys(session, flags.listed(flag))
    if flags.given("root-token-pgp-key"):
        body["root_token_pgp_key"] = pgp_keys(session, [flags.text("root-token-pgp-key")])[0]
    return body


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


def _threshold(session: Session, with_recovery: bool) -> int:
    return _or(session.flags.number("recovery-threshold" if with_recovery else "key-threshold"), 3)


def _init_fields(session: Session, body: Object) -> Object:
    """The fields of Vault's JSON for init."""
    keys, recovery = _listed(body, "keys"), _listed(body, "recovery_keys")
    return {
        "unseal_keys_b64": [*_listed(body, "keys_base64")],
        "unseal_keys_hex": [*keys],
        "unseal_shares": len(keys) or 1,
        "unseal_threshold": _threshold(session, False) if keys else 1,
        "recovery_keys_b64": [*_listed(body, "recovery_keys_base64")],
        "recovery_keys_hex": [*recovery],
        "recovery_keys_shares": len(recovery),
        "recovery_keys_threshold": _threshold(session, True) if recovery else 0,
        "root_token": body.get("root_token"),
    }


def _listed(body: Object, name: str) -> list[str]:
    return values.texts(body.get(name))


def _init_text(body: Object, threshold: int, with_recovery: bool) -> str:
    name, members = ("Recovery Key", "recovery_keys") if with_recovery else ("Unseal Key", "keys")
    keys = _listed(body, f"{members}_base64") or _listed(body, members)
    lines = [f"{name} {number}: {key}" for number, key in enumerate(keys, 1)]
    said = _INITIALISED[with_recovery].format(n=len(keys), t=threshold)
    return "\n".join([*lines, "", f"Initial Root Token: {values.text(body.get('root_token'))}", "", f"Success! {said}"])


_INITIALISED = {
    False: "The server is initialised with {n} key shares and a threshold of {t}.\n\n"
    "Give the shares above to different people, now: they are shown this once and stored nowhere.\n"
    "After every restart or seal, {t} of them are needed to unseal ('strongroom operator unseal');\n"
    "without {t} of them the data is lost. 'strongroom operator rekey' makes new ones from old ones.",
    True: "The server is initialised with {n} recovery key shares and a threshold of {t}; it unseals itself.\n\n"
    "Give the shares above to different people, now: they are shown this once and stored nowhere.\n"
    "They allow 'strongroom operator rekey' and 'strongroom operator generate-root', and unseal nothing.",
}


def unseal(session: Session) -> int:
    """Give one share of the unseal key; asked for when it is not an argument."""
    flags = session.flags
    if flags.switch("reset"):
        body: Object = {"reset": True}
    else:
        word = session.arguments[0] if session.arguments else "-"
        share = session.ask_secret("Unseal Key") if word == "-" else word
        body = {"key": share.strip(), "migrate": flags.switch("migrate")}
    return show_seal(session, session.client.write("sys/unseal", body).body)


def seal(session: Session) -> int:
    """Seal the server: it forgets its keys and serves nothing until it is unsealed."""
    return session.show(session.client.write("sys/seal"), "Success! Vault is sealed.")


def rotate(session: Session) -> int:
    """Encrypt with a new key from now on."""
    session.client.write("sys/rotate")
    if session.is_table:
        session.done("Success! Rotated key\n")
    return _show_key(session, session.client.read("sys/key-status"))


def key_status(session: Session) -> int:
    """Show the number and age of the current encryption key."""
    return _show_key(session, session.client.read("sys/key-status"))


def _show_key(session: Session, answer: Answer) -> int:
    if not session.is_table or session.flags.given("field"):
        return session.show_data({name: answer.data.get(name) for name in ("term", "install_time", "encryptions")})
    data = answer.data
    installed = output.day_and_time(values.text(data.get("install_time")))
    term, used = output.cell(data.get("term")), output.cell(data.get("encryptions"))
    return session.done(output.plain((("Key Term", term), ("Install Time", installed), ("Encryption Count", used))))


def step_down(session: Session) -> int:
    """Make the active node give up its role."""
    return session.show(session.client.write("sys/step-down"), f"Success! Stepped down: {session.client.address.origin}")


def members(session: Session) -> int:
    """List the nodes of the cluster."""
    answer = session.client.read("sys/ha-status")
    nodes = answer.data.get("nodes") or answer.body.get("nodes")
    listed = [values.mapping(node) for node in nodes] if isinstance(nodes, list) else []
    if not listed:
        raise CommandError("the server names no nodes")
    rows = [tuple("" if node.get(name) is None else output.cell(node.get(name)) for _, name in _NODE) for node in listed]
    return session.show_rows(rows, tuple(heading for heading, _ in _NODE), {"Nodes": [*listed]})


_NODE = (
    ("Host Name", "hostname"),
    ("API Address", "api_address"),
    ("Cluster Address", "cluster_address"),
    ("Active Node", "active_node"),
    ("Version", "version"),
    ("Upgrade Version", "upgrade_version"),
    ("Redundancy Zone", "redundancy_zone"),
    ("Last Echo", "last_echo"),
)


_INIT_FLAGS = (
    Flag("status", "Only say whether it is initialised; exit code 2 if not.", "switch"),
    Flag("key-shares", "How many shares to split the unseal key into (default 5).", "number", aliases=("n",)),
    Flag("key-threshold", "How many of them unseal (default 3).", "number", aliases=("t",)),
    Flag("recovery-shares", "The same for recovery keys, where the seal is not made of shares.", "number"),
    Flag("recovery-threshold", "How many of them allow recovery (default 3).", "number"),
    Flag("pgp-keys", "Files of public keys, one a share, to encrypt the shares with.", "many"),
    Flag("recovery-pgp-keys", "The same for recovery keys.", "many"),
    Flag("root-token-pgp-key", "File of a public key to encrypt the root token with."),
)

COMMANDS = (
    Command("operator init", "", init, _INIT_FLAGS),
    Command(
        "operator unseal",
        "[SHARE|-]",
        unseal,
        (Flag("reset", "Forget the shares given so far.", "switch"), Flag("migrate", "Move to another seal.", "switch")),
        0,
        1,
        "A share on the command line shows up in process lists: leave it out to be asked.",
    ),
    Command("operator seal", "", seal),
    Command("operator rotate", "", rotate),
    Command("operator key-status", "", key_status),
    Command("operator step-down", "", step_down),
    Command("operator members", "", members),
)
