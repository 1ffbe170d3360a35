"""Shares and root tokens for PGP keys as users have them: hvac, the command line and GnuPG against a fresh server."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import configured
from tests.conformance.server import SOURCE, Running

NAMES = ("ann", "ben", "cy")


class Keyring:
    """GnuPG with three key pairs."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home = home
        for name in NAMES:
            self.run("--quick-generate-key", name, "future-default", "default", "never")

    def run(self, *words: str, stdin: bytes = b"") -> bytes:
        line = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *words]
        return subprocess.run(line, input=stdin, capture_output=True, check=True, timeout=60).stdout

    def public(self, name: str) -> bytes:
        return self.run("--export", name)

    def fingerprint(self, name: str) -> str:
        lines = self.run("--list-keys", "--with-colons", name).splitlines()
        return next(line.split(b":")[9].decode().lower() for line in lines if line.startswith(b"fpr"))

    def read(self, message: str) -> str:
        return self.run("--decrypt", stdin=base64.b64decode(message)).decode()


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyring]:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    made = Keyring(tmp_path_factory.mktemp("gnupg") / "h")
    yield made
    subprocess.run(["gpgconf", "--homedir", str(made.home), "--kill", "all"], check=False, capture_output=True)


def test_hvac_hands_shares_to_the_holders_of_keys(keyring: Keyring, tmp_path: Path) -> None:
    keys = [base64.b64encode(keyring.public(name)).decode() for name in NAMES]
    fingerprints = [keyring.fingerprint(name) for name in NAMES]
    with configured(tmp_path) as server:
        client = server.client("")
        made = client.sys.initialize(3, 2, pgp_keys=keys, root_token_pgp_key=keys[0])
        assert [bytes.fromhex(key) for key in made["keys"]] == [base64.b64decode(key) for key in made["keys_base64"]]
        shares = [keyring.read(message) for message in made["keys_base64"]]
        assert client.sys.submit_unseal_keys(shares[:2])["sealed"] is False
        client.token = keyring.read(made["root_token"])
        assert client.is_authenticated()

        started = client.sys.start_rekey(3, 2, pgp_keys=keys, backup=True)
        assert (started["pgp_fingerprints"], started["backup"]) == (fingerprints, True)
        client.sys.rekey(shares[0], started["nonce"])
        done = client.sys.rekey(shares[2], started["nonce"])
        assert (done["complete"], done["pgp_fingerprints"], done["backup"]) == (True, fingerprints, True)
        renewed = [keyring.read(message) for message in done["keys_base64"]]
        backup = client.sys.read_backup_keys()["data"]
        assert backup["nonce"] == started["nonce"]
        assert backup["keys_base64"] == {name: [message] for name, message in zip(fingerprints, done["keys_base64"], strict=True)}
        assert client.read("sys/rekey/backup")["data"] == backup

        generation = client.sys.start_root_token_generation(pgp_key=keys[1])
        assert (generation["pgp_fingerprint"], generation["otp"]) == (fingerprints[1], "")
        client.sys.generate_root(renewed[0], generation["nonce"])
        token = keyring.read(client.sys.generate_root(renewed[1], generation["nonce"])["encoded_root_token"])
        assert server.client(token).lookup_token()["data"]["policies"] == ["root"]


def command(server: Running, home: Path, *words: str, token: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(SOURCE), "VAULT_ADDR": server.address}
    environment |= {"VAULT_CACERT": str(server.ca), "VAULT_TOKEN": token}
    line = [sys.executable, "-m", "strongroom", *words]
    return subprocess.run(line, env=environment, input=stdin, capture_output=True, text=True, timeout=60, cwd=home)


def test_the_command_line_takes_keys_as_gnupg_writes_them(keyring: Keyring, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "ann.asc").write_bytes(keyring.run("--armor", "--export", "ann"))
    (home / "ben.gpg").write_bytes(keyring.public("ben"))
    (home / "cy.b64").write_bytes(base64.encodebytes(keyring.public("cy")))
    (home / "secret.asc").write_bytes(keyring.run("--armor", "--export-secret-keys", "ann"))
    (home / "secret.gpg").write_bytes(keyring.run("--export-secret-keys", "ann"))
    with configured(tmp_path / "server") as server:
        init = ("operator", "init", "-key-shares=3", "-key-threshold=2", "-format=json")
        for wrong, said in (
            ("keybase:ann", "keybase names are not looked up"),
            ("secret.asc", "secret key, which was not sent"),
            ("secret.gpg", "secret key"),
        ):
            refused = command(server, home, *init, f"-pgp-keys={wrong},ben.gpg,cy.b64")
            assert refused.returncode != 0 and said in refused.stderr, refused
        done = command(server, home, *init, "-pgp-keys=ann.asc,ben.gpg,cy.b64", "-root-token-pgp-key=ann.asc")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        shares = [keyring.read(message) for message in made["unseal_keys_b64"]]
        token = keyring.read(made["root_token"])
        for share in shares[:2]:
            assert command(server, home, "operator", "unseal", "-", stdin=share).returncode == 0
        started = command(server, home, "operator", "rekey", "-init", "-n=1", "-t=1", "-pgp-keys=@ben.gpg", "-backup", token=token)
        assert keyring.fingerprint("ben") in started.stdout, started
        command(server, home, "operator", "rekey", "-", token=token, stdin=shares[0])
        finished = command(server, home, "operator", "rekey", "-", token=token, stdin=shares[1])
        first = finished.stdout.splitlines()[0]
        assert first.startswith(f"Key 1 fingerprint: {keyring.fingerprint('ben')}; value: "), finished
        backup = command(server, home, "operator", "rekey", "-backup-retrieve", "-format=json", token=token)
        assert first.rpartition(" ")[2] in backup.stdout
        assert command(server, home, "operator", "rekey", "-backup-delete", token=token).returncode == 0
        assert command(server, home, "operator", "rekey", "-backup-retrieve", token=token).returncode != 0
        assert len(keyring.read(first.rpartition(" ")[2])) == 64, "one share is the key itself"
