"""FreeRADIUS on loopback, on a configuration of its own: users from a file, PAP, one client. The real thing, from Debian's package."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.waiting import until

SECRET: Final = "a-long-shared-secret-of-the-tests"
PROGRAM: Final = shutil.which("freeradius", path="/usr/sbin:/usr/bin") or shutil.which("radiusd", path="/usr/sbin:/usr/bin")

CONFIG: Final = """\
prefix = /usr
name = freeradius
raddbdir = {directory}
logdir = {directory}
run_dir = {directory}
pidfile = {directory}/pid
libdir = /usr/lib/freeradius
correct_escapes = true
security {{
  allow_core_dumps = no
  max_attributes = 200
  reject_delay = 0
  status_server = no
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {secret}
  require_message_authenticator = yes
}}
modules {{
  pap {{
  }}
  files {{
    filename = {directory}/users
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
  }}
  authorize {{
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
  }}
  post-auth {{
    {message_authenticator}
    Post-Auth-Type REJECT {{
      {message_authenticator}
    }}
  }}
}}
"""

MESSAGE_AUTHENTICATOR: Final = "update reply {\n Message-Authenticator := 0x00\n }"
"""What makes a server from before 2024 send it; newer ones do by themselves."""


class Radius(NamedTuple):
    """A server that answers."""

    port: int
    secret: str


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def freeradius(directory: Path, users: dict[str, str], *, signing: bool = True) -> Iterator[Radius]:
    """A server until the block ends. Without `signing` its answers are as before BlastRADIUS was known."""
    assert PROGRAM is not None, "freeradius is not installed; apt-get install freeradius"
    port = free_port()
    signs = MESSAGE_AUTHENTICATOR if signing else ""
    config = CONFIG.format(directory=directory, secret=SECRET, port=port, message_authenticator=signs)
    (directory / "radiusd.conf").write_text(config)
    (directory / "users").write_text("".join(f'{name} Cleartext-Password := "{password}"\n\n' for name, password in users.items()))
    with (directory / "output").open("wb") as output:
        words = [PROGRAM, "-f", "-d", str(directory), "-n", "radiusd", "-l", "stdout"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_ready(process, directory / "output")
        yield Radius(port, SECRET)
    finally:
        process.terminate()
        process.wait(10)


def _wait_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    said = lambda: output.read_text(errors="replace")  # noqa: E731 — looked at twice
    until(lambda: "Ready to process requests" in said() or process.poll() is not None, 20, said)
    assert process.poll() is None, said()
