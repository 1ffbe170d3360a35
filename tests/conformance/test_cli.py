"""The project's own command line against real servers, a process a command: what a user types, end to end."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from strongroom.sinks.file import worker_paths
from tests.conformance.conftest import configured
from tests.conformance.server import Running, clean_environment


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output of `-format=json`."""
        return json.loads(self.out)


class Shell:
    """Runs `strongroom …` with the environment of a user of one server."""

    def __init__(self, server: Running, home: Path) -> None:
        self.variables = {**server.environment(), "HOME": str(home)}

    def __call__(self, line: str, stdin: str = "", code: int = 0) -> Done:
        """One command line, which must end with this code."""
        words = [word.replace("\0", " ") for word in line.split()]
        done = subprocess.run(
            [sys.executable, "-m", "strongroom", *words], env=self.variables, input=stdin, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(server: Running, tmp_path: Path) -> Shell:
    """A shell of the shared server's administrator."""
    return Shell(server, tmp_path)


def test_kv_put_get_patch_list_delete_undelete_destroy_rollback_metadata(shell: Shell, v2_mount: str) -> None:
    at = f"-mount={v2_mount} app/db"
    assert "version" in shell(f"kv put {at} user=admin password=change-me").out
    shell(f"kv put -cas=0 {at} user=x", code=2)
    shell(f"kv patch {at} password=changed")
    assert shell(f"kv get -field=password {at}").out.strip() == "changed"
    assert shell(f"kv get -format=json {at}").json["data"]["data"] == {"user": "admin", "password": "changed"}
    assert "change-me" in shell(f"kv get -version=1 {v2_mount}/app/db").out, "the older form of the path"
    assert shell(f"kv list {v2_mount}").out.split() == ["Keys", "----", "app/"]
    shell(f"kv delete {at}")
    assert "deletion_time" in shell(f"kv get {at}").out, "as vault does: the metadata, and no data"
    shell(f"kv undelete -versions=2 {at}")
    shell(f"kv rollback -version=1 {at}")
    assert shell(f"kv get -field=password {at}").out.strip() == "change-me"
    shell(f"kv destroy -versions=2 {at}")
    shell(f"kv metadata put -max-versions=7 -custom-metadata=owner=me {at}")
    metadata = shell(f"kv metadata get -format=json {at}").json["data"]
    assert (metadata["max_versions"], metadata["custom_metadata"]) == (7, {"owner": "me"})
    assert metadata["versions"]["2"]["destroyed"] is True and metadata["current_version"] == 3
    shell(f"kv metadata delete {at}")
    assert "No value found" in shell(f"kv get {at}", code=2).err


def test_kv_on_a_version_one_mount(shell: Shell, v1_mount: str) -> None:
    shell(f"kv put {v1_mount}/app a=b")
    assert shell(f"kv get -format=json {v1_mount}/app").json["data"] == {"a": "b"}
    shell(f"kv delete {v1_mount}/app")
    shell(f"kv get {v1_mount}/app", code=2)
    shell(f"kv put {v1_mount}/app c=d")
    shell(f"kv enable-versioning {v1_mount}")
    assert shell(f"kv get -format=json {v1_mount}/app").json["data"]["data"] == {"c": "d"}


def test_read_write_list_delete_and_help(shell: Shell, v1_mount: str) -> None:
    shell(f"write {v1_mount}/a one=1 two=@/dev/stdin", stdin="from stdin")
    assert shell(f"read -format=json {v1_mount}/a").json["data"] == {"one": "1", "two": "from stdin"}
    shell(f"write {v1_mount}/b -", stdin='{"n": 12345678901234567890}')
    assert '"n": 12345678901234567890' in shell(f"read -format=json {v1_mount}/b").out
    assert shell(f"list -format=json {v1_mount}").json == ["a", "b"]
    shell(f"delete {v1_mount}/a")
    assert "No value found" in shell(f"read {v1_mount}/a", code=2).err
    assert "## " in shell(f"path-help {v1_mount}").out
    assert "curl" in shell(f"read -output-curl-string {v1_mount}/b").out


def test_secrets_and_auth_and_audit(shell: Shell, server: Running, name: str) -> None:
    shell(f"secrets enable -path={name} -description=mine -version=2 kv")
    assert shell("secrets list -format=json").json[f"{name}/"]["description"] == "mine"
    shell(f"secrets tune -default-lease-ttl=1h {name}")
    assert shell("secrets list -format=json").json[f"{name}/"]["config"]["default_lease_ttl"] == 3600
    assert f"{name}/" in shell("secrets list -detailed").out
    shell(f"secrets move {name} {name}-moved")
    shell(f"secrets disable {name}-moved")
    assert name not in shell("secrets list").out
    shell(f"auth enable -path={name} userpass")
    shell(f"auth tune -default-lease-ttl=10m {name}")
    assert shell("auth list -format=json").json[f"{name}/"]["config"]["default_lease_ttl"] == 600
    shell(f"auth move auth/{name} auth/{name}-moved")
    shell(f"auth disable {name}-moved")
    shell(f"audit enable -path={name} file file_path={server.directory}/audit/{name}.log")
    assert f"{name}/" in shell("audit list -format=json").json
    shell(f"audit disable {name}")
    assert name not in shell("audit list").out


def test_login_token_and_policy(shell: Shell, name: str) -> None:
    shell(f"policy write {name} -", stdin='path "secret/a" { capabilities = ["read"] }')
    assert name in shell("policy list").out.split()
    assert "secret/a" in shell(f"policy read {name}").out
    shell(f"auth enable -path={name} userpass")
    shell(f"write auth/{name}/users/me password=secret-word policies={name}")
    del shell.variables["VAULT_TOKEN"]
    shell("token lookup", code=2)
    shell(f"login -method=userpass -path={name} username=me password=-", stdin="secret-word")
    assert shell("token lookup -format=json").json["data"]["policies"] == ["default", name]
    assert shell("token capabilities secret/a").out.strip() == "read"
    assert "permission denied" in shell("secrets list", code=2).err
    assert shell("token renew -increment=10m -format=json").json["auth"]["lease_duration"] == 600
    shell("token revoke -self")
    assert "permission denied" in shell("token lookup", code=2).err
    shell("login -", stdin="not-a-token\n", code=2)


def test_token_create_revoke_and_roles(shell: Shell, name: str) -> None:
    made = shell("token create -policy=default -ttl=1h -period=0 -display-name=mine -metadata=a=b -format=json").json["auth"]
    assert made["lease_duration"] == 3600 and made["metadata"] == {"a": "b"}
    assert shell(f"token lookup -accessor -format=json {made['accessor']}").json["data"]["display_name"] == "token-mine"
    shell(f"token revoke -accessor {made['accessor']}")
    shell(f"token lookup {made['client_token']}", code=2)
    shell(f"write auth/token/roles/{name} allowed_policies=default orphan=true")
    assert shell(f"token create -role={name} -field=token_policies").out
    batch = shell("token create -type=batch -orphan -policy=default -ttl=1m -field=token").out.strip()
    assert batch.startswith("srb_")


def test_wrapping_and_leases(shell: Shell, v1_mount: str, name: str) -> None:
    shell(f"kv put {v1_mount}/app a=b")
    token = shell(f"read -wrap-ttl=60s -field=wrapping_token {v1_mount}/app").out.strip()
    assert shell(f"unwrap -format=json {token}").json["data"] == {"a": "b"}
    assert "wrapping token is not valid or does not exist" in shell(f"unwrap {token}", code=2).err
    shell(f"auth enable -path={name} userpass")
    shell(f"write auth/{name}/users/me password=secret-word")
    shell(f"write auth/{name}/login/me password=secret-word")
    lease = f"auth/{name}/login/me/{shell(f'list -format=json sys/leases/lookup/auth/{name}/login/me').json[0]}"
    assert shell(f"lease lookup -format=json {lease}").json["data"]["id"] == lease
    shell(f"lease revoke {lease}")
    shell(f"lease lookup {lease}", code=2)
    shell(f"lease revoke -prefix auth/{name}")


def test_status_says_by_its_code_how_the_server_is(shell: Shell, tmp_path: Path) -> None:
    assert re.search(r"^Sealed +false$", shell("status").out, re.MULTILINE)
    shell.variables["VAULT_ADDR"] = "https://127.0.0.1:1"
    assert shell("status", code=1).err


@contextlib.contextmanager
def _custody(directory: Path) -> Iterator[tuple[Running, Shell]]:
    with configured(directory) as server:
        yield server, Shell(server, directory)


def test_operators_initialise_unseal_rekey_rotate_generate_a_root_token_and_seal(tmp_path: Path) -> None:
    with _custody(tmp_path) as (server, shell):
        del shell.variables["VAULT_TOKEN"]
        shell("operator init -status", code=2)
        made = shell("operator init -key-shares=3 -key-threshold=2 -format=json").json
        keys, root = made["unseal_keys_b64"], made["root_token"]
        assert shell("status -format=json", code=2).json["sealed"] is True
        assert "1/2" in shell("operator unseal", stdin=keys[0] + "\n").out
        assert shell(f"operator unseal -format=json {keys[1]}").json["sealed"] is False
        shell.variables["VAULT_TOKEN"] = root
        assert shell("status").code == 0

        term = shell("operator key-status -format=json").json["term"]
        shell("operator rotate")
        assert shell("operator key-status -format=json").json["term"] == term + 1

        shell("operator rekey -init -key-shares=1 -key-threshold=1")
        assert "1/2" in shell("operator rekey", stdin=keys[0] + "\n").out
        key = re.findall(r"^Key 1: (\S+)$", shell("operator rekey", stdin=keys[1] + "\n").out, re.MULTILINE)[0]

        started = shell("operator generate-root -init -format=json").json
        done = shell("operator generate-root -format=json -", stdin=key + "\n").json
        assert done["complete"] is True
        fresh = shell(f"operator generate-root -decode={done['encoded_token']} -otp={started['otp']}").out.strip()
        shell.variables["VAULT_TOKEN"] = fresh
        assert shell("token lookup -format=json").json["data"]["policies"] == ["root"]

        for _ in range(2):  # what is sealed is sealed already
            assert "Vault is sealed" in shell("operator seal").out
        assert "sealed" in shell("secrets list", code=2).err.lower()
        assert shell(f"operator unseal -format=json {key}").json["sealed"] is False
        assert all(root not in Path(log).read_text() for log in worker_paths(f"{tmp_path}/audit.log"))

        at, public = f"-config={tmp_path}/server.hcl", f"-public-key={tmp_path}/audit.pub"
        assert "intact" in shell(f"operator scrub {at}", stdin=key + "\n").out, "beside the running server too"
        server.stop()
        assert shell(f"operator scrub -format=json {at}", stdin=key + "\n").json["clean"] is True
        shell(f"operator scrub {at}", stdin="", code=1)
        assert "intact" in shell(f"audit verify -write-public-key={tmp_path}/audit.pub {at}", stdin=key + "\n").out
        logs = " ".join(worker_paths(f"{tmp_path}/audit.log"))
        assert shell(f"audit verify -format=json {public} {logs}").json["intact"] is True
        log = Path(logs.split()[-1])
        log.write_bytes(log.read_bytes().replace(b'"type":"response"', b'"type":"request"', 1))
        assert "NOT intact" in shell(f"audit verify {public} {logs}", code=2).out


def test_what_every_command_says_of_itself_needs_no_server(tmp_path: Path) -> None:
    for line in ("-help", "kv -help", "version"):
        done = subprocess.run(
            [sys.executable, "-m", "strongroom", *line.split()], env=clean_environment(tmp_path), capture_output=True, text=True
        )
        assert done.returncode == 0 and "strongroom" in done.stdout.lower(), line
