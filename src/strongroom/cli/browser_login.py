"""login -method=oidc: in a browser, which the provider leads back to a listener on this machine or to the server.

Rules of this file:
- The listener takes one answer, on the loopback interface, for this login alone: another state is told that it is not wanted here.
- The address comes from the server: it is opened only if it is http or https, and always printed.
- Where the role's callback_mode is direct there is no listener: the server takes the answer and is asked for the token until it has one.
"""

from __future__ import annotations

import secrets
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from strongroom.cli.errors import LOCAL, CommandError
from strongroom.cli.methods import taken
from strongroom.cli.output import clean
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.errors import Refused
from strongroom.client.settings import truth
from strongroom.client.values import Object

PATIENCE = 300.0
"""Seconds for somebody to log in at the provider; the server's state lasts about as long."""
MOST_FORM = 65_536
"""Bytes of a form that the provider has the browser send."""

_FIELDS = {
    "role": "",
    "port": "8250",
    "listenaddress": "127.0.0.1",
    "callbackhost": "localhost",
    "callbackmethod": "http",
    "callbackport": "",
    "skip_browser": "false",
    "abort_on_error": "false",
}
_DONE = "Logged in. This window can be closed."
_FAILED = "This is no answer to a login that is waited for here."


class Returned(NamedTuple):
    """What the provider sent through the browser."""

    code: str
    error: str


class _Begun(NamedTuple):
    """A login that the server began. `state` leads it; in direct mode the server waits for it, and `user_code` is typed in there."""

    mount: str
    nonce: str
    address: str
    state: str
    direct: bool
    user_code: str
    interval: int


def login(session: Session, mount: str, fields: Object) -> Answer:
    """Log in with a browser."""
    options = taken(fields, _FIELDS)
    begun = _begin(session, mount, options)
    if begun.direct:
        _send_to(session, begun, options)
        return _poll(session, begun)
    with _listener(options["listenaddress"], options["port"], begun.state) as listener:
        _send_to(session, begun, options)
        returned = listener.wait(PATIENCE)
    if returned.error:
        raise CommandError(f"the provider refused the login: {clean(returned.error)}")
    query = {"state": begun.state, "code": returned.code, "client_nonce": begun.nonce}
    return session.client.request("GET", f"auth/{mount}/oidc/callback", query=query, token="")


def _begin(session: Session, mount: str, options: dict[str, str]) -> _Begun:
    """Ask the server where the browser goes. Raises CommandError."""
    port = options["callbackport"] or options["port"]
    redirect = f"{options['callbackmethod']}://{options['callbackhost']}:{port}/oidc/callback"
    nonce = secrets.token_urlsafe(24)
    body: Object = {"role": options["role"], "redirect_uri": redirect, "client_nonce": nonce}
    data = session.client.request("PUT", f"auth/{mount}/oidc/auth_url", body=body, token="").data
    address = values.text(data.get("auth_url"))
    if urlsplit(address).scheme not in ("http", "https"):
        raise CommandError(f"the server gave no address to log in at: the role must be of the type oidc and allow {redirect}")
    given = values.text(data.get("state"))
    state = given or parse_qs(urlsplit(address).query).get("state", [""])[0]
    return _Begun(
        mount, nonce, address, state, bool(given), values.text(data.get("user_code")), values.number(data.get("poll_interval"), 5)
    )


def _send_to(session: Session, begun: _Begun, options: dict[str, str]) -> None:
    """Lead somebody to where he logs in."""
    session.note(f"Complete the login in a browser:\n\n    {begun.address}\n")
    if begun.user_code:
        session.note(f"and type in this code there: {begun.user_code}\n")
    if not truth(options["skip_browser"], "skip_browser"):
        _open(session, begun.address, abort=truth(options["abort_on_error"], "abort_on_error"))


def _open(session: Session, address: str, *, abort: bool) -> None:
    import webbrowser

    if webbrowser.open(address):
        return
    if abort:
        raise CommandError("no browser could be started; with skip_browser=true the address is printed only", LOCAL)
    session.note("No browser could be started here: open the address yourself.\n")


def _poll(session: Session, begun: _Begun) -> Answer:
    until = time.monotonic() + PATIENCE
    body: Object = {"state": begun.state, "client_nonce": begun.nonce}
    while True:
        try:
            return session.client.request("PUT", f"auth/{begun.mount}/oidc/poll", body=body, token="")
        except Refused as error:
            if "authorization_pending" not in error.messages:
                raise
        if time.monotonic() > until:
            raise CommandError("nobody logged in within five minutes")
        time.sleep(begun.interval)


def _listener(host: str, port: str, state: str) -> Listener:
    if not (port.isascii() and port.isdecimal() and int(port) < 65_536):
        raise CommandError("port is a number up to 65535", LOCAL)
    try:
        return Listener((host, int(port)), state)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port=, which the role must allow", LOCAL
        ) from None


class Listener(HTTPServer):
    """Waits for the browser to come back."""

    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], state: str) -> None:
        self.state = state
        self.returned: Returned | None = None
        super().__init__(address, _Handler)

    def wait(self, patience: float) -> Returned:
        """What the provider sent. Raises CommandError."""
        until = time.monotonic() + patience
        self.timeout = 0.5
        while self.returned is None:
            if time.monotonic() > until:
                raise CommandError("nobody logged in within five minutes")
            self.handle_request()
        return self.returned

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke off is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    """One request of the browser."""

    timeout = 5
    server: Listener

    def do_GET(self) -> None:
        """The provider led back with its answer in the address."""
        self._take(urlsplit(self.path).query)

    def do_POST(self) -> None:
        """The provider had the browser send a form."""
        length = self.headers.get("Content-Length", "")
        known = length.isascii() and length.isdecimal() and int(length) <= MOST_FORM
        self._take(self.rfile.read(int(length)).decode("utf-8", "replace") if known else "")

    def _take(self, text: str) -> None:
        given = {name: found[0] for name, found in parse_qs(text).items()}
        state = given.get("state", "")
        ours = urlsplit(self.path).path == "/oidc/callback" and secrets.compare_digest(state.encode(), self.server.state.encode())
        if ours and (given.get("code") or given.get("error")):
            self.server.returned = Returned(given.get("code", ""), given.get("error", ""))
        self._say(200 if ours else 400, _DONE if ours and not given.get("error") else _FAILED)

    def _say(self, status: int, text: str) -> None:
        page = f"<!doctype html><title>strongroom</title><p>{text}</p>".encode()
        self.send_response(status)
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page)), "Cache-Control": "no-store"}
        for name, value in {**headers, "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """The address holds the code, which is nobody's business."""
