"""Ceremonies of key holders: after every step, and after a crash at any step, one set of shares opens the store."""

from __future__ import annotations

import base64
from itertools import count
from typing import Any

import msgspec
import pytest

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.keyring import HANDOVER_KEY, SEALS_KEY, boot_payload, boot_record
from strongroom.barrier.scrub import scrub
from strongroom.barrier.seals.static import Static
from strongroom.core.core import Settings
from strongroom.core.request import Operation
from strongroom.core.sealing.rekey import Rekey
from strongroom.core.sealing.unsealing import open_by_itself
from strongroom.crypto.ids import TOKEN_LENGTH
from strongroom.errors import InvalidRequest, Sealed, StorageTampered, StrongroomError, UnsupportedOperation
from strongroom.storage.memory import MemoryGroup, MemoryStorage
from strongroom.testing import Strongroom
from tests.core.audit.kit import Memory, broker, device

READ, UPDATE, DELETE = Operation.READ, Operation.UPDATE, Operation.DELETE


def quorum(room: Strongroom) -> list[str]:
    return room.unseal_keys[:2]


def three(**options: Any) -> Strongroom:
    return Strongroom(secret_shares=3, secret_threshold=2, **options)


def data(room: Strongroom, path: str, operation: Operation = UPDATE, **fields: Any) -> Any:
    answer = room.ask(operation, path, fields)
    return msgspec.json.decode(answer.bare.body) if answer.bare is not None else answer.data


def rekey(room: Strongroom, target: str = "root", **fields: Any) -> Any:
    """All of a rekey up to the last present share; the last answer."""
    started = data(room, f"sys/rotate/{target}/init", secret_shares=3, secret_threshold=2, **fields)
    answer = None
    for key in quorum(room):
        answer = data(room, f"sys/rotate/{target}/update", key=key, nonce=started["nonce"])
    return answer


def opens(room: Strongroom, keys: list[str]) -> bool:
    """Whether a killed and restarted server opens with these shares."""
    room.restart()
    room.unseal_keys = keys
    try:
        room.unseal()
    except InvalidRequest:
        return False
    return not room.core.barrier.sealed


def refused(room: Strongroom, text: str, path: str, operation: Operation = UPDATE, **fields: Any) -> None:
    with pytest.raises(InvalidRequest, match=text):
        data(room, path, operation, **fields)


# -- rekey -------------------------------------------------------------------------------------------------------------


def test_a_rekey_makes_new_shares_a_new_root_key_and_ends_the_old_shares() -> None:
    room = three()
    room.write("cubbyhole/one", {"value": "kept"})
    old_root, old_keys = bytes(room.core.barrier.keys.root), room.unseal_keys
    done = rekey(room)
    assert done["complete"]
    assert [base64.b64decode(key).hex() for key in done["keys_base64"]] == done["keys"]
    assert bytes(room.core.barrier.keys.root) != old_root
    assert data(room, "sys/rotate/root/init", READ)["started"] is False
    room.advance(6)
    assert not opens(room, old_keys)
    assert opens(room, done["keys"])
    assert room.json(room.read("cubbyhole/one")) == {"value": "kept"}
    assert scrub(room.core.barrier).clean


def test_the_old_shares_work_until_the_answer_had_time_to_leave() -> None:
    room = three()
    old_keys = room.unseal_keys
    done = rekey(room)
    assert opens(room, old_keys), "the process died right after the commit; nobody saw the new shares"
    assert "still work" in data(room, "sys/seal-status", READ)["warnings"][0]
    room.advance(10)
    assert opens(room, old_keys), "this process does not know whether anybody saw them"
    assert opens(room, done["keys"])
    room.advance(4_000)
    assert "warnings" not in data(room, "sys/seal-status", READ)
    assert not opens(room, old_keys)
    assert opens(room, done["keys"])


def test_the_old_shares_can_rekey_again_when_the_new_ones_were_lost() -> None:
    room = three()
    old_keys = room.unseal_keys
    lost = rekey(room)["keys"]
    assert opens(room, old_keys)
    again = rekey(room)["keys"]
    room.advance(10)
    assert not opens(room, lost)
    assert not opens(room, old_keys)
    assert opens(room, again)


