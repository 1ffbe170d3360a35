"""hvac's `sys` methods for seals and keys, against a server whose keys these tests change: seal, rekey, rotate, generate-root, init."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
from hvac import exceptions

from tests.conformance.conftest import configured
from tests.conformance.http import Http
from tests.conformance.server import Running
from tests.support.waiting import tried, until


@pytest.fixture
def holder(custodians: Running) -> Iterator[hvac.Client]:
    """hvac with the root token; afterwards nothing is under way and the server is open."""
    client = custodians.client()
    yield client
    if client.sys.is_sealed():
        client.sys.submit_unseal_key(reset=True)
        client.sys.submit_unseal_keys(custodians.keys)


# -- seal and unseal --------------------------------------------------------------------------------------------------


def test_sealing_and_unsealing(custodians: Running, holder: hvac.Client) -> None:
    holder.sys.enable_secrets_engine("kv", path="kept", options={"version": "2"})
    holder.secrets.kv.v2.create_or_update_secret("a", {"zap": "zip"}, mount_point="kept")
    assert holder.sys.seal().status_code == 204
    assert holder.sys.is_sealed() is True and holder.sys.read_seal_status()["sealed"] is True
    assert holder.sys.is_initialized() is True
    with pytest.raises(exceptions.VaultDown, match="sealed"):
        holder.secrets.kv.v2.read_secret("a", mount_point="kept", raise_on_deleted_version=True)
    assert holder.sys.read_health_status().status_code == 503
    assert holder.sys.read_health_status(method="GET", sealed_code=299).json()["sealed"] is True
    result = holder.sys.submit_unseal_keys(custodians.keys)
    assert result["sealed"] is False and result["progress"] == 0
    assert holder.secrets.kv.v2.read_secret("a", mount_point="kept", raise_on_deleted_version=True)["data"]["data"] == {"zap": "zip"}


def test_unsealing_shows_progress_and_may_be_reset(custodians: Running, holder: hvac.Client) -> None:
    keys = [base64.b64decode(key).hex() for key in custodians.keys]
    holder.sys.seal()
    result = holder.sys.submit_unseal_keys(keys[0:2])
    assert result["sealed"] is True and (result["progress"], result["t"], result["n"]) == (2, 3, 5) and result["nonce"]
    assert holder.sys.submit_unseal_key(keys[0])["progress"] == 2, "a share counts once"
    assert holder.sys.submit_unseal_key(reset=True)["progress"] == 0
    assert holder.sys.submit_unseal_keys(keys[1:3])["progress"] == 2
    for wrong in ("not-a-key", "00" * 33, keys[0][:-2]):
        with pytest.raises(exceptions.InvalidRequest):
            holder.sys.submit_unseal_key(wrong)
    assert holder.sys.submit_unseal_key(keys[4])["sealed"] is False


# -- rotate -----------------------------------------------------------------------------------------------------------


def test_rotating_adds_a_term(holder: hvac.Client) -> None:
    before = holder.sys.get_encryption_key_status()
    assert before["data"]["term"] == before["term"] == holder.key_status["term"]
    assert before["data"].keys() >= {"install_time", "encryptions", "term"}
    assert holder.sys.rotate_encryption_key().status_code == 204
    assert holder.key_status["term"] == before["term"] + 1


# -- rekey ------------------------------------------------------------------------------------------------------------


def test_a_rekey_is_started_shown_and_cancelled(holder: hvac.Client) -> None:
    assert holder.sys.read_rekey_progress()["started"] is False and holder.rekey_status["started"] is False
    started = holder.sys.start_rekey(secret_shares=4, secret_threshold=2)
    assert started["started"] is True and started["nonce"]
    progress = holder.sys.read_rekey_progress()
    assert (progress["t"], progress["n"], progress["progress"], progress["required"]) == (2, 4, 0, 3)
    assert progress["verification_required"] is False and progress["nonce"] == started["nonce"]
    with pytest.raises(exceptions.InvalidRequest):
        holder.sys.start_rekey()
    assert holder.sys.cancel_rekey().status_code == 204
    assert holder.sys.read_rekey_progress()["started"] is False


def test_a_rekey_makes_new_keys_and_ends_the_old(custodians: Running, holder: hvac.Client) -> None:
    nonce = holder.sys.start_rekey()["nonce"]
    first = holder.sys.rekey(custodians.keys[0], nonce)
    assert first["progress"] == 1 and not first.get("complete")
    with pytest.raises(exceptions.InvalidRequest):
        holder.sys.rekey(custodians.keys[1], "another-nonce")
    result = holder.sys.rekey_multi(custodians.keys[1:], nonce=nonce)
    assert result["complete"] is True and len(result["keys"]) == len(result["keys_base64"]) == 5 and result["nonce"] == nonce
    old, custodians.keys = custodians.keys, result["keys_base64"]
    until(lambda: not still_opens(custodians, holder, old[0]), 10, "the old keys still open the server", every=0.5)


def still_opens(custodians: Running, holder: hvac.Client, key: str) -> bool:
    """Whether a key share is taken. Superseded ones are, for the moment until the server has lived on after its answer."""
    tried_again(holder.sys.seal)
    try:
        tried_again(lambda: holder.sys.submit_unseal_key(key))
    except exceptions.InvalidRequest:
        return False
    finally:
        tried_again(lambda: holder.sys.submit_unseal_key(reset=True))
        assert tried_again(lambda: holder.sys.submit_unseal_keys(custodians.keys))["sealed"] is False
    return True


def tried_again(ask: Callable[[], Any]) -> Any:
    """Ask until somebody answers: a seal ends the workers, and with them the connections that clients keep."""
    return tried(ask, requests.ConnectionError)


def test_a_rekey_may_have_to_be_verified(custodians: Running, holder: hvac.Client) -> None:
    nonce = holder.sys.start_rekey(secret_shares=3, secret_threshold=2, require_verification=True)["nonce"]
    result = holder.sys.rekey_multi(custodians.keys, nonce=nonce)
    assert result["complete"] is True and result["verification_required"] is True
    made = result["keys_base64"]
    progress = holder.sys.read_rekey_verify_progress()
    assert (progress["nonce"], progress["t"], progress["n"], progress["progress"]) == (result["verification_nonce"], 2, 3, 0)
    assert holder.sys.rekey_verify(made[0], progress["nonce"])["progress"] == 1
    restarted: Any = holder.sys.cancel_rekey_verify()
    restarted = restarted if isinstance(restarted, dict) else holder.sys.read_rekey_verify_progress()
    assert restarted["progress"] == 0 and restarted["nonce"] != progress["nonce"]
    done = holder.sys.rekey_verify_multi(made, restarted["nonce"])
    assert done["complete"] is True
    custodians.keys = made
    holder.sys.seal()
    assert holder.sys.submit_unseal_keys(made)["sealed"] is False


def test_there_are_no_backed_up_keys(holder: hvac.Client) -> None:
    with pytest.raises(exceptions.VaultError):
        holder.sys.read_backup_keys()


def test_a_shamir_seal_has_no_recovery_key(holder: hvac.Client) -> None:
    for call in (
        lambda: holder.sys.read_rekey_progress(recovery_key=True),
        lambda: holder.sys.start_rekey(recovery_key=True),
        lambda: holder.sys.rekey("x", "y", recovery_key=True),
    ):
        with pytest.raises(exceptions.InvalidRequest):
            call()


# -- generate-root ----------------------------------------------------------------------------------------------------


def xored(encoded: str, otp: str) -> str:
    """Undo the one-time pad."""
    raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    return bytes(left ^ right for left, right in zip(raw, otp.encode(), strict=True)).decode()


def test_a_quorum_makes_a_root_token(custodians: Running, holder: hvac.Client) -> None:
    assert holder.sys.read_root_generation_progress()["started"] is False
    started = holder.sys.start_root_token_generation()
    assert holder.generate_root_status["started"] is True
    assert len(started["otp"]) == started["otp_length"] == len(custodians.root_token)
    last: dict[str, Any] = {}
    for key in custodians.keys[: started["required"]]:
        last = holder.sys.generate_root(key, started["nonce"])
    assert last["complete"] is True and last["encoded_token"] == last["encoded_root_token"]
    assert holder.sys.read_root_generation_progress()["started"] is False
    token = xored(last["encoded_root_token"], started["otp"])
    assert custodians.client(token).auth.token.lookup_self()["data"]["policies"] == ["root"]
    decoded = holder.write("sys/decode-token", encoded_token=last["encoded_token"], otp=started["otp"])
    assert decoded["data"]["token"] == token


def test_the_otp_may_be_ones_own(custodians: Running, holder: hvac.Client) -> None:
    length = holder.sys.read_root_generation_progress()["otp_length"]
    otp = ("0123456789" * 10)[:length]
    started = holder.sys.start_root_token_generation(otp=otp)
    assert started["otp"] == "", "who brought it knows it"
    last: dict[str, Any] = {}
    for key in custodians.keys[: started["required"]]:
        last = holder.sys.generate_root(key, started["nonce"])
    assert custodians.client(xored(last["encoded_root_token"], otp)).is_authenticated()


def test_a_generation_may_be_cancelled(holder: hvac.Client) -> None:
    nonce = holder.sys.start_root_token_generation()["nonce"]
    with pytest.raises(exceptions.InvalidRequest):
        holder.sys.start_root_token_generation()
    assert holder.sys.cancel_root_generation().status_code == 204
    assert holder.sys.read_root_generation_progress()["started"] is False
    with pytest.raises(exceptions.InvalidRequest):
        holder.sys.generate_root("00" * 33, nonce)
    with pytest.raises(exceptions.ParamValidationError):
        holder.sys.start_root_token_generation(otp="x", pgp_key="y")


# -- the command line of vault: whole structs, zero values included ---------------------------------------------------


def test_what_the_vault_command_line_sends_is_taken(custodians: Running) -> None:
    http = Http(custodians, "")
    rekey = {
        "secret_shares": 5,
        "secret_threshold": 3,
        "stored_shares": 0,
        "pgp_keys": None,
        "backup": False,
        "require_verification": False,
    }
    assert http("PUT", "sys/rekey/init", rekey).body["started"] is True
    assert http("DELETE", "sys/rekey/init").status == 204
    started = http("PUT", "sys/generate-root/attempt", {"otp": "", "pgp_key": ""})
    assert started.body["otp"] and started.body["started"] is True
    assert http("GET", "sys/generate-root/attempt").body["otp"] == "", "shown once"
    assert http("DELETE", "sys/generate-root/attempt").status == 204
    assert http("PUT", "sys/unseal", {"key": "", "reset": True, "migrate": False}).status == 400, "there is nothing to forget"
    holder = Http(custodians)
    assert holder("PUT", "sys/rotate").status == 204
    assert holder("PUT", "sys/step-down").status == 204
    assert holder("PUT", "sys/leases/renew", {"lease_id": "no/such", "increment": 0}).status == 400


def test_what_vault_operator_init_sends_is_taken(tmp_path: Path) -> None:
    zeros = {"stored_shares": 0, "pgp_keys": None, "recovery_shares": 0, "recovery_threshold": 0, "recovery_pgp_keys": None}
    body = {"secret_shares": 1, "secret_threshold": 1, "root_token_pgp_key": "", **zeros}
    with configured(tmp_path) as server:
        made = Http(server, "")("PUT", "sys/init", body)
        assert made.status == 200 and len(made.body["keys"]) == 1
        opened = Http(server, "")("PUT", "sys/unseal", {"key": made.body["keys"][0], "reset": False, "migrate": False})
        assert opened.body["sealed"] is False


# -- init -------------------------------------------------------------------------------------------------------------


def test_an_uninitialised_server_says_so_and_is_initialised_once(tmp_path: Path) -> None:
    with configured(tmp_path) as server:
        client = server.client("")
        assert client.sys.is_initialized() is False and client.sys.read_init_status() == {"initialized": False}
        assert client.sys.is_sealed() is True
        assert client.sys.read_health_status().status_code == 501
        assert client.sys.read_health_status(uninit_code=298, method="GET").status_code == 298
        for call in (lambda: client.secrets.kv.v1.read_secret("a"), lambda: client.sys.submit_unseal_key("00" * 33)):
            with pytest.raises(exceptions.VaultError):
                call()
        for wrong in ({"secret_shares": 1, "secret_threshold": 2}, {"secret_shares": 3, "secret_threshold": 1}, {"secret_shares": 0}):
            with pytest.raises(exceptions.InvalidRequest):
                client.sys.initialize(**{"secret_threshold": 0, **wrong})
        with pytest.raises(exceptions.ParamValidationError):
            client.sys.initialize(2, 2, pgp_keys=["one"])
        made = client.sys.initialize(secret_shares=1, secret_threshold=1)
        assert made.keys() >= {"keys", "keys_base64", "root_token"} and len(made["keys"]) == 1
        assert bytes.fromhex(made["keys"][0]) == base64.b64decode(made["keys_base64"][0])
        assert client.sys.is_initialized() is True and client.sys.is_sealed() is True
        assert client.sys.submit_unseal_key(made["keys"][0])["sealed"] is False
        client.token = made["root_token"]
        assert client.is_authenticated() and "secret/" not in client.sys.list_mounted_secrets_engines()["data"]
