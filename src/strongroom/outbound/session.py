"""Exchanges with one URL over a connection that is kept while they follow each other: TLS costs three times the way there and back.

Rules of this file:
- What `Outbound.request` promises holds for each exchange. A kept connection goes to the address that was judged when it was opened, and is
  verified against the roots it was opened with; it serves one caller, so nobody's credential travels on another's.
- A connection is kept for less time than collectors and proxies wait before they close an idle one. So nothing is sent into one that is
  about to end, and nothing is ever sent twice: an exchange that fails has failed, and the next one begins anew.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Final

from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound, secured, unanswered
from strongroom.outbound.tls import tls_context
from strongroom.outbound.url import parse_url
from strongroom.outbound.wire import Answer, exchange, written

KEPT: Final = 3.0
"""Seconds that an idle connection is used again. Servers in the field close theirs after 5 or more."""


class Session:
    """One caller's way to one URL, for one thread at a time."""

    def __init__(self, outbound: Outbound, url: str, *, reach: Reach, plaintext: bool = False) -> None:
        self._outbound = outbound
        self._where = parse_url(url, plaintext=plaintext)
        self._reach = reach
        self._connection: socket.socket | None = None
        self._roots = ""
        self._until = 0.0

    def request(self, method: str, headers: Mapping[str, str], body: bytes, *, ca_pem: str, timeout: float, limit: int) -> Answer:
        """One exchange; any status is an answer. Raises InvalidRequest, Refused, Unreachable and BadAnswer."""
        deadline = monotonic() + timeout
        request = written(method, self._where, {"user-agent": "strongroom", **headers}, body, keep=True)
        connection = self._open(ca_pem, deadline)
        self._connection = None
        try:
            answer = exchange(connection, self._where.host, method, request, deadline, limit)
        except OSError as error:
            connection.close()
            raise unanswered(self._where.host, error) from None
        except BaseException:
            connection.close()
            raise
        if answer.closes:
            connection.close()
        else:
            self._connection, self._until = connection, monotonic() + KEPT
        return answer

    def _open(self, ca_pem: str, deadline: float) -> socket.socket:
        """The kept connection, if it may be used again, or another."""
        if self._connection is not None and monotonic() < self._until and ca_pem == self._roots:
            return self._connection
        self.close()
        context = tls_context(ca_pem) if self._where.scheme == "https" else None
        connection = self._outbound.dial(self._where.host, self._where.port, reach=self._reach, timeout=deadline - monotonic())
        self._roots = ca_pem
        if context is None:
            return connection
        try:
            return secured(connection, context, self._where)
        except OSError as error:
            connection.close()
            raise unanswered(self._where.host, error) from None
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()
