"""`strongroom login`, `agent` and `ci setup` as processes of their own against a real server, and a real provider where one is needed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running, free_port
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, fetch, oidc_provider

SECONDS = 30


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("issuer")) as made:
        yield made


def command(server: Running, home: Path, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `strongroom …` with a home of its own."""
    environment = {**server.environment(), "HOME": str(home), **variables}
    line = [sys.executable, "-m", "strongroom", *words]
    return subprocess.run(line, env=environment, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


# -- agent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-65"])
def test_an_agent_enrols_logs_in_rotates_and_is_revoked(server: Running, client: hvac.Client, name: str, tmp_path: Path, kind: str) -> None:
    client.sys.enable_auth_method("agent", path=name)
    client.write(f"auth/{name}/role/web", token_policies="default")
    token = client.write(f"auth/{name}/role/web/enrol-token", agent="web-1")["data"]["enrol_token"]
    key = tmp_path / "web-1.key"
    words = ("agent", "enrol", f"-path={name}", "-name=web-1", f"-key-file={key}", f"-key-type={kind}", "-")
    assert command(server, tmp_path, *words, stdin=token + "\n", VAULT_TOKEN="").returncode == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = command(server, tmp_path, *words[:-3], f"-key-file={tmp_path / 'second'}", "-", stdin=token)
    assert again.returncode == 2 and "invalid enrolment token" in again.stderr and token not in again.stderr + again.stdout

    def login() -> subprocess.CompletedProcess[str]:
        return command(server, tmp_path, "login", "-method=agent", "-token-only", f"key_file={key}", VAULT_TOKEN="")

    first = login().stdout
    assert server.client(first).auth.token.lookup_self()["data"]["meta"] == {"agent": "web-1", "role": "web"}
    before = key.read_text()
    assert command(server, tmp_path, "agent", "rotate", f"-key-file={key}", VAULT_TOKEN="").returncode == 0
    assert key.read_text() != before
    second = login().stdout
    assert server.client(second).is_authenticated()
    client.write(f"auth/{name}/agents/web-1/revoke")
    for ended in (first, second):
        with pytest.raises(exceptions.Forbidden):
            server.client(ended).auth.token.lookup_self()
    refused = login()
    assert refused.returncode == 2 and "invalid agent, challenge or signature" in refused.stderr
    assert any("web-1: the agent was revoked" in file.read_text() for file in server.directory.glob("audit*.log*"))


# -- a browser ------------------------------------------------------------------------------------------------------


def test_a_person_logs_in_in_a_browser(server: Running, client: hvac.Client, name: str, tmp_path: Path, provider: Provider) -> None:
    port = free_port()
    redirect = f"http://localhost:{port}/oidc/callback"
    provider.redirect_uris = [redirect]
    client.sys.enable_auth_method("oidc", path=name)
    settings = {"oidc_discovery_url": provider.issuer, "oidc_discovery_ca_pem": provider.ca_pem}
    client.write(f"auth/{name}/config", oidc_client_id=CLIENT_ID, oidc_client_secret=CLIENT_SECRET, default_role="staff", **settings)
    client.write(f"auth/{name}/role/staff", role_type="oidc", user_claim="sub", allowed_redirect_uris=[redirect], token_policies="default")
    words = ("login", "-method=oidc", f"-path={name}", "skip_browser=true", f"port={port}")
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom", *words],
        env={**server.environment(), "HOME": str(tmp_path), "VAULT_TOKEN": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.findall(r"https://\S+", line)))
        status, location, _ = fetch(address, provider.ca_pem)
        assert status == 302 and location.startswith(redirect)
        with urllib.request.urlopen(location.replace("localhost", "127.0.0.1"), timeout=SECONDS) as page:
            assert b"Logged in" in page.read()
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.communicate()
    token = (tmp_path / ".vault-token").read_text()
    assert server.client(token).auth.token.lookup_self()["data"]["display_name"] == f"{name}-user-1"


# -- CI -------------------------------------------------------------------------------------------------------------

GITHUB = {"repository": "acme/shop", "repository_owner_id": "42", "ref": "refs/heads/main", "environment": "prod"}
GITLAB = {"project_path": "acme/shop", "namespace_id": "42", "ref": "main", "environment": "prod"}


@pytest.mark.parametrize(("kind", "claims"), [("github", GITHUB), ("gitlab", GITLAB)])
def test_a_ci_system_is_set_up_for_one_repository(
    server: Running, client: hvac.Client, name: str, v2_mount: str, tmp_path: Path, provider: Provider, kind: str, claims: dict[str, str]
) -> None:
    client.secrets.kv.v2.create_or_update_secret("shop/prod", {"password": "correct-horse"}, mount_point=v2_mount)
    client.secrets.kv.v2.create_or_update_secret("other", {"password": "hidden"}, mount_point=v2_mount)
    (tmp_path / "ca.pem").write_text(provider.ca_pem)
    bound = ("-repo=acme/shop", f"-ref={claims['ref']}", "-environment=prod", "-owner-id=42")
    flags = (*bound, f"-secret={v2_mount}/shop/prod", f"-path={name}")
    issuer = (f"-issuer={provider.issuer}", f"-issuer-ca={tmp_path / 'ca.pem'}")
    shown = command(server, tmp_path, "ci", "setup", kind, *flags, *issuer)
    assert shown.returncode == 0 and f"{name}/" not in client.sys.list_auth_methods()["data"], "without -apply nothing is written"
    for _ in range(2):  # setting it up again changes nothing
        assert command(server, tmp_path, "ci", "setup", kind, "-apply", *flags, *issuer).returncode == 0

    def login(**changes: Any) -> subprocess.CompletedProcess[str]:
        token = provider.token(**{"aud": server.address, "sub": "job", **claims, **changes})
        words = ("login", "-method=jwt", f"-path={name}", "-token-only", "role=acme-shop", "jwt=-")
        return command(server, tmp_path, *words, stdin=token, VAULT_TOKEN="")

    own = server.client(login().stdout)
    assert own.read(f"{v2_mount}/data/shop/prod")["data"]["data"] == {"password": "correct-horse"}
    with pytest.raises(exceptions.Forbidden):
        own.read(f"{v2_mount}/data/other")
    repository, owner = list(claims)[:2]
    foreign: list[dict[str, Any]] = [
        {repository: "acme/shop-fork"},
        {repository: "mallory/shop"},
        {repository: "ACME/shop"},
        {owner: "43"},
        {"ref": "refs/pull/7/merge"},
        {"environment": None},
        {"environment": "staging"},
        {"aud": "https://another.example.com"},
        {"aud": None},
        {"iss": "https://issuer.example.com"},
        {"exp": 1},
    ]
    for changes in foreign:
        refused = login(**changes)
        assert refused.returncode == 2 and refused.stdout == "", changes


def test_the_commands_leave_no_secret_in_arguments_or_files(server: Running, client: hvac.Client, name: str, tmp_path: Path) -> None:
    """A password that is typed at a pipe is neither kept nor printed."""
    client.sys.enable_auth_method("userpass", path=name)
    client.auth.userpass.create_or_update_user("ada", "correct-horse", mount_point=name)
    done = command(server, tmp_path, "login", "-method=userpass", f"-path={name}", "username=ada", stdin="correct-horse\n", VAULT_TOKEN="")
    assert done.returncode == 0 and "correct-horse" not in done.stdout + done.stderr
    assert [entry.name for entry in os.scandir(tmp_path)] == [".vault-token"]
