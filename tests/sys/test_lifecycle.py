"""From an empty store to an open one and back, over the routes that need no token."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from strongroom.api.vault import answer
from strongroom.barrier.anchor import Anchor
from strongroom.barrier.keyring import SEALS_KEY, boot_payload, boot_record
from strongroom.barrier.seals.static import Static
from strongroom.core.audit.broker import Broker
from strongroom.core.core import Core, Settings
from strongroom.core.fields import compile_fields
from strongroom.core.registry import engine_class
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.sealing.unsealing import try_open
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.errors import InvalidRequest, Sealed, StorageTampered, StrongroomError, Unavailable, UnsupportedOperation
from strongroom.outbound.client import Outbound
from strongroom.storage.memory import MemoryStorage
from strongroom.sys.lifecycle import DEFAULT_CODES, PUBLIC, HealthBody, LifecycleRoutes
from strongroom.testing import FakeClock, Strongroom
from strongroom.testing.room import QuietProcess

READ, UPDATE, DELETE = Operation.READ, Operation.UPDATE, Operation.DELETE


def empty(*, seals: tuple[Static, ...] = ()) -> Core:
    clock = FakeClock()
    core = Core(MemoryStorage(), clock, Broker(clock, "test"), Settings(), QuietProcess(), Outbound())
    core.sealing.seals = seals
    return core


def request_of(operation: Operation, path: str, **data: Any) -> Request:
    return Request("id", operation, path, data, b"", Secret(""), Peer())


def bare(core: Core, path: str, operation: Operation = READ, **data: Any) -> tuple[int, Any]:
    response = PUBLIC[path](core, request_of(operation, path, **data))
    assert response is not None
    answer = response.bare
    assert answer is not None
    return answer.status, msgspec.json.decode(answer.body)


def init(core: Core, **data: Any) -> Any:
    return bare(core, "sys/init", UPDATE, **data)[1]


def unseal(core: Core, key: str, **data: Any) -> Any:
    return bare(core, "sys/unseal", UPDATE, key=key, **data)[1]


# -- init ---------------------------------------------------------------------------------------------------------------


def test_init_gives_shares_in_both_spellings_and_leaves_the_store_sealed() -> None:
    core = empty()
    assert bare(core, "sys/init")[1] == {"initialized": False}
    made = init(core, secret_shares=5, secret_threshold=3)
    assert [base64.b64decode(key).hex() for key in made["keys_base64"]] == made["keys"]
    assert len(set(made["keys"])) == 5
    assert all(len(key) == 66 for key in made["keys"])
    assert made["root_token"].startswith("srs_")
    assert core.barrier.sealed
    assert bare(core, "sys/init")[1] == {"initialized": True}
    with pytest.raises(InvalidRequest, match="Vault is already initialized"):
        init(core, secret_shares=1, secret_threshold=1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "invalid seal configuration: shares must be at least one"),
        ({"secret_shares": 5}, "threshold must be at least one"),
        ({"secret_shares": 5, "secret_threshold": 1}, "threshold must be greater than one for multiple shares"),
        ({"secret_shares": 3, "secret_threshold": 5}, "threshold cannot be larger than shares"),
        ({"secret_shares": 256, "secret_threshold": 5}, "shares must be less than 256"),
        ({"secret_shares": -1, "secret_threshold": -1}, "shares must be at least one"),
        ({"recovery_shares": 5, "secret_shares": 1, "secret_threshold": 1}, "recovery_shares not applicable to seal type shamir"),
        ({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["x"]}, "error decoding given PGP key 1"),
        ({"secret_shares": "many"}, "takes a whole number"),
    ],
)
def test_init_refuses_what_cannot_be_and_changes_nothing(data: dict[str, Any], text: str) -> None:
    core = empty()
    with pytest.raises(InvalidRequest, match=text):
        init(core, **data)
    assert core.storage.scan(b"", b"\xff", -1) == []


def test_init_is_one_commit() -> None:
    core = empty()
    made = init(core, secret_shares=1, secret_threshold=1)
    assert core.storage.changed(0).gsn == 1
    unseal(core, made["keys"][0])
    assert core.barrier.index().gsn == 1


def test_init_that_fails_before_its_commit_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    core = empty()
    monkeypatch.setattr("strongroom.core.sealing.bootstrap.root_token", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        init(core, secret_shares=1, secret_threshold=1)
    assert core.storage.scan(b"", b"\xff", -1) == []
    assert core.barrier.sealed
    monkeypatch.undo()
    assert init(core, secret_shares=1, secret_threshold=1)["keys"]


# -- unseal -------------------------------------------------------------------------------------------------------------


def test_any_quorum_opens_in_any_order_and_spelling() -> None:
    core = empty()
    made = init(core, secret_shares=4, secret_threshold=2)
    for first, second in ((0, 3), (3, 1), (2, 0)):
        status = unseal(core, made["keys"][first])
        assert (status["sealed"], status["progress"], status["t"], status["n"]) == (True, 1, 2, 4)
        assert status["nonce"]
        status = unseal(core, made["keys_base64"][second])
        assert (status["sealed"], status["progress"], status["nonce"]) == (False, 0, "")
        core.barrier.seal()


def test_wrong_shares_are_named_and_not_counted() -> None:
    core, other = empty(), empty()
    made, strange = init(core, secret_shares=3, secret_threshold=2), init(other, secret_shares=3, secret_threshold=2)
    good = made["keys"][0]
    flipped = f"{int(good[:2], 16) ^ 1:02x}{good[2:]}"
    for key, text in (
        ("xyz!", "must be a valid hex or base64 string"),
        ("é" * 44, "must be a valid hex or base64 string"),
        (good[:40], "shorter than minimum 33 bytes"),
        (base64.b64encode(bytes(40)).decode(), "longer than maximum 33 bytes"),
        (strange["keys"][0], "not one of this installation's current key shares"),
        (flipped, "not one of this installation's current key shares"),
        ("", "'key' must be specified"),
    ):
        with pytest.raises(InvalidRequest, match=text):
            unseal(core, key)
    assert bare(core, "sys/seal-status")[1]["progress"] == 0
    unseal(core, good)
    again = unseal(core, good)
    assert again["progress"] == 1
    assert "already given" in again["warnings"][0]
    assert not unseal(core, made["keys"][1])["sealed"]


def test_reset_forgets_the_shares_given() -> None:
    core = empty()
    made = init(core, secret_shares=3, secret_threshold=2)
    unseal(core, made["keys"][0])
    status = bare(core, "sys/unseal", UPDATE, reset=True)[1]
    assert (status["progress"], status["nonce"]) == (0, "")
    assert unseal(core, made["keys"][1])["sealed"]


def test_what_cannot_be_unsealed_says_why() -> None:
    core = empty()
    with pytest.raises(InvalidRequest, match="not initialized"):
        unseal(core, "00" * 33)
    made = init(core, secret_shares=1, secret_threshold=1)
    with pytest.raises(InvalidRequest, match="migration"):
        unseal(core, made["keys"][0], migrate=True)
    with pytest.raises(UnsupportedOperation):
        bare(core, "sys/unseal", READ)
    assert len(made["keys"][0]) == 64
    assert not unseal(core, made["keys"][0])["sealed"]
    assert not unseal(core, "anything, it is open")["sealed"]


def test_an_edited_seal_configuration_is_refused() -> None:
    core = empty()
    made = init(core, secret_shares=3, secret_threshold=2)
    config = msgspec.msgpack.decode(boot_payload(core.storage.get_many([SEALS_KEY])[SEALS_KEY]))
    config["wraps"][0]["share_set"]["threshold"] = 3
    group = core.storage.begin(0, [])
    group.apply({SEALS_KEY: boot_record(1, msgspec.msgpack.encode(config))}, [])
    group.commit()
    with pytest.raises(StorageTampered, match="seal configuration"):
        for key in made["keys"]:
            unseal(core, key)
    assert core.barrier.sealed


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"wraps": []})])
def test_a_broken_seal_configuration_is_refused(payload: bytes) -> None:
    core = empty()
    made = init(core, secret_shares=1, secret_threshold=1)
    group = core.storage.begin(0, [])
    group.apply({SEALS_KEY: boot_record(1, payload)}, [])
    group.commit()
    with pytest.raises(StorageTampered):
        unseal(core, made["keys"][0])


# -- a seal that opens by itself ----------------------------------------------------------------------------------------


def test_a_static_seal_opens_by_itself_and_hands_out_recovery_keys() -> None:
    core = empty(seals=(Static(bytes(range(32))),))
    made = init(core, recovery_shares=3, recovery_threshold=2)
    assert made["keys"] == made["keys_base64"] == []
    assert len(made["recovery_keys"]) == len(made["recovery_keys_base64"]) == 3
    status = bare(core, "sys/seal-status")[1]
    assert (status["type"], status["sealed"], status["recovery_seal"], status["t"], status["n"]) == ("static", False, True, 2, 3)
    core.barrier.seal()
    with pytest.raises(InvalidRequest, match="they cannot unseal"):
        unseal(core, made["recovery_keys"][0])
    assert try_open(core) is None
    assert not core.barrier.sealed


def test_a_static_seal_with_another_key_says_so_and_stays_sealed() -> None:
    core = empty(seals=(Static(bytes(32)),))
    with pytest.raises(InvalidRequest, match="secret_shares,secret_threshold not applicable to seal type static"):
        init(core, secret_shares=1, secret_threshold=1)
    init(core)
    core.barrier.seal()
    core.sealing.seals = (Static(bytes([1] * 32)),)
    error = try_open(core)
    assert isinstance(error, Unavailable)
    assert "static: its key is not the one" in error.messages[0]
    assert core.barrier.sealed
    core.sealing.seals = (Static(bytes([1] * 32), previous=Static(bytes(32))),)
    assert try_open(core) is None


# -- a store that was rolled back ---------------------------------------------------------------------------------------


def test_a_store_behind_its_anchor_stays_sealed_until_every_holder_accepts() -> None:
    core = empty()
    made = init(core, secret_shares=3, secret_threshold=2)
    core.sealing.anchor = lambda: Anchor(7, "")
    for flags in ({}, {"accept_rollback": True}):
        unseal(core, made["keys"][0], **flags)
        with pytest.raises(StorageTampered, match="commit 7 was recorded outside"):
            unseal(core, made["keys"][1])
        assert core.barrier.sealed
    unseal(core, made["keys"][0], accept_rollback=True)
    assert not unseal(core, made["keys"][1], accept_rollback=True)["sealed"]


def test_a_store_with_other_rows_at_the_anchored_commit_stays_sealed() -> None:
    core = empty()
    made = init(core, secret_shares=1, secret_threshold=1)
    core.sealing.anchor = lambda: Anchor(1, "00" * 64)
    with pytest.raises(StorageTampered, match="other rows"):
        unseal(core, made["keys"][0])
    core.sealing.anchor = lambda: Anchor(0, "00" * 64)
    assert not unseal(core, made["keys"][0])["sealed"]


def test_recovery_keys_accept_a_rolled_back_store_of_a_seal_that_opens_by_itself() -> None:
    core = empty(seals=(Static(bytes(32)),))
    made = init(core, recovery_shares=2, recovery_threshold=2)
    core.barrier.seal()
    core.sealing.anchor = lambda: Anchor(7, "")
    assert isinstance(try_open(core), StorageTampered)
    unseal(core, made["recovery_keys"][0], accept_rollback=True)
    assert not unseal(core, made["recovery_keys"][1], accept_rollback=True)["sealed"]


# -- health, leader, and who may ask ------------------------------------------------------------------------------------


def test_health_tells_the_three_states_and_takes_other_codes() -> None:
    core = empty()
    assert bare(core, "sys/health")[0] == 501
    assert bare(core, "sys/health", uninitcode="200")[0] == 200
    made = init(core, secret_shares=1, secret_threshold=1)
    status, body = bare(core, "sys/health")
    assert (status, body["sealed"], body["initialized"]) == (503, True, True)
    assert "cluster_id" not in body
    assert bare(core, "sys/health", sealedcode="299")[0] == 299
    unseal(core, made["keys"][0])
    status, body = bare(core, "sys/health")
    assert (status, body["sealed"], body["standby"], body["version"]) == (200, False, False, "1.18.0")
    assert bare(core, "sys/health", activecode="204", sealedcode="299", standbyok="true")[0] == 204


OVERRIDES = "activecode standbycode sealedcode uninitcode drsecondarycode performancestandbycode haunhealthycode removedcode".split()


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("value", ["", "abc", "99", "600", "100", "2000", "-20", "²00", " 200", "1e2"])
def test_an_unparsable_health_code_is_a_bad_request(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        bare(empty(), "sys/health", READ, **{name: value})


def test_health_flags_take_booleans_and_unknown_parameters_are_ignored() -> None:
    core = empty()
    for name in ("standbyok", "perfstandbyok"):
        for value in ("true", "1", "", "False"):
            assert bare(core, "sys/health", READ, **{name: value})[0] == 501
        with pytest.raises(InvalidRequest, match=name):
            bare(core, "sys/health", READ, **{name: "yes"})
    assert bare(core, "sys/health", performance_standby_code="x", uninitialised="y")[0] == 501


def test_strangers_learn_no_place_name_or_mount() -> None:
    room = Strongroom()
    for path in ("sys/health", "sys/seal-status", "sys/leader"):
        answer = room.request(READ, path, token="").response
        assert answer is not None
        assert answer.bare is not None
        for clue in (b"127.0.0.1", b"secret/", b"cubbyhole", b"/home", b"/root", b"python", b"strongroom_"):
            assert clue not in answer.bare.body


def test_leader_says_that_there_is_none() -> None:
    assert bare(empty(), "sys/leader")[1]["ha_enabled"] is False


@pytest.mark.parametrize("path", ["sys/health", "sys/seal-status", "sys/leader", "sys/init"])
def test_other_verbs_are_refused(path: str) -> None:
    with pytest.raises(UnsupportedOperation):
        bare(empty(), path, DELETE)


def test_everything_else_is_sealed() -> None:
    room = Strongroom()
    room.write("sys/seal")
    for operation, path in ((READ, "sys/mounts"), (UPDATE, "sys/step-down"), (READ, "sys/key-status"), (READ, "sys/rekey/init")):
        assert isinstance(room.request(operation, path).error, Sealed)
    room.unseal()
    assert room.read("sys/key-status").data


def test_sealing_what_is_sealed_or_empty_is_done_already_as_in_vault() -> None:
    room = Strongroom()
    assert PUBLIC["sys/seal"](room.core, request_of(UPDATE, "sys/seal")) is None, "an open server asks for a token"
    room.write("sys/seal")
    for core in (room.core, empty()):
        core.public.update(PUBLIC)
        work = Work(request_of(UPDATE, "sys/seal"), lambda _work: None)
        work.run(core, None)
        assert work.error is None and answer(work.request, work.response, None).status == 204
        with pytest.raises(UnsupportedOperation):
            PUBLIC["sys/seal"](core, request_of(READ, "sys/seal"))


def test_a_sealed_worker_does_not_call_the_server_sealed_while_another_has_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Strongroom()
    room.write("sys/seal")
    monkeypatch.setattr(type(room.core.process), "alone", False)
    assert isinstance(room.request(UPDATE, "sys/seal").error, Sealed)


def test_sealing_takes_sudo() -> None:
    room = Strongroom()
    room.write("sys/policies/acl/plain", {"policy": 'path "sys/*" { capabilities = ["read", "update"] }'})
    token = room.create_token("plain")
    for path in ("sys/seal", "sys/step-down", "sys/rotate", "sys/rotate/keyring"):
        error = room.request(UPDATE, path, token=token).error
        assert isinstance(error, StrongroomError)
        assert error.status == 403
    assert not room.core.barrier.sealed
    room.write("sys/step-down")


def test_what_answers_while_sealed_is_documented_as_it_is() -> None:
    routes = {f"sys/{route.pattern}": route for route in engine_class("system", "system").router.routes if route.owner is LifecycleRoutes}
    apart = {"sys/metrics", "sys/seal"}  # routes like others, but for a listener that shows metrics to everybody, and where it is sealed
    assert routes.keys() == PUBLIC.keys() - apart
    assert all(route.public for route in routes.values())
    assert {field.name for field in compile_fields(HealthBody).table if field.kind is int} == DEFAULT_CODES.keys()
    assert all(field.default == DEFAULT_CODES[field.name] for field in compile_fields(HealthBody).table if field.kind is int)


def test_they_have_help_once_it_is_unsealed() -> None:
    room = Strongroom()
    work = room.request(Operation.HELP, "sys/health")
    assert work.response is not None
    assert work.response.bare is not None
    assert b"status code" in work.response.bare.body
