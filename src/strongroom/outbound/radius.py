"""RADIUS (RFC 2865): one question over UDP, whether a name and a password are good.

    code u8 | identifier u8 | length u16 | authenticator 16 | attributes: (kind u8 | length u8 | value)…

Rules of this file:
- An answer counts only with both of its checks: the response authenticator (MD5) and Message-Authenticator (HMAC-MD5, RFC 3579), which must
  be there. Without the second, somebody on the way can turn a refusal into an acceptance (CVE-2024-3596, "BlastRADIUS").
- What fails a check was not sent by the server: it is dropped, and the answer waited for, as the RFC wants.
- MD5 is the protocol's. It hides the password from whoever does not know the secret, no better than the secret is long.
- Blocking code: inside `call.outside`, never on the loop.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple

from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import Address, Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import Unreachable

ACCESS_REQUEST: Final = 1
ACCEPT: Final = 2
REJECT: Final = 3
CHALLENGE: Final = 11

USER_NAME: Final = 1
USER_PASSWORD: Final = 2
NAS_PORT: Final = 5
NAS_IDENTIFIER: Final = 32
MESSAGE_AUTHENTICATOR: Final = 80

MAX_PACKET: Final = 4_096
MAX_PASSWORD: Final = 128
"""Bytes (RFC 2865, 5.2)."""
MAX_VALUE: Final = 253
"""Bytes of an attribute's value."""
TRIES: Final = 3
"""Datagrams get lost; a repeated question has the same identifier, and a server answers it once."""

_HEAD: Final = struct.Struct(">BBH16s")
_BLOCK: Final = 16


class Forged(ValueError):
    """A packet that the server did not send, or not as an answer to this question."""


class Server(NamedTuple):
    """Whom to ask, and as whom. Timeouts in seconds: for the name to be looked up, and for an answer to come."""

    host: str
    port: int
    secret: bytes
    nas_port: int
    nas_identifier: str
    dial_timeout: float
    read_timeout: float

    def __repr__(self) -> str:
        return f"Server({self.host}, {self.port})"


class Question(NamedTuple):
    """A request, ready to be sent, and what an answer to it must fit."""

    packet: bytes
    identifier: int
    authenticator: bytes

    def __repr__(self) -> str:
        return f"Question({self.identifier})"


# -- packets ----------------------------------------------------------------------------------------------------------------------


def question(server: Server, name: str, password: str) -> Question:
    """An Access-Request. Raises InvalidRequest for a name or password that no packet holds."""
    identifier, authenticator = secrets.randbelow(256), secrets.token_bytes(16)
    attributes = (
        _attribute(USER_NAME, name.encode())
        + _attribute(USER_PASSWORD, hidden(password.encode(), server.secret, authenticator))
        + _attribute(NAS_PORT, server.nas_port.to_bytes(4, "big"))
        + _attribute(NAS_IDENTIFIER, server.nas_identifier.encode())
    )
    packet = signed(ACCESS_REQUEST, identifier, authenticator, attributes, server.secret, authenticator)
    return Question(packet, identifier, authenticator)


def signed(code: int, identifier: int, field: bytes, attributes: bytes, secret: bytes, request: bytes) -> bytes:
    """A packet with its Message-Authenticator in front, where nothing a stranger chose comes before it.

    `field` is what stands as authenticator, `request` the authenticator of the question.
    """
    attributes = _attribute(MESSAGE_AUTHENTICATOR, bytes(16)) + attributes
    size = _HEAD.size + len(attributes)
    mac = hmac.digest(secret, _HEAD.pack(code, identifier, size, request) + attributes, "md5")
    return _HEAD.pack(code, identifier, size, field) + _attribute(MESSAGE_AUTHENTICATOR, mac) + attributes[18:]