def test_with_verification_nothing_changes_before_the_new_shares_came_back() -> None:
    room = three()
    old_keys, root = room.unseal_keys, bytes(room.core.barrier.keys.root)
    done = rekey(room, require_verification=True)
    assert done["verification_required"]
    assert bytes(room.core.barrier.keys.root) == root
    refused(room, "handed out already", "sys/rotate/root/update", key=old_keys[0], nonce=done["nonce"])
    refused(room, "incorrect nonce", "sys/rotate/root/verify", key=done["keys"][0], nonce=done["nonce"])
    refused(room, "not one of this installation", "sys/rotate/root/verify", key=old_keys[0], nonce=done["verification_nonce"])
    assert opens(room, old_keys)
    first = data(room, "sys/rotate/root/verify", key=done["keys"][2], nonce=done["verification_nonce"])
    assert (first["complete"], first["progress"], first["t"]) == (False, 1, 2)
    refused(room, "already been provided", "sys/rotate/root/verify", key=done["keys"][2], nonce=done["verification_nonce"])
    assert opens(room, old_keys), "state survives a restart"
    assert data(room, "sys/rotate/root/verify", READ)["progress"] == 1
    last = data(room, "sys/rotate/root/verify", key=done["keys"][0], nonce=done["verification_nonce"])
    assert last == {"nonce": done["verification_nonce"], "complete": True}
    assert bytes(room.core.barrier.keys.root) != root
    assert not opens(room, old_keys)
    assert opens(room, done["keys"])


def test_a_verification_can_begin_again_under_a_new_nonce() -> None:
    room = three()
    done = rekey(room, require_verification=True)
    data(room, "sys/rotate/root/verify", key=done["keys"][0], nonce=done["verification_nonce"])
    fresh = data(room, "sys/rotate/root/verify", DELETE)
    assert fresh["progress"] == 0
    assert fresh["nonce"] != done["verification_nonce"]
    refused(room, "incorrect nonce", "sys/rotate/root/verify", key=done["keys"][0], nonce=done["verification_nonce"])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "shares must be at least one"),
        ({"secret_shares": 5, "secret_threshold": 1}, "greater than one"),
        ({"secret_shares": 2, "secret_threshold": 3}, "greater than the total shares"),
        ({"secret_shares": 3, "secret_threshold": 2, "pgp_keys": ["a", "b", "c"]}, "error decoding given PGP key 1"),
        ({"secret_shares": 3, "secret_threshold": 2, "backup": True}, "without providing PGP keys"),
    ],
)
def test_a_rekey_that_cannot_be_is_not_started(fields: dict[str, Any], text: str) -> None:
    room = three()
    refused(room, text, "sys/rotate/root/init", **fields)
    assert data(room, "sys/rotate/root/init", READ)["started"] is False


def test_wrong_shares_and_nonces_do_not_disturb_a_rekey() -> None:
    room, other = three(), three()
    refused(room, "no barrier rekey in progress", "sys/rotate/root/update", key=room.unseal_keys[0], nonce="")
    nonce = data(room, "sys/rotate/root/init", secret_shares=3, secret_threshold=2)["nonce"]
    refused(room, "already in progress", "sys/rotate/root/init", secret_shares=3, secret_threshold=2)
    data(room, "sys/rotate/root/update", key=room.unseal_keys[0], nonce=nonce)
    for key, given, text in (
        (room.unseal_keys[1], "other", "incorrect nonce"),
        (room.unseal_keys[0], nonce, "already been provided"),
        (other.unseal_keys[1], nonce, "not one of this installation"),
        ("rubbish!", nonce, "valid hex or base64"),
        ("", nonce, "'key' must be specified"),
    ):
        refused(room, text, "sys/rotate/root/update", key=key, nonce=given)
    status = data(room, "sys/rotate/root/init", READ)
    assert (status["progress"], status["required"], status["t"], status["n"]) == (1, 2, 2, 3)
    assert data(room, "sys/rotate/root/update", key=room.unseal_keys[2], nonce=nonce)["complete"]


