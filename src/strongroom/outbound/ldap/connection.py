"""One conversation with a directory: dial, TLS, bind, search.

Rules of this file:
- Blocking code, for a pool thread. One deadline holds from the first byte to the last, however slowly the other side sends.
- A password goes over TLS whenever the address says ldaps:// or StartTLS was asked for; a refused StartTLS is the end, never plain text.
- What came in before TLS began is not read as if it had come through it.
- Messages, entries and bytes of an answer are bounded. References to other servers are passed over, a referral is a failure: whoever
  answers for a part of the tree must not send the server, with a password, somewhere else.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

from strongroom.errors import StrongroomError
from strongroom.outbound.ldap import messages as ldap
from strongroom.outbound.ldap.ber import Malformed, needed
from strongroom.outbound.ldap.messages import RESULTS, Answer, Entry, Search

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message. Only the attributes that were asked for come, so an entry has some hundreds."""
MAX_ENTRIES: Final = 10_000
"""Of one search. Somebody in more groups is taken for a mistake in the filter."""
MAX_ANSWER: Final = 8 << 20
"""Bytes of all answers in one conversation."""
_CHUNK: Final = 16_384

UNAVAILABLE: Final = frozenset({1, 2, 3, 7, 8, 10, 11, 13, 14, 51, 52, 80})
"""Results of a bind that say nothing about the password."""


T = TypeVar("T")
V = TypeVar("V")


class DirectoryError(StrongroomError):
    """The directory could not be asked, or did not answer as it should. Why is for the audit log: strangers can try to log in."""

    status = 502

    def __init__(self, reason: str) -> None:
        super().__init__("the directory could not be asked, or gave no answer of use; the audit log says why", reason=reason)


class InvalidCredentials(Exception):
    """The directory does not let this name in with this password."""


class Connection:
    """An open connection. Whoever opens it closes it."""

    def __init__(self, connection: socket.socket, seconds: float, now: Callable[[], float] = monotonic) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # small questions, each waiting for its answer
        self._socket = connection
        self._now = now
        self._deadline = now() + seconds
        self._buffer = bytearray()
        self._received = 0
        self._number = 0

    def allow(self, seconds: float) -> None:
        """A new deadline, for what comes next."""
        self._deadline = self._now() + seconds

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS. Raises DirectoryError where the directory refuses; the connection is of no use then."""
        code = self._result(ldap.start_tls(self._next()), ldap.EXTENDED_RESPONSE)
        if code != ldap.SUCCESS:
            raise DirectoryError(f"the directory refuses StartTLS ({_named(code)})")
        if self._buffer:
            raise DirectoryError("the directory sent something between StartTLS and TLS")
        self.secure(context, host)

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """The TLS handshake; the certificate must be valid for the host. Raises DirectoryError."""
        try:
            self._socket.settimeout(self._left())
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise DirectoryError(f"the directory's certificate is not trusted ({error.verify_message})") from None
        except TimeoutError:
            raise _late() from None
        except (OSError, ValueError) as error:
            raise DirectoryError(f"no TLS with the directory ({getattr(error, 'reason', None) or 'the connection was closed'})") from None

    def bind(self, name: str, password: str) -> None:
        """Prove a name with its password. Raises InvalidCredentials and DirectoryError; ValueError where one of them is empty."""
        code = self._result(ldap.bind(self._next(), name, password), ldap.BIND_RESPONSE)
        if code in UNAVAILABLE:
            raise DirectoryError(f"the directory did not decide about a password ({_named(code)})")
        if code != ldap.SUCCESS:
            raise InvalidCredentials

    def bind_anonymously(self) -> None:
        """Be nobody from here on. Raises DirectoryError where that is not allowed."""
        code = self._result(ldap.bind_anonymously(self._next()), ldap.BIND_RESPONSE)
        if code != ldap.SUCCESS:
            raise DirectoryError(f"the directory does not let anybody search without a name ({_named(code)})")

    def search(self, wanted: Search) -> list[Entry]:
        """The entries that were found, all of them. Raises DirectoryError, also where the directory has more than it gives."""
        found: list[Entry] = []
        cookie = b""
        while True:
            number = self._next()
            self._send(ldap.search(number, wanted, cookie))
            done = self._collect(number, found)
            code = _read(ldap.result_code, done)
            if code == ldap.SIZE_LIMIT_EXCEEDED and wanted.size_limit:
                return found
            if code != ldap.SUCCESS:
                raise DirectoryError(f"the directory did not finish a search ({_named(code)})")
            cookie = _read(ldap.page_cookie, done) if wanted.page_size else b""
            if not cookie:
                return found

    def close(self) -> None:
        """Say goodbye and close; nothing is waited for."""
        try:
            self._socket.settimeout(0.1)
            self._socket.sendall(ldap.unbind(self._next()))
        except (OSError, ValueError):
            pass
        finally:
            self._socket.close()

    # -- messages ---------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _left(self) -> float:
        left = self._deadline - self._now()
        if left <= 0:
            raise _late()
        return left

    def _result(self, request: bytes, kind: int) -> int:
        """The result in the one answer to a request."""
        self._send(request)
        answer = self._receive(self._number)
        if answer.kind != kind:
            raise DirectoryError("the directory answered something else than it was asked")
        return _read(ldap.result_code, answer)

    def _collect(self, number: int, found: list[Entry]) -> Answer:
        """Add the entries that come to what was found, until the search is done."""
        while True:
            answer = self._receive(number)
            if answer.kind == ldap.DONE:
                return answer
            if answer.kind == ldap.ENTRY:
                if len(found) == MAX_ENTRIES:
                    raise DirectoryError(f"the directory found more than {MAX_ENTRIES} entries; narrow the filter")
                found.append(_read(ldap.read_entry, answer))
            elif answer.kind != ldap.REFERENCE:
                raise DirectoryError("the directory answered something else than it was asked")

    def _send(self, request: bytes) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(request)
        except TimeoutError:
            raise _late() from None
        except OSError:
            raise _cut() from None

    def _receive(self, number: int) -> Answer:
        answer = _read(ldap.read_answer, self._message())
        if answer.id != number:
            raise _cut() if answer.id == 0 else DirectoryError("the directory answered something else than it was asked")
        return answer

    def _message(self) -> bytes:
        """The next whole message."""
        while True:
            size = _read(needed, self._buffer)
            if size > MAX_MESSAGE:
                raise DirectoryError("the directory sent a longer message than any answer has")
            if 0 < size <= len(self._buffer):
                message = bytes(self._buffer[:size])
                del self._buffer[:size]
                return message
            self._fill()

    def _fill(self) -> None:
        try:
            self._socket.settimeout(self._left())
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise _late() from None
        except OSError:
            raise _cut() from None
        if not data:
            raise _cut()
        self._received += len(data)
        if self._received > MAX_ANSWER:
            raise DirectoryError("the directory sent more than any answer has; narrow the filter")
        self._buffer += data


def _read(reader: Callable[[T], V], data: T) -> V:
    try:
        return reader(data)
    except Malformed:
        raise DirectoryError("the directory sent something that is no LDAP") from None


def _named(code: int) -> str:
    return RESULTS.get(code, f"result {code}")


def _late() -> DirectoryError:
    return DirectoryError("the directory did not answer in time")


def _cut() -> DirectoryError:
    return DirectoryError("the directory closed the connection")
