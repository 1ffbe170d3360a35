"""Outbound: what engines and auth methods are given to ask other hosts, over HTTP or a protocol of their own.

    answer = self.call.once("keys", url, fn=lambda: self.outbound.request("GET", url, reach=Reach.CONFIGURED))

Rules of this file:
- Blocking code: inside `call.once`, never on the loop.
- Every target goes through the dialer. The default reach is the narrow one; who says CONFIGURED says that an administrator named the host.
- No redirect is followed, no proxy of the environment used, no cookie kept, and no header of a caller's request passed on: what is sent
  is what the engine wrote. A 302 is an answer like any other.
- A connection serves one exchange. That costs a handshake and spares the questions of whose credentials it was last used with. Who has
  one target and one credential may keep one (session.py).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from time import monotonic

from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import Address, Reach
from strongroom.outbound.dialer import Dialer
from strongroom.outbound.errors import Unreachable
from strongroom.outbound.tls import ClientCertificate, tls_context
from strongroom.outbound.url import Url, checked_host, parse_url
from strongroom.outbound.wire import Answer, exchange, written

TIMEOUT = 10.0
"""Seconds for a whole call, name look-up included: somebody waits for a login."""
MAX_ANSWER = 1 << 20
"""Bytes of a body. Key sets and discovery documents have some kilobytes."""
NO_HEADERS: Mapping[str, str] = {}


class Outbound:
    """The guarded way to other hosts.

    `roots`: PEM that is trusted in place of the system's roots. `confined`: for mounts of tenants, whose administrators reach no further
    than requests do.
    """

    def __init__(self, dialer: Dialer | None = None, *, roots: str = "", confined: bool = False) -> None:
        self._dialer = dialer or Dialer()
        self._roots = roots
        self._confined = confined
        self._narrow: Outbound | None = None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        body: bytes = b"",
        reach: Reach = Reach.PUBLIC,
        ca_pem: str = "",
        certificate: ClientCertificate | None = None,
        timeout: float = TIMEOUT,
        limit: int = MAX_ANSWER,
        plaintext: bool = False,
        authority: str = "",
    ) -> Answer:
        """One exchange; any status is an answer. `ca_pem` is trusted in place of other roots, `plaintext` lets http:// be.

        `authority` is the Host header of a request that was signed for another name than the one that is dialled and verified.

        Raises InvalidRequest for a URL, header or PEM that cannot be, Refused, Unreachable and BadAnswer.
        """
        deadline = monotonic() + timeout
        where = parse_url(url, plaintext=plaintext)
        named = where._replace(authority=_authority(authority)) if authority else where
        request = written(method, named, {"user-agent": "strongroom", **headers}, body)
        context = tls_context(ca_pem or self._roots, certificate) if where.scheme == "https" else None
        connection = self.dial(where.host, where.port, reach=reach, timeout=deadline - monotonic())
        try:
            if context is not None:
                connection = secured(connection, context, where)
            return exchange(connection, where.host, method, request, deadline, limit)
        except OSError as error:
            raise unanswered(where.host, error) from None
        finally:
            connection.close()

    def dial(self, host: str, port: int, *, reach: Reach = Reach.PUBLIC, timeout: float = TIMEOUT) -> socket.socket:
        """A connected TCP socket for a protocol of the caller's own. Raises InvalidRequest, Refused and Unreachable."""
        if not 0 < port < 65_536:
            raise InvalidRequest("a port is a number from 1 to 65535")
        return self._dialer.dial(_host(host), port, self._reach(reach), timeout)

    def addresses(self, host: str, *, reach: Reach = Reach.PUBLIC, timeout: float = TIMEOUT) -> tuple[Address, ...]:
        """The addresses that may be connected to, for libraries that dial themselves: they must be given one of these, not the name."""
        return self._dialer.addresses(_host(host), self._reach(reach), timeout)

    def confined(self) -> Outbound:
        """The same for a mount whose administrator is a tenant; always the same object, since answers are kept by it (issuers.py)."""
        if self._narrow is None:
            self._narrow = Outbound(self._dialer, roots=self._roots, confined=True)
        return self._narrow

    def _reach(self, asked: Reach) -> Reach:
        return Reach.PUBLIC if self._confined else asked


def _host(text: str) -> str:
    return checked_host(f"[{text}]" if ":" in text else text)


def _authority(text: str) -> str:
    if parse_url(f"https://{text}").authority != text:
        raise InvalidRequest("a Host header is a host in lower case, with its port where that is not 443")
    return text


def unanswered(host: str, error: OSError) -> Unreachable:
    """An error of the connection in words of its own, without the library's source lines."""
    return Unreachable(host, f"no answer ({_why(error)})")


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "not in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'it failed').lower().replace('_', ' ')}"
    return error.strerror or "the connection failed"


def secured(connection: socket.socket, context: ssl.SSLContext, where: Url) -> ssl.SSLSocket:
    """TLS over a connection that has its timeout. Raises Unreachable where the other side is not who it should be.

    An end that TLS did not announce is an error: somebody in between can cut a connection, not announce its end.
    """
    try:
        return context.wrap_socket(connection, server_hostname=where.host, suppress_ragged_eofs=False)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(where.host, f"its certificate is not trusted ({error.verify_message})") from None
