"""Parameters of a policy against the several ways in which one value can be written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from strongroom.core.policy.parameters import check_parameters
from strongroom.core.policy.rules import parse_policy
from strongroom.core.request import Operation
from strongroom.errors import PermissionDenied
from strongroom.testing import Strongroom


@pytest.fixture(scope="module")
def room() -> Strongroom:
    made = Strongroom()
    made.write("sys/auth/userpass", {"type": "userpass"})
    for name, rule in {
        "denied": 'denied_parameters = { "policies" = ["admin"] }',
        "allowed": 'allowed_parameters = { "policies" = ["team-*"], "password" = [] }',
    }.items():
        text = f'path "auth/userpass/users/*" {{ capabilities = ["create", "update"] {rule} }}'
        made.write(f"sys/policies/acl/{name}", {"policy": text})
    return made


@pytest.mark.parametrize(
    "policies",
    ["admin", ["admin"], "team-a,admin", "team-a, admin", "admin,", " admin", "ADMIN", ["Admin"], "team-a,admin,team-b", [["admin"]]],
)
@pytest.mark.parametrize("rule", ["denied", "allowed"])
def test_a_policy_that_must_not_be_given_is_not_given_in_any_spelling(room: Strongroom, rule: str, policies: object) -> None:
    with pytest.raises(PermissionDenied):
        room.write("auth/userpass/users/ann", {"password": "pw", "policies": policies}, token=room.create_token(rule))
    assert room.request(Operation.READ, "auth/userpass/users/ann").error is not None, "nobody was made"


@pytest.mark.parametrize(
    ("rule", "policies"), [("denied", "team-a,other"), ("denied", ["team-a"]), ("allowed", "team-a"), ("allowed", "team-a,team-b")]
)
def test_what_may_be_given_still_is(room: Strongroom, rule: str, policies: object) -> None:
    room.write("auth/userpass/users/bob", {"password": "pw", "policies": policies}, token=room.create_token(rule))
    room.delete("auth/userpass/users/bob")


# -- one value in the forms in which fields are read -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("denied", "sent"),
    [
        *(("true", value) for value in (True, "true", "True", "TRUE", "t", "T", "1", 1)),
        *(('"true"', value) for value in (True, "t", "1", 1)),
        *(("false", value) for value in (False, "false", "F", "0", "", 0)),
        *(('"24h"', value) for value in ("24h", "1440m", "86400", 86_400, "86400s", "1d", Decimal("86400.0"), " 24h ", ["1440m"])),
        *(("60", value) for value in (60, "60", "060", "1m", Decimal("6e1"))),
    ],
)
def test_a_denied_value_is_denied_however_it_is_written(denied: str, sent: object) -> None:
    rule = parse_policy("p", f'path "a" {{ capabilities = ["update"] denied_parameters = {{ "field" = [{denied}] }} }}').rules[0]
    with pytest.raises(PermissionDenied):
        check_parameters(rule, {"field": sent})


@pytest.mark.parametrize(
    ("denied", "sent"),
    [("true", False), ("true", "no"), ("true", 0), ("true", None), ('"24h"', "23h"), ('"24h"', "x"), ("60", 61), ('""', 0), ('"a"', "b")],
)
def test_another_value_is_not_denied(denied: str, sent: object) -> None:
    rule = parse_policy("p", f'path "a" {{ capabilities = ["update"] denied_parameters = {{ "field" = [{denied}] }} }}').rules[0]
    check_parameters(rule, {"field": sent})


def test_a_token_that_must_have_a_parent_has_one_however_the_field_is_written(room: Strongroom) -> None:
    rule = 'capabilities = ["create", "update", "sudo"] denied_parameters = { "no_parent" = [true] }'
    room.write("sys/policies/acl/below", {"policy": f'path "auth/token/create" {{ {rule} }}'})
    token = room.create_token("below")
    for value in (True, "true", "t", "1", 1):
        with pytest.raises(PermissionDenied):
            room.write("auth/token/create", {"no_parent": value}, token=token)
    assert room.write("auth/token/create", {"no_parent": "f"}, token=token).auth is not None
