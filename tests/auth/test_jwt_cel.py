"""CEL roles: programs over claims that say who gets what."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from strongroom.auth.jwt import conditions
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.testing import Strongroom
from tests.support.tokens import pem, rsa_key, signed

pytest.importorskip("cel")

KEY = rsa_key()


@pytest.fixture(scope="module")
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/jwt", {"type": "jwt"})
    room.write("auth/jwt/config", {"jwt_validation_pubkeys": pem(KEY), "default_role": "ci"})
    return room


def role(room: Strongroom, expression: str, **fields: Any) -> None:
    variables = fields.pop("variables", [])
    room.write(
        "auth/jwt/cel/role/ci", {"cel_program": {"expression": expression, "variables": variables}, "bound_audiences": "a", **fields}
    )


def answer(room: Strongroom, **claims: Any) -> tuple[int, str]:
    now = room.clock.now() // 1_000_000_000
    token = signed(KEY, {"aud": "a", "sub": "job", "iat": now, "exp": now + 60, **claims})
    work = room.request(Operation.UPDATE, "auth/jwt/cel/login", {"jwt": token}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


def test_a_role_is_read_back_changed_and_deleted(room: Strongroom) -> None:
    program = {"expression": "a ? {'alias': claims.sub} : false", "variables": [{"name": "a", "expression": "claims.sub == 'x'"}]}
    sent = {"cel_program": program, "message": "no", "bound_audiences": ["a"], "clock_skew_leeway": -1, "expiration_leeway": 5}
    shown = room.json(room.write("auth/jwt/cel/role/Full", sent))
    found = room.json(room.read("auth/jwt/cel/role/full"))
    assert {name: found[name] for name in sent} == sent and found == shown and found["name"] == "full"
    room.patch("auth/jwt/cel/role/full", {"message": "never"})
    found = room.json(room.read("auth/jwt/cel/role/full"))
    assert found["message"] == "never" and found["cel_program"] == program
    assert room.list("auth/jwt/cel/role") == ["full"]
    room.delete("auth/jwt/cel/role/full")
    with pytest.raises(NotFound):
        room.read("auth/jwt/cel/role/full")
    with pytest.raises(InvalidRequest, match="Unable to fetch cel role entry to patch"):
        room.patch("auth/jwt/cel/role/full", {"message": "x"})


@pytest.mark.parametrize(
    "program",
    [
        {},
        {"expression": 7},
        {"expression": "claims.sub ==="},
        {"expression": "true", "more": 1},
        {"expression": "true", "variables": [{"name": "claims", "expression": "1"}]},
        {"expression": "true", "variables": [{"name": "a", "expression": "1"}, {"name": "a", "expression": "2"}]},
        {"expression": "true", "variables": [{"name": "a b", "expression": "1"}]},
        {"expression": "1" * 5_000},
        {"expression": "(" * 1_000 + "1" + ")" * 1_000},
    ],
)
def test_a_program_that_cannot_run_is_not_stored(room: Strongroom, program: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write("auth/jwt/cel/role/wrong", {"cel_program": program})
    with pytest.raises(NotFound):
        room.read("auth/jwt/cel/role/wrong")


def test_a_program_says_who_gets_what(room: Strongroom) -> None:
    variables = [{"name": "main", "expression": "claims.ref == 'main'"}, {"name": "who", "expression": "main ? 'main-job' : claims.sub"}]
    given = "{'alias': who, 'policies': main ? ['deploy'] : ['test'], 'token_ttl': '10m', 'metadata': {'ref': claims.ref}}"
    role(room, f"claims.exp > 0 && now > timestamp('2020-01-01T00:00:00Z') ? {given} : false", variables=variables)
    now = room.clock.now() // 1_000_000_000
    token = signed(KEY, {"aud": "a", "sub": "job", "ref": "main", "iat": now, "exp": now + 60})
    auth = room.login("auth/jwt/cel/login", {"role": "ci", "jwt": token})
    assert auth.token_policies == ("default", "deploy") and auth.lease_duration == 600
    assert auth.metadata == {"role": "ci", "ref": "main"}
    mine = auth.client_token.reveal()
    assert room.json(room.read("auth/token/lookup-self", token=mine))["display_name"] == "jwt-main-job"
    assert room.write("auth/token/renew-self", token=mine).auth is not None
    room.delete("auth/jwt/cel/role/ci")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=mine)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("false", "blocked authorization with boolean false return"),
        ("'no, ' + claims.sub", "blocked authorization with message: no, job"),
        ("true", "gave neither false, nor a text, nor a map"),
        ("1", "gave neither false, nor a text, nor a map"),
        ("null", "gave neither false, nor a text, nor a map"),
        ("[claims.sub]", "gave neither false, nor a text, nor a map"),
        ("{'alias': claims.sub, 'root': true}", "gave neither false, nor a text, nor a map"),
        ("{1: claims.sub}", "gave neither false, nor a text, nor a map"),
        ("{'policies': ['reader']}", "the name of the user"),
        ("{'alias': ' ', 'policies': ['reader']}", "the name of the user"),
        ("{'alias': claims.sub, 'policies': ['root']}", "root"),
        ("{'alias': claims.sub, 'policies': [' Root']}", ""),
        ("{'alias': claims.sub, 'token_ttl': -1}", "not negative"),
        ("{'alias': claims.sub, 'metadata': {'role': 'admin'}}", "'role' is not one of them"),
        ("claims.absent", "it failed on these claims"),
        ("1 / 0", "it failed on these claims"),
        ("claims.sub + 1", "it failed on these claims"),
        ("unknown", "it failed on these claims"),
    ],
)
def test_what_a_program_gives_is_read_strictly(room: Strongroom, expression: str, text: str) -> None:
    role(room, expression)
    status, said = answer(room)
    assert status == 400 and text in said
    role(room, "{'alias': claims.sub}")
    assert answer(room) == (200, "")


def test_the_token_is_checked_before_the_program_sees_it(room: Strongroom) -> None:
    role(room, "{'alias': claims.sub}")
    assert answer(room, aud="b")[0] == 400 and answer(room, exp=1)[0] == 400
    role(room, "{'alias': claims.sub}", bound_audiences="")
    assert answer(room) == (400, "audience claim found in JWT but no audiences bound to the role")
    role(room, "false", message="ask the platform team")
    assert answer(room) == (400, "ask the platform team")


def test_numbers_that_cel_cannot_hold_are_texts(room: Strongroom) -> None:
    role(room, "claims.big == '18446744073709551617' && claims.half == 0.5 ? {'alias': claims.sub} : false")
    assert answer(room, big=(1 << 64) + 1, half=0.5) == (200, "")


def test_without_the_extra_the_role_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InvalidRequest, match=r"install strongroom\[cel\]"):
        conditions.program({"expression": "1 == 12345"})
