"""What the pages tell people to paste works as pasted, in the page's order, against a server made as the page says.

Rules of this file:
- Commands run in bash with a home of their own; `strongroom` and `python` are those of the environment under test.
- The README is run from `strongroom up` on: what `make up` adds to that is tried by hand and by CI's clean clones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import configured
from tests.conformance.server import Running, clean_environment, free_port, running
from tests.conformance.test_up_and_dev import printed
from tests.docs.pages import DOCS, blocks, script
from tests.lint.source import ROOT

ON_UP = [
    "agent.md",
    "approle.md",
    "audit.md",
    "identity.md",
    "cert.md",
    "kv.md",
    "login.md",
    "policies.md",
    "tokens.md",
    "userpass.md",
    "wrapping.md",
    "operations.md",
    "offline-checks.md",
    "snapshots.md",
]
"""Pages whose commands are for a server of `strongroom up` with `secret/` mounted."""

PLAIN = ["auth-methods.md", "testing.md"]
"""Pages that need no server."""

WITH_STAND_INS = [
    "kubernetes.md",
    "aws.md",
    "github.md",
    "okta.md",
    "ldap.md",
    "radius.md",
    "jwt.md",
    "oidc.md",
    "ci.md",
    "azure.md",
    "gcp.md",
]
"""Pages that tests/docs/test_outside_logins.py and test_issuers.py run, with a stand-in for another host."""


def programs(directory: Path) -> Path:
    """A directory to go first on PATH: `strongroom` and `python` of this environment."""
    made = directory / "programs"
    if not made.exists():
        made.mkdir()
        for name, words in (("strongroom", "-m strongroom"), ("python", "")):
            (made / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (made / name).chmod(0o755)
    return made


def run(text: str, directory: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script; it must succeed."""
    environment = {**clean_environment(directory), **variables}
    environment["PATH"] = f"{programs(directory)}:{environment['PATH']}"
    done = subprocess.run(["bash", "-c", text], cwd=directory, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def up(home: Path) -> Iterator[Running]:
    """`strongroom up` in a home of its own."""
    port, data = free_port(), home / ".local" / "share" / "strongroom"
    with running(["up", f"-port={port}"], port, home, tls=data / "ca.pem") as server:
        server.root_token = printed(server, "Root token")
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    """A server that nobody has used."""
    yield from up(tmp_path)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all pages of concepts; each uses names of its own."""
    for server in up(tmp_path_factory.mktemp("pages")):
        server.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        yield server


def test_the_first_secret_of_the_readme_is_stored_and_read_as_pasted(fresh: Running) -> None:
    text = script(ROOT / "README.md")
    setting_up, _, rest = text.partition("export VAULT_ADDR")
    assert "make up" in setting_up and rest
    pasted = "set -euo pipefail\nexport VAULT_ADDR" + rest
    assert "https://127.0.0.1:8200" in pasted and "srs_…" in pasted
    pasted = pasted.replace("https://127.0.0.1:8200", fresh.address).replace("srs_…", fresh.root_token)
    assert run(pasted, fresh.directory, {}).stdout.count("correct-horse") >= 3


def test_what_up_prints_to_be_pasted_works(fresh: Running) -> None:
    pasted = fresh.output().partition("Paste this")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert "strongroom kv get" in pasted
    assert "change-me" in run(f"set -e\n{pasted}", fresh.directory, {}).stdout


@pytest.mark.parametrize("page", ON_UP)
def test_a_page_can_be_pasted(page: str, used: Running) -> None:
    run(script(DOCS / page), used.directory, {name: value for name, value in used.environment().items() if name.startswith("VAULT_")})


@pytest.mark.parametrize("page", PLAIN)
def test_a_page_without_a_server_can_be_pasted(page: str, tmp_path: Path) -> None:
    run(script(DOCS / page), tmp_path, {})


def test_the_ceremonies_can_be_pasted(tmp_path: Path) -> None:
    with configured(tmp_path) as server:
        run(script(DOCS / "seals.md"), tmp_path, {"VAULT_ADDR": server.address, "VAULT_CACERT": str(server.ca)})


def test_every_page_with_commands_is_run() -> None:
    run_here = {*ON_UP, *PLAIN, *WITH_STAND_INS, "seals.md"}
    with_commands = {page.name for page in DOCS.glob("*.md") if "export" in script(page) or len(script(page)) > len("set -euo pipefail")}
    assert with_commands <= run_here


def test_a_restored_backup_stays_sealed_until_its_holders_accept_it(tmp_path: Path) -> None:
    """As docs/operations.md says it: the backup of a serving store, writes after it, then the backup in the store's place."""
    data = tmp_path / ".local" / "share" / "strongroom"
    saving = next(text for language, text in blocks(DOCS / "operations.md") if language == "sh" and "backup.snap" in text)
    for server in up(tmp_path):
        variables = {name: value for name, value in server.environment().items() if name.startswith("VAULT_")}
        keys = [printed(server, f"Recovery key {number}") for number in (1, 2, 3)]
        client = server.client()
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        client.secrets.kv.v2.create_or_update_secret("before", {"a": "b"})
        run(saving, tmp_path, variables)
        client.secrets.kv.v2.create_or_update_secret("after", {"a": "b"})
    assert "accept_rollback=true" in run("strongroom operator snapshot restore backup.snap", tmp_path, {}).stdout
    port = free_port()
    with running(["up", f"-port={port}"], port, tmp_path, tls=data / "ca.pem") as server:
        variables["VAULT_ADDR"] = server.address
        assert server.client(token="").sys.is_sealed()
        for key in keys:
            run(f"printf %s '{key}' | strongroom write sys/unseal key=- accept_rollback=true", tmp_path, variables)
        client = server.client(variables["VAULT_TOKEN"])
        assert client.secrets.kv.v2.list_secrets("")["data"]["keys"] == ["before"]
    assert run("strongroom operator scrub", tmp_path, {}).stdout.endswith("\nintact\n")


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory near the root: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def test_without_any_token_a_quorum_makes_a_root_token_over_a_socket(short: Path) -> None:
    """As docs/seals.md says it, for a server of `up` whose last root token was revoked."""
    tmp_path = short
    data = tmp_path / ".local" / "share" / "strongroom"
    for server in up(tmp_path):
        keys = [printed(server, f"Recovery key {number}") for number in (1, 2, 3)]
        server.client().auth.token.revoke_self()
    text = next(text for language, text in blocks(DOCS / "seals.md") if language == "hcl" and "ceremony.sock" in text)
    config = tmp_path / "ceremony.hcl"
    port = free_port()
    plain = f'listener "tcp" {{ address = "127.0.0.1:{port}"\n tls_disable = true }}\n'  # for the harness to know that it serves
    config.write_text(plain + text.replace("/home/you/.local/share/strongroom", str(data)))
    with running(["server", f"-config={config}"], port, tmp_path, tls=None):
        variables = {"VAULT_ADDR": f"unix://{data}/ceremony.sock"}
        command = "strongroom operator generate-root"
        otp = json.loads(run(f"{command} -init -format=json", tmp_path, variables).stdout)["otp"]
        for key in keys:
            made = run(f"printf %s '{key}' | {command} -format=json -", tmp_path, variables).stdout
        token = run(f"{command} -decode='{json.loads(made)['encoded_token']}' -otp='{otp}'", tmp_path, variables).stdout.strip()
        assert "[root]" in run("strongroom token lookup", tmp_path, {**variables, "VAULT_TOKEN": token}).stdout