def test_a_cancelled_rekey_leaves_the_shares_as_they_were() -> None:
    room = three()
    nonce = data(room, "sys/rotate/root/init", secret_shares=3, secret_threshold=2)["nonce"]
    data(room, "sys/rotate/root/update", key=room.unseal_keys[0], nonce=nonce)
    refused(room, "incorrect nonce", "sys/rotate/root/init", DELETE, nonce="other")
    room.delete("sys/rotate/root/init")
    room.delete("sys/rotate/root/init")
    refused(room, "no barrier rekey in progress", "sys/rotate/root/update", key=room.unseal_keys[1], nonce=nonce)
    assert opens(room, room.unseal_keys)


def test_there_are_no_backups_without_pgp() -> None:
    room = three()
    for path in ("sys/rotate/root/backup", "sys/rotate/recovery/backup", "sys/rekey/backup", "sys/rekey/recovery-key-backup"):
        refused(room, "no backed-up keys", path, READ)
        room.delete(path)


def test_only_root_and_recovery_can_be_rotated() -> None:
    with pytest.raises(StrongroomError) as caught:
        data(three(), "sys/rotate/everything/init", secret_shares=1, secret_threshold=1)
    assert caught.value.status == 404


def test_other_processes_follow_a_new_root_key_while_the_handover_lasts() -> None:
    room = three()
    peer, late = Barrier(room.storage), Barrier(room.storage)
    for barrier in (peer, late):
        barrier.unseal(room.core.barrier.keys.root)
    rekey(room)
    peer.heard(HANDOVER_KEY)
    peer.heard(None)
    assert peer.keys.root == room.core.barrier.keys.root
    room.advance(601)
    assert room.storage.get_many([HANDOVER_KEY]) == {}
    with pytest.raises(Sealed, match="root key was changed"):
        late.reload()
    assert late.sealed


def test_a_process_that_missed_several_root_keys_follows_them_and_each_way_ends_in_its_own_time() -> None:
    room = three()
    idle, late, later = (Barrier(room.storage) for _ in range(3))
    for barrier in (idle, late):
        barrier.unseal(room.core.barrier.keys.root)
    room.unseal_keys = rekey(room)["keys"]
    later.unseal(room.core.barrier.keys.root)
    room.advance(300)
    for _ in range(2):
        room.unseal_keys = rekey(room)["keys"]
    idle.heard(None)
    assert idle.keys.root == room.core.barrier.keys.root
    room.advance(301)
    with pytest.raises(Sealed, match="root key was changed"):
        late.reload()
    later.reload()
    assert later.keys.root == room.core.barrier.keys.root
    room.advance(300)
    assert room.storage.get_many([HANDOVER_KEY]) == {}


def test_a_changed_seal_configuration_authorises_nothing() -> None:
    """An edited recovery check or tag would otherwise let its editor make root tokens."""
    room = three()
    nonce = data(room, "sys/generate-root-token/attempt")["nonce"]
    config = msgspec.msgpack.decode(boot_payload(room.storage.get_many([SEALS_KEY])[SEALS_KEY]))
    config["wraps"][0]["share_set"]["threshold"] = 1
    group = room.storage.begin(0, ())
    group.apply({SEALS_KEY: boot_record(1, msgspec.msgpack.encode(config))}, ())
    group.commit()
    with pytest.raises(StorageTampered):
        data(room, "sys/generate-root-token/update", key=room.unseal_keys[0], nonce=nonce)


# -- recovery keys ------------------------------------------------------------------------------------------------------


def by_itself() -> Strongroom:
    return three(seals=(Static(bytes(range(32))),))


def test_recovery_keys_authorise_a_new_root_key_and_hand_out_nothing() -> None:
    room = by_itself()
    root = bytes(room.core.barrier.keys.root)
    done = rekey(room)
    assert done["keys"] == []
    assert bytes(room.core.barrier.keys.root) != root
    room.restart()
    open_by_itself(room.core)
    assert room.read("sys/key-status").data


def test_recovery_keys_are_replaced_by_a_ceremony_of_their_own() -> None:
    room = by_itself()
    old_keys = room.unseal_keys
    done = rekey(room, "recovery", require_verification=True)
    for key in done["keys"][:2]:
        data(room, "sys/rotate/recovery/verify", key=key, nonce=done["verification_nonce"])
    nonce = data(room, "sys/generate-root-token/attempt")["nonce"]
    refused(room, "not one of this installation", "sys/generate-root-token/update", key=old_keys[0], nonce=nonce)
    data(room, "sys/generate-root-token/update", key=done["keys"][0], nonce=nonce)
    assert data(room, "sys/generate-root-token/update", key=done["keys"][1], nonce=nonce)["complete"]


