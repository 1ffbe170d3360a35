"""hvac's wrapping and cubbyhole use against a real server."""

from __future__ import annotations

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running


def test_a_payload_is_wrapped_and_unwrapped_once(client: hvac.Client) -> None:
    payload = {"zap": "zip", "nested": {"n": 2**60}}
    wrapped = client.sys.wrap(payload, ttl=90)["wrap_info"]
    assert wrapped.keys() == {"token", "accessor", "ttl", "creation_time", "creation_path"}
    assert (wrapped["ttl"], wrapped["creation_path"]) == (90, "sys/wrapping/wrap")
    assert client.sys.unwrap(wrapped["token"])["data"] == payload
    with pytest.raises(exceptions.InvalidRequest, match="wrapping token is not valid or does not exist"):
        client.sys.unwrap(wrapped["token"])


def test_nothing_can_be_wrapped_too(client: hvac.Client) -> None:
    assert client.sys.wrap()["wrap_info"]["ttl"] == 60


def test_a_wrapping_token_opens_itself(server: Running, client: hvac.Client) -> None:
    wrapped = client.auth.token.create(wrap_ttl="1m")["wrap_info"]
    holder = server.client(wrapped["token"])
    token = holder.sys.unwrap()["auth"]["client_token"]
    assert client.auth.token.lookup(token)["data"]["id"] == token
    with pytest.raises(exceptions.InvalidRequest):
        holder.sys.unwrap()


def test_unwrapping_leaves_the_clients_token(client: hvac.Client) -> None:
    before = client.token
    client.sys.unwrap(client.auth.token.create(wrap_ttl="1m")["wrap_info"]["token"])
    assert client.token == before and client.is_authenticated()


@pytest.mark.parametrize("by_itself", [False, True])
def test_a_wrapped_token_may_be_revoked_by_its_accessor(server: Running, client: hvac.Client, by_itself: bool) -> None:
    wrapped = client.auth.token.create(wrap_ttl="1m")["wrap_info"]
    client.auth.token.revoke_accessor(wrapped["wrapped_accessor"])
    opened = server.client(wrapped["token"]).sys.unwrap() if by_itself else client.sys.unwrap(wrapped["token"])
    with pytest.raises(exceptions.Forbidden):
        client.auth.token.lookup(opened["auth"]["client_token"])


def test_a_client_logs_in_with_a_wrapped_token(client: hvac.Client) -> None:
    root = client.token
    wrapped = client.auth.token.create(ttl="6h", wrap_ttl="1h")["wrap_info"]
    assert wrapped["ttl"] == 3600
    client.auth_cubbyhole(wrapped["token"])
    assert client.token not in {root, wrapped["token"]} and client.is_authenticated()


def test_any_answer_is_wrapped_where_asked(client: hvac.Client, v1_mount: str) -> None:
    client.write(f"{v1_mount}/foo", zap="zip")
    wrapped = client.read(f"{v1_mount}/foo", wrap_ttl="10s")
    assert wrapped["data"] is None and wrapped["wrap_info"]["creation_path"] == f"{v1_mount}/foo"
    assert client.sys.unwrap(wrapped["wrap_info"]["token"])["data"] == {"zap": "zip"}


def test_a_wrapping_token_is_looked_up_and_rewrapped(client: hvac.Client) -> None:
    wrapped = client.sys.wrap({"a": "b"}, ttl=120)["wrap_info"]
    found = client.write("sys/wrapping/lookup", token=wrapped["token"])["data"]
    assert (found["creation_ttl"], found["creation_path"]) == (120, "sys/wrapping/wrap") and found["creation_time"]
    again = client.write("sys/wrapping/rewrap", token=wrapped["token"])["wrap_info"]
    assert again["ttl"] == 120 and again["token"] != wrapped["token"]
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.unwrap(wrapped["token"])
    assert client.sys.unwrap(again["token"])["data"] == {"a": "b"}


def test_an_unknown_wrapping_token_is_refused(client: hvac.Client) -> None:
    for call in (lambda: client.sys.unwrap("unknown"), lambda: client.write("sys/wrapping/lookup", token="unknown")):
        with pytest.raises(exceptions.InvalidRequest):
            call()


def test_every_token_has_a_cubbyhole_of_its_own(server: Running, client: hvac.Client) -> None:
    first, second = (server.client(client.auth.token.create(ttl="1h", policies=["default"])["auth"]["client_token"]) for _ in range(2))
    first.write("cubbyhole/one/two", zap="zip")
    first.write("cubbyhole/one", zap="zap")
    assert first.read("cubbyhole/one/two")["data"] == {"zap": "zip"}
    assert first.list("cubbyhole")["data"]["keys"] == ["one", "one/"]
    assert first.list("cubbyhole/one")["data"]["keys"] == ["two"]
    assert second.read("cubbyhole/one/two") is None and second.list("cubbyhole") is None
    first.delete("cubbyhole/one/two")
    assert first.read("cubbyhole/one/two") is None
    token = first.token
    client.auth.token.revoke(token)
    with pytest.raises(exceptions.Forbidden):
        first.read("cubbyhole/one")
