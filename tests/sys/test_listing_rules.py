"""T4.3 and T4.5: whatever engine answers a LIST or SCAN, the rule's denials, filter and limit hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.call import Call
from strongroom.core.policy.acl import Acl, compile_acl
from strongroom.core.policy.listing import asked, shown
from strongroom.core.policy.rules import parse_policy
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Response
from strongroom.core.secret import Secret
from strongroom.errors import InvalidRequest, NotFound
from strongroom.testing import Strongroom
from tests.engines.api_kit import Api
from tests.sys.kit import allowed, house, refused

NAMES = ("a", "b", "private/one", "private/two", "z")


@pytest.fixture
def api() -> Api:
    api = house()
    for name in NAMES:
        api.put(name, {"k": "v"})
    return api


def test_what_lies_below_a_denial_is_not_listed_and_not_in_the_scan_above(api: Api) -> None:
    token = allowed(api, "secret/metadata/*:list scan read", "secret/metadata/private/*:deny")
    for target in ("secret/metadata/private", "secret/metadata/private/", "secret/metadata/private?list=true"):
        verb = "GET" if "?" in target else "LIST"
        assert refused(api.send(verb, target, token=token)), target
    for target in ("secret/metadata/private", "secret/metadata/private/"):
        assert refused(api.send("SCAN", target, token=token)), target
    keys = api.send("SCAN", "secret/metadata", token=token).data["keys"]
    assert [key for key in keys if key.startswith("private")] == []
    assert {"a", "b", "z"} <= set(keys)


def test_without_the_denial_the_scan_shows_them(api: Api) -> None:
    """The negative control."""
    token = allowed(api, "secret/metadata/*:list scan read")
    assert "private/one" in api.send("SCAN", "secret/metadata", token=token).data["keys"]


LIMITED = """
path "secret/metadata/*" { capabilities = ["list", "scan"] pagination_limit = 2 }
path "secret/metadata" { capabilities = ["list", "scan"] pagination_limit = 2 }
path "lend/many/*" { capabilities = ["list"] pagination_limit = 2 }
path "lend/many" { capabilities = ["list"] pagination_limit = 2 }
path "sys/policies/acl/*" { capabilities = ["list"] pagination_limit = 2 }
path "sys/policies/acl" { capabilities = ["list"] pagination_limit = 2 }
"""


@pytest.mark.parametrize("limit", ["0", "-1", str(2**63), "1e9", "", "max", "3", "2147483648", "None", "1.5"])
@pytest.mark.parametrize("path", ["secret/metadata", "lend/many", "sys/policies/acl"])
def test_no_limit_that_is_asked_gets_past_the_rules(api: Api, path: str, limit: str) -> None:
    api.policy("limited", LIMITED)
    reply = api.send("LIST", f"{path}?limit={limit}", token=api.token("limited"))
    assert reply.status == 400 or len(reply.data["keys"]) <= 2, reply


def test_a_smaller_limit_is_a_smaller_answer_and_key_info_goes_with_it(api: Api) -> None:
    api.policy("limited", LIMITED)
    token = api.token("limited")
    assert api.send("LIST", "secret/metadata?limit=1", token=token).data["keys"] == ["a"]
    reply = api.send("LIST", "lend/many", token=token)
    assert reply.data == {"keys": ["a", "b"], "key_info": {"a": {}, "b": {}}}


def test_a_keys_filter_shows_what_the_caller_may_reach(api: Api) -> None:
    rule = 'capabilities = ["list"] list_scan_response_keys_filter_path = "secret/data/{{ .key }}"'
    api.policy("filtered", f'path "secret/metadata/" {{ {rule} }}\npath "secret/data/a" {{ capabilities = ["read"] }}')
    assert api.send("LIST", "secret/metadata", token=api.token("filtered")).data["keys"] == ["a"]
    api.policy("filtered", f'path "secret/metadata/" {{ {rule} }}')
    reply = api.send("LIST", "secret/metadata", token=api.token("filtered"))
    assert (reply.status, reply.body) == (404, {"errors": []}), "nothing to show is nothing there"


def acl(limit: int) -> Acl:
    text = f'path "a/*" {{ capabilities = ["list"] pagination_limit = {limit} }}'
    return compile_acl([parse_policy("p", text)])


def asking(data: Mapping[str, Any]) -> Call:
    request = Request("1", Operation.LIST, "a/", data, b"", Secret(""), Peer())
    return Call(request, request.operation, Strongroom().core.transaction(None))


@given(
    ceiling=st.integers(0, 5),
    wanted=st.one_of(st.none(), st.integers(-(2**70), 2**70), st.text(max_size=12), st.booleans()),
    names=st.lists(st.text("abc", min_size=1, max_size=3), max_size=9, unique=True),
)
def test_a_ceiling_is_never_exceeded(ceiling: int, wanted: object, names: list[str]) -> None:
    rules = acl(ceiling)
    try:
        data = asked(rules, Operation.LIST, "a/", {} if wanted is None else {"limit": wanted})
    except InvalidRequest:
        return
    limit = data.get("limit", -1)
    assert limit != 0
    if ceiling:
        assert 0 < limit <= ceiling
    try:
        answer = shown(asking(data), rules, Response(data={"keys": names}))
    except NotFound:
        assert not names
        return
    assert isinstance(answer.data, dict)
    kept = answer.data["keys"]
    assert kept == names[: len(kept)]
    assert len(kept) == min(len(names), limit if limit > 0 else len(names))
