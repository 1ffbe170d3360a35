"""approle: roles, secret ids, logins, and what guessing costs (T2.1, T10.4)."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.auth.approle import login, model
from strongroom.auth.approle.model import metadata
from strongroom.barrier.view import QUEUE_AREA
from strongroom.core.request import Operation, Peer
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, StrongroomError
from strongroom.testing import Strongroom
from tests.auth.audited import audit_to, reasons

LOGIN = "auth/approle/login"
ROLE = "auth/approle/role/"
CI = ROLE + "ci"

INVALID = (400, "invalid role or secret ID")
LOCKED = (403, "permission denied")
OK = (200, "")


def fresh(**fields: Any) -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/approle", {"type": "approle"})
    room.write(CI, {"token_policies": "reader", **fields})
    return room


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return fresh()


def role_id(room: Strongroom, path: str = CI) -> str:
    return str(room.json(room.read(path + "/role-id"))["role_id"])


def made(room: Strongroom, path: str = CI, **fields: Any) -> dict[str, Any]:
    """A new secret id."""
    found: dict[str, Any] = room.json(room.write(path + "/secret-id", fields))
    return found


def credentials(room: Strongroom, path: str = CI, **fields: Any) -> dict[str, Any]:
    return {"role_id": role_id(room, path), "secret_id": made(room, path, **fields)["secret_id"]}


def answer(room: Strongroom, body: dict[str, Any], peer: Peer | None = None) -> tuple[int, str]:
    """Status and text of a login."""
    work = room.request(Operation.UPDATE, LOGIN, body, token="", peer=peer)
    return OK if work.error is None else (work.error.status, str(work.error))


def rows(room: Strongroom) -> int:
    """Rows of the mount, its timers apart."""
    mount = room.transact(lambda call: room.core.mounts.table(call.transaction).by_path["auth/approle/"])
    return len(room.storage.scan(mount.uuid, mount.uuid + b"\xff", -1))


# -- roles ----------------------------------------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "bind_secret_id": True,
    "secret_id_bound_cidrs": ["127.0.0.0/8", "10.1.2.3"],
    "secret_id_num_uses": 7,
    "secret_id_ttl": 3_600,
    "local_secret_ids": True,
    "token_ttl": 600,
    "token_max_ttl": 1_200,
    "token_explicit_max_ttl": 9_000,
    "token_period": 0,
    "token_num_uses": 5,
    "token_policies": ["a", "b"],
    "token_bound_cidrs": ["127.0.0.1"],
    "token_no_default_policy": True,
    "token_strictly_bind_ip": False,
    "token_type": "service",
}


def test_every_field_is_read_back_and_a_second_write_changes_only_what_it_names(room: Strongroom) -> None:
    room.write(ROLE + "full", FIELDS)
    found = room.json(room.read(ROLE + "full"))
    assert {name: found[name] for name in FIELDS} == FIELDS
    assert "role_id" not in found and "key" not in found
    room.write(ROLE + "full", {"secret_id_ttl": "15m"})
    assert {**room.json(room.read(ROLE + "full")), "secret_id_ttl": 3_600} == found


def test_a_role_without_fields_has_the_defaults(room: Strongroom) -> None:
    room.write(ROLE + "bare")
    found = room.json(room.read(ROLE + "bare"))
    assert (found["bind_secret_id"], found["secret_id_bound_cidrs"], found["token_type"]) == (True, None, "default")
    assert not any(value for name, value in found.items() if name not in ("bind_secret_id", "token_type"))


def test_old_names_mean_the_same_fields(room: Strongroom) -> None:
    room.write(ROLE + "old", {"policies": "B,a", "period": "1h", "bound_cidr_list": "127.0.0.1", "enable_local_secret_ids": True})
    found = room.json(room.read(ROLE + "old"))
    assert (found["token_policies"], found["policies"], found["token_period"], found["period"]) == (["a", "b"], ["a", "b"], 3_600, 3_600)
    assert found["secret_id_bound_cidrs"] == ["127.0.0.1"] and "bound_cidr_list" not in found
    assert found["local_secret_ids"] is True
    room.write(ROLE + "old", {"token_policies": ["c", "a"], "token_period": 60, "policies": "d"})
    found = room.json(room.read(ROLE + "old"))
    assert (found["token_policies"], found["policies"]) == (["a", "c"], ["a", "c"]), "the new name wins, the old one was written, too"
    room.write(ROLE + "old", {"token_policies": ["c", "a"]})
    found = room.json(room.read(ROLE + "old"))
    assert found["token_policies"] == ["c", "a"] and not {"policies", "period"} & set(found)


@pytest.mark.parametrize("kind", ["service", "batch"])
def test_a_default_kind_of_token_says_no_more_than_the_kind(room: Strongroom, kind: str) -> None:
    assert room.write(ROLE + "kind", {"token_type": "default-" + kind}).warnings == (
        f"default-{kind} has no useful meaning; adjusting to {kind}",
    )
    assert room.json(room.read(ROLE + "kind"))["token_type"] == kind


@pytest.mark.parametrize(
    "fields",
    [
        {"bind_secret_id": False},
        {"secret_id_num_uses": -1},
        {"secret_id_ttl": "-5s"},
        {"secret_id_bound_cidrs": "nowhere"},
        {"token_bound_cidrs": "nowhere"},
        {"token_policies": "root"},
        {"token_policies": "Root"},
        {"token_ttl": 20, "token_max_ttl": 10},
        {"token_type": "batch", "token_num_uses": 1},
        {"role_id": "with/slash"},
        {"role_id": "ｆｕｌｌ"},
        {"role_id": "x" * 129},
        {"role_id": "white space"},
    ],
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any]) -> None:
    before = rows(room)
    with pytest.raises(InvalidRequest):
        room.write(ROLE + "wrong", fields)
    assert rows(room) == before
    with pytest.raises(NotFound):
        room.read(ROLE + "wrong")


@pytest.mark.parametrize("name", [".hidden", "a b", "ｃｉ", "ci-", "\u212a", "x" * 129, "c\0i"])
def test_a_name_outside_the_grammar_is_refused(room: Strongroom, name: str) -> None:
    with pytest.raises(InvalidRequest):
        room.write(ROLE + name, {})


def test_names_count_without_case_and_are_listed_in_lower_case() -> None:
    room = fresh()
    room.write(ROLE + "Deploy-1", {"token_policies": "x"})
    room.write(ROLE + "DEPLOY-1", {"token_ttl": 60})
    assert room.list(ROLE) == ["ci", "deploy-1"]
    assert room.json(room.read(ROLE + "dePLOY-1"))["token_policies"] == ["x"]
    assert room.list(ROLE, {"after": "ci", "limit": 1}) == ["deploy-1"]
    auth = room.login(LOGIN, credentials(room, ROLE + "DEPLOY-1"))
    assert auth.metadata == {"role_name": "deploy-1"}


def test_local_secret_ids_is_settled_when_the_role_is_made(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="only be modified during role creation"):
        room.write(CI, {"local_secret_ids": True})
    room.write(CI, {"local_secret_ids": False})


def test_making_a_role_takes_the_right_to_create_and_changing_it_the_right_to_update() -> None:
    room = fresh()
    room.write("sys/policies/acl/maker", {"policy": 'path "auth/approle/role/*" { capabilities = ["create"] }'})
    token = room.create_token("maker")
    room.write(ROLE + "new", {}, token=token)
    for name in ("new", "NEW"):
        with pytest.raises(PermissionDenied):
            room.write(ROLE + name, {}, token=token)


def test_a_lifetime_over_the_mounts_is_kept_with_a_warning(room: Strongroom) -> None:
    assert "truncated" in room.write(ROLE + "long", {"token_max_ttl": "10000h"}).warnings[0]


def test_a_deleted_role_takes_its_secret_ids_with_it_and_its_name_can_be_used_again() -> None:
    room = fresh()
    empty = rows(room)
    before = credentials(room)
    for _ in range(350):
        made(room)
    room.delete(ROLE + "CI")
    assert rows(room) == empty - 2, "nothing is left, over several steps of the removal"
    assert answer(room, before) == INVALID
    room.write(CI, {"role_id": before["role_id"]})
    assert answer(room, before) == INVALID
    room.delete(ROLE + "never-there")


# -- role ids -------------------------------------------------------------------------------------------------------


def test_a_role_id_is_random_or_chosen_and_shown_as_written() -> None:
    room = fresh()
    first = role_id(room)
    assert len(first) == 36
    secret = made(room)["secret_id"]
    room.write(CI + "/role-id", {"role_id": "My.Role"})
    assert role_id(room) == "My.Role"
    assert answer(room, {"role_id": first, "secret_id": secret}) == INVALID
    for spelling in ("My.Role", "my.role"):
        assert answer(room, {"role_id": spelling, "secret_id": secret}) == OK
    room.write(CI + "/role-id", {"role_id": "MY.ROLE"})
    assert answer(room, {"role_id": "my.role", "secret_id": secret}) == OK


def test_two_roles_never_share_a_role_id() -> None:
    room = fresh(role_id="taken")
    for path, body in ((ROLE + "other", {"role_id": "TAKEN"}), (ROLE + "third", {"role_id": "taken"})):
        with pytest.raises(InvalidRequest, match="role_id already in use"):
            room.write(path, body)
    room.write(ROLE + "other", {"role_id": "free"})
    with pytest.raises(InvalidRequest, match="role_id already in use"):
        room.write(ROLE + "other/role-id", {"role_id": "Taken"})
    room.write(CI, {"role_id": "gone-elsewhere"})
    room.write(ROLE + "other/role-id", {"role_id": "taken"})


def test_role_ids_of_what_is_not_there(room: Strongroom) -> None:
    with pytest.raises(NotFound):
        room.read(ROLE + "nobody/role-id")
    with pytest.raises(NotFound, match='role "nobody" does not exist'):
        room.write(ROLE + "nobody/role-id", {"role_id": "x"})
    with pytest.raises(InvalidRequest, match="missing role_id"):
        room.write(CI + "/role-id", {})


# -- single fields --------------------------------------------------------------------------------------------------

SINGLE: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("policies", {"policies": "B,a"}, {"token_policies": ["a", "b"], "policies": ["a", "b"]}, {"token_policies": []}),
    ("policies", {"token_policies": ["x"]}, {"token_policies": ["x"]}, {"token_policies": []}),
    ("secret-id-num-uses", {"secret_id_num_uses": "9"}, {"secret_id_num_uses": 9}, {"secret_id_num_uses": 0}),
    ("secret-id-ttl", {"secret_id_ttl": "2m"}, {"secret_id_ttl": 120}, {"secret_id_ttl": 0}),
    ("token-ttl", {"token_ttl": 30}, {"token_ttl": 30}, {"token_ttl": 0}),
    ("token-max-ttl", {"token_max_ttl": "1h"}, {"token_max_ttl": 3_600}, {"token_max_ttl": 0}),
    ("token-num-uses", {"token_num_uses": 4}, {"token_num_uses": 4}, {"token_num_uses": 0}),
    ("secret-id-bound-cidrs", {"secret_id_bound_cidrs": "::1"}, {"secret_id_bound_cidrs": ["::1"]}, {"secret_id_bound_cidrs": None}),
    ("bound-cidr-list", {"bound_cidr_list": "10.0.0.0/8"}, {"bound_cidr_list": ["10.0.0.0/8"]}, {"bound_cidr_list": None}),
    ("token-bound-cidrs", {"token_bound_cidrs": ["10.0.0.0/8"]}, {"token_bound_cidrs": ["10.0.0.0/8"]}, {"token_bound_cidrs": None}),
    ("period", {"period": 60}, {"token_period": 60, "period": 60}, {"token_period": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "sent", "shown", "reset"), SINGLE)
def test_a_single_field_is_changed_shown_and_reset(
    room: Strongroom, path: str, sent: dict[str, Any], shown: dict[str, Any], reset: dict[str, Any]
) -> None:
    room.write(ROLE + "single", {"token_explicit_max_ttl": 77})
    room.write(f"{ROLE}Single/{path}", sent)
    assert room.json(room.read(f"{ROLE}single/{path}")) == shown
    whole = room.json(room.read(ROLE + "single"))
    assert {name: whole[name] for name in shown if name != "bound_cidr_list"}.items() <= shown.items()
    assert whole["token_explicit_max_ttl"] == 77
    room.delete(f"{ROLE}single/{path}")
    assert room.json(room.read(f"{ROLE}single/{path}")) == reset
    if "cidr" in path:
        room.write(f"{ROLE}single/{path}", {})
        assert room.json(room.read(f"{ROLE}single/{path}")) == reset
    else:
        with pytest.raises(InvalidRequest, match="missing"):
            room.write(f"{ROLE}single/{path}", {})
    with pytest.raises(NotFound):
        room.read(f"{ROLE}nobody/{path}")
    with pytest.raises(NotFound, match="does not exist"):
        room.write(f"{ROLE}nobody/{path}", sent)
    room.delete(f"{ROLE}nobody/{path}")


def test_a_role_keeps_a_constraint_whatever_is_changed(room: Strongroom) -> None:
    room.write(ROLE + "open", {"secret_id_bound_cidrs": "127.0.0.1"})
    assert room.json(room.read(ROLE + "open/bind-secret-id")) == {"bind_secret_id": True}
    room.write(ROLE + "open/bind-secret-id", {"bind_secret_id": False})
    assert room.json(room.read(ROLE + "open/bind-secret-id")) == {"bind_secret_id": False}
    with pytest.raises(InvalidRequest, match="at least one constraint"):
        room.delete(ROLE + "open/secret-id-bound-cidrs")
    room.delete(ROLE + "open/bind-secret-id")
    assert room.json(room.read(ROLE + "open"))["bind_secret_id"] is True
    room.delete(ROLE + "open/secret-id-bound-cidrs")


def test_local_secret_ids_can_be_read_only(room: Strongroom) -> None:
    assert room.json(room.read(CI + "/local-secret-ids")) == {"local_secret_ids": False}
    with pytest.raises(StrongroomError) as refused:
        room.write(CI + "/local-secret-ids", {"local_secret_ids": True})
    assert refused.value.status == 405


# -- secret ids -----------------------------------------------------------------------------------------------------


def test_a_secret_id_is_shown_once_and_stored_as_a_hash_only() -> None:
    room = fresh()
    found = made(room, metadata='{"team": "blue"}')
    assert found["secret_id"].startswith("sri_") and len(found["secret_id"]) == 53
    assert (found["secret_id_ttl"], found["secret_id_num_uses"], len(found["secret_id_accessor"])) == (0, 0, 36)
    rest = found["secret_id"][4:].encode()

    def plaintexts(call: Any) -> list[tuple[bytes, bytes]]:
        scanned: list[tuple[bytes, bytes]] = call.transaction.scan(bytes(16) + b"\x01", b"\xff" * 17, -1)
        return scanned

    everything = room.transact(plaintexts)
    assert any(b"blue" in value for _, value in everything), "the control: metadata is found"
    assert not any(rest in key + value for key, value in everything)
    for path, body in (
        ("secret-id/lookup", {"secret_id": found["secret_id"]}),
        ("secret-id-accessor/lookup", {"secret_id_accessor": found["secret_id_accessor"]}),
    ):
        seen = room.json(room.write(f"{CI}/{path}", body))
        assert "secret_id" not in seen and seen["metadata"] == {"team": "blue"}


def test_a_lookup_shows_what_is_known() -> None:
    room = fresh(secret_id_ttl="10m", secret_id_num_uses=5, secret_id_bound_cidrs="127.0.0.0/8", token_bound_cidrs="127.0.0.0/8")
    fields: dict[str, Any] = {
        "cidr_list": "127.0.0.1",
        "token_bound_cidrs": ["127.1.0.0/16"],
        "num_uses": 2,
        "ttl": 60,
        "metadata": {"a": "b"},
    }
    found = made(room, **fields)
    assert (found["secret_id_ttl"], found["secret_id_num_uses"]) == (60, 2)
    seen = room.json(room.write(CI + "/secret-id/lookup", {"secret_id": found["secret_id"]}))
    assert seen == {
        "secret_id_accessor": found["secret_id_accessor"],
        "secret_id_num_uses": 2,
        "secret_id_ttl": 60,
        "creation_time": "2026-01-01T00:00:00Z",
        "expiration_time": "2026-01-01T00:01:00Z",
        "last_updated_time": "2026-01-01T00:00:00Z",
        "metadata": {"a": "b"},
        "cidr_list": ["127.0.0.1"],
        "token_bound_cidrs": ["127.1.0.0/16"],
    }
    by_role = made(room)
    assert (by_role["secret_id_ttl"], by_role["secret_id_num_uses"]) == (600, 5)


def test_without_an_end_the_lookup_says_so_in_gos_way(room: Strongroom) -> None:
    seen = room.json(room.write(CI + "/secret-id/lookup", {"secret_id": made(room)["secret_id"]}))
    assert seen["expiration_time"] == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl": 601},
        {"ttl": 0},
        {"ttl": -1},
        {"num_uses": 6},
        {"num_uses": 0},
        {"num_uses": -1},
        {"cidr_list": "10.0.0.0/8"},
        {"cidr_list": "::1"},
        {"cidr_list": ["127.0.0.1", "128.0.0.1"]},
        {"token_bound_cidrs": "0.0.0.0/0"},
        {"metadata": "{"},
        {"metadata": '{"a": 1}'},
        {"metadata": "[1]"},
        {"metadata": {"a": {"b": "c"}}},
        {"metadata": {"a": "x" * 513}},
        {"metadata": {str(n): "" for n in range(65)}},
    ],
)
def test_a_secret_id_is_never_wider_than_its_role(fields: dict[str, Any]) -> None:
    room = fresh(secret_id_ttl=600, secret_id_num_uses=5, secret_id_bound_cidrs="127.0.0.0/8", token_bound_cidrs="127.0.0.0/8")
    with pytest.raises(InvalidRequest):
        room.write(CI + "/secret-id", fields)
    with pytest.raises(NotFound):
        room.list(CI + "/secret-id")


def test_networks_are_read_back_as_they_were_written_and_still_bound() -> None:
    room = fresh(secret_id_bound_cidrs=["127.0.0.1/18", "192.178.1.2/24"], token_bound_cidrs="127.1.2.3/8")
    found = room.json(room.read(CI))
    assert (found["secret_id_bound_cidrs"], found["token_bound_cidrs"]) == (["127.0.0.1/18", "192.178.1.2/24"], ["127.1.2.3/8"])
    assert made(room, cidr_list="127.0.0.9/24")["secret_id"]
    with pytest.raises(InvalidRequest, match="subset"):
        made(room, cidr_list="127.0.0.1/16")
    assert answer(room, credentials(room), Peer("127.0.63.1", 1)) == OK
    assert answer(room, credentials(room), Peer("127.0.64.1", 1)) != OK


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ttl": 601}, "ttl cannot be longer than the role's secret_id_ttl"),
        ({"num_uses": 6}, "num_uses cannot be higher than the role's secret_id_num_uses"),
    ],
)
def test_a_secret_id_that_would_be_wider_is_refused_in_vaults_words(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{text}$"):
        fresh(secret_id_ttl=600, secret_id_num_uses=5).write(CI + "/secret-id", fields)


def test_a_secret_id_lives_no_longer_than_the_mount_allows(room: Strongroom) -> None:
    assert made(room, ttl="2000h")["secret_id_ttl"] == 768 * 3_600


def test_accessors_are_listed_by_page_and_name_what_they_destroy() -> None:
    room = fresh()
    found = [made(room) for _ in range(4)]
    accessors = sorted(each["secret_id_accessor"] for each in found)
    assert room.list(CI + "/secret-id") == accessors
    assert room.list(CI + "/secret-id", {"after": accessors[0], "limit": 2}) == accessors[1:3]
    room.write(CI + "/secret-id-accessor/destroy", {"secret_id_accessor": found[0]["secret_id_accessor"]})
    room.delete(CI + "/secret-id-accessor/destroy", {"secret_id_accessor": found[1]["secret_id_accessor"]})
    room.write(CI + "/secret-id/destroy", {"secret_id": found[2]["secret_id"]})
    room.delete(CI + "/secret-id/destroy", {"secret_id": found[3]["secret_id"]})
    with pytest.raises(NotFound):
        room.list(CI + "/secret-id")
    for each in found:
        assert answer(room, {"role_id": role_id(room), "secret_id": each["secret_id"]}) in (INVALID, LOCKED)


def test_what_is_not_there_is_nothing_or_404() -> None:
    room = fresh()
    assert room.write(CI + "/secret-id/lookup", {"secret_id": "x"}).data is None
    room.write(CI + "/secret-id/destroy", {"secret_id": "x"})
    for verb in ("lookup", "destroy"):
        for accessor in ("x", "a/b", "/", ".", "/" * 36, "x" * 36, "x" * 100_000):
            with pytest.raises(NotFound) as refused:
                room.write(f"{CI}/secret-id-accessor/{verb}", {"secret_id_accessor": accessor})
            assert refused.value.messages == ("failed to find accessor entry for secret_id_accessor",)  # what was sent may be a secret id
        for kind in ("secret-id", "secret-id-accessor"):
            with pytest.raises(InvalidRequest, match="missing"):
                room.write(f"{CI}/{kind}/{verb}", {})
            with pytest.raises(NotFound, match="does not exist"):
                room.write(f"{ROLE}nobody/{kind}/{verb}", {"secret_id": "x", "secret_id_accessor": "x"})
    with pytest.raises(NotFound, match="does not exist"):
        room.write(ROLE + "nobody/secret-id", {})
    with pytest.raises(InvalidRequest, match="does not exist"):
        room.list(ROLE + "nobody/secret-id")


def test_an_accessor_serves_at_its_own_role_only() -> None:
    """T10.4, CVE-2023-24999: rights on one role's accessors are none on another's."""
    room = fresh()
    room.write(ROLE + "other", {})
    own = credentials(room)
    (accessor,) = room.list(CI + "/secret-id")
    for verb in ("lookup", "destroy"):
        for ask in (room.write, *((room.delete,) if verb == "destroy" else ())):
            with pytest.raises(NotFound, match="failed to find accessor entry"):
                ask(f"{ROLE}other/secret-id-accessor/{verb}", {"secret_id_accessor": accessor})
        assert room.write(f"{ROLE}other/secret-id/{verb}", {"secret_id": own["secret_id"]}).data is None
    assert answer(room, own) == OK
    assert room.json(room.write(CI + "/secret-id-accessor/lookup", {"secret_id_accessor": accessor}))["secret_id_accessor"] == accessor
    room.write(CI + "/secret-id-accessor/destroy", {"secret_id_accessor": accessor})
    assert answer(room, own) == INVALID, "the control: at its own role it destroys"


def test_a_secret_id_that_the_caller_chose_serves_at_its_role() -> None:
    room = fresh()
    room.write(ROLE + "other", {})
    found = room.json(room.write(CI + "/custom-secret-id", {"secret_id": "chosen", "metadata": {"by": "hand"}}))
    assert found["secret_id"] == "chosen"
    assert room.login(LOGIN, {"role_id": role_id(room), "secret_id": "chosen"}).metadata == {"by": "hand", "role_name": "ci"}
    assert answer(room, {"role_id": role_id(room, ROLE + "other"), "secret_id": "chosen"}) == INVALID
    with pytest.raises(InvalidRequest, match="SecretID is already registered"):
        room.write(CI + "/custom-secret-id", {"secret_id": "chosen"})
    room.write(ROLE + "other/custom-secret-id", {"secret_id": "chosen"})
    for body in ({}, {"secret_id": "x" * 4_097}):
        with pytest.raises(InvalidRequest):
            room.write(CI + "/custom-secret-id", body)


def test_a_role_that_takes_no_secret_ids_gives_none() -> None:
    room = fresh(bind_secret_id=False, secret_id_bound_cidrs="127.0.0.1")
    for path, body in (("secret-id", {}), ("custom-secret-id", {"secret_id": "x"})):
        with pytest.raises(InvalidRequest, match="bind_secret_id is not set on the role"):
            room.write(f"{CI}/{path}", body)


def test_a_wrapped_secret_id_comes_with_its_accessor() -> None:
    room = fresh()
    wrap = room.write(CI + "/secret-id", {}, wrap_ttl=60).wrap
    assert wrap is not None
    (accessor,) = room.list(CI + "/secret-id")
    assert wrap.wrapped_accessor == accessor
    opened = room.write("sys/wrapping/unwrap", {}, token=wrap.token.reveal())
    assert opened.bare is not None
    data = msgspec.json.decode(opened.bare.body)["data"]
    assert data["secret_id_accessor"] == accessor
    assert answer(room, {"role_id": role_id(room), "secret_id": data["secret_id"]}) == OK
    with pytest.raises(StrongroomError):
        room.write("sys/wrapping/unwrap", {}, token=wrap.token.reveal())


# -- metadata -------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=8))
def test_metadata_is_the_same_in_every_form(pairs: dict[str, str]) -> None:
    assert metadata(pairs) == metadata(msgspec.json.encode(pairs).decode()) == pairs


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60) | st.integers() | st.lists(st.text(max_size=5)) | st.none() | st.booleans())
def test_whatever_is_sent_as_metadata_is_read_or_refused(sent: object) -> None:
    try:
        found = metadata(sent)
    except InvalidRequest:
        return
    assert all(isinstance(text, str) for pair in found.items() for text in pair)


def test_metadata_comes_as_pairs_too() -> None:
    assert metadata("a=b, c=d=e") == {"a": "b", "c": "d=e"}
    assert metadata("") == {}


# -- logins ---------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_token_of_the_roles_entity() -> None:
    room = fresh(token_ttl=600, token_num_uses=9)
    first = room.login(LOGIN, credentials(room, metadata={"team": "blue", "role_name": "liar"}))
    second = room.login(LOGIN, credentials(room))
    assert first.token_policies == ("default", "reader")
    assert first.metadata == {"team": "blue", "role_name": "ci"}
    assert second.metadata == {"role_name": "ci"}
    assert first.entity_id == second.entity_id != ""
    assert (first.lease_duration, first.num_uses) == (600, 9)
    found = room.json(room.read("auth/token/lookup-self", token=first.client_token.reveal()))
    assert (found["display_name"], found["path"], found["orphan"], found["ttl"]) == ("approle", LOGIN, True, 600)
    assert found["meta"] == {"team": "blue", "role_name": "ci"}

    def alias(call: Any) -> Any:
        mount = room.core.mounts.table(call.transaction).by_path["auth/approle/"]
        return room.core.identities.alias(call.transaction, mount.accessor, role_id(room))

    assert room.transact(alias).name == role_id(room)


@pytest.mark.parametrize("kind", ["batch", "default-batch"])
def test_batch_tokens_come_where_the_role_says_so(kind: str) -> None:
    room = fresh(token_type=kind)
    assert room.login(LOGIN, credentials(room)).token_type == "batch"


def test_what_is_wrong_is_not_told_apart() -> None:
    room = fresh()
    room.write("sys/auth/approle/tune", {"user_lockout_config": {"lockout_disable": True}})
    right = credentials(room)
    far = credentials(room, cidr_list="10.0.0.0/8")
    used = credentials(room, num_uses=1)
    assert answer(room, used) == OK
    for body in (
        {**right, "secret_id": "wrong"},
        {**right, "secret_id": right["secret_id"] + " "},
        {**right, "secret_id": right["secret_id"].lower()},
        {**right, "role_id": "nobody"},
        {**right, "role_id": "no such grammar / at all"},
        {**right, "role_id": "ｆｕｌｌ"},
        {**right, "role_id": "x" * 5_000},
        {"role_id": "nobody", "secret_id": "x" * 5_000},
        far,
        used,
    ):
        assert answer(room, body) == INVALID
    known, unknown = {"role_id": right["role_id"]}, {"role_id": "nobody"}
    assert answer(room, known) == answer(room, unknown) == (400, "missing secret_id")
    assert answer(room, {"secret_id": right["secret_id"]}) == answer(room, {}) == (400, "missing role_id")
    assert answer(room, right) == OK


def test_without_bind_secret_id_the_role_id_and_the_address_suffice() -> None:
    room = fresh(bind_secret_id=False, secret_id_bound_cidrs="10.0.0.0/8")
    body = {"role_id": role_id(room)}
    assert answer(room, body) == INVALID
    assert answer(room, body, Peer("10.1.2.3", 1)) == OK
    assert answer(room, {**body, "secret_id": "whatever"}, Peer("::ffff:10.1.2.3", 1)) == OK


def test_networks_of_role_and_secret_id_bind_the_login() -> None:
    room = fresh(secret_id_bound_cidrs="127.0.0.0/8")
    body = credentials(room, cidr_list="127.0.0.5")
    assert answer(room, body) == INVALID
    assert answer(room, body, Peer("127.0.0.5", 1)) == OK
    assert answer(room, credentials(room), Peer("10.0.0.1", 1)) == INVALID
    assert answer(room, credentials(room)) == OK


def test_token_networks_bind_login_and_token_and_those_of_the_secret_id_are_narrower() -> None:
    room = fresh(token_bound_cidrs="10.0.0.0/8")
    assert answer(room, credentials(room)) == LOCKED
    near = Peer("10.1.1.1", 1)
    token = room.login(LOGIN, credentials(room, token_bound_cidrs="10.1.0.0/16"), peer=near).client_token.reveal()
    room.read("auth/token/lookup-self", token=token, peer=near)
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token, peer=Peer("10.2.1.1", 1))
    assert answer(room, credentials(room, token_bound_cidrs="10.1.0.0/16"), Peer("10.2.1.1", 1)) == LOCKED


def test_a_role_that_was_narrowed_narrows_the_secret_ids_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    room, near, far = fresh(), Peer("10.1.1.1", 1), Peer("10.2.1.1", 1)
    wide = credentials(room, token_bound_cidrs="10.0.0.0/8, 192.0.2.0/24")
    room.write(CI, {"token_bound_cidrs": "10.1.0.0/16"})
    assert answer(room, wide, far) == LOCKED
    token = room.login(LOGIN, wide, peer=near).client_token.reveal()
    room.read("auth/token/lookup-self", token=token, peer=near)
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token, peer=far)
    monkeypatch.setattr(login, "shared", lambda _role, of_the_secret_id: of_the_secret_id)
    token = room.login(LOGIN, wide, peer=near).client_token.reveal()
    room.read("auth/token/lookup-self", token=token, peer=far)  # the negative control
    monkeypatch.undo()
    room.write(CI, {"token_bound_cidrs": "172.16.0.0/12"})
    assert answer(room, wide, Peer("172.16.0.1", 1)) == LOCKED


def test_uses_count_down_and_the_last_one_ends_the_secret_id() -> None:
    room = fresh()
    found = made(room, num_uses=3)
    body = {"role_id": role_id(room), "secret_id": found["secret_id"]}
    room.clock.advance(5)
    for left in (2, 1):
        assert answer(room, body) == OK
        seen = room.json(room.write(CI + "/secret-id/lookup", {"secret_id": found["secret_id"]}))
        assert (seen["secret_id_num_uses"], seen["last_updated_time"]) == (left, "2026-01-01T00:00:05Z")
    assert answer(room, body) == OK
    assert answer(room, body) == INVALID
    with pytest.raises(NotFound):
        room.list(CI + "/secret-id")
    with pytest.raises(NotFound):
        room.write(CI + "/secret-id-accessor/lookup", {"secret_id_accessor": found["secret_id_accessor"]})


def test_a_use_is_spent_although_the_login_fails() -> None:
    """Otherwise a stolen secret id could probe from anywhere for ever."""
    room = fresh()
    body = credentials(room, num_uses=1, cidr_list="10.0.0.0/8")
    assert answer(room, body) == INVALID
    assert answer(room, body, Peer("10.0.0.1", 1)) == INVALID
    assert answer(room, credentials(room, num_uses=1, cidr_list="10.0.0.0/8"), Peer("10.0.0.1", 1)) == OK, "the control"


def test_a_secret_id_ends_with_its_time_before_and_after_its_timer_ran() -> None:
    room = fresh()
    found = made(room, ttl=60)
    body = {"role_id": role_id(room), "secret_id": found["secret_id"]}
    before = rows(room)
    room.clock.advance(59.999)
    assert answer(room, body) == OK
    room.clock.advance(0.001)
    assert answer(room, body) == INVALID
    assert room.request(Operation.UPDATE, CI + "/secret-id/lookup", {"secret_id": found["secret_id"]}).response is not None
    with pytest.raises(NotFound):
        room.write(CI + "/secret-id-accessor/lookup", {"secret_id_accessor": found["secret_id_accessor"]})
    room.advance(0)
    assert rows(room) == before - 2
    with pytest.raises(NotFound):
        room.list(CI + "/secret-id")


def test_a_timer_of_a_secret_id_that_was_destroyed_and_made_again_ends_nothing() -> None:
    room = fresh()
    for ttl in (60, 600):
        found = room.json(room.write(CI + "/custom-secret-id", {"secret_id": "same", "ttl": ttl}))
        if ttl == 60:
            room.write(CI + "/secret-id-accessor/destroy", {"secret_id_accessor": found["secret_id_accessor"]})
    room.advance(60)
    assert answer(room, {"role_id": role_id(room), "secret_id": "same"}) == OK


def test_a_secret_id_that_is_over_can_be_chosen_again_before_its_timer_ran() -> None:
    room = fresh()
    for _ in range(2):
        found = room.request(Operation.UPDATE, CI + "/custom-secret-id", {"secret_id": "same", "ttl": 60})
        assert found.error is None
        room.clock.advance(60)
    room.run_due()
    with pytest.raises(NotFound):
        room.list(CI + "/secret-id")


def test_tidy_removes_what_is_over_and_nothing_else() -> None:
    room = fresh()
    kept = credentials(room)
    for _ in range(310):
        made(room, ttl=60)
    room.clock.advance(61)
    timers = [key for key, _ in room.storage.scan(QUEUE_AREA, QUEUE_AREA + b"\xff" * 20, -1)]

    def lose_timers(call: Any) -> None:
        for key in timers:
            call.transaction.put(key, None, charge=False)

    room.transact(lose_timers)
    before = rows(room)
    response = room.write("auth/approle/tidy/secret-id")
    assert response.status == 202 and response.warnings
    assert rows(room) == before - 620
    assert answer(room, kept) == OK


def test_the_audit_log_says_why_and_the_caller_is_not_told(tmp_path: Path) -> None:
    room = fresh()
    right = credentials(room)
    room.write(ROLE + "far", {"secret_id_bound_cidrs": "10.0.0.0/8"})
    far = credentials(room, ROLE + "far")
    file = audit_to(room, tmp_path)
    told = [answer(room, body) for body in (right | {"secret_id": "wrong"}, right | {"role_id": "nobody"}, right | {"role_id": "ａ"}, far)]
    assert told == [INVALID] * 4
    unknown = "there is no such role id"
    found = reasons(file)
    assert found[-4:-1] == ["the role has no such secret id, or it is over", unknown, unknown]
    assert found[-1].endswith("do not have this address")


def test_renewal_goes_by_the_role_as_it_is_now_and_keeps_the_policies_of_the_login() -> None:
    room = fresh()
    token = room.login(LOGIN, credentials(room)).client_token.reveal()
    room.write(CI, {"token_ttl": 60, "token_policies": "other"})
    renewed = room.write("auth/token/renew-self", token=token).auth
    assert renewed is not None and (renewed.lease_duration, renewed.token_policies) == (60, ("default", "reader"))


def test_tokens_of_a_role_that_is_deleted_are_dead_whatever_is_made_under_its_name() -> None:
    room = fresh()
    room.write(ROLE + "other", {"token_policies": "reader"})
    token = room.login(LOGIN, credentials(room)).client_token.reveal()
    kept = room.login(LOGIN, credentials(room, ROLE + "other")).client_token.reveal()
    room.request(Operation.DELETE, CI)
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            room.read("auth/token/lookup-self", token=token)
        room.read("auth/token/lookup-self", token=kept)
        room.write(CI, {})


def test_tokens_of_an_unmounted_method_are_dead_and_its_rows_gone() -> None:
    room = fresh()
    token = room.login(LOGIN, credentials(room, ttl=60)).client_token.reveal()
    mount = room.transact(lambda call: room.core.mounts.table(call.transaction).by_path["auth/approle/"])
    room.delete("sys/auth/approle")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)
    assert not room.storage.scan(mount.uuid, mount.uuid + b"\xff", -1)
    room.advance(61)
    assert not room.faults


# -- guessing -------------------------------------------------------------------------------------------------------


def test_five_wrong_secret_ids_lock_every_spelling_of_the_role_id() -> None:
    room = fresh(role_id="My.Role")
    right = credentials(room)
    spellings = ("My.Role", "my.role", "MY.ROLE", "mY.rOLE", "My.role")
    assert [answer(room, {"role_id": name, "secret_id": "wrong"}) for name in spellings] == [INVALID] * 5
    assert [answer(room, {**right, "role_id": name}) for name in spellings] == [LOCKED] * 5
    assert room.json(room.read("sys/locked-users"))["by_namespace"][0]["mount_accessors"][0]["alias_identifiers"] == ["my.role"]
    room.advance(899)
    assert answer(room, right) == LOCKED
    room.advance(1)
    assert answer(room, right) == OK


def test_a_role_id_that_does_not_exist_locks_like_one_that_does() -> None:
    room = fresh()
    bodies = [{"role_id": name, "secret_id": "wrong"} for name in (role_id(room), "nobody")]
    known, unknown = ([answer(room, body) for _ in range(7)] for body in bodies)
    assert known == unknown == [INVALID] * 5 + [LOCKED] * 2
    assert [answer(room, {"role_id": body["role_id"]}) for body in bodies] == [LOCKED] * 2
    assert room.json(room.read("sys/locked-users"))["total"] == 1


def test_a_locked_role_id_spends_no_use_and_is_let_in_again_by_name() -> None:
    room = fresh(role_id="My.Role")
    right = credentials(room, num_uses=1)
    for _ in range(5):
        answer(room, {**right, "secret_id": "wrong"})
    assert answer(room, right) == LOCKED
    accessor = room.json(room.read("sys/auth"))["approle/"]["accessor"]
    room.write(f"sys/locked-users/{accessor}/unlock/My.Role")
    assert answer(room, right) == OK


def test_a_role_that_is_made_anew_starts_unlocked() -> None:
    room = fresh(role_id="same")
    for _ in range(5):
        answer(room, {"role_id": "same", "secret_id": "wrong"})
    room.delete(CI)
    room.write(CI, {"role_id": "same"})
    assert answer(room, credentials(room)) == OK


def test_a_right_secret_id_from_elsewhere_is_no_guess() -> None:
    room = fresh()
    far, right = credentials(room, cidr_list="10.0.0.0/8"), credentials(room)
    assert [answer(room, far) for _ in range(6)] == [INVALID] * 6
    assert answer(room, right) == OK


def test_a_failed_login_makes_no_token_and_no_entity() -> None:
    room = fresh()
    before = room.list("auth/token/accessors")
    for body in ({"role_id": role_id(room), "secret_id": "wrong"}, {"role_id": "nobody", "secret_id": "x"}, {}):
        answer(room, body)
    assert room.list("auth/token/accessors") == before
    assert room.transact(lambda call: room.core.identities.count(call.transaction)) == 0


def test_unknown_roles_and_wrong_secret_ids_take_the_same_time() -> None:
    """T2.1, short form: three tries of 400 interleaved logins each."""
    room = fresh()
    room.write("sys/auth/approle/tune", {"user_lockout_config": {"lockout_disable": True}})
    known = role_id(room)

    def took(name: str, number: int) -> float:
        started = time.perf_counter()
        room.request(Operation.UPDATE, LOGIN, {"role_id": name, "secret_id": f"wrong-{number}"}, token="")
        return time.perf_counter() - started

    for attempt in range(3):
        pairs = [(took(known, 1_000 * attempt + number), took("nobody", 1_000 * attempt + number)) for number in range(400)]
        there, absent = (statistics.median(column) for column in zip(*pairs, strict=True))
        if abs(there - absent) < max(0.05 * absent, 20e-6):
            return
    pytest.fail(f"known {there * 1e6:.1f} µs, unknown {absent * 1e6:.1f} µs")


def test_the_same_is_looked_up_for_a_role_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the measurement above cannot tell from noise: the keyed hash and the row of a secret id are wanted either way."""
    from strongroom.auth.approle.store import Store

    room = fresh()
    places: list[bytes] = []
    lookup = Store.secret_id

    def noted(self: Store, place: bytes) -> model.SecretId | None:
        places.append(place)
        return lookup(self, place)

    monkeypatch.setattr(Store, "secret_id", noted)
    for name in (role_id(room), "nobody"):
        answer(room, {"role_id": name, "secret_id": "wrong"})
    assert len(places) == 2 and places[0][:17] != places[1][:17] == b"s" + model.UNKNOWN.key
