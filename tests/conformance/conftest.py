"""The servers that conformance tests talk to. Each starts once per session and only when a test asks for it.

Rules of this file:
- `server` is shared: a test mounts what it needs under a name of its own and leaves nothing that another one counts.
- `custodians` is a second one of the same kind for tests that seal, rekey or generate root tokens: they may change its keys and root token.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import hvac
import pytest

from strongroom.clock import SystemClock
from strongroom.server.certificates import make_authority
from tests.conformance.server import CONFIG, Running, free_port, running
from tests.support.postgres import fresh_database

_numbers = itertools.count(1)


def storage(directory: Path) -> str:
    """The store's stanza: the embedded one, or with STRONGROOM_TEST_STORAGE=postgresql a database of its own."""
    if os.environ.get("STRONGROOM_TEST_STORAGE") == "postgresql":
        return f'storage "postgresql" {{ connection_url = "{fresh_database()}" }}'
    return f'storage "sqlite" {{ path = "{directory}/store" }}'


@contextlib.contextmanager
def configured(directory: Path, variables: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A server from a configuration file: sqlite, own CA, TLS, file audit, the old key endpoints open. `variables` for its environment.

    Not initialised in a fresh directory; sealed, with all that it held, in one that was used before.
    """
    certificates = make_authority(directory / "tls", ["localhost"], ["127.0.0.1"], SystemClock().now())
    (directory / "audit").mkdir(exist_ok=True)
    port = free_port()
    config = directory / "server.hcl"
    config.write_text(
        CONFIG.format(storage=storage(directory), directory=directory, address=f"127.0.0.1:{port}", certificates=certificates)
    )
    with running(["server", f"-config={config}"], port, directory, tls=certificates.ca, variables=variables) as server:
        yield server


def open_up(server: Running) -> None:
    """Initialise with Shamir shares and unseal, through the API as an operator does."""
    client = server.client(token="")
    made = client.sys.initialize(secret_shares=5, secret_threshold=3)
    server.keys, server.root_token = made["keys_base64"], made["root_token"]
    assert not client.sys.submit_unseal_keys(server.keys[:3])["sealed"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The shared server, initialised and unsealed."""
    with configured(tmp_path_factory.mktemp("server")) as server:
        open_up(server)
        yield server


@pytest.fixture(scope="session")
def custodians(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose keys a test may change."""
    with configured(tmp_path_factory.mktemp("custodians")) as server:
        open_up(server)
        yield server


@pytest.fixture
def client(server: Running) -> hvac.Client:
    """hvac with the root token of the shared server."""
    return server.client()


@pytest.fixture
def name() -> str:
    """A name that no other test uses, for mounts, policies, roles and users."""
    return f"t{next(_numbers)}"


@pytest.fixture
def v2_mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh KV version 2 mount."""
    mount = f"{name}v2"
    client.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
    yield mount
    client.sys.disable_secrets_engine(mount)


@pytest.fixture
def v1_mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh KV version 1 mount."""
    mount = f"{name}v1"
    client.sys.enable_secrets_engine("kv", path=mount, options={"version": "1"})
    yield mount
    client.sys.disable_secrets_engine(mount)
