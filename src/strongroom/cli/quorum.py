"""What rekey and generate-root share: endpoints in a new and an old form, and progress by shares.

Rules of this file:
- The form that needs a token comes first; the old one without is closed unless a listener opens it, and is tried only when
  the server does not know the new one or this caller has no token.
- A share is asked for, never taken for granted; the nonce ties it to the attempt that the caller saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from strongroom.cli import output
from strongroom.cli.errors import CommandError
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.errors import Refused
from strongroom.client.values import Json, Object

_CLOSED = (
    "Without a token this is closed here: set the VAULT_TOKEN of somebody allowed to it, or let the server's operator open a listener\n"
    "for the ceremony (disable_unauthed_generate_root_endpoints, disable_unauthed_rekey_endpoints = false)."
)


def call(session: Session, method: str, paths: Sequence[str], body: Mapping[str, Json] | None = None) -> Answer:
    """Send to the first of these paths that the server knows. Raises Refused."""
    usable = paths if session.client.settings.token else paths[-1:]
    for path in usable[:-1]:
        try:
            return session.client.request(method, path, body=body)
        except Refused as error:
            if error.status != 404:
                raise
    try:
        return session.client.request(method, usable[-1], body=body)
    except Refused as error:
        if error.status != 405 or session.client.settings.token:
            raise
        raise CommandError(f"Error making API request.\n\n{error}\n\n{_CLOSED}") from None


def fields(answer: Answer) -> Object:
    """The answer's fields, whether the route is an old bare one or wraps them in `data`."""
    return answer.data or answer.body


def share(session: Session, what: str) -> str:
    """The share: the argument, or asked for."""
    given = session.arguments[0] if session.arguments else "-"
    return (session.ask_secret(what) if given == "-" else given).strip()


def nonce(session: Session, state: Object) -> str:
    """The nonce given, else that of the attempt in progress."""
    return session.flags.text("nonce") or values.text(state.get("nonce"))


def show_state(session: Session, state: Object, labels: Sequence[tuple[str, str]], *, headed: bool = True) -> int:
    """Print where an attempt stands; the nonce also where there is none."""
    if session.flags.given("field"):
        return session.show_field(output.pick(state, session.flags.text("field")))
    if not session.is_table:
        return session.show_value(state)
    shown = [(label, _value(state, name)) for label, name in labels if name == "nonce" or state.get(name) not in (None, "", [])]
    return session.done(output.table(shown) if headed else output.plain(shown))


def _value(state: Object, name: str) -> str:
    if name == "progress":
        return f"{output.cell(state.get('progress'))}/{output.cell(state.get('required'))}"
    return output.cell(state.get(name) or "n/a") if name == "nonce" else output.cell(state.get(name))
