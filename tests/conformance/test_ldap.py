"""hvac's `auth.ldap` against a real server that asks a real slapd."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running
from tests.support.slapd import BASE, MOUNT, MOUNT_PASSWORD, Slapd, needs_slapd, running_slapd

pytestmark = needs_slapd

TREE = {"userdn": f"ou=people,{BASE}", "userattr": "uid", "groupdn": f"ou=groups,{BASE}"}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """The directory."""
    with running_slapd(tmp_path_factory.mktemp("slapd") / "private") as server:
        yield server


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh ldap mount."""
    client.sys.enable_auth_method("ldap", path=name)
    yield name
    client.sys.disable_auth_method(name)


def configure(client: hvac.Client, mount: str, slapd: Slapd, **more: Any) -> Any:
    """As an operator does, over TLS and with an account for searches."""
    account = {"binddn": MOUNT, "bindpass": MOUNT_PASSWORD}
    return client.auth.ldap.configure(url=slapd.tls_url, certificate=slapd.ca, **account, **TREE, **more, mount_point=mount)


def test_a_directory_without_tls_is_configured_with_204_and_warned_of_at_the_read(client: hvac.Client, mount: str) -> None:
    assert client.auth.ldap.configure(url="ldap://ldap.example.com", deny_null_bind=False, mount_point=mount).status_code == 204
    assert len(client.auth.ldap.read_configuration(mount_point=mount)["warnings"]) == 2
    with pytest.raises(exceptions.InvalidRequest, match="invalid 'tls_min_version'"):
        client.auth.ldap.configure(tls_min_version="tls09", mount_point=mount)


def test_a_configuration_is_read_back_without_its_password(client: hvac.Client, mount: str, slapd: Slapd) -> None:
    more = {
        "starttls": True,
        "insecure_tls": False,
        "tls_min_version": "tls12",
        "tls_max_version": "tls13",
        "discoverdn": False,
        "deny_null_bind": True,
        "groupfilter": "(member={{.UserDN}})",
        "groupattr": "cn",
        "use_token_groups": False,
        "case_sensitive_names": False,
        "token_ttl": 600,
        "token_max_ttl": 1200,
        "token_policies": ["everybody"],
        "connection_timeout": 10,
        "request_timeout": 20,
        "dereference_aliases": "never",
        "max_page_size": 100,
        "username_as_alias": True,
        "anonymous_group_search": False,
        "userfilter": "({{.UserAttr}}={{.Username}})",
    }
    assert configure(client, mount, slapd, **more).status_code == 204
    data = client.auth.ldap.read_configuration(mount_point=mount)["data"]
    assert {field: data[field] for field in more} == more
    assert data["url"] == slapd.tls_url and data["binddn"] == MOUNT and MOUNT_PASSWORD not in str(data)


def test_somebody_logs_in_with_the_policies_of_groups_and_user(server: Running, client: hvac.Client, mount: str, slapd: Slapd) -> None:
    configure(client, mount, slapd)
    assert client.auth.ldap.create_or_update_group("dev", policies=["develop"], mount_point=mount).status_code == 204
    assert client.auth.ldap.create_or_update_user("alice", policies=["own"], groups=["night"], mount_point=mount).status_code == 204
    client.auth.ldap.create_or_update_group("night", policies=["watch"], mount_point=mount)
    own = server.client("")
    auth = own.auth.ldap.login("Alice", "wonderland", mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "develop", "own", "watch"] and auth["metadata"] == {"username": "alice"}
    assert own.auth.token.lookup_self()["data"]["display_name"] == f"{mount}-alice"
    assert own.auth.token.renew_self()["auth"]["client_token"] == own.token
    for user, password in (("alice", "wrong"), ("nobody", "wonderland"), ("alice", "")):
        with pytest.raises(exceptions.InvalidRequest, match=r"failed to bind as user|zero length"):
            server.client("").auth.ldap.login(user, password, mount_point=mount)


def test_groups_are_read_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        client.auth.ldap.list_groups(mount_point=mount)
    client.auth.ldap.create_or_update_group("Domain Admins", policies=["a", "b"], mount_point=mount)
    assert client.auth.ldap.list_groups(mount_point=mount)["data"]["keys"] == ["domain admins"]
    assert client.auth.ldap.read_group("Domain Admins", mount_point=mount)["data"]["policies"] == ["a", "b"]
    assert client.auth.ldap.delete_group("Domain Admins", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.ldap.read_group("Domain Admins", mount_point=mount)


def test_users_are_read_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    client.auth.ldap.create_or_update_user("bob", policies=["a"], groups=["dev", "ops"], mount_point=mount)
    assert client.auth.ldap.list_users(mount_point=mount)["data"]["keys"] == ["bob"]
    assert client.auth.ldap.read_user("bob", mount_point=mount)["data"] == {"policies": ["a"], "groups": "dev,ops"}
    assert client.auth.ldap.delete_user("bob", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.ldap.read_user("bob", mount_point=mount)


def test_a_directory_that_is_down_is_a_bad_gateway(server: Running, client: hvac.Client, mount: str, slapd: Slapd) -> None:
    configure(client, mount, slapd)
    with pytest.raises(exceptions.InvalidRequest, match="bindpass was given for another place"):
        client.auth.ldap.configure(url="ldaps://127.0.0.1:1", mount_point=mount)
    client.auth.ldap.configure(url="ldaps://127.0.0.1:1", bindpass=MOUNT_PASSWORD, mount_point=mount)
    with pytest.raises(exceptions.BadGateway, match="audit log says why"):
        server.client("").auth.ldap.login("alice", "wonderland", mount_point=mount)


def test_guesses_at_the_same_moment_are_counted_one_by_one(server: Running, client: hvac.Client, mount: str, slapd: Slapd) -> None:
    """T1.1: all of them are under way before the first one has failed, and the right password is among them."""
    configure(client, mount, slapd)
    own = [server.client("") for _ in range(20)]

    def attempt(number: int) -> str:
        try:
            own[number].auth.ldap.login("bob", "builder" if number == 19 else f"guess{number}", mount_point=mount)
        except exceptions.VaultError as error:
            return type(error).__name__
        return "in"

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(attempt, range(20)))
    most = 9 if "in" in answers else 5  # the right one may be counted before the fifth wrong one, which then starts anew
    assert answers.count("InvalidRequest") <= most and answers.count("Forbidden") >= 19 - most
    with pytest.raises(exceptions.Forbidden):
        server.client("").auth.ldap.login("bob", "builder", mount_point=mount)