def test_recovery_keys_whose_successors_were_lost_still_work() -> None:
    room = by_itself()
    old_keys = room.unseal_keys
    rekey(room, "recovery")
    room.restart()
    open_by_itself(room.core)
    room.advance(4_000)
    room.unseal_keys = old_keys
    fresh = rekey(room, "recovery")["keys"]
    room.advance(10)
    room.unseal_keys = fresh
    assert rekey(room, "recovery")["complete"]


def test_a_store_opened_by_shares_has_no_recovery_keys() -> None:
    refused(three(), "recovery rekeying not supported", "sys/rotate/recovery/init", secret_shares=1, secret_threshold=1)


def test_a_seal_that_is_not_configured_any_more_stops_a_new_root_key() -> None:
    room = by_itself()
    room.core.sealing.seals = ()
    with pytest.raises(InvalidRequest, match="not configured here"):
        rekey(room)
    assert data(room, "sys/rotate/root/init", READ)["progress"] == 0, "the round ended, its shares are forgotten"


# -- a new root token ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "old"), [("sys/generate-root-token", False), ("sys/generate-root", True)])
def test_a_quorum_makes_a_root_token_that_only_the_password_reveals(path: str, old: bool) -> None:
    room = three()
    started = data(room, f"{path}/attempt")
    assert (started["started"], started["required"], started["otp_length"], len(started["otp"])) == (True, 2, TOKEN_LENGTH, TOKEN_LENGTH)
    assert data(room, f"{path}/attempt", READ)["otp"] == "", "shown once"
    for key in quorum(room):
        done = data(room, f"{path}/update", key=key, nonce=started["nonce"])
    assert done["complete"]
    assert done["encoded_token"] == done["encoded_root_token"]
    assert "=" not in done["encoded_token"]
    token = data(room, "sys/decode-token", encoded_token=done["encoded_token"], otp=started["otp"])["token"]
    assert room.json(room.read("auth/token/lookup-self", token=token))["policies"] == ["root"]
    assert data(room, f"{path}/attempt", READ)["started"] is False
    assert data(room, f"{path}/attempt")["nonce"] != started["nonce"]


def test_a_callers_own_password_has_the_tokens_length_and_is_not_repeated() -> None:
    room = three()
    refused(room, "wrong length", "sys/generate-root-token/attempt", otp="short")
    refused(room, "error decoding given PGP key 1", "sys/generate-root-token/attempt", pgp_key="x")
    assert data(room, "sys/generate-root-token/attempt", otp="o" * TOKEN_LENGTH)["otp"] == ""
    refused(room, "already in progress", "sys/generate-root-token/attempt")
    room.delete("sys/generate-root-token/attempt")
    refused(room, "no root generation in progress", "sys/generate-root-token/update", key=room.unseal_keys[0], nonce="")


@pytest.mark.parametrize(("token", "otp"), [("", ""), ("AAAA", "x"), ("é", "x"), ("!", "!"), ("gICA", "abc")])
def test_what_is_no_encoded_token_is_a_bad_request(token: str, otp: str) -> None:
    refused(three(), "encoded_token is not base64", "sys/decode-token", encoded_token=token, otp=otp)


# -- who may: T7.2 ------------------------------------------------------------------------------------------------------

OLD_FORMS = [
    (operation, f"sys/{form}/{step}")
    for form in ("rekey", "rekey-recovery-key")
    for operation, step in (
        (READ, "init"),
        (UPDATE, "init"),
        (DELETE, "init"),
        (UPDATE, "update"),
        (READ, "verify"),
        (UPDATE, "verify"),
        (DELETE, "verify"),
    )
] + [
    (READ, "sys/generate-root/attempt"),
    (UPDATE, "sys/generate-root/attempt"),
    (DELETE, "sys/generate-root/attempt"),
    (UPDATE, "sys/generate-root/update"),
]


