"""Bodies beyond 1 MiB on the real server: taken for a route that says so, of somebody whose token is good, and of nobody else."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Iterator
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from strongroom.core.snapshots.paths import UPLOADS
from strongroom.server.framing import Head
from strongroom.server.large import LargeBodies
from strongroom.testing import Strongroom
from tests.support.http import Client
from tests.support.server import Server, serving

REVOKED = 21_000
LIST = "auth/cert/crls/long"


@cache
def long_list() -> str:
    """A revocation list of some 800 KiB, so 1.1 MiB in PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a large issuer")]))
        .last_update(now)
        .next_update(now + dt.timedelta(days=1))
    )
    for number in range(REVOKED):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number((1 << 152) + number).revocation_date(now).build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Client]]:
    with serving(tmp_path_factory.mktemp("large")) as (server, client):
        assert client.write("sys/auth/cert", {"type": "cert"}).status == 204
        yield server, client


def test_a_revocation_list_of_more_than_a_mebibyte_is_taken(served: tuple[Server, Client]) -> None:
    _, client = served
    assert len(long_list()) > 1 << 20
    assert client.write(LIST, {"crl": long_list()}).status == 204
    assert len(client.read(LIST).data["serials"]) == REVOKED


def status(server: Server, target: str, token: str, size: int = 2 << 20) -> bytes:
    """The answer to a head that announces a large body; 100 where the server wants to have it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        head = f"POST {target} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {token}\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        return client.recv(65_536).split(b" ", 2)[1]


@pytest.mark.parametrize(
    ("target", "token", "expected"),
    [
        (f"/v1/{LIST}", "", b"100"),
        (f"/v1/{LIST}", "none", b"413"),
        (f"/v1/{LIST}", "srs_" + "x" * 49, b"413"),
        ("/v1/auth/cert/config", "", b"413"),
        ("/v1/auth/other/crls/long", "", b"413"),
        ("/v1/secret/data/large", "", b"413"),
        ("/v1/sys/init", "none", b"413"),
        (f"/v1/{LIST}/../x", "", b"413"),
        ("/v2/a", "", b"413"),
    ],
)
def test_a_large_body_is_asked_for_only_where_the_route_and_the_token_are_good(
    served: tuple[Server, Client], target: str, token: str, expected: bytes
) -> None:
    server, _ = served
    assert status(server, target, token or server.token) == expected


def test_the_larger_limit_is_one_too(served: tuple[Server, Client]) -> None:
    server, _ = served
    assert status(server, f"/v1/{LIST}", server.token, 32 << 20) == b"100"
    assert status(server, f"/v1/{LIST}", server.token, (32 << 20) + 1) == b"413"


def test_what_arrives_is_held_against_all_that_any_body_is(served: tuple[Server, Client]) -> None:
    server, client = served
    with server.client("none") as stranger:
        assert stranger.write(LIST, {"crl": "x" * 1_000_000}).status == 403
    assert client.write(LIST, {"crl": "x" * (3 << 20)}).status == 400
    assert b'"path":"auth/cert/crls/long"' in server.audit.read_bytes()
    assert client.read(LIST).data["issuer"] == "CN=a large issuer", "the list that was there stays"


def test_a_sealed_store_takes_no_large_body() -> None:
    room = Strongroom()
    large = LargeBodies(room.core)
    head = Head(b"POST", f"/v1/{LIST}".encode(), {b"x-vault-token": room.token.encode()}, 2 << 20)
    room.write("sys/auth/cert", {"type": "cert"})
    assert large(head)
    room.core.barrier.seal()
    assert not large(head)


def test_a_snapshot_goes_to_a_file_of_whoever_may_put_it_back_and_of_nobody_else() -> None:
    room = Strongroom()
    large = LargeBodies(room.core)
    room.write("sys/policies/acl/plain", {"policy": 'path "sys/storage/*" { capabilities = ["update"] }'})
    room.write("sys/policies/acl/restorer", {"policy": 'path "sys/storage/*" { capabilities = ["update", "sudo"] }'})

    def may(path: str, token: str) -> bool:
        return large.file(Head(b"POST", f"/v1/{path}".encode(), {b"x-vault-token": token.encode()}, 2 << 30)) is not None

    for path in UPLOADS:
        assert may(path, room.token) and may(path, room.create_token("restorer"))
        assert not may(path, room.create_token("plain")) and not may(path, "none")
    assert not may("secret/data/x", room.token)
    assert not may(f"{min(UPLOADS)}/x", room.token)
    room.core.barrier.seal()
    assert not may(min(UPLOADS), room.token)


def test_the_token_is_what_keeps_strangers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the table above: were tokens not looked at, a stranger's body would be read."""
    room = Strongroom()
    room.write("sys/auth/cert", {"type": "cert"})
    large = LargeBodies(room.core)
    head = Head(b"POST", f"/v1/{LIST}".encode(), {b"x-vault-token": b"none"}, 2 << 20)
    assert not large(head)
    monkeypatch.setattr(room.core.tokens, "find", lambda *_: None)
    assert large(head)
