"""The example files of a cluster are taken by the programs that they are for, and a client gets through."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from strongroom.server.config import parse_config
from tests.support.http import Client
from tests.support.server import free_port, serving
from tests.support.waiting import until

EXAMPLES = Path(__file__).resolve().parents[2] / "packaging" / "examples"
PROXIED = 'proxy_protocol_behavior = "deny_unauthorized"\n  proxy_protocol_authorized_addrs = ["127.0.0.1"]'
NODES = ("node1", "node2", "node3")


def test_a_node_starts_from_the_example() -> None:
    config = parse_config((EXAMPLES / "node.hcl").read_text())
    assert not config.warnings
    assert (config.storage.kind, config.audit[0].kind, config.seals[0].kind) == ("postgresql", "file", "static")
    assert config.unauthenticated_metrics_access


def proxy_config(ca: Path, port: int, target: int) -> str:
    """The example with names and places of this machine; all nodes are one."""
    text = (
        (EXAMPLES / "haproxy.cfg")
        .read_text()
        .replace("/etc/haproxy/strongroom-ca.pem", str(ca))
        .replace("bind :8200", f"bind 127.0.0.1:{port}")
    )
    for name in NODES:
        text = text.replace(f"{name}.example.com:8200", f"127.0.0.1:{target}").replace(f"{name}.example.com", "localhost")
    return text


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
def test_clients_reach_an_open_node_through_the_proxy_and_a_sealed_one_gets_none(tmp_path: Path) -> None:
    with serving(tmp_path / "node") as (server, _):
        text = server.config.read_text()
        server.config.write_text(text.replace("  tls_cert_file", f"  {PROXIED}\n  tls_cert_file", 1))
        server.terminate()
        server.start()
        port = free_port()
        config = tmp_path / "haproxy.cfg"
        config.write_text(proxy_config(server.authority.ca, port, server.tls_port))
        proxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            through = Client(port, server.token, server.tls_context())
            until(lambda: reached(through) == 200, every=0.1)
            server.client().write("sys/seal", {})
            until(lambda: reached(through) is None, every=0.1)  # two failed checks take it out; nobody is left
        finally:
            proxy.terminate()
            proxy.wait(10)
            through.close()


def reached(client: Client) -> int | None:
    """The status of an answer over a new connection, None where there was no way through."""
    client.close()
    try:
        return client.read("sys/mounts").status
    except OSError:
        return None
