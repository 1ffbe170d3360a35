"""Real server processes for the conformance tests: `python -m strongroom …` in a directory of its own, reached over loopback.

Rules of this file:
- A server is a child process started as a user starts it; nothing of it is imported here but what makes its certificate.
- Its environment holds no VAULT_* or STRONGROOM_* variable of the machine, and its home is a temporary directory.
- It counts as ready when its port accepts; a process that ends before that fails the test with its own output.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import hvac

from tests.support.waiting import listening, until

SOURCE: Final = Path(__file__).resolve().parents[2] / "src"
START_SECONDS: Final = 30.0
"""Far above what a start takes (half a second), for machines that do much else."""

CONFIG: Final = """
{storage}
listener "tcp" {{
  address       = "{address}"
  tls_cert_file = "{certificates.cert}"
  tls_key_file  = "{certificates.key}"
  disable_unauthed_rekey_endpoints         = false
  disable_unauthed_generate_root_endpoints = false
}}
audit "file" "file" {{ options = {{ file_path = "{directory}/audit.log" }} }}
audit_directory                 = "{directory}/audit"
unsafe_allow_api_audit_creation = true
cluster_name                    = "conformance"
api_addr                        = "https://{address}"
"""


class Running:
    """A server process and how to reach it."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, directory: Path, ca: Path | None) -> None:
        self.process = process
        self.address = address
        self.directory = directory
        self.ca = ca
        self.root_token = ""
        self.keys: list[str] = []

    def client(self, token: str | None = None) -> hvac.Client:
        """An unmodified hvac client; without a token of its own it has the root token."""
        verify = str(self.ca) if self.ca else True
        return hvac.Client(url=self.address, token=self.root_token if token is None else token, verify=verify)

    def output(self) -> str:
        """What the process printed and logged so far."""
        return (self.directory / "output").read_text(encoding="utf-8")

    def await_output(self, text: str) -> None:
        """Wait until it printed a text."""
        until(lambda: text in self.output(), START_SECONDS, lambda: f"the server did not print {text!r}:\n{self.output()}", every=0.02)

    def environment(self) -> dict[str, str]:
        """Variables for a command-line client of this server."""
        trust = {"VAULT_CACERT": str(self.ca)} if self.ca else {}
        return {**clean_environment(self.directory), "VAULT_ADDR": self.address, "VAULT_TOKEN": self.root_token, **trust}

    def stop(self) -> int:
        """End it as an init system does, and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def clean_environment(home: Path) -> dict[str, str]:
    """An environment that finds the source tree and nothing else of ours."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "HOME": str(home), "LANG": "C.UTF-8"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    words: list[str], port: int, directory: Path, *, tls: Path | None, variables: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run `strongroom …` until the block ends. `tls` is the CA file that will have signed its certificate."""
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", *words],
            env={**clean_environment(directory), **(variables or {})},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Running(process, f"{'https' if tls else 'http'}://127.0.0.1:{port}", directory, tls)
    try:
        _wait_ready(server, port)
        yield server
    finally:
        server.stop()


def _wait_ready(server: Running, port: int) -> None:
    ended = lambda: server.process.poll() is not None  # noqa: E731 — looked at twice
    until(lambda: listening(port) or ended(), START_SECONDS, lambda: f"the server does not listen:\n{server.output()}", every=0.02)
    assert not ended(), f"the server ended at once:\n{server.output()}"
