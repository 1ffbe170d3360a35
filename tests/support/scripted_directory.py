"""A directory that answers as a test says: for what a real one does not do, or only on a bad day.

Rules of this file: it reads whole LDAP messages with the package's own pure modules; what it sends back is whatever bytes the script has.
Everything it was asked is kept.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

from strongroom.outbound.ldap import ber
from strongroom.outbound.ldap.ber import Reader
from strongroom.outbound.ldap.messages import Answer, read_answer

BIND, SEARCH, EXTENDED, UNBIND = 0x60, 0x63, 0x77, 0x42
NAMES: Final = {BIND: "bind", SEARCH: "search", EXTENDED: "extended", UNBIND: "unbind"}

Respond = Callable[[Answer], bytes | None]
"""A request → what to send; None closes the connection."""


class Scripted:
    """A listening directory."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ldap://127.0.0.1:{self.port}"
        self.asked: list[Answer] = []
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def operations(self) -> list[str]:
        """What it was asked, by name, without goodbyes: nobody waits for those."""
        return [NAMES[request.kind] for request in self.asked if request.kind != UNBIND]

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        buffer = bytearray()
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                buffer += data
                while 0 < (size := ber.needed(buffer)) <= len(buffer):
                    request = read_answer(bytes(buffer[:size]))
                    del buffer[:size]
                    self.asked.append(request)
                    if request.kind == UNBIND:
                        return
                    answer = self._respond(request)
                    if answer is None:
                        return
                    connection.sendall(answer)


@contextlib.contextmanager
def scripted(respond: Respond) -> Iterator[Scripted]:
    """A scripted directory until the block ends."""
    directory = Scripted(respond)
    try:
        yield directory
    finally:
        directory.close()


# -- what a script answers ------------------------------------------------------------------------------------------


def message(number: int, *parts: bytes) -> bytes:
    """A whole message."""
    return ber.element(ber.SEQUENCE, ber.integer(number), *parts)


def result(request: Answer, code: int = 0, *more: bytes) -> bytes:
    """The end of a request: its kind of answer, with a result."""
    kind = {BIND: 0x61, SEARCH: 0x65, EXTENDED: 0x78}[request.kind]
    return message(request.id, ber.element(kind, ber.integer(code, ber.ENUMERATED), ber.octets(""), ber.octets("")), *more)


def entry(request: Answer, name: str, **attributes: list[str] | list[bytes]) -> bytes:
    """An entry that a search found."""
    listed = [
        ber.element(ber.SEQUENCE, ber.octets(kind), ber.element(ber.SET, *(ber.octets(value) for value in values)))
        for kind, values in attributes.items()
    ]
    return message(request.id, ber.element(0x64, ber.octets(name), ber.element(ber.SEQUENCE, *listed)))


def bind_name(request: Answer) -> str:
    """As whom somebody wants to bind."""
    body = Reader(request.body)
    body.number()
    return body.text()


def bind_password(request: Answer) -> str:
    """With which password."""
    body = Reader(request.body)
    body.number()
    body.text()
    return body.text(0x80)


def search_base(request: Answer) -> str:
    """Where somebody looks."""
    return Reader(request.body).text()
