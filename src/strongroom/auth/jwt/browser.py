"""Logging in in a browser: the code flow of OpenID Connect, from the address to begin at to the token.

    client                       browser                         provider
    oidc/auth_url  ────────────▶ authorization endpoint ───────▶ proves who he is
    oidc/callback  ◀──────────── redirect URI of the client ◀──── code             callback_mode client
                                 oidc/callback here         ◀──── code             form_post, or callback_mode direct
    oidc/callback, oidc/poll     what the provider said is taken once, by whoever began the login

Rules of this file:
- A login that was begun is its state alone (state.py). Rows are written only once a provider has named somebody, and have their end set.
- A state leads to a token once, whatever way it took; the mark that says so commits even if the role then refuses.
- Who takes the token shows the client's nonce. In direct mode one is obligatory, and so is the code that the user types in on a page that
  only his browser has: otherwise somebody could send his own login to a victim and poll for the victim's token (CVE-2026-33757). What
  leads to this server without that, leads nowhere.
- What a provider sends through the browser is not shown to anybody (CVE-2026-33758).
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

import msgspec

from strongroom.auth.jwt import page, redirects
from strongroom.auth.jwt.claims import Claims, Identity
from strongroom.auth.jwt.config import Config
from strongroom.auth.jwt.flows import TAKEN, Finished, Flows
from strongroom.auth.jwt.provider import MAX_CODE, Provider, check_id_token
from strongroom.auth.jwt.roles import Role
from strongroom.auth.jwt.state import EXPIRED, Flow
from strongroom.core.engine import login, read, write
from strongroom.core.response import Bare, Response
from strongroom.core.token.parameters import check_peer
from strongroom.crypto.errors import InvalidToken
from strongroom.errors import InvalidRequest, StrongroomError, UnsupportedOperation
from strongroom.outbound.errors import OutboundError, Untold

POLL_INTERVAL: Final = 5
"""Seconds between polls where the role does not say."""

MAX_TRIES: Final = 5
"""Codes that are typed in for one login; there are 2^34."""


class AuthUrlBody(msgspec.Struct, frozen=True):
    """A login that begins."""

    role: Annotated[str, "The role; the mount's default_role where none is given."] = ""
    redirect_uri: Annotated[str, "Where the provider leads back to; one of the role's."] = ""
    client_nonce: Annotated[str, "A random text that the same client shows again at the end."] = ""


class CallbackBody(msgspec.Struct, frozen=True):
    """What the provider sent to the redirect URI."""

    state: Annotated[str, "The login's state."] = ""
    code: Annotated[str, "The authorization code."] = ""
    client_nonce: Annotated[str, "The client's nonce, where the login began with one."] = ""
    nonce: Annotated[str, "Sent by some clients; not read."] = ""
    error: Annotated[str, "Why the provider refused."] = ""
    error_description: Annotated[str, "The same in its words; not shown."] = ""


class PostBody(CallbackBody, frozen=True):
    """The same as a form: from the provider, or from the page that asks for the user's code."""

    id_token: Annotated[str, "The id token, in the flow without a code."] = ""
    user_code: Annotated[str, "The code that the client shows."] = ""
    ticket: Annotated[str, "What the page that asks for the code was given."] = ""


class PollBody(msgspec.Struct, frozen=True):
    """A client that waits."""

    state: Annotated[str, "The login's state."] = ""
    client_nonce: Annotated[str, "The nonce it began with."] = ""


