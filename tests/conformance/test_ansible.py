"""What Ansible's community.hashi_vault does: hvac over a session that retries, generic reads and writes, its own reading of errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import hvac
import pytest
import requests
from hvac import exceptions
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.conformance.server import Running


@pytest.fixture
def connect(server: Running) -> Iterator[Callable[[str], hvac.Client]]:
    """Makes clients as the collection does with its retry option."""
    session = requests.Session()
    session.trust_env, session.verify = False, str(server.ca)
    retry = Retry(total=3, status_forcelist=[412, 500, 502, 503], allowed_methods=None, raise_on_status=False, backoff_factor=0.3)
    session.mount("https://", HTTPAdapter(max_retries=retry))
    yield lambda token: hvac.Client(url=server.address, token=token, verify=str(server.ca), session=session, timeout=30)
    session.close()


@pytest.fixture
def controller(connect: Callable[[str], hvac.Client], server: Running) -> hvac.Client:
    """A client with the root token."""
    return connect(server.root_token)


def test_a_token_login_looks_itself_up(controller: hvac.Client, connect: Callable[[str], hvac.Client]) -> None:
    found = controller.auth.token.lookup_self()
    assert found["data"]["id"] == controller.token and found.keys() >= {"data", "auth", "wrap_info", "request_id"}
    with pytest.raises((exceptions.Forbidden, exceptions.InvalidPath, exceptions.InvalidRequest)):
        connect("invalid").auth.token.lookup_self()


def test_a_userpass_login_gives_a_token(controller: hvac.Client, connect: Callable[[str], hvac.Client], name: str) -> None:
    controller.sys.enable_auth_method("userpass", path=name)
    controller.auth.userpass.create_or_update_user("ansible", "a password", mount_point=name)
    own = connect("")
    response = own.auth.userpass.login("ansible", "a password", use_token=True, mount_point=name)
    assert response["auth"]["client_token"] == own.token and own.is_authenticated()
    with pytest.raises(exceptions.InvalidRequest):
        connect("").auth.userpass.login("ansible", "wrong", mount_point=name)
    controller.sys.disable_auth_method(name)


def test_the_lookup_reads_any_path(controller: hvac.Client, v1_mount: str, name: str) -> None:
    controller.write_data(f"{v1_mount}/app", data={"user": "x", "path": "a field named path"})
    assert controller.read(f"{v1_mount}/app")["data"] == {"user": "x", "path": "a field named path"}
    assert controller.read(f"{v1_mount}/nothing") is None
    assert controller.list(v1_mount)["data"]["keys"] == ["app"]
    assert controller.list(f"{v1_mount}/nothing") is None
    controller.delete(f"{v1_mount}/app")
    assert controller.read(f"{v1_mount}/app") is None


def test_versioned_secrets_are_read_by_version(controller: hvac.Client, v2_mount: str) -> None:
    for value in ("old", "new"):
        controller.secrets.kv.v2.create_or_update_secret("app", {"a": value}, mount_point=v2_mount)
    for version, value in ((None, "new"), (1, "old")):
        read = controller.secrets.kv.v2.read_secret_version("app", version, v2_mount, raise_on_deleted_version=True)
        assert read["data"]["data"] == {"a": value} and read["data"]["metadata"].keys() >= {"created_time", "version", "destroyed"}
    assert controller.read(f"{v2_mount}/data/app")["data"]["data"] == {"a": "new"}


def test_a_version_two_mount_read_as_version_one_is_recognised(controller: hvac.Client, v2_mount: str) -> None:
    """The collection looks for this sentence in the exception's text."""
    controller.secrets.kv.v2.create_or_update_secret("app", {"a": "b"}, mount_point=v2_mount)
    with pytest.raises(exceptions.InvalidPath) as refused:
        controller.secrets.kv.v1.read_secret("app", mount_point=v2_mount)
    assert "Invalid path for a versioned K/V secrets engine" in f"{refused.value} {refused.value.text}"


def test_a_write_answers_with_data_nothing_or_a_wrapped_token(controller: hvac.Client, v1_mount: str, v2_mount: str) -> None:
    assert controller.write_data(f"{v1_mount}/app", data={"a": "b"}).status_code == 204
    assert controller.write_data(f"{v2_mount}/data/app", data={"data": {"a": "b"}})["data"]["version"] == 1
    wrapped = controller.write_data(f"{v2_mount}/data/app", data={"data": {"a": "c"}}, wrap_ttl="60s")
    assert wrapped["wrap_info"]["ttl"] == 60 and wrapped["data"] is None


def test_tokens_are_made_with_every_option_of_the_module(controller: hvac.Client) -> None:
    options = {
        "no_parent": False,
        "no_default_policy": False,
        "policies": ["default"],
        "id": None,
        "role_name": None,
        "meta": {"made": "by ansible"},
        "renewable": True,
        "ttl": "30m",
        "type": "service",
        "explicit_max_ttl": "1h",
        "display_name": "ansible",
        "num_uses": 9,
        "period": None,
        "entity_alias": None,
        "wrap_ttl": None,
    }
    auth = controller.auth.token.create(**options)["auth"]
    assert (auth["lease_duration"], auth["metadata"], auth["num_uses"]) == (1800, {"made": "by ansible"}, 9)
    orphan = {name: value for name, value in options.items() if name not in ("no_parent", "role_name")}
    assert controller.auth.token.create_orphan(**orphan)["auth"]["orphan"] is True
