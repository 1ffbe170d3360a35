"""The real server as a process of its own, on a store in a directory, with a static seal so that restarts open by themselves.

Rules of this file:
- It is `python -m strongroom server -config=…`, with a plain and a TLS listener and a file audit device, unless a test says otherwise. It
  has one worker, which is that process, unless a test asks for more. Without `seal` key holders open it.
- Whatever is started is killed by its own id when the test ends; a server that dies on its own shows its output.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from strongroom.clock import SystemClock
from strongroom.server.certificates import Authority, make_authority
from tests.support.http import Client

ROOT = Path(__file__).resolve().parents[2]
SERVER = ("-m", "strongroom", "server")
START_SECONDS = 20.0

CONFIG = """\
{storage}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
  {listener}
}}
listener "tcp" {{
  address = "127.0.0.1:{tls_port}"
  tls_cert_file = "{tls}/server.pem"
  tls_key_file = "{tls}/server-key.pem"
}}
{seal}
{audit}
{extra}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process and what it needs; `start` may follow `kill` any number of times."""

    def __init__(
        self,
        directory: Path,
        *,
        entry: Sequence[str] = SERVER,
        listener: str = "",
        extra: str = "",
        audit: str | None = None,
        workers: int = 1,
        seal: bool = True,
        storage: str = "",
    ) -> None:
        self.workers = workers
        self.directory = directory
        self.store = directory / "store"
        self.audit = directory / "audit.log"
        self.log = directory / "server.log"
        self.seal_key = directory / "seal.key"
        self.entry = tuple(entry)
        self.port, self.tls_port = free_port(), free_port()
        self.token = self.recovery_key = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[Client] = []
        self.authority: Authority = make_authority(directory / "tls", ["localhost"], ["127.0.0.1"], SystemClock().now())
        self.seal_key.write_text(secrets.token_hex(32))
        self.seal_key.chmod(0o600)
        self.config = directory / "config.hcl"
        self.config.write_text(
            CONFIG.format(
                storage=storage or f'storage "sqlite" {{ path = "{self.store}" }}',
                port=self.port,
                tls_port=self.tls_port,
                tls=directory / "tls",
                seal=f'seal "static" {{ path = "{self.seal_key}" }}' if seal else "",
                audit=f'audit "file" "main" {{ file_path = "{self.audit}" }}' if audit is None else audit,
                listener=listener,
                extra=extra,
            )
        )

    # -- the process ---------------------------------------------------------------------------------------------

    def start(self, status: int = 200) -> float:
        """Start, and wait until sys/health says what it should; returns how long that took."""
        began, serving = time.monotonic(), self._servings()
        self.spawn()
        with Client(self.port, timeout=5) as client:
            while True:
                with contextlib.suppress(ConnectionError):
                    if client.read("sys/health").status == status and (self.workers == 1 or self._servings() > serving):
                        return time.monotonic() - began
                self._require(time.monotonic() - began < START_SECONDS, "it did not become ready")
                self._require(self.running, "it ended")
                time.sleep(0.01)

    def _servings(self) -> int:
        """How often it said that it serves, which several workers do when the last of them does."""
        return self.output().count("serving ") if self.log.exists() else 0

    def spawn(self) -> None:
        (self.directory / "tmp").mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "TMPDIR": str(self.directory / "tmp"),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.entry, f"-config={self.config}", f"-workers={self.workers}"],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            self.kill()
            raise AssertionError(f"the server: {what}\n{self.log.read_text(errors='replace')}")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """The processes of its workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self, seconds: float = 40) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def peak(self) -> int:
        """Most bytes of memory in use since it started."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1_024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))

    # -- talking to it -------------------------------------------------------------------------------------------

    def begin(self) -> Client:
        """First start: initialise and return root's client; `secret/` is KV version 2."""
        self.start(501)
        client = self.client()
        made = client.write("sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        assert made.status == 200, made
        self.token = client.token = made.json["root_token"]
        self.recovery_key = made.json["recovery_keys"][0]
        mounted = client.write("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        assert mounted.status == 204, mounted
        return client

    def client(self, token: str | None = None, *, tls: bool = False) -> Client:
        """A connection, as root unless told otherwise."""
        said = self.token if token is None else token
        made = Client(self.tls_port, said, self.tls_context()) if tls else Client(self.port, said)
        self.clients.append(made)
        return made

    def tls_context(self) -> ssl.SSLContext:
        return self.context_of(self.authority.ca)

    @staticmethod
    def context_of(authority: Path) -> ssl.SSLContext:
        """What a client uses that trusts this authority only."""
        return ssl.create_default_context(cafile=str(authority))

    def close(self) -> None:
        """End the process and every connection."""
        self.kill()
        for client in self.clients:
            client.close()

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@contextlib.contextmanager
def serving(directory: Path, **options: Any) -> Iterator[tuple[Server, Client]]:
    """A fresh, initialised server for the length of a test."""
    directory.mkdir(parents=True, exist_ok=True)
    server = Server(directory, **options)
    try:
        yield server, server.begin()
    finally:
        server.close()
