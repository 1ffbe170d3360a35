"""hvac's `auth.cert` against a real server: the certificate goes through a real handshake, on every connection that offers one."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hvac
import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from hvac import exceptions

from tests.conformance.server import Running
from tests.support.chains import DNS, Made, alternatives, authority, issue, revocations
from tests.support.plain_http import answering

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
SPAN: dict[str, Any] = {"begins": NOW - dt.timedelta(days=1), "ends": NOW + dt.timedelta(days=1)}


class Files(NamedTuple):
    """A certificate with those above it, and its key."""

    cert: str
    key: str

    @property
    def pair(self) -> tuple[str, str]:
        return (self.cert, self.key)


def written(directory: Path, made: Made, *above: Made) -> Files:
    name = f"{made[0].serial_number:x}"
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    cert.write_bytes(b"".join(each[0].public_bytes(Encoding.PEM) for each in (made, *above)))
    key.write_bytes(made[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Files(str(cert), str(key))


ROOT = authority("conformance root", **SPAN)
MIDDLE = authority("conformance middle", ROOT, **SPAN)
PEM = ROOT[0].public_bytes(Encoding.PEM).decode()


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh cert mount whose role `web` trusts the root."""
    client.sys.enable_auth_method("cert", path=name)
    client.auth.cert.create_ca_certificate_role("web", certificate=PEM, token_policies=["web"], mount_point=name)
    yield name
    client.sys.disable_auth_method(name)


@pytest.fixture
def web(tmp_path: Path) -> Files:
    """A client of an intermediate, which it presents too."""
    return written(tmp_path, issue("web.example", MIDDLE, [alternatives(DNS("web.example"))], **SPAN), MIDDLE)


