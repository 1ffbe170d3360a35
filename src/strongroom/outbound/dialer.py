"""A connection to another host: its name is resolved once, each address is judged, and exactly a judged address is dialled.

Rules of this file:
- A name is looked up once per call. What is dialled is the address that was judged: a second look-up could answer something else.
- Of several addresses those that may not be dialled are left out; with none left the target is refused and nothing was sent.
- One deadline holds over look-up and all tries. The C library's look-up knows no deadline, so it has a thread that may be left behind.
- Blocking code: to be called on a pool thread.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from strongroom.outbound.addresses import Address, Network, Reach, objection
from strongroom.outbound.errors import Refused, Unreachable

MAX_TRIED = 4
"""Addresses of one name that are tried: with more of them down, the host is down."""

Resolve = Callable[[str, float], Sequence[str]]
"""Name and seconds → its addresses. Raises OSError."""
Connect = Callable[[Address, int, float], socket.socket]
"""Address, port and seconds → a connected socket. Raises OSError."""


def resolve(host: str, timeout: float) -> Sequence[str]:
    """Ask the system, for so long at most."""
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()
    Thread(target=_look_up, args=(host, answers), name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=max(timeout, 0))
    except Empty:
        raise TimeoutError("no answer from the name servers in time") from None
    if isinstance(found, OSError):
        raise found
    return found


def _look_up(host: str, answers: SimpleQueue[list[str] | OSError]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        answers.put([str(where[0]) for *_, where in found])
    except OSError as error:
        answers.put(error)
    except UnicodeError:
        answers.put(OSError("not a name"))


def connect(address: Address, port: int, timeout: float) -> socket.socket:
    """Dial an address."""
    return socket.create_connection((str(address), port), timeout)


class Dialer:
    """Connects to hosts under one list of allowed networks. See the rules above."""

    def __init__(self, allowed: Sequence[Network] = (), resolve: Resolve = resolve, connect: Connect = connect) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._connect = connect

    def addresses(self, host: str, reach: Reach, timeout: float) -> tuple[Address, ...]:
        """The addresses of a name or literal that may be dialled, at least one. Raises Refused and Unreachable."""
        objections = {address: objection(address, reach, self._allowed) for address in self._found(host, timeout)}
        good = tuple(address for address, found in objections.items() if found is None)
        if not good:
            found = next(iter(objections.values()))
            raise Refused(host, f"its address is {found}; the server's configuration does not allow to connect there (outbound.allow)")
        return good

    def _found(self, host: str, timeout: float) -> list[Address]:
        with suppress(ValueError):
            return [ip_address(host)]
        try:
            found = [ip_address(text) for text in self._resolve(host, timeout)]
        except OSError as error:
            raise Unreachable(host, f"the name could not be looked up ({error.strerror or error})") from None
        if not found:
            raise Unreachable(host, "the name has no address")
        return list(dict.fromkeys(found))

    def dial(self, host: str, port: int, reach: Reach, timeout: float) -> socket.socket:
        """A connected socket; its own timeout is what was left. Raises Refused and Unreachable."""
        deadline = monotonic() + timeout
        tried = self.addresses(host, reach, timeout)[:MAX_TRIED]
        failure: OSError = TimeoutError("no connection in time")
        for at, address in enumerate(tried):
            left = deadline - monotonic()
            if left <= 0:
                break
            try:
                connection = self._connect(address, port, left / (len(tried) - at))
            except OSError as error:
                failure = error
                continue
            connection.settimeout(max(deadline - monotonic(), 0.001))
            return connection
        raise Unreachable(host, f"no connection to port {port} ({failure.strerror or failure})") from None
