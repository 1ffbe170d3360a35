"""What can go wrong on the way to another host.

Rules of this file:
- A message names the host as it was asked for and the reason. It never has the address that a name led to: who may choose the name
  would read the internal DNS by it. `reason` is the part after the host, for callers with words of their own.
- It never quotes a header, a body or a query: those carry credentials.
- Strangers do not learn which hosts a login asks, nor what is wrong there: they see `Untold`, and the audit log its reason.
"""

from __future__ import annotations

from strongroom.errors import StrongroomError


class OutboundError(StrongroomError):
    """Base of them."""

    status = 502

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.host = host
        self.reason = reason


class Refused(OutboundError):
    """This server does not go there; nothing was sent."""

    status = 400


class Unreachable(OutboundError):
    """No name, no connection, no TLS, or no answer in time. What was sent may have arrived."""


class BadAnswer(OutboundError):
    """An answer came and is no HTTP, too long, or not of the form that was asked for."""


class Untold(StrongroomError):
    """What went wrong, for somebody who is not logged in."""

    status = 502

    def __init__(self, error: OutboundError) -> None:
        super().__init__("another server could not be asked, or gave no answer of use; the audit log says why", reason=str(error))
