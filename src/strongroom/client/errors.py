"""What can go wrong between a client and its server.

Rules of this file:
- Messages name addresses, files and settings, and what to do next; never a token, a body or a header's value.
- `Refused` is the server's word; everything else happened on this side.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.errors import StrongroomError


class ClientError(StrongroomError):
    """Base: the request did not lead to a usable answer."""


class BadSettings(ClientError):
    """An environment variable, flag or file cannot be used."""


class Unreachable(ClientError):
    """No connection, or it broke before the answer was complete."""


class Untrusted(Unreachable):
    """The server's certificate is not one this client was told to trust."""


class BadAnswer(ClientError):
    """What came back is not an answer of Vault's API."""


class Refused(ClientError):
    """The server answered with an error status. `messages` are the server's own."""

    def __init__(self, method: str, url: str, status: int, messages: Sequence[str], token_sent: bool) -> None:
        super().__init__(*messages)
        self.method = method
        self.url = url
        self.status = status
        self.token_sent = token_sent

    def __str__(self) -> str:
        listed = "\n".join(f"* {message.strip()}" for message in self.messages)
        return f"URL: {self.method} {self.url}\nCode: {self.status}. Errors:\n\n{listed}".rstrip()
