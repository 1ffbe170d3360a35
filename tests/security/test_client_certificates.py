"""T11.4 behind a real proxy: a client certificate counts where the operator says so, and a header from anybody else never does."""

from __future__ import annotations

import base64
import datetime as dt
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.security.test_proxies import SEARCH, wait_for
from tests.support.chains import Made, authority, issue
from tests.support.http import Client
from tests.support.server import Server, free_port, serving

PROXY = "127.0.0.2"
"""From where nginx connects; tests connect from 127.0.0.1, who is nobody."""

LISTENER = f"""
  x_forwarded_for_authorized_addrs = "{PROXY}"
  x_forwarded_for_reject_not_present = false
  x_forwarded_for_reject_not_authorized = false
  x_forwarded_for_client_cert_header = "X-Client-Cert"
  x_forwarded_for_client_cert_header_decoders = "URL,PEM"
"""

NGINX = """\
daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {tls}/server.pem; ssl_certificate_key {tls}/server-key.pem; ssl_verify_client optional_no_ca;
    location / {{
      proxy_pass http://127.0.0.1:{to}; proxy_bind {address}; proxy_http_version 1.1;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
    }}
  }}
}}
"""

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
SPAN: dict[str, Any] = {"begins": NOW - dt.timedelta(days=1), "ends": NOW + dt.timedelta(days=1)}
ROOT = authority("behind a proxy", **SPAN)
WEB = issue("web", ROOT, **SPAN)
LOGIN = "auth/cert/login"


def pem(made: Made) -> str:
    return made[0].public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("behind"), listener=LISTENER) as (server, root):
        assert root.write("sys/auth/cert", {"type": "cert"}).status == 204
        assert root.write("auth/cert/certs/web", {"certificate": pem(ROOT)}).status == 204
        yield server


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    program = shutil.which("nginx", path=SEARCH)
    if program is None:
        pytest.skip("nginx is not installed")
    directory, port = tmp_path_factory.mktemp("nginx"), free_port()
    tls = server.directory / "tls"
    (directory / "config").write_text(NGINX.format(directory=directory, port=port, to=server.port, tls=tls, address=PROXY))
    words = [program, "-p", str(directory), "-c", str(directory / "config")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def context(server: Server, directory: Path, made: Made | None) -> ssl.SSLContext:
    """A client's TLS, with a certificate or without."""
    found = server.tls_context()
    if made is not None:
        (directory / "cert.pem").write_text(pem(made))
        (directory / "key.pem").write_bytes(made[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        found.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return found


def log_in(port: int, tls: ssl.SSLContext | None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    with Client(port, "", tls) as client:
        reply = client.write(LOGIN, {}, **(headers or {}))
        return reply.status, str(reply.json.get("errors", ""))


def test_behind_the_proxy_the_clients_certificate_logs_in(server: Server, proxy: int, tmp_path: Path) -> None:
    assert log_in(proxy, context(server, tmp_path, WEB)) == (200, "")


def test_a_certificate_that_nobody_trusts_is_passed_on_and_refused(server: Server, proxy: int, tmp_path: Path) -> None:
    status, text = log_in(proxy, context(server, tmp_path, issue("web", None, of="stranger", **SPAN)))
    assert status == 400 and "invalid certificate" in text


def test_a_header_sent_through_the_proxy_is_replaced(server: Server, proxy: int, tmp_path: Path) -> None:
    status, text = log_in(proxy, context(server, tmp_path, None), {"X-Client-Cert": pem(WEB).replace("\n", "%0A")})
    assert status == 400 and "client certificate must be supplied" in text


@pytest.mark.parametrize("name", ["X-Client-Cert", "X-Tls-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "Client-Cert"])
def test_a_header_of_a_stranger_is_ignored(server: Server, name: str) -> None:
    written = pem(WEB).replace("\n", "%0A")
    sequence = f":{base64.b64encode(WEB[0].public_bytes(Encoding.DER)).decode()}:"
    for value in (written, sequence):
        status, text = log_in(server.port, None, {name: value, "X-Forwarded-For": PROXY})
        assert status == 400 and "client certificate must be supplied" in text