def hidden(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """RFC 2865, 5.2: each block of the password under the hash of the secret and the block before."""
    if not password or len(password) > MAX_PASSWORD or 0 in password:
        raise InvalidRequest(f"a password for RADIUS has 1 to {MAX_PASSWORD} bytes, none of them NUL")
    padded = password + bytes(-len(password) % _BLOCK)
    out, previous = b"", authenticator
    for at in range(0, len(padded), _BLOCK):
        pad = _md5(secret + previous)
        previous = bytes(left ^ right for left, right in zip(padded[at : at + _BLOCK], pad, strict=True))
        out += previous
    return out


def verified(packet: bytes, asked: Question, secret: bytes) -> int:
    """The code of an answer that the server sent to this question. Raises Forged."""
    if not _HEAD.size <= len(packet) <= MAX_PACKET:
        raise Forged("its size")
    code: int
    code, identifier, size, authenticator = _HEAD.unpack_from(packet)
    if identifier != asked.identifier or not _HEAD.size <= size <= len(packet):
        raise Forged("its identifier or length")
    attributes = packet[_HEAD.size : size]  # what follows is padding
    head = _HEAD.pack(code, identifier, size, asked.authenticator)
    if not hmac.compare_digest(_md5(head + attributes + secret), authenticator):
        raise Forged("its response authenticator")
    at = _message_authenticator(attributes)
    blank = attributes[:at] + bytes(16) + attributes[at + 16 :]
    if not hmac.compare_digest(hmac.digest(secret, head + blank, "md5"), attributes[at : at + 16]):
        raise Forged("its Message-Authenticator")
    return code


def _message_authenticator(attributes: bytes) -> int:
    """Where its value stands. Raises Forged where there is none, or more than one."""
    found, at = [], 0
    while at < len(attributes):
        kind, size = attributes[at], attributes[at + 1] if at + 1 < len(attributes) else 0
        if size < 2 or at + size > len(attributes):
            raise Forged("its attributes")
        if kind == MESSAGE_AUTHENTICATOR:
            found.append((at + 2, size))
        at += size
    if len(found) != 1 or found[0][1] != 18:
        raise Forged("it has no Message-Authenticator")
    return found[0][0]


def _attribute(kind: int, value: bytes) -> bytes:
    if not 0 < len(value) <= MAX_VALUE:
        raise InvalidRequest("a text for RADIUS has 1 to 253 bytes")
    return bytes((kind, len(value) + 2)) + value


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


# -- asking -----------------------------------------------------------------------------------------------------------------------


def ask(outbound: Outbound, server: Server, name: str, password: str) -> int:
    """ACCEPT, REJECT or CHALLENGE. Raises InvalidRequest, Refused and Unreachable."""
    asked = question(server, name, password)
    addresses = outbound.addresses(server.host, reach=Reach.CONFIGURED, timeout=server.dial_timeout)
    until = monotonic() + server.read_timeout
    reason = "nobody answers there"
    for address in addresses:
        try:
            return _exchange(address, server, asked, until)
        except OSError as error:  # also "refused": nobody listens at this address; there may be another
            reason = f"no answer ({error.strerror or error})"
    raise Unreachable(server.host, f"{reason}; see whether this server is a client of it, and whether it sends Message-Authenticator")


def _exchange(address: Address, server: Server, asked: Question, until: float) -> int:
    """Ask until an answer comes or the time is over (TimeoutError)."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.connect((str(address), server.port))  # so that only this address is heard
        step = (until - monotonic()) / TRIES
        for number in range(TRIES):
            channel.send(asked.packet)
            code = _answer(channel, asked, server.secret, until - (TRIES - 1 - number) * step)
            if code:
                return code
    raise TimeoutError("timed out")


def _answer(channel: socket.socket, asked: Question, secret: bytes, until: float, clock: Callable[[], float] = monotonic) -> int:
    """The code of the next right answer, 0 where none comes in time."""
    while (left := until - clock()) > 0:
        channel.settimeout(left)
        try:
            return verified(channel.recv(MAX_PACKET + 1), asked, secret)
        except TimeoutError:
            return 0
        except Forged:
            continue
    return 0
