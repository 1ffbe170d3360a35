"""A real haproxy passes connections on with PROXY headers of both versions, before TLS: whom the server then takes a client for.

Clients are told apart by loopback addresses of their own. The address counts where it decides something: in the audit log, and for a token
that is bound to it.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.security.test_proxies import SEARCH, wait_for
from tests.support.http import request
from tests.support.server import Server, free_port, serving

CLIENT, SPOOFED = "127.0.0.7", "127.0.0.9"

LISTENERS = """
listener "tcp" {{
  address = "127.0.0.1:{trusting}"
  tls_cert_file = "{tls}/server.pem"
  tls_key_file = "{tls}/server-key.pem"
  proxy_protocol_behavior = "allow_authorized"
  proxy_protocol_authorized_addrs = "127.0.0.1"
}}
listener "tcp" {{
  address = "127.0.0.1:{naive}"
  tls_disable = true
  proxy_protocol_behavior = "use_always"
}}
"""

HAPROXY = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend one
  bind 127.0.0.1:{v1}
  default_backend one
backend one
  source 127.0.0.1
  server one 127.0.0.1:{to} send-proxy check-send-proxy
frontend two
  bind 127.0.0.1:{v2}
  default_backend two
backend two
  source 127.0.0.1
  server two 127.0.0.1:{to} send-proxy-v2 proxy-v2-options ssl,cert-cn,unique-id,authority check inter 200ms
"""


class Setup(NamedTuple):
    """The server, and the ports of its two listeners and of haproxy's two frontends."""

    server: Server
    trusting: int
    naive: int
    v1: int
    v2: int


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    program = shutil.which("haproxy", path=SEARCH)
    if program is None:
        pytest.skip("haproxy is not installed")
    directory = tmp_path_factory.mktemp("proxied")
    trusting, naive, v1, v2 = (free_port() for _ in range(4))
    extra = LISTENERS.format(trusting=trusting, naive=naive, tls=directory / "tls")
    (directory / "haproxy.cfg").write_text(HAPROXY.format(v1=v1, v2=v2, to=trusting))
    with serving(directory, extra=extra) as (server, _):
        process = subprocess.Popen(
            [program, "-db", "-f", str(directory / "haproxy.cfg")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(v1)
            wait_for(v2)
            yield Setup(server, trusting, naive, v1, v2)
        finally:
            process.terminate()
            process.wait(10)


def ask(server: Server, port: int, before: bytes = b"", token: str = "", source: str = CLIENT, *, tls: bool = True) -> int:
    """The status of a token's look at itself, over a connection from a client's address."""
    asking = request(b"GET", b"/v1/auth/token/lookup-self", None, {"X-Vault-Token": token or server.token})
    with socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0)) as plain:
        plain.sendall(before)
        client = server.tls_context().wrap_socket(plain, server_hostname="localhost") if tls else plain
        client.sendall(asking)
        answer = client.recv(65_536)
        if isinstance(client, ssl.SSLSocket):
            client.close()
    return int(answer.split(b" ", 2)[1])


def seen(audit: Path) -> str:
    """The address in the last request line."""
    lines = [line for line in audit.read_bytes().splitlines() if b'"type":"request"' in line]
    return str(json.loads(lines[-1])["request"]["remote_address"])


def bound_by_role(server: Server) -> str:
    """A token that works from SPOOFED only."""
    with server.client() as root:
        assert root.write("auth/token/roles/bound", {"token_bound_cidrs": [f"{SPOOFED}/32"]}).status == 204
        return str(root.write("auth/token/create/bound", {"policies": ["default"]}).json["auth"]["client_token"])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_behind_haproxy_the_client_is_the_one_that_connected_to_it(setup: Setup, version: str) -> None:
    assert ask(setup.server, getattr(setup, version)) == 200
    assert seen(setup.server.audit) == CLIENT


def test_haproxys_own_look_whether_we_live_is_its_own(setup: Setup) -> None:
    """It has been checking with LOCAL all the while; an unlisted client without a header is himself."""
    assert ask(setup.server, setup.trusting) == 200
    assert seen(setup.server.audit) == CLIENT


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_client_of_the_proxy_cannot_say_that_he_is_another(setup: Setup, version: str) -> None:
    """His header arrives behind haproxy's, where TLS should begin."""
    before = setup.server.audit.read_bytes()
    with pytest.raises((OSError, IndexError, ValueError)):
        ask(setup.server, getattr(setup, version), f"PROXY TCP4 {SPOOFED} 127.0.0.1 1 2\r\n".encode())
    assert setup.server.audit.read_bytes() == before


def test_a_token_bound_to_an_address_is_not_to_be_had_by_a_spoofed_header(setup: Setup) -> None:
    token = bound_by_role(setup.server)
    claim = f"PROXY TCP4 {SPOOFED} 127.0.0.1 4711 8200\r\n".encode()
    assert ask(setup.server, setup.trusting, claim, token) == 403
    with pytest.raises((OSError, IndexError, ValueError)):
        ask(setup.server, setup.trusting, claim.replace(b"4711", b"04711"), token)
    with setup.server.client() as root:
        assert b"strongroom_proxy_headers_refused_total 1.0" in root.read("sys/metrics?format=prometheus").body
    assert ask(setup.server, setup.v1, b"", token) == 403
    assert ask(setup.server, setup.v1, b"", token, source=SPOOFED) == 200, "the address itself works"
    assert ask(setup.server, setup.naive, claim, token, tls=False) == 200, "the control: where everybody is believed, the claim is"
