"""The pages that a browser sees when the provider leads it to this server instead of to a client.

Rules of this file:
- Static text. All that is put in is a state and a ticket, which are base64url, and one of our own sentences, escaped; nothing that came
  from the provider or in the URL is ever shown.
- No script, no frame, no other origin, and no referrer: the address bar held a code.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

import msgspec

from strongroom.core.response import Bare

_STYLE: Final = "body{font:1rem/1.5 sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}input,button{font:inherit;padding:.4rem}"
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
HEADERS: Final = (
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)


def _page(title: str, body: str, status: int = 200) -> Bare:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>{body}</html>'
    )
    return Bare(text.encode(), "text/html; charset=utf-8", status, HEADERS)


def done() -> Bare:
    """The login goes on in the client."""
    return _page("Signed in", "<p>Go back to the program that began this login; this window can be closed.</p>")


def failed(sentence: str, reason: str = "") -> Bare:
    """The login came to nothing; why, the audit log says as well, and what is not for whoever looks at the page."""
    page = _page("Login failed", f"<p>{escape(sentence)}</p><p>Begin anew in the program that you came from.</p>", 400)
    return msgspec.structs.replace(page, reason=reason or sentence)


def confirm(state: str, ticket: str) -> Bare:
    """Ask for the code that the client shows, so that nobody finishes a login that somebody else began.

    The ticket keeps other sites from sending the form in the user's name: whoever began the login knows state and code, too.
    """
    return _page(
        "Confirm the login",
        "<p>A program waits to log in in your name. Type in the code that it shows. If you did not begin this login yourself just now, "
        "close this window: somebody else did.</p>"
        f'<form method="post" action="callback"><input type="hidden" name="state" value="{escape(state)}">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">'
        '<input name="user_code" autocomplete="off" autofocus required> <button>Log in</button></form>',
    )
