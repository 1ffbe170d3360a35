"""The state of a browser login, which travels with the browser instead of lying in the store.

    state = base64url( Flow in msgpack | MAC 32 )        MAC over the mount's uuid, "s" and the Flow

Rules of this file:
- A login that is begun stores nothing, so strangers who begin millions cost nothing. What must be stored once the provider has named
  somebody lies below the flow's random id.
- The state can be read by whoever sees it and made by nobody else. What must not be read is derived from its id under the same key: the
  PKCE verifier (RFC 7636), the nonce of the id token and the code that a user types in.
- A client's own nonce is in it as a keyed hash: only who began the login ends it.
"""

from __future__ import annotations

import base64
import secrets
from hmac import compare_digest
from typing import Final

import msgspec

from strongroom.clock import SECOND
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.jwk import decode
from strongroom.crypto.mac import Mac
from strongroom.errors import InvalidRequest

LABEL: Final = b"oidc states"
"""Names the key."""

LIFE: Final = 600
"""Seconds for the user to prove himself to the provider; Vault's."""

ID_BYTES: Final = 16
MAC_BYTES: Final = 32
MAX_STATE: Final = 2_048
"""Characters; a role's name, a redirect URI and what surrounds them fit well."""

MAX_NONCE: Final = 256
"""Characters of a client's nonce."""

_STATE, _DERIVED = b"s", b"d"
"""What a MAC is of. Without them a client's nonce, behind an id that happens to fit, could be the text of a state."""

_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628, section 6.1: no vowels, so no words, and nothing that looks like a digit."""

EXPIRED: Final = "Vault login failed. Expired or missing OAuth state."
"""Interfaces search for the first three words."""


class Flow(msgspec.Struct, frozen=True, array_like=True):
    """A login that was begun. `client` is the keyed hash of the client's nonce, b"" where it gave none; `expires` in ns."""

    id: bytes
    role: str
    redirect_uri: str
    client: bytes
    expires: int


class States:
    """Makes and reads the states of one mount."""

    def __init__(self, mac: Mac, mount: bytes) -> None:
        self._mac, self._mount = mac, mount

    def begin(self, role: str, redirect_uri: str, client_nonce: str, now: int) -> Flow:
        """A new login. Raises InvalidRequest."""
        if len(client_nonce) > MAX_NONCE:
            raise InvalidRequest(f"a client_nonce has at most {MAX_NONCE} characters")
        made = secrets.token_bytes(ID_BYTES)
        return Flow(made, role, redirect_uri, self._client(made, client_nonce), now + LIFE * SECOND)

    def text(self, flow: Flow) -> str:
        """The state of a login."""
        body = msgspec.msgpack.encode(flow)
        return _text(body + self._mac.digest(self._mount + _STATE + body))

    def open(self, text: str, now: int) -> Flow:
        """The login that a state is of. Raises InvalidRequest for any that this mount did not make, and for one that is over."""
        try:
            if len(text) > MAX_STATE:
                raise ValueError("longer than any state")
            data = decode(text)
            body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
            self._mac.verify(self._mount + _STATE + body, mac)
            flow = msgspec.msgpack.decode(body, type=Flow)
        except (ValueError, InvalidSignature):
            raise InvalidRequest(EXPIRED) from None
        if now >= flow.expires:
            raise InvalidRequest(EXPIRED)
        return flow

    def check_client(self, flow: Flow, client_nonce: str) -> None:
        """Whoever ends the login began it. Raises InvalidRequest."""
        if not compare_digest(flow.client, self._client(flow.id, client_nonce)):
            raise InvalidRequest("invalid client_nonce")

    def _client(self, flow_id: bytes, client_nonce: str) -> bytes:
        return self._derived(flow_id, "client", client_nonce)[:ID_BYTES] if client_nonce else b""

    def verifier(self, flow: Flow) -> str:
        """The PKCE verifier, which the provider sees at the exchange only."""
        return _text(self._derived(flow.id, "verifier"))

    def nonce(self, flow: Flow) -> str:
        """What the id token must bring back."""
        return _text(self._derived(flow.id, "nonce"))

    def user_code(self, flow: Flow) -> str:
        """What the client shows and the user types in where the provider led him: four letters, a dash, four letters."""
        letters = [_LETTERS[byte % len(_LETTERS)] for byte in self._derived(flow.id, "user code")[:8]]
        return f"{''.join(letters[:4])}-{''.join(letters[4:])}"

    def ticket(self, flow: Flow) -> str:
        """What only the browser has that the provider led here: it is on the page that asks for the user's code, and nowhere else."""
        return _text(self._derived(flow.id, "ticket"))

    def _derived(self, flow_id: bytes, purpose: str, value: str = "") -> bytes:
        return self._mac.digest(self._mount + _DERIVED + flow_id + f"{purpose}\0{value}".encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
