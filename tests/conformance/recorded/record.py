"""`python -m tests.conformance.recorded.record [name …]`: hold conversations with a real Vault and write its answers down.

Rules of this file:
- `$VAULT_BINARY` names the program (docs/decisions/150 says how one is built); each conversation has a server of its own.
- A conversation that begins at sys/init is held with a server that was given a configuration and is not initialised.
- With `--compare` nothing is written: strongroom is asked the same, and what differs is printed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

from tests.conformance.recorded.conversation import HERE, ROOT, Conversation, Step, differences, load, save
from tests.support.http import Client
from tests.support.server import free_port
from tests.support.waiting import listening, until

START_SECONDS: Final = 30.0


CONFIGURATION: Final = """
storage "inmem" {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
  disable_unauthed_rekey_endpoints = false
  disable_unauthed_generate_root_endpoints = false
}}
disable_mlock = true
"""
"""Vault says that it does not know the two switches, and goes on: there the endpoints are open."""


@contextlib.contextmanager
def development(program: list[str]) -> Iterator[Client]:
    """A server in its development mode, everything in memory, and a client of it."""
    port = free_port()
    options = ["-dev", f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
    with _started([*program, "server", *options], port, "secret/config") as client:
        yield client


@contextlib.contextmanager
def configured(program: list[str]) -> Iterator[Client]:
    """A server that is not initialised, everything in memory, and a client of it."""
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".hcl") as file:
        file.write(CONFIGURATION.format(port=port))
        file.flush()
        with _started([*program, "server", f"-config={file.name}"], port, "sys/init") as client:
            yield client


@contextlib.contextmanager
def _started(command: list[str], port: int, asked: str) -> Iterator[Client]:
    """A server and a client of it, once it answers what is asked."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Client(port) as client:
            until(lambda: _answers(client, port, asked), START_SECONDS, lambda: f"{command[0]} did not start", every=0.05)
            yield client
    finally:
        process.kill()
        process.wait()


def _answers(client: Client, port: int, asked: str) -> bool:
    return listening(port) and client.read(asked, token=ROOT).status == 200


def server(program: list[str], steps: list[Step]) -> contextlib.AbstractContextManager[Client]:
    """The server that a conversation is held with."""
    return configured(program) if steps[0].do.endswith(" sys/init") else development(program)


def held(program: list[str], steps: list[Step]) -> list[Step]:
    """The steps with the answers of a fresh server. Raises KeyError where an answer lacks what is to be kept."""
    with server(program, steps) as client:
        conversation = Conversation(client)
        for step in steps:
            step.answer = conversation.hold(step)
    return steps


def strays(steps: list[Step]) -> list[str]:
    """Where strongroom answers otherwise than it should."""
    found = []
    with server([sys.executable, "-m", "strongroom"], steps) as client:
        conversation = Conversation(client)
        for number, step in enumerate(steps):
            expected = step.ours.answer if step.ours else step.answer
            answer = conversation.hold(step)
            assert expected is not None, "this conversation was never recorded"
            lines = [
                *differences(expected.status, answer.status, "status"),
                *differences(expected.headers, answer.headers, "headers"),
                *differences(expected.body, answer.body, "body"),
            ]
            found += [f"{number}. {step.do}: {line}" for line in lines]
    return found


def main(names: list[str]) -> None:
    """Record, or compare."""
    compare = "--compare" in names
    for name in [name for name in names if name != "--compare"] or sorted(path.stem for path in HERE.glob("*.json")):
        path = HERE / f"{name}.json"
        steps = load(path)
        if compare:
            print("\n".join(strays(steps)) or f"{name}: nothing differs")
        else:
            save(path, held([os.environ["VAULT_BINARY"]], steps))


if __name__ == "__main__":
    main(sys.argv[1:])
