"""A room with the cert method, and logins through it as a TLS listener would hand them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.core.request import Operation, Peer
from strongroom.core.response import Auth
from strongroom.testing import Strongroom
from tests.support.chains import Made

LOGIN = "auth/cert/login"
CERTS = "auth/cert/certs/"
CRLS = "auth/cert/crls/"


def fresh(**options: Any) -> Strongroom:
    """A room with cert mounted."""
    room = Strongroom(**options)
    room.write("sys/auth/cert", {"type": "cert"})
    return room


def pem(*made: Made) -> str:
    """A bundle."""
    return "".join(each[0].public_bytes(Encoding.PEM).decode() for each in made)


def der(certificate: x509.Certificate) -> bytes:
    """As TLS sends it."""
    return certificate.public_bytes(Encoding.DER)


def peer(leaf: Made, others: Sequence[Made] = (), address: str = "127.0.0.1") -> Peer:
    """A connection with this client certificate."""
    return Peer(address, 40_000, der(leaf[0]), tuple(der(each[0]) for each in others))


def trust(room: Strongroom, name: str, *made: Made, **fields: Any) -> None:
    """Write a role."""
    room.write(CERTS + name, {"certificate": pem(*made), "token_policies": name, **fields})


def log_in(room: Strongroom, leaf: Made, others: Sequence[Made] = (), *, name: str = "", path: str = LOGIN) -> Auth:
    """A login that succeeds."""
    return room.login(path, {"name": name} if name else {}, peer=peer(leaf, others))


def answer(room: Strongroom, leaf: Made, others: Sequence[Made] = (), name: str = "", address: str = "127.0.0.1") -> tuple[int, str]:
    """Status and text of a login."""
    data = {"name": name} if name else {}
    work = room.request(Operation.UPDATE, LOGIN, data, token="", peer=peer(leaf, others, address))
    return (200, "") if work.error is None else (work.error.status, str(work.error))