class Browser(Flows):
    """Logins in a browser."""

    @write("oidc/auth_url", body=AuthUrlBody, public=True, writes=False)
    def auth_url(self, body: AuthUrlBody) -> Response:
        """Begin a login: where the browser goes. Blank for a redirect URI that the role does not list."""
        config = self.config.known()
        if config.issuer is None or not config.oidc_client_id:
            raise InvalidRequest("OIDC login is not configured for this mount")
        name = self.asked_role(config, body.role)
        if not body.redirect_uri:
            raise InvalidRequest("missing redirect_uri")
        role = self.roles.known(name)
        if role.callback_mode == "direct" and not body.client_nonce:
            raise InvalidRequest("missing client_nonce")
        redirect_uri = _redirect_uri(role, body.redirect_uri)
        if role.role_type != "oidc" or not redirects.allows(role.allowed_redirect_uris, redirect_uri):
            return Response(data={"auth_url": ""})
        if role.callback_mode != "direct" and self._leads_here(redirect_uri):
            raise InvalidRequest("a redirect URI that leads to this server needs callback_mode=direct: the user has to confirm there")
        provider, states = self._provider(config), self.states
        flow = states.begin(name, redirect_uri, body.client_nonce, self.call.transaction.now)
        state = states.text(flow)
        url = provider.authorization_url(role, redirect_uri, state, states.nonce(flow), states.verifier(flow))
        if role.callback_mode != "direct":
            return Response(data={"auth_url": url})
        interval = str(role.poll_interval or POLL_INTERVAL)
        return Response(data={"auth_url": url, "state": state, "poll_interval": interval, "user_code": states.user_code(flow)})

    @read("oidc/callback", body=CallbackBody, public=True, writes=True)
    def callback(self, body: CallbackBody) -> Response:
        """End a login with what the provider sent to the client; in direct mode a page that asks for the user's code."""
        config, flow = self.config.known(), self.flow(body.state)
        role = self.browser_role(flow)
        if role.callback_mode == "direct":
            return _page(lambda: self._direct(config, flow, role, body.code, "", body.error))
        self.states.check_client(flow, body.client_nonce)
        return self._taken(flow, role, self.finished(flow) or self._opened(config, flow, role, body.code, "", body.error))

    @login("oidc/callback", body=PostBody)
    def callback_post(self, body: PostBody) -> Response:
        """The same as a form that the provider has the browser send, or that the page which asks for the user's code sends."""
        config = self.config.known()
        if body.user_code:
            return _page(lambda: self._confirmed(self.flow(body.state), body.user_code, body.ticket))
        if config.oidc_response_mode != "form_post":
            raise UnsupportedOperation
        return _page(lambda: self._posted(config, self.flow(body.state), body))

    @login("oidc/poll", body=PollBody)
    def poll(self, body: PollBody) -> Response:
        """Take the token of a login that the user ended in his browser; `authorization_pending` until he did (RFC 8628)."""
        flow = self.flow(body.state)
        self.states.check_client(flow, body.client_nonce)
        finished = self.finished(flow)
        if finished is None or not (finished.open or finished.taken):
            raise InvalidRequest("authorization_pending")
        return self._taken(flow, self.browser_role(flow), finished)

    def _leads_here(self, redirect_uri: str) -> bool:
        """Whether the browser would end at this mount; a proxy may have put something before the path."""
        return unquote(urlsplit(redirect_uri).path).rstrip("/").endswith(f"/v1/{self.mount.path}oidc/callback")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _posted(self, config: Config, flow: Flow, body: PostBody) -> Bare:
        role = self.browser_role(flow)
        if role.callback_mode == "direct":
            return self._direct(config, flow, role, body.code, body.id_token, body.error)
        self.check_first(flow)
        self.keep(flow, self._opened(config, flow, role, body.code, body.id_token, body.error))
        return page.done()

    def _direct(self, config: Config, flow: Flow, role: Role, code: str, id_token: str, error: str) -> Bare:
        self.check_first(flow)
        self.keep(flow, self._provided(config, flow, role, code, id_token, error))
        return page.confirm(self.states.text(flow), self.states.ticket(flow))

    def _confirmed(self, flow: Flow, typed: str, ticket: str) -> Bare:
        finished = self.finished(flow)
        if finished is None or finished.taken or finished.open or finished.tries >= MAX_TRIES:
            raise InvalidRequest(EXPIRED)
        if not compare_digest(ticket.encode(), self.states.ticket(flow).encode()):
            raise InvalidRequest("The form did not come from the page of this login.")
        if not compare_digest(_letters(typed), _letters(self.states.user_code(flow))):
            self.keep(flow, msgspec.structs.replace(finished, tries=finished.tries + 1), charge=True)
            raise InvalidRequest("The code is not the one that the program shows.")
        self.keep(flow, msgspec.structs.replace(finished, open=True))
        return page.done()

    def _taken(self, flow: Flow, role: Role, finished: Finished) -> Response:
        """The token, once. Raises InvalidRequest."""
        if finished.taken or not finished.open:
            raise InvalidRequest(EXPIRED)
        check_peer(role.token, self.call.request.peer)
        self.keep(flow, TAKEN, charge=True)
        return Response(grant=self.granted_to(flow.role, role, Identity(finished.name, finished.metadata, finished.groups)))

    # -- what the provider says -----------------------------------------------------------------------------------

    def _opened(self, config: Config, flow: Flow, role: Role, code: str, id_token: str, error: str) -> Finished:
        """The same for a client that the provider leads back to: it may take the token at once."""
        return msgspec.structs.replace(self._provided(config, flow, role, code, id_token, error), open=True)

    def _provided(self, config: Config, flow: Flow, role: Role, code: str, id_token: str, error: str) -> Finished:
        """Who the provider says it is, and that the role is for him. Raises InvalidRequest and OutboundError."""
        if error:
            raise InvalidRequest("Vault login failed. The provider refused; its own page said why.")
        if (not code and not (id_token and config.implicit)) or len(code) > MAX_CODE:
            raise InvalidRequest("Vault login failed. No code or id_token received.")
        provider = self._provider(config)
        try:
            claims = self._claims(provider, flow, code, id_token)
            check_id_token(claims, provider.discovery, config, role, self.states.nonce(flow), self.call.transaction.now)
        except InvalidToken as failure:
            raise InvalidRequest(f"Token verification failed. {failure}") from None
        self.keep(flow, TAKEN, charge=True)
        if role.bound_subject and claims.get("sub") != role.bound_subject:
            raise InvalidRequest("Vault login failed. sub claim does not match bound subject")
        found = self.identified(flow.role, role, config, {name: value for name, value in claims.items() if name != "nonce"})
        return Finished(found.name, found.metadata, found.groups)

    def _claims(self, provider: Provider, flow: Flow, code: str, id_token: str) -> Claims:
        now, secret, verifier = self.clock.monotonic(), self.client_secret(), self.states.verifier(flow)
        if not code:
            return self.call.outside("id token", flow.id, id_token, fn=lambda: provider.signed(id_token, now))
        if secret is None:
            raise InvalidRequest("OIDC login is not configured for this mount")
        where = flow.redirect_uri
        return self.call.outside("exchange", flow.id, code, fn=lambda: provider.exchanged(secret, where, code, verifier, now))

    def _provider(self, config: Config) -> Provider:
        if config.issuer is None:
            raise InvalidRequest("OIDC login is not configured for this mount")
        return Provider(self.outbound, config.issuer, self.described(config.issuer), config)


def _redirect_uri(role: Role, sent: str) -> str:
    """Where the provider leads back to. In direct mode that is this server, whose address a client need not know."""
    only = role.allowed_redirect_uris[0] if len(role.allowed_redirect_uris) == 1 else sent
    return only if role.callback_mode == "direct" else sent


def _page(step: Callable[[], Bare]) -> Response:
    """What a browser is shown of a step: it has no other way to learn of an error."""
    try:
        return Response(bare=step())
    except OutboundError as error:
        told = Untold(error)
        return Response(bare=page.failed(" ".join(told.messages), told.reason))
    except StrongroomError as error:
        return Response(bare=page.failed(" ".join(error.messages), error.reason))


def _letters(code: str) -> bytes:
    return "".join(letter for letter in code.upper() if letter.isascii() and letter.isalpha()).encode()
