"""Policy text and policy names: what is accepted, and that everything else is refused by name and line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.clock import SECOND
from strongroom.core.policy.builtin import BUILTIN
from strongroom.core.policy.rules import Policy, Rule, assignable_policies, parse_policy, policy_name
from strongroom.errors import InvalidRequest

FULL = """
name = "ignored"
path "/secret/+/x*" {
  comment             = "why"
  capabilities        = ["create", "update", "recover"]
  allowed_parameters  = { "TTL" = ["1h", 5], "*" = [] }
  denied_parameters   { "Policies" = [] }
  required_parameters = ["Reason", "reason"]
  min_wrapping_ttl    = 60
  max_wrapping_ttl    = "1h30m"
  pagination_limit    = 10
  expiration          = "2030-01-01T00:00:00Z"
  mfa_methods         = ["one"]
  subscribe_event_types = ["kv*"]
  list_scan_response_keys_filter_path = "{{ .path }}{{.key}}"
}
"""


def only(text: str) -> Rule:
    (rule,) = parse_policy("p", text).rules
    return rule


def test_every_key_is_read() -> None:
    assert only(FULL) == Rule(
        pattern="secret/+/x*",
        comment="why",
        capabilities=frozenset({"create", "update", "recover"}),
        allowed_parameters={"ttl": ("1h", 5), "*": ()},
        denied_parameters={"policies": ()},
        required_parameters=("reason",),
        min_wrapping_ttl=60,
        max_wrapping_ttl=5400,
        pagination_limit=10,
        expiration=1_893_456_000 * SECOND,
        mfa_methods=("one",),
        subscribe_event_types=("kv*",),
        list_scan_response_keys_filter_path="{{.path}}{{.key}}",
    )


def test_json_says_the_same_as_hcl() -> None:
    hcl = 'path "a/*" { capabilities = ["read"] denied_parameters = { x = [1] } }'
    assert only('{"path": {"a/*": {"capabilities": ["read"], "denied_parameters": {"x": [1]}}}}') == only(hcl)
    assert only('{"path": [{"a/*": {"capabilities": ["read"], "denied_parameters": [{"x": [1]}]}}]}') == only(hcl)


@pytest.mark.parametrize(
    ("old", "capabilities"),
    [
        ("read", {"read", "list"}),
        ("write", {"create", "read", "update", "delete", "list"}),
        ("sudo", {"create", "read", "update", "delete", "list", "sudo"}),
        ("deny", {"deny"}),
    ],
)
def test_the_old_shorthand_still_works(old: str, capabilities: set[str]) -> None:
    assert only(f'path "a" {{ policy = "{old}" }}').capabilities == capabilities


def test_shorthand_and_capabilities_add_up_and_deny_takes_all() -> None:
    assert only('path "a" { policy = "read" capabilities = ["update"] }').capabilities == {"read", "list", "update"}
    assert only('path "a" { policy = "deny" capabilities = ["update"] }').capabilities == {"deny"}
    assert only('path "a" { capabilities = ["deny", "update"] }').capabilities == {"deny"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name {}\nrule {}", "line 2, column 1: unknown key 'rule'"),
        ('path "a" { capabilites = ["read"] }', "unknown key 'capabilites'"),
        ('{"path": {"a": {"Capabilities": []}}}', "unknown key 'Capabilities'"),
        ('path "a" { capabilities = ["raed"] }', "unknown capability"),
        ('path "a" { capabilities = [1] }', "list of texts"),
        ('path "a" { capabilities = ["read"] capabilities = ["list"] }', "'capabilities' is given twice"),
        ('path "a" { policy = "admin" }', "policy must be one of"),
        ('path "a+*" {}', r"'\+\*' in a path"),
        ('path "a/+*" {}', r"'\+\*' in a path"),
        ('path "a" "b" {}', "must be a block with 1"),
        ("path {}\npath = 5", "must be a block"),
        ('path "a" { allowed_parameters = ["x"] }', "must be an object"),
        ('path "a" { allowed_parameters = { x = "y" } }', "'x' must be a list"),
        ('path "a" { denied_parameters = { x = [], X = [] } }', "'X' is given twice"),
        ('path "a" { min_wrapping_ttl = "soon" }', "min_wrapping_ttl"),
        ('path "a" { max_wrapping_ttl = -1 }', "at least one second"),
        ('path "a" { max_wrapping_ttl = "0.0s" }', "at least one second"),
        ('path "a" { min_wrapping_ttl = 10 max_wrapping_ttl = 5 }', "max_wrapping_ttl is less"),
        ('path "a" { pagination_limit = -1 }', "whole number"),
        ('path "a" { pagination_limit = true }', "whole number"),
        ('path "a" { expiration = "tomorrow" }', "expiration must be a time"),
        ('path "a" { comment = 1 }', "comment must be a text"),
        ('path "a" { list_scan_response_keys_filter_path = "{{ .path | upper }}" }', "knows"),
        ('path "a" { control_group = { ttl = "1h" } }', "control_group is not supported"),
        ('path "a/{{identity.entity.id}" {}', "template in a path is not closed"),
        ('path "a/{{identity.entity.secret}}" {}', "names nothing that is known"),
        ('path "a/{{entity.id}}" {}', "names nothing that is known"),
        ('path "a/}}" {}', "}} without"),
        ('path "a" {', "line 1, column 11"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_policy("p", text)


def test_the_built_in_policies_parse() -> None:
    parsed = {name: parse_policy(name, text) for name, text in BUILTIN.items()}
    assert parsed["root"].rules == ()
    assert any(rule.template for rule in parsed["default"].rules)
    assert not any(rule.template for rule in parsed["response-wrapping"].rules)
    assert len(parsed["default"].rules) > 10


@given(st.text(alphabet='path "{}[]=capabilities,readny+*/#\n', max_size=80))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert isinstance(parse_policy("p", text), Policy)


# T6.1, the grammar part

ROOTS = [
    "root",
    "Root",
    "ROOT",
    " root",
    "root ",
    " Root",
    "root\t",
    "root\n",
    "\u200broot",
    "ＲＯＯＴ",
    "ro\u00adot",
    "ro\x00ot",
    "röot",
    "rооt",
]


@pytest.mark.parametrize("name", ROOTS)
def test_no_spelling_of_root_is_assignable(name: str) -> None:
    for names in ([name], ["dev", name], ("dev", "dev", name), f"dev,{name}", f"{name},dev", [f"dev,{name}"]):
        with pytest.raises(InvalidRequest):
            assignable_policies(names)


def test_response_wrapping_is_not_assignable() -> None:
    with pytest.raises(InvalidRequest):
        assignable_policies(["response-wrapping"])


def test_assigned_names_are_canonical_sorted_and_single() -> None:
    assert assignable_policies(["Ops", "dev", "ops"]) == ("dev", "ops")
    assert assignable_policies("ops, dev,,") == ("dev", "ops")
    assert assignable_policies([]) == ()


@pytest.mark.parametrize("name", ["dev", "Dev-1", "team/prod", "a.b:c@d_e", "my policy", "_x", "0"])
def test_names_that_users_of_vault_have_are_names(name: str) -> None:
    assert policy_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a ",
        " a",
        "a/",
        "/a",
        "a//b",
        "a/../b",
        "..",
        "a/./b",
        "-a",
        "a,b",
        "a\tb",
        "a\nb",
        "a*",
        "é",
        "ſ",
        "\u212a",
        "x" * 257,
        "a\\b",
    ],
)
def test_everything_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        policy_name(name)


@given(st.text(max_size=20) | st.text(alphabet="rRoOtT \t\u00adＲ.", max_size=8))
def test_a_name_is_refused_or_canonical(text: str) -> None:
    try:
        name = policy_name(text)
    except InvalidRequest:
        return
    assert policy_name(name) == name
    assert name.isascii()
    assert name == text.lower()
