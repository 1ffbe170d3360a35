"""hvac's `secrets.kv.v1` against a real server."""

from __future__ import annotations

import hvac
import pytest
from hvac import exceptions
from hvac.adapters import RawAdapter

from tests.conformance.server import Running

SECRET = {"pssst": "hi", "number": 12345678901234567890, "nested": {"list": [1, 2.5, None, True]}}


def test_a_secret_is_read_as_it_was_written(client: hvac.Client, v1_mount: str) -> None:
    written = client.secrets.kv.v1.create_or_update_secret("a/b", SECRET, mount_point=v1_mount)
    assert written.status_code == 204
    read = client.secrets.kv.v1.read_secret("a/b", mount_point=v1_mount)
    assert read["data"] == SECRET
    assert (read["lease_id"], read["renewable"], read["lease_duration"]) == ("", False, 2764800)


@pytest.mark.parametrize("method", ["POST", "PUT", None])
def test_every_write_method_replaces_the_whole_secret(client: hvac.Client, v1_mount: str, method: str | None) -> None:
    for secret in ({"a": "1", "b": "2"}, {"b": "3"}):
        assert client.secrets.kv.v1.create_or_update_secret("hvac", secret, method, mount_point=v1_mount).status_code == 204
    assert client.secrets.kv.v1.read_secret("hvac", mount_point=v1_mount)["data"] == {"b": "3"}


def test_a_wrong_method_is_refused_by_the_client(client: hvac.Client, v1_mount: str) -> None:
    with pytest.raises(exceptions.ParamValidationError):
        client.secrets.kv.v1.create_or_update_secret("hvac", {"a": "1"}, "GET", mount_point=v1_mount)


def test_a_missing_secret_is_an_invalid_path(client: hvac.Client, v1_mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath) as refused:
        client.secrets.kv.v1.read_secret("no-secret-here", mount_point=v1_mount)
    assert refused.value.json == {"errors": []}


def test_a_write_without_data_is_refused(client: hvac.Client, v1_mount: str) -> None:
    with pytest.raises(exceptions.InvalidRequest) as refused:
        client.secrets.kv.v1.create_or_update_secret("hvac", {}, "POST", mount_point=v1_mount)
    assert "missing data fields" in str(refused.value)


def test_a_list_shows_keys_and_folders_sorted(client: hvac.Client, v1_mount: str) -> None:
    for path in ("list/b/c", "list/b/d", "list/a", "list/b"):
        client.secrets.kv.v1.create_or_update_secret(path, {"x": "y"}, "POST", mount_point=v1_mount)
    assert client.secrets.kv.v1.list_secrets("list", mount_point=v1_mount)["data"] == {"keys": ["a", "b", "b/"]}
    assert client.secrets.kv.v1.list_secrets("", mount_point=v1_mount)["data"] == {"keys": ["list/"]}
    for path in ("list/a", "nowhere"):
        with pytest.raises(exceptions.InvalidPath):
            client.secrets.kv.v1.list_secrets(path, mount_point=v1_mount)


def test_a_deleted_secret_is_gone_and_deleting_again_is_fine(client: hvac.Client, v1_mount: str) -> None:
    client.secrets.kv.v1.create_or_update_secret("gone", {"a": "1"}, "POST", mount_point=v1_mount)
    for _ in range(2):
        assert client.secrets.kv.v1.delete_secret("gone", mount_point=v1_mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.secrets.kv.v1.read_secret("gone", mount_point=v1_mount)


def test_a_ttl_in_the_data_becomes_the_lease_duration(client: hvac.Client, v1_mount: str) -> None:
    client.secrets.kv.v1.create_or_update_secret("timed", {"ttl": "30m", "a": "1"}, "POST", mount_point=v1_mount)
    read = client.secrets.kv.v1.read_secret("timed", mount_point=v1_mount)
    assert read["lease_duration"] == 1800 and read["data"]["ttl"] == "30m" and read["renewable"] is False


def test_the_generic_client_methods_work_on_it(client: hvac.Client, v1_mount: str) -> None:
    client.write(f"{v1_mount}/foo", zap="zip")
    assert client.read(f"{v1_mount}/foo")["data"] == {"zap": "zip"}
    client.write_data(f"{v1_mount}/foo", data={"path": "foo1", "wrap_ttl": "foo2"})
    assert client.read(f"{v1_mount}/foo")["data"] == {"path": "foo1", "wrap_ttl": "foo2"}
    client.write(f"{v1_mount}/bar/foo", zap="zip")
    assert client.list(v1_mount)["data"]["keys"] == ["bar/", "foo"]
    client.delete(f"{v1_mount}/foo")
    assert client.read(f"{v1_mount}/foo") is None
    assert client.list(f"{v1_mount}/nothing") is None


def test_a_path_may_hold_a_whole_url(client: hvac.Client, v1_mount: str) -> None:
    client.write(f"{v1_mount}/http://test.com", foo="bar")
    assert client.read(f"{v1_mount}/http://test.com")["data"] == {"foo": "bar"}


@pytest.mark.parametrize("path", ["with space", "ünïcode/日本", "a+b", "colon:semi;comma,", "q?x=1#y", "dot.s/.hidden"])
def test_every_printable_name_is_kept(client: hvac.Client, v1_mount: str, path: str) -> None:
    client.secrets.kv.v1.create_or_update_secret(path, {"path": path}, "POST", mount_point=v1_mount)
    assert client.secrets.kv.v1.read_secret(path, mount_point=v1_mount)["data"] == {"path": path}
    folder, _, leaf = path.rpartition("/")
    assert leaf in client.secrets.kv.v1.list_secrets(folder, mount_point=v1_mount)["data"]["keys"]


def test_a_percent_sign_in_a_name_is_refused_and_says_why(client: hvac.Client, v1_mount: str) -> None:
    """What still holds one after a decoding has two readings; Vault would take it."""
    with pytest.raises(exceptions.InvalidRequest, match="encoded twice"):
        client.secrets.kv.v1.create_or_update_secret("100% sure", {"a": "b"}, "POST", mount_point=v1_mount)


def test_clients_without_the_list_verb_and_with_raw_answers_work_too(server: Running, v1_mount: str) -> None:
    strict = hvac.Client(server.address, server.root_token, verify=str(server.ca), strict_http=True)
    strict.secrets.kv.v1.create_or_update_secret("a/b", {"zap": "zip"}, "PUT", mount_point=v1_mount)
    assert strict.secrets.kv.v1.list_secrets("a", mount_point=v1_mount)["data"] == {"keys": ["b"]}
    raw = hvac.Client(server.address, server.root_token, verify=str(server.ca), adapter=RawAdapter)
    answer = raw.secrets.kv.v1.read_secret("a/b", mount_point=v1_mount)
    assert answer.status_code == 200 and answer.json()["data"] == {"zap": "zip"}
