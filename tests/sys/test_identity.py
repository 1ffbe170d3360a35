"""identity/ shows who has logged in, as Vault's clients read it, and only to whom it may."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.sys import identity
from strongroom.testing import Strongroom


def fresh(*names: str) -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/userpass", {"type": "userpass"})
    for name in names or ("alice",):
        room.write(f"auth/userpass/users/{name}", {"password": "right"})
    return room


def login(room: Strongroom, name: str = "alice") -> Any:
    return room.login(f"auth/userpass/login/{name}", {"password": "right"})


def accessor(room: Strongroom) -> str:
    return str(room.json(room.read("sys/auth"))["userpass/"]["accessor"])


def test_the_first_login_makes_an_entity_that_is_found_in_every_way() -> None:
    room = fresh()
    auth = login(room)
    entity = room.json(room.read(f"identity/entity/id/{auth.entity_id}"))
    (alias,) = entity["aliases"]
    ways: list[dict[str, str]] = [
        {"id": entity["id"]},
        {"name": entity["name"]},
        {"name": entity["name"].upper()},
        {"alias_id": alias["id"]},
        {"alias_name": "alice", "alias_mount_accessor": accessor(room)},
        {"alias_name": "Alice", "alias_mount_accessor": accessor(room)},
    ]
    for way in ways:
        assert room.json(room.write("identity/lookup/entity", way)) == entity
    assert room.json(room.read(f"identity/entity/name/{entity['name']}")) == entity
    assert room.json(room.read(f"identity/entity-alias/id/{alias['id']}")) == {**alias, "namespace_id": "root"}


def test_members_are_those_of_vault() -> None:
    room = fresh()
    entity = room.json(room.read(f"identity/entity/id/{login(room).entity_id}"))
    time = "2026-01-01T00:00:00Z"
    (alias,) = entity.pop("aliases")
    assert entity.pop("name").startswith("entity_")
    assert entity == {
        "id": alias["canonical_id"],
        "metadata": None,
        "policies": [],
        "disabled": False,
        "group_ids": [],
        "direct_group_ids": [],
        "inherited_group_ids": [],
        "merged_entity_ids": None,
        "namespace_id": "root",
        "creation_time": time,
        "last_update_time": time,
    }
    del alias["id"], alias["canonical_id"]
    assert alias == {
        "name": "alice",
        "mount_accessor": accessor(room),
        "mount_path": "auth/userpass/",
        "mount_type": "userpass",
        "metadata": {"username": "alice"},
        "custom_metadata": None,
        "merged_from_canonical_ids": None,
        "local": False,
        "creation_time": time,
        "last_update_time": time,
    }


def test_an_alias_shows_where_its_auth_method_is_now() -> None:
    room = fresh()
    auth = login(room)
    room.write("sys/remount", {"from": "auth/userpass", "to": "auth/people"})
    (alias,) = room.json(room.read(f"identity/entity/id/{auth.entity_id}"))["aliases"]
    assert alias["mount_path"] == "auth/people/"
    room.delete("sys/auth/people")
    (alias,) = room.json(room.read(f"identity/entity/id/{auth.entity_id}"))["aliases"]
    assert alias["mount_path"] == "auth/userpass/"


@pytest.mark.parametrize("kind", ["entity/id", "entity/name", "entity-alias/id"])
def test_listings_are_paged_and_say_a_few_words(kind: str) -> None:
    room = fresh("alice", "bob", "carol")
    with pytest.raises(NotFound):
        room.list(f"identity/{kind}")
    for name in ("alice", "bob", "carol"):
        login(room, name)
    found = room.json(room.ask(Operation.LIST, f"identity/{kind}"))
    assert found["keys"] == sorted(found["keys"]) and len(found["keys"]) == 3
    if kind != "entity/name":
        assert found["key_info"].keys() == set(found["keys"])
        words = [info["name"] if kind == "entity-alias/id" else info["aliases"][0]["name"] for info in found["key_info"].values()]
        assert sorted(words) == ["alice", "bob", "carol"]
    assert room.list(f"identity/{kind}", {"after": found["keys"][0], "limit": 1}) == [found["keys"][1]]


def test_long_listings_are_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MAX_DETAILED", 1)
    room = fresh("alice", "bob")
    for name in ("alice", "bob"):
        login(room, name)
    assert "key_info" not in room.json(room.ask(Operation.LIST, "identity/entity/id"))
    assert "key_info" in room.json(room.ask(Operation.LIST, "identity/entity/id", {"limit": 1}))


@pytest.mark.parametrize("path", ["entity/id/none", "entity/name/none", "entity-alias/id/none"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        fresh().read(f"identity/{path}")


@pytest.mark.parametrize(
    "body", [{"id": "none"}, {"name": "none"}, {"alias_id": "none"}, {"alias_name": "n", "alias_mount_accessor": "a/b"}]
)
def test_a_lookup_of_nobody_has_no_content(body: dict[str, str]) -> None:
    response = fresh().write("identity/lookup/entity", body)
    assert response.data is None and response.status == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "query parameter not supplied"),
        ({"id": "a", "name": "b"}, "conflict"),
        ({"id": "a", "alias_name": "b", "alias_mount_accessor": "c"}, "conflict"),
        ({"alias_name": "a"}, "both"),
        ({"alias_mount_accessor": "a"}, "both"),
    ],
)
def test_a_lookup_takes_one_way(body: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        fresh().write("identity/lookup/entity", body)


def test_somebody_reads_himself_and_nobody_else() -> None:
    """As the default policy says it."""
    room = fresh("alice", "bob")
    alice, bob = login(room), login(room, "bob")
    token = alice.client_token.reveal()
    own = room.json(room.read(f"identity/entity/id/{alice.entity_id}", token=token))
    room.read(f"identity/entity/name/{own['name']}", token=token)
    for path in (f"entity/id/{bob.entity_id}", f"entity-alias/id/{own['aliases'][0]['id']}"):
        with pytest.raises(PermissionDenied):
            room.read(f"identity/{path}", token=token)
    with pytest.raises(PermissionDenied):
        room.list("identity/entity/id", token=token)
    with pytest.raises(PermissionDenied):
        room.write("identity/lookup/entity", {"id": alice.entity_id}, token=token)


def test_a_lookup_commits_nothing() -> None:
    room = fresh()
    login(room)
    before = room.core.committed.gsn
    room.write("identity/lookup/entity", {"name": "none"})
    assert room.core.committed.gsn == before
