"""hvac's `auth.radius` against a real server that asks a real FreeRADIUS."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running
from tests.support.freeradius import PROGRAM, Radius, freeradius

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="freeradius is not installed")


@pytest.fixture(scope="module")
def radius(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radius]:
    with freeradius(tmp_path_factory.mktemp("freeradius"), {"somedude": "the-password", "guest": "another"}) as server:
        yield server


@pytest.fixture
def mount(client: hvac.Client, name: str, radius: Radius) -> Iterator[str]:
    """A fresh radius mount that asks FreeRADIUS."""
    client.sys.enable_auth_method("radius", path=name)
    made = client.auth.radius.configure(
        "127.0.0.1", radius.secret, port=radius.port, unregistered_user_policies=["guests"], dial_timeout=5, nas_port=9, mount_point=name
    )
    assert made.status_code == 204
    yield name
    client.sys.disable_auth_method(name)


def test_the_configuration_is_read_back_without_the_secret(client: hvac.Client, mount: str, radius: Radius) -> None:
    data = client.auth.radius.read_configuration(mount_point=mount)["data"]
    assert (data["host"], data["port"], data["dial_timeout"], data["nas_port"]) == ("127.0.0.1", radius.port, 5, 9)
    assert data["unregistered_user_policies"] == ["guests"]
    assert radius.secret not in str(data)


def test_users_are_registered_read_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        client.auth.radius.list_users(mount_point=mount)
    assert client.auth.radius.register_user("somedude", ["p1", "p2"], mount_point=mount).status_code == 204
    assert client.auth.radius.register_user("other", mount_point=mount).status_code == 204
    assert client.auth.radius.read_user("somedude", mount_point=mount)["data"] == {"policies": ["p1", "p2"]}
    assert client.auth.radius.list_users(mount_point=mount)["data"]["keys"] == ["other", "somedude"]
    assert client.auth.radius.delete_user("other", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.radius.read_user("other", mount_point=mount)


def test_people_log_in_with_the_policies_of_their_name(server: Running, client: hvac.Client, mount: str) -> None:
    client.auth.radius.register_user("somedude", ["p1"], mount_point=mount)
    own = server.client("")
    auth = own.auth.radius.login("somedude", "the-password", mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "p1"] and auth["metadata"] == {"username": "somedude", "policies": "p1"}
    guest = server.client("").auth.radius.login("guest", "another", mount_point=mount)["auth"]
    assert guest["policies"] == ["default", "guests"]


def test_a_wrong_password_is_refused_and_five_lock(server: Running, mount: str) -> None:
    for _ in range(5):
        with pytest.raises(exceptions.InvalidRequest, match="access denied by the authentication server"):
            server.client("").auth.radius.login("guest", "wrong", mount_point=mount)
    with pytest.raises(exceptions.Forbidden, match="permission denied"):
        server.client("").auth.radius.login("guest", "another", mount_point=mount)
