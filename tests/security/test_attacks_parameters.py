"""Parameters of a policy against the several ways in which one value can be written."""

from __future__ import annotations

import pytest

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