@pytest.mark.parametrize(("operation", "path"), OLD_FORMS)
def test_the_old_forms_are_closed_unless_a_listener_opens_them(operation: Operation, path: str) -> None:
    room = three(settings=Settings())
    for token in ("", room.token):
        error = room.request(operation, path, {}, token=token).error
        assert isinstance(error, UnsupportedOperation)
        assert f"disable_unauthed_{'rekey' if 'rekey' in path else 'generate_root'}_endpoints = false" in error.messages[0]
    opened = three(settings=Settings(open_rekey=True, open_generate_root=True))
    assert not isinstance(opened.request(operation, path, {}, token="").error, UnsupportedOperation)


def test_ten_thousand_strangers_leave_a_ceremony_as_it_is() -> None:
    for settings in (Settings(), Settings(open_rekey=True, open_generate_root=True)):
        room = three(settings=settings)
        nonces = {}
        for path, fields in (("rotate/root", {"secret_shares": 3, "secret_threshold": 2}), ("generate-root-token", {})):
            begin = "init" if path == "rotate/root" else "attempt"
            nonces[path] = data(room, f"sys/{path}/{begin}", UPDATE, **fields)["nonce"]
            data(room, f"sys/{path}/update", key=room.unseal_keys[0], nonce=nonces[path])
        size = len(room.storage.scan(b"", b"\xff" * 9, -1))
        for _ in range(50 if settings.open_rekey else 2_500):
            room.request(UPDATE, "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
            room.request(DELETE, "sys/rekey/init", {}, token="")
            room.request(UPDATE, "sys/generate-root/attempt", {}, token="")
            room.request(DELETE, "sys/generate-root/attempt", {}, token="")
        assert len(room.storage.scan(b"", b"\xff" * 9, -1)) == size
        for path, nonce in nonces.items():
            assert data(room, f"sys/{path}/update", key=room.unseal_keys[1], nonce=nonce)["complete"]


def test_an_old_form_ceremony_with_shares_is_ended_only_by_who_knows_its_nonce() -> None:
    room = three()
    nonce = data(room, "sys/rekey/init", secret_shares=3, secret_threshold=2)["nonce"]
    room.delete("sys/rekey/init", token="")
    nonce = data(room, "sys/rekey/init", secret_shares=3, secret_threshold=2)["nonce"]
    data(room, "sys/rekey/update", key=room.unseal_keys[0], nonce=nonce)
    refused(room, "takes its nonce", "sys/rekey/init", DELETE)
    room.delete("sys/rekey/init", {"nonce": nonce}, token="")
    assert data(room, "sys/rekey/init", READ)["started"] is False


def test_the_old_rekey_works_by_shares_alone() -> None:
    room = three()
    nonce = data(room, "sys/rekey/init", secret_shares=3, secret_threshold=2, require_verification=True)["nonce"]
    for key in quorum(room):
        work = room.request(UPDATE, "sys/rekey/update", {"key": key, "nonce": nonce}, token="")
    assert work.response is not None
    assert work.response.bare is not None
    done = msgspec.json.decode(work.response.bare.body)
    for key in done["keys"][:2]:
        last = data(room, "sys/rekey/verify", key=key, nonce=done["verification_nonce"])
    assert last["complete"]
    assert opens(room, done["keys"])


NEEDS_SUDO = [(UPDATE, f"sys/rotate/{target}/{step}") for target in ("root", "recovery") for step in ("init", "update", "verify")] + [
    (DELETE, "sys/rotate/root/init"),
    (UPDATE, "sys/generate-root-token/attempt"),
    (UPDATE, "sys/generate-root-token/update"),
    (DELETE, "sys/generate-root-token/attempt"),
    (UPDATE, "sys/rotate"),
    (UPDATE, "sys/rotate/keyring"),
    (UPDATE, "sys/rotate/config"),
]


@pytest.mark.parametrize(("operation", "path"), NEEDS_SUDO)
def test_ceremonies_take_sudo(operation: Operation, path: str) -> None:
    room = three(settings=Settings())
    room.write("sys/policies/acl/plain", {"policy": 'path "sys/*" { capabilities = ["create", "read", "update", "delete"] }'})
    for token in ("", room.create_token("plain")):
        error = room.request(operation, path, {}, token=token).error
        assert isinstance(error, StrongroomError)
        assert error.status == 403


@pytest.mark.parametrize("old", [False, True])
def test_ceremonies_are_audited_and_no_share_password_or_token_is_in_the_log(old: bool) -> None:
    sink = Memory()
    room = three(broker=broker(device(sink)))
    kept = set(room.unseal_keys)
    rotate, generate = ("sys/rekey", "sys/generate-root") if old else ("sys/rotate/root", "sys/generate-root-token")
    nonce = data(room, f"{rotate}/init", secret_shares=3, secret_threshold=2)["nonce"]
    for key in quorum(room):
        done = data(room, f"{rotate}/update", key=key, nonce=nonce)
    kept |= {*done["keys"], *done["keys_base64"]}
    room.unseal_keys = done["keys"]
    started = data(room, f"{generate}/attempt")
    for key in quorum(room):
        made = data(room, f"{generate}/update", key=key, nonce=started["nonce"])
    token = data(room, "sys/decode-token", encoded_token=made["encoded_token"], otp=started["otp"])["token"]
    kept |= {started["otp"], made["encoded_token"], token}
    assert [secret for secret in kept if secret.encode() in sink.taken] == []
    paths = [line["request"]["path"] for line in sink.lines if line["type"] == "request"]
    assert paths.count(f"{rotate}/update") == paths.count(f"{generate}/update") == 2
    room.request(DELETE, f"{rotate}/init", token="")
    assert sink.lines[-1]["request"]["path"] == f"{rotate}/init", "whoever cancels is in the log too"


# -- F29: a crash at every step -----------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


class Fragile(MemoryStorage):
    """Dies at the nth commit: before it (nothing is stored) or right after (nobody hears of it)."""

    def __init__(self) -> None:
        super().__init__()
        self.fatal = 0
        self.after = False
        self.commits = count(1)

    def begin(self, since: int, keys: Any) -> MemoryGroup:
        group = super().begin(since, keys)
        commit = group.commit

        def fragile() -> None:
            number = next(self.commits)
            if number == self.fatal and not self.after:
                group.abandon()
                raise Crash
            commit()
            if number == self.fatal:
                raise Crash

        group.commit = fragile  # type: ignore[method-assign]
        return group


def ceremony_steps(room: Strongroom, seen: list[list[str]], verify: bool) -> None:
    """A rekey as its holders see it: `seen` gets the new shares once somebody has them."""
    started = data(room, "sys/rotate/root/init", secret_shares=3, secret_threshold=2, require_verification=verify)
    for key in quorum(room):
        done = data(room, "sys/rotate/root/update", key=key, nonce=started["nonce"])
    seen.append(done["keys"])
    if verify:
        for key in done["keys"][:2]:
            data(room, "sys/rotate/root/verify", key=key, nonce=done["verification_nonce"])
    room.advance(10)
    room.write("sys/rotate")
    room.advance(10)


@pytest.mark.fault("F29")
@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fatal", range(1, 8))
def test_a_crash_at_any_commit_leaves_a_set_that_its_holders_have(fatal: int, after: bool, verify: bool) -> None:
    storage = Fragile()
    room = three(storage=storage)
    old_keys, seen = room.unseal_keys, list[list[str]]()
    room.write("cubbyhole/one", {"value": "kept"})
    storage.commits = count(1)
    storage.fatal, storage.after = fatal, after
    with pytest.raises(Crash):
        ceremony_steps(room, seen, verify)
    storage.fatal = 0
    working = next((keys for keys in (old_keys, *seen) if opens(room, keys)), None)
    assert working is not None, "locked out"
    assert opens(room, working)
    room.advance(4_000)
    assert room.json(room.read("cubbyhole/one")) == {"value": "kept"}
    assert scrub(room.core.barrier).clean
    room.delete("sys/rotate/root/init")
    assert rekey(room)["complete"], "and its holders can rekey"


@pytest.mark.control
@pytest.mark.fault("F29")
def test_without_the_overlap_of_sets_a_crash_would_lock_everybody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a rekey that ends the old set in its own commit loses both when its answer is lost."""
    wraps = Rekey._wraps
    monkeypatch.setattr(Rekey, "_wraps", lambda self, config, root, new, _old: wraps(self, config, root, new, None))
    storage = Fragile()
    room = three(storage=storage)
    old_keys, seen = room.unseal_keys, list[list[str]]()
    storage.commits, storage.fatal, storage.after = count(1), 3, True
    with pytest.raises(Crash):
        ceremony_steps(room, seen, verify=False)
    assert seen == []
    assert not opens(room, old_keys)
