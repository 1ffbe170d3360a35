"""operator generate-root: a new root token, made by a quorum of key holders, readable only with the one-time password.

Rules of this file:
- The server hands out the token XORed with the OTP; only whoever started the attempt can read it (-decode with -otp).
- The OTP is taken from a file or standard input where it is given as `-` or `@file`.
"""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, CommandError, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.pgpkeys import pgp_keys
from strongroom.cli.quorum import call, fields, nonce, share, show_state
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.values import Object

_ATTEMPT = ("sys/generate-root-token/attempt", "sys/generate-root/attempt")
_UPDATE = ("sys/generate-root-token/update", "sys/generate-root/update")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LABELS = (
    ("Nonce", "nonce"),
    ("Started", "started"),
    ("Progress", "progress"),
    ("Complete", "complete"),
    ("PGP Fingerprint", "pgp_fingerprint"),
    ("Encoded Token", "encoded_token"),
    ("OTP", "otp"),
    ("OTP Length", "otp_length"),
)


def generate_root(session: Session) -> int:
    """Make a root token by a quorum of unseal or recovery keys."""
    flags = session.flags
    if flags.given("decode"):
        return _decode(session)
    if flags.switch("generate-otp"):
        return _generate_otp(session)
    if flags.switch("init"):
        return _init(session)
    if flags.switch("status"):
        return _show(session, fields(call(session, "GET", _ATTEMPT)))
    if flags.switch("cancel"):
        return session.show(call(session, "DELETE", _ATTEMPT), "Success! Root token generation canceled (if it was started)")
    return _update(session)


def _show(session: Session, state: Object) -> int:
    return show_state(session, state, _LABELS if state.get("otp_length") else _LABELS[:-1], headed=False)


def _init(session: Session) -> int:
    body: Object = values.without_empty({"otp": _given(session, "otp")})
    if session.flags.given("pgp-key"):
        body["pgp_key"] = pgp_keys(session, [session.flags.text("pgp-key")])[0]
    state = fields(call(session, "PUT", _ATTEMPT, body))
    if session.is_table and state.get("otp"):
        session.note("Keep the OTP: the new token can be decoded with it only, and it is shown this once.\n")
    return _show(session, state)


def _update(session: Session) -> int:
    state = fields(call(session, "GET", _ATTEMPT))
    if not state.get("started"):
        raise CommandError("no root token is being made; start with 'strongroom operator generate-root -init'", LOCAL)
    body: Object = {"key": share(session, "Share of the unseal key"), "nonce": nonce(session, state)}
    return _show(session, fields(call(session, "PUT", _UPDATE, body)))


def _generate_otp(session: Session) -> int:
    from secrets import choice

    length = values.number(fields(call(session, "GET", _ATTEMPT)).get("otp_length"))
    if length <= 0:
        raise CommandError("the server does not say how long the one-time password must be; 'generate-root -init' makes one itself")
    return session.show_field("".join(choice(_LETTERS) for _ in range(length)))


def _decode(session: Session) -> int:
    otp = _given(session, "otp")
    if not otp:
        raise UsageError("-decode needs the -otp of the attempt")
    token = decoded(_given(session, "decode"), otp)
    return session.show_field(token) if session.is_table else session.show_value({"token": token})


def decoded(encoded: str, otp: str) -> str:
    """The token in an encoded one. Raises CommandError."""
    from base64 import b64decode

    try:
        mixed = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        return bytes(a ^ b for a, b in zip(mixed, otp.encode(), strict=True)).decode("ascii")
    except ValueError:
        raise CommandError("the encoded token and the one-time password do not belong together", LOCAL) from None


def _given(session: Session, name: str) -> str:
    word = session.flags.text(name)
    if word == "-":
        return session.sources.standard_input().strip()
    return session.sources.file(word[1:]).strip() if word.startswith("@") else word


COMMANDS = (
    Command(
        "operator generate-root",
        "[SHARE|-]",
        generate_root,
        (
            Flag("init", "Start.", "switch"),
            Flag("status", "Show how far it is.", "switch"),
            Flag("cancel", "Give up.", "switch"),
            Flag("nonce", "The attempt that the share is for."),
            Flag("otp", "One-time password; with -init the server makes one if none is given. - and @file work."),
            Flag("pgp-key", "With -init: file of a public key to encrypt the token with, in the place of the OTP."),
            Flag("decode", "Decode this encoded token with -otp, here. - and @file work."),
            Flag("generate-otp", "Print a one-time password of the right length.", "switch"),
        ),
        0,
        1,
        "A share on the command line shows up in process lists: leave it out to be asked.",
    ),
)
