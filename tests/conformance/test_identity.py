"""hvac's `secrets.identity`, what reads, against a real server: entities and aliases that logins made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh userpass mount with a user."""
    client.sys.enable_auth_method("userpass", path=name)
    client.auth.userpass.create_or_update_user("testuser", "testpass", mount_point=name)
    yield name
    client.sys.disable_auth_method(name)


@pytest.fixture
def own(server: Running, mount: str) -> hvac.Client:
    """Somebody who has logged in there."""
    client = server.client("")
    client.auth.userpass.login("testuser", "testpass", mount_point=mount)
    return client


def entity_of(own: hvac.Client) -> Any:
    """His entity, read by himself."""
    return own.secrets.identity.read_entity(own.auth.token.lookup_self()["data"]["entity_id"])["data"]


def test_an_entity_is_read_by_id_and_by_name(own: hvac.Client, mount: str) -> None:
    entity = entity_of(own)
    assert own.secrets.identity.read_entity_by_name(entity["name"])["data"] == entity
    assert [alias["mount_path"] for alias in entity["aliases"]] == [f"auth/{mount}/"]
    with pytest.raises(exceptions.Forbidden):
        own.secrets.identity.list_entities()


@pytest.mark.parametrize("method", ["LIST", "GET"])
def test_entities_and_aliases_are_listed(client: hvac.Client, own: hvac.Client, method: str) -> None:
    entity = entity_of(own)
    assert entity["id"] in client.secrets.identity.list_entities(method=method)["data"]["keys"]
    assert entity["name"] in client.secrets.identity.list_entities_by_name(method=method)["data"]["keys"]
    listed = client.secrets.identity.list_entity_aliases(method=method)["data"]
    assert listed["key_info"][entity["aliases"][0]["id"]]["canonical_id"] == entity["id"]


def test_an_alias_is_read_and_an_entity_looked_up(client: hvac.Client, own: hvac.Client) -> None:
    entity = entity_of(own)
    (alias,) = entity["aliases"]
    assert client.secrets.identity.read_entity_alias(alias["id"])["data"] == {**alias, "namespace_id": "root"}
    for way in (
        {"name": entity["name"]},
        {"entity_id": entity["id"]},
        {"alias_id": alias["id"]},
        {"alias_name": "testuser", "alias_mount_accessor": alias["mount_accessor"]},
    ):
        assert client.secrets.identity.lookup_entity(**way)["data"] == entity
    assert client.secrets.identity.lookup_entity(name="nobody").status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.secrets.identity.read_entity("nobody")
