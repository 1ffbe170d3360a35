"""Shares and root tokens encrypted to PGP keys: what holders get, they alone can read, and it opens the store."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.barrier.seals.static import Static
from strongroom.core.request import Operation
from strongroom.core.sealing.unsealing import submit
from strongroom.crypto import pgp
from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.testing.room import Strongroom
from tests.sys.test_lifecycle import bare, empty, init

pysequoia = pytest.importorskip("pysequoia")
READ, UPDATE, DELETE = Operation.READ, Operation.UPDATE, Operation.DELETE


class Holder:
    """Somebody with a key pair."""

    def __init__(self, name: str) -> None:
        self.secret = pysequoia.Tsk.generate(f"{name} <{name}@example.com>")
        self.public = self.secret.extract_certificate()
        self.fingerprint: str = self.public.fingerprint

    @property
    def key(self) -> str:
        """As clients send it."""
        return base64.b64encode(bytes(self.public)).decode()

    def read(self, message: bytes) -> str:
        return bytes(pysequoia.decrypt(message, decryptor=self.secret.decryptor()).bytes).decode()


HOLDERS = [Holder(name) for name in ("ann", "ben", "cy")]
KEYS = [holder.key for holder in HOLDERS]


def data(room: Strongroom, path: str, operation: Operation = UPDATE, **fields: Any) -> Any:
    return room.json(room.ask(operation, path, fields or None))


def read_all(made: Any, name: str = "keys") -> list[str]:
    """What the holders read, in both spellings."""
    spelled = [bytes.fromhex(text) for text in made[name]], [base64.b64decode(text) for text in made[f"{name}_base64"]]
    assert spelled[0] == spelled[1]
    return [holder.read(message) for holder, message in zip(HOLDERS, spelled[0], strict=True)]


# -- init ------------------------------------------------------------------------------------------------------------------


def test_shares_of_an_init_are_read_by_their_holders_alone_and_open_the_store() -> None:
    core = empty()
    made = init(core, secret_shares=3, secret_threshold=2, pgp_keys=KEYS, root_token_pgp_key=KEYS[0])
    shares = read_all(made)
    with pytest.raises(RuntimeError):
        HOLDERS[1].read(bytes.fromhex(made["keys"][0]))
    for share in shares[:2]:
        submit(core, share)
    assert not core.barrier.sealed
    assert HOLDERS[0].read(base64.b64decode(made["root_token"])).startswith("srs_")


def test_recovery_shares_are_encrypted_to_recovery_keys() -> None:
    core = empty()
    core.sealing.seals = (Static(bytes(32)),)
    made = init(core, recovery_shares=3, recovery_threshold=2, recovery_pgp_keys=KEYS)
    assert len({len(share) for share in read_all(made, "recovery_keys")}) == 1
    with pytest.raises(InvalidRequest, match="pgp_keys not applicable to seal type"):
        core = empty()
        core.sealing.seals = (Static(bytes(32)),)
        init(core, recovery_shares=3, recovery_threshold=2, pgp_keys=KEYS)


def unusable() -> dict[str, tuple[str, str]]:
    revoked = Holder("rev")
    gone = revoked.secret.extract_certificate()
    return {
        "not base64": ("!!!", "error decoding given PGP key"),
        "armor": (base64.b64encode(b"-----BEGIN PGP PUBLIC KEY BLOCK-----").decode(), "not a public key"),
        "a secret key": (base64.b64encode(_secret_bytes()).decode(), "not a public key"),
        "cut short": (base64.b64encode(bytes(gone)[:200]).decode(), "can be encrypted to"),
        "rubbish": (base64.b64encode(b"\xc6" + bytes(99)).decode(), "can be encrypted to"),
        "nothing": ("", "is empty"),
        "a name at keybase": ("keybase:somebody", "not looked up"),
        "too long": (base64.b64encode(bytes(300_000)).decode(), "longer than"),
    }


def _secret_bytes() -> bytes:
    text = str(Holder("sec").secret).split("\n\n", 1)[1].rsplit("\n=", 1)[0]
    return base64.b64decode("".join(text.split()))


UNUSABLE = unusable()


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_key_that_cannot_be_used_is_refused_before_anything_is_made(case: str) -> None:
    key, text = UNUSABLE[case]
    core = empty()
    with pytest.raises(InvalidRequest, match=text) as caught:
        init(core, secret_shares=3, secret_threshold=2, pgp_keys=[KEYS[0], key, KEYS[2]])
    assert "PGP key 2" in caught.value.messages[0] and "backtrace" not in str(caught.value)
    if key:
        with pytest.raises(InvalidRequest, match=text):
            init(core, secret_shares=1, secret_threshold=1, root_token_pgp_key=key)
    assert core.storage.scan(b"", b"\xff", -1) == []


def test_there_is_one_key_a_share() -> None:
    for keys in (KEYS[:2], [*KEYS, KEYS[0]]):
        with pytest.raises(InvalidRequest, match="incorrect number of PGP keys"):
            init(empty(), secret_shares=3, secret_threshold=2, pgp_keys=keys)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    with pytest.raises(InvalidRequest, match=r"strongroom\[pgp\]"):
        pgp.recipients(KEYS[:1])


# -- rekey -----------------------------------------------------------------------------------------------------------------


def three() -> Strongroom:
    return Strongroom(secret_shares=3, secret_threshold=2)


def rekeyed(room: Strongroom, **fields: Any) -> Any:
    started = data(room, "sys/rotate/root/init", secret_shares=3, secret_threshold=2, pgp_keys=KEYS, **fields)
    assert started["pgp_fingerprints"] == [holder.fingerprint for holder in HOLDERS]
    assert started["backup"] == bool(fields.get("backup"))
    for key in room.unseal_keys[:2]:
        made = data(room, "sys/rotate/root/update", key=key, nonce=started["nonce"])
    assert made["complete"] and made["pgp_fingerprints"] == started["pgp_fingerprints"]
    return made


def test_new_shares_of_a_rekey_open_the_store() -> None:
    room = three()
    room.unseal_keys = read_all(rekeyed(room))
    room.restart()
    room.unseal()
    assert not room.core.barrier.sealed
    with pytest.raises(InvalidRequest, match="no backed-up keys"):
        data(room, "sys/rotate/root/backup", READ)


def test_new_shares_come_back_decrypted_to_be_verified() -> None:
    room = three()
    made = rekeyed(room, require_verification=True)
    for share in read_all(made)[:2]:
        done = data(room, "sys/rotate/root/verify", key=share, nonce=made["verification_nonce"])
    assert done["complete"] is True


def test_a_backup_is_what_was_handed_out_and_is_kept_until_it_is_removed() -> None:
    room = three()
    made = rekeyed(room, backup=True)
    room.restart()
    room.unseal_keys = read_all(made)
    room.unseal()
    for path in ("sys/rotate/root/backup", "sys/rekey/backup"):
        kept = data(room, path, READ)
        assert kept["nonce"] == made["nonce"]
        assert kept["keys"] == {holder.fingerprint: [text] for holder, text in zip(HOLDERS, made["keys"], strict=True)}
        assert kept["keys_base64"] == {holder.fingerprint: [text] for holder, text in zip(HOLDERS, made["keys_base64"], strict=True)}
    with pytest.raises(InvalidRequest, match="no backed-up keys"):
        data(room, "sys/rotate/recovery/backup", READ)
    room.delete("sys/rotate/root/backup")
    with pytest.raises(InvalidRequest, match="no backed-up keys"):
        data(room, "sys/rotate/root/backup", READ)


def test_a_rekey_with_keys_that_do_not_fit_is_not_started() -> None:
    room = three()
    for keys, text in ((KEYS[:2], "count mismatch"), ([*KEYS[:2], "!"], "error decoding")):
        with pytest.raises(StrongroomError, match=text):
            data(room, "sys/rotate/root/init", secret_shares=3, secret_threshold=2, pgp_keys=keys)
    assert data(room, "sys/rotate/root/init", READ)["started"] is False


# -- a root token ------------------------------------------------------------------------------------------------------------


def test_a_new_root_token_is_read_by_the_holder_of_the_key() -> None:
    room = three()
    started = data(room, "sys/generate-root-token/attempt", pgp_key=KEYS[1])
    assert (started["pgp_fingerprint"], started["otp"]) == (HOLDERS[1].fingerprint, "")
    for key in room.unseal_keys[:2]:
        made = data(room, "sys/generate-root-token/update", key=key, nonce=started["nonce"])
    token = HOLDERS[1].read(base64.b64decode(made["encoded_token"]))
    assert data(room, "auth/token/lookup", token=token)["policies"] == ["root"]
    assert token not in str(made)


def test_a_token_is_hidden_in_one_way() -> None:
    room = three()
    with pytest.raises(InvalidRequest, match="give one of them"):
        data(room, "sys/generate-root-token/attempt", pgp_key=KEYS[1], otp="x" * 53)
    with pytest.raises(InvalidRequest, match="not a public key"):
        data(room, "sys/generate-root-token/attempt", pgp_key=base64.b64encode(b"\xc5" + bytes(50)).decode())


# -- another implementation ----------------------------------------------------------------------------------------------------


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@pytest.mark.parametrize("algorithm", ["rsa2048", "future-default"])
def test_gnupg_reads_what_it_is_sent(gpg: Path, algorithm: str) -> None:
    def run(*words: str, stdin: bytes = b"") -> bytes:
        line = ["gpg", "--homedir", str(gpg), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *words]
        return subprocess.run(line, input=stdin, capture_output=True, check=True, timeout=60).stdout

    if algorithm == "rsa2048":
        _rsa(run)
    else:
        run("--quick-generate-key", "Op <op@example.com>", algorithm, "default", "never")
    key = base64.b64encode(run("--export", "op@example.com")).decode()
    core = empty()
    made = init(core, secret_shares=1, secret_threshold=1, pgp_keys=[key])
    share = run("--decrypt", stdin=base64.b64decode(made["keys_base64"][0])).decode()
    assert bare(core, "sys/unseal", UPDATE, key=share)[1]["sealed"] is False


def _rsa(run: Any) -> None:
    run("--quick-generate-key", "Op <op@example.com>", "rsa2048", "sign,cert", "never")
    fingerprint = next(line.split(b":")[9].decode() for line in run("--list-keys", "--with-colons").splitlines() if line.startswith(b"fpr"))
    run("--quick-add-key", fingerprint, "rsa2048", "encrypt", "never")
