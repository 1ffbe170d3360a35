"""A RADIUS server in a thread that answers as a test says: late, forged, twice, or as it should.

Rules of this file: real datagrams on loopback; what it was asked is kept. Packets are read here by another reading than the server's own.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from strongroom.outbound.radius import ACCEPT, CHALLENGE, REJECT, signed

SECRET = b"a-long-shared-secret-of-the-tests"
CODES = {ACCEPT, REJECT, CHALLENGE}

Respond = Callable[["Asked"], list[bytes]]


class Asked:
    """A request as the server sees it."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.identifier, self.authenticator = packet[1], packet[4:20]
        self.attributes: list[tuple[int, bytes]] = []
        rest = packet[20 : int.from_bytes(packet[2:4], "big")]
        while rest:
            self.attributes.append((rest[0], rest[2 : rest[1]]))
            rest = rest[rest[1] :]

    def one(self, kind: int) -> bytes:
        """The one attribute of a kind."""
        (found,) = [value for each, value in self.attributes if each == kind]
        return found

    @property
    def name(self) -> str:
        return self.one(1).decode()

    @property
    def password(self) -> str:
        """RFC 2865, 5.2, read backwards."""
        cipher, previous, plain = self.one(2), self.authenticator, b""
        while cipher:
            pad = hashlib.md5(SECRET + previous, usedforsecurity=False).digest()
            previous, cipher = cipher[:16], cipher[16:]
            plain += bytes(left ^ right for left, right in zip(previous, pad, strict=True))
        return plain.rstrip(b"\0").decode()

    @property
    def authentic(self) -> bool:
        """Whether its Message-Authenticator is right."""
        given = self.one(80)
        blank = self.packet.replace(given, bytes(16), 1)
        return hmac.compare_digest(hmac.digest(SECRET, blank, "md5"), given)

    def answer(self, code: int, attributes: bytes = b"") -> bytes:
        """As a server of today answers."""
        draft = signed(code, self.identifier, self.authenticator, attributes, SECRET, self.authenticator)
        return self.sealed(draft[:4], draft[20:])

    def old_answer(self, code: int, attributes: bytes = b"") -> bytes:
        """As before BlastRADIUS: with the response authenticator alone."""
        size = (20 + len(attributes)).to_bytes(2, "big")
        return self.sealed(bytes((code, self.identifier)) + size, attributes)

    def sealed(self, head: bytes, attributes: bytes, secret: bytes = SECRET) -> bytes:
        """With a response authenticator."""
        digest = hashlib.md5(head + self.authenticator + attributes + secret, usedforsecurity=False).digest()
        return head + digest + attributes


class Answering:
    """A server that is being asked; `respond` may be changed at any time."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[Asked] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            packet, client = self._socket.recvfrom(65_536)
            if packet == b"stop":
                return
            asked = Asked(packet)
            self.asked.append(asked)
            for answer in self.respond(asked):
                self._socket.sendto(answer, client)

    def close(self) -> None:
        """Stop."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()


def by_password(passwords: dict[str, str]) -> Respond:
    """Accepts these names with these passwords."""
    return lambda asked: [asked.answer(ACCEPT if passwords.get(asked.name) == asked.password else REJECT)]


@contextmanager
def answering(respond: Respond) -> Iterator[Answering]:
    """A server until the block ends."""
    server = Answering(respond)
    try:
        yield server
    finally:
        server.close()