def test_a_role_is_read_back_as_written(client: hvac.Client, mount: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(PEM)
    made = client.auth.cert.create_ca_certificate_role(
        "full",
        certificate_file=str(tmp_path / "ca.pem"),
        allowed_common_names=["a*", "b"],
        allowed_dns_sans="*.example",
        display_name="shown",
        token_ttl="10m",
        token_policies=["p"],
        mount_point=mount,
    )
    assert made.status_code == 204
    data = client.auth.cert.read_ca_certificate_role("full", mount_point=mount)["data"]
    assert data["certificate"] == PEM and data["allowed_common_names"] == ["a*", "b"] and data["allowed_dns_sans"] == ["*.example"]
    assert (data["display_name"], data["token_ttl"], data["token_policies"]) == ("shown", 600, ["p"])


def test_roles_are_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    assert client.auth.cert.list_certificate_roles(mount_point=mount)["data"]["keys"] == ["web"]
    assert client.auth.cert.delete_certificate_role("web", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.cert.list_certificate_roles(mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.cert.read_ca_certificate_role("web", mount_point=mount)


def test_a_client_logs_in_with_its_certificate(server: Running, mount: str, web: Files) -> None:
    own = server.client("")
    auth = own.auth.cert.login(cert_pem=web.cert, key_pem=web.key, mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "web"] and auth["metadata"]["common_name"] == "web.example"
    assert auth["metadata"]["cert_name"] == "web"
    assert own.auth.token.lookup_self()["data"]["display_name"] == f"{mount}-web"


def test_the_role_can_be_named(server: Running, client: hvac.Client, mount: str, web: Files) -> None:
    client.auth.cert.create_ca_certificate_role("api", certificate=PEM, allowed_common_names="api.*", mount_point=mount)
    own = server.client("")
    own.auth.cert.login("web", cert_pem=web.cert, key_pem=web.key, mount_point=mount)
    with pytest.raises(exceptions.InvalidRequest, match="no chain matching all constraints could be found"):
        own.auth.cert.login("api", cert_pem=web.cert, key_pem=web.key, mount_point=mount)


def test_a_certificate_offered_on_every_connection_logs_in_and_renews(server: Running, client: hvac.Client, mount: str, web: Files) -> None:
    own = hvac.Client(url=server.address, cert=web.pair, verify=str(server.ca))
    own.login(f"/v1/auth/{mount}/login", json={"name": "web"})
    assert own.auth.token.renew_self()["auth"]["client_token"] == own.token
    without = server.client(own.token)
    with pytest.raises(exceptions.InvalidRequest, match="client certificate must be supplied"):
        without.auth.token.renew_self()
    assert client.auth.cert.configure_tls_certificate(mount_point=mount, disable_binding=True).status_code == 204
    assert without.auth.token.renew_self()["auth"]["client_token"] == own.token


def test_without_a_certificate_or_with_a_strange_one_there_is_no_token(server: Running, mount: str, tmp_path: Path) -> None:
    with pytest.raises(exceptions.InvalidRequest, match="client certificate must be supplied"):
        server.client("").write(f"auth/{mount}/login")
    stranger = written(tmp_path, issue("web.example", None, of="stranger", **SPAN))
    with pytest.raises(exceptions.InvalidRequest, match="invalid certificate or no client certificate supplied"):
        server.client("").auth.cert.login(cert_pem=stranger.cert, key_pem=stranger.key, mount_point=mount)
    ended = written(tmp_path, issue("web.example", ROOT, begins=SPAN["begins"], ends=NOW - dt.timedelta(seconds=5)))
    with pytest.raises(exceptions.InvalidRequest, match="failed to verify client's certificate: it has expired"):
        server.client("").auth.cert.login(cert_pem=ended.cert, key_pem=ended.key, mount_point=mount)


def test_one_session_with_a_certificate_gives_nothing_to_the_next_without(server: Running, mount: str, web: Files) -> None:
    """T11.3, through a whole server: sessions are not resumed, so a certificate does not outlive its connection."""
    url = f"{server.address}/v1/auth/{mount}/login"
    assert requests.post(url, json={}, verify=str(server.ca), cert=web.pair, timeout=10).status_code == 200
    assert requests.post(url, json={}, verify=str(server.ca), timeout=10).status_code == 400


def test_a_revoked_certificate_is_refused_at_once(server: Running, client: hvac.Client, mount: str, tmp_path: Path) -> None:
    made = issue("web.example", ROOT, serial=4_711, **SPAN)
    files = written(tmp_path, made)
    server.client("").auth.cert.login(cert_pem=files.cert, key_pem=files.key, mount_point=mount)
    crl = revocations(ROOT, 4_711, issued=NOW, ends=NOW + dt.timedelta(days=1)).decode()
    client.write(f"auth/{mount}/crls/root", crl=crl)
    with pytest.raises(exceptions.InvalidRequest, match="revoked"):
        server.client("").auth.cert.login(cert_pem=files.cert, key_pem=files.key, mount_point=mount)


def test_lists_are_fetched_and_responders_asked_by_the_running_server(
    server: Running, client: hvac.Client, mount: str, tmp_path: Path
) -> None:
    made = issue("web.example", ROOT, serial=815, **SPAN)
    files = written(tmp_path, made)
    status = ocsp.OCSPCertStatus.GOOD

    def log_in() -> None:
        server.client("").auth.cert.login(cert_pem=files.cert, key_pem=files.key, mount_point=mount)

    def listed(_asked: bytes) -> tuple[int, bytes]:
        return 200, revocations(ROOT, issued=NOW, ends=NOW + dt.timedelta(days=1))

    def answered(asked: bytes) -> tuple[int, bytes]:
        assert ocsp.load_der_ocsp_request(asked).serial_number == 815
        signer = ROOT[1]
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        gone = NOW if status is ocsp.OCSPCertStatus.REVOKED else None
        builder = ocsp.OCSPResponseBuilder().responder_id(ocsp.OCSPResponderEncoding.HASH, ROOT[0])
        builder = builder.add_response(made[0], ROOT[0], hashes.SHA1(), status, NOW, NOW + dt.timedelta(hours=1), gone, None)
        return 200, builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)

    with answering(listed) as place, answering(answered) as responder:
        client.write(f"auth/{mount}/crls/root", url=place.url)
        client.write(f"auth/{mount}/certs/web", ocsp_enabled=True, ocsp_servers_override=responder.url)
        log_in()
        assert (len(place.asked), len(responder.asked)) == (1, 1)
        status = ocsp.OCSPCertStatus.REVOKED
        client.write(f"auth/{mount}/certs/web", ocsp_this_update_max_age="30m")
        with pytest.raises(exceptions.InvalidRequest, match="it is revoked"):
            log_in()


def test_the_command_line_logs_in_with_a_certificate(server: Running, mount: str, web: Files) -> None:
    words = ["login", "-method=cert", f"-path={mount}", "-token-only", "name=web"]
    variables = {"VAULT_CLIENT_CERT": web.cert, "VAULT_CLIENT_KEY": web.key}
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *words], env=server.environment() | variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert server.client(done.stdout.strip()).is_authenticated()
