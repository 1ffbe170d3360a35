"""Keys that issuers publish: fetched, kept, fetched anew and refused (T12.1, T20.1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest
from strongroom.outbound import issuers
from strongroom.testing import FakeClock, Strongroom
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import Provider, oidc_provider
from tests.support.tokens import jwk, rsa_key, signed

SECOND = 1_000_000_000
KEY = rsa_key()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("issuer")) as provider:
        yield provider


@pytest.fixture
def issuer(shared: Provider) -> Provider:
    shared.claims, shared.description = {"sub": "job-1"}, {}
    shared.asked.clear()
    shared.instead.clear()
    return shared


def fresh(issuer: Provider, **config: Any) -> Strongroom:
    """A server whose clock stands at the time of the issuer's tokens."""
    room = Strongroom(clock=FakeClock(int(time.time()) * SECOND))
    room.write("sys/auth/jwt", {"type": "jwt"})
    room.write("auth/jwt/config", config or {"oidc_discovery_url": issuer.issuer, "oidc_discovery_ca_pem": issuer.ca_pem})
    room.write("auth/jwt/role/ci", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "strongroom"})
    return room


def answer(room: Strongroom, token: str) -> tuple[int, str]:
    work = room.request(Operation.UPDATE, "auth/jwt/login", {"role": "ci", "jwt": token}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


def fetched(issuer: Provider, path: str = "/keys") -> int:
    return sum(asked.path == path for asked in issuer.asked)


def ways(issuer: Provider) -> dict[str, dict[str, Any]]:
    where = {"jwks_url": f"{issuer.issuer}/keys", "jwks_ca_pem": issuer.ca_pem}
    return {
        "discovery": {"oidc_discovery_url": issuer.issuer, "oidc_discovery_ca_pem": issuer.ca_pem},
        "key set": where,
        "key sets": {"jwks_pairs": [where, {**where, "jwks_url": f"{issuer.issuer}/keys?second"}]},
    }


@pytest.mark.parametrize("way", ["discovery", "key set", "key sets"])
def test_a_token_is_verified_by_a_published_key_which_is_fetched_once(issuer: Provider, way: str) -> None:
    config = ways(issuer)[way]
    room = fresh(issuer, **config)
    found = room.json(room.read("auth/jwt/config"))
    assert {name: found[name] for name in config} == config
    for number in range(5):
        assert answer(room, issuer.token(sub=f"job-{number}")) == (200, "")
    assert fetched(issuer) == (2 if way == "key sets" else 1)


def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_stranger(issuer: Provider) -> None:
    room = fresh(issuer)
    assert answer(room, issuer.token())[0] == 200
    issuer.rotate()
    room.advance(issuers.PAUSE)
    assert answer(room, issuer.token())[0] == 200, "the control: a rotation is noticed"
    before = fetched(issuer)
    stranger = rsa_key()
    for number in range(50):
        assert answer(room, signed(stranger, {"sub": "x"}, header={"kid": f"made-up-{number}"}))[0] == 400
    assert fetched(issuer) == before
    room.advance(issuers.PAUSE)
    for number in range(50):
        assert answer(room, signed(stranger, {"sub": "x"}, header={"kid": f"made-up-{number}"}))[0] == 400
    assert fetched(issuer) == before + 1
    assert answer(room, issuer.token())[0] == 200


def test_a_withdrawn_key_is_trusted_for_an_hour_at_most(issuer: Provider) -> None:
    room = fresh(issuer)
    old = issuer.token(exp=None)
    assert answer(room, old)[0] == 200
    issuer.rotate()
    room.clock.advance(issuers.FRESH - 1)
    room.write("auth/jwt/role/ci", {"clock_skew_leeway": "2h"})
    assert answer(room, old)[0] == 200
    room.clock.advance(1)
    assert answer(room, old) == (400, "error validating token: error verifying token signature: no known key bears the token's key id")


def test_an_issuer_that_is_down_is_asked_again_after_a_while_and_known_keys_go_on(issuer: Provider) -> None:
    room = fresh(issuer)
    good = issuer.token()
    assert answer(room, good)[0] == 200
    issuer.instead["/keys"] = Answered(503, {})
    room.advance(issuers.PAUSE)
    assert answer(room, signed(rsa_key(), {"sub": "x"}, header={"kid": "other"}))[0] == 400
    assert answer(room, good)[0] == 200
    room.advance(issuers.FRESH)
    before = fetched(issuer)
    for _ in range(20):
        assert answer(room, good) == (502, "another server could not be asked, or gave no answer of use; the audit log says why")
    assert fetched(issuer) == before + 1
    issuer.instead.clear()
    assert answer(room, good)[0] == 502
    room.clock.advance(issuers.RETRY)
    assert answer(room, issuer.token(iat=room.clock.now() // SECOND, exp=room.clock.now() // SECOND + 60))[0] == 200


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ({"issuer": "https://other.example"}, "it describes another issuer"),
        ({"issuer": None}, "with something else than the JSON that belongs there"),
        ({"jwks_uri": "http://localhost/keys"}, "a URL here begins with https://"),
    ],
)
def test_an_issuer_that_describes_something_else_is_not_configured(issuer: Provider, description: dict[str, Any], text: str) -> None:
    issuer.description = description
    room = Strongroom()
    room.write("sys/auth/jwt", {"type": "jwt"})
    with pytest.raises(InvalidRequest) as caught:
        room.write("auth/jwt/config", {"oidc_discovery_url": issuer.issuer, "oidc_discovery_ca_pem": issuer.ca_pem})
    assert text in str(caught.value)


def test_only_who_is_vouched_for_is_believed(issuer: Provider, tmp_path: Path) -> None:
    with oidc_provider(tmp_path) as other, pytest.raises(InvalidRequest, match="certificate is not trusted"):
        fresh(issuer, jwks_url=f"{issuer.issuer}/keys", jwks_ca_pem=other.ca_pem)
    with pytest.raises(InvalidRequest, match="certificate is not trusted"):
        fresh(issuer, jwks_url=f"{issuer.issuer}/keys")


def test_a_described_issuers_tokens_are_its_own_even_where_no_issuer_is_bound(issuer: Provider) -> None:
    """Large providers sign the tokens of all tenants with the same keys; the control is a key set, which names no issuer."""
    tenant = issuer.token(iss="https://issuer.example/another-tenant")
    assert answer(fresh(issuer), tenant) == (400, "error validating token: invalid issuer (iss) claim")
    assert answer(fresh(issuer, **ways(issuer)["key set"]), tenant) == (200, "")


def test_an_issuers_description_does_not_lead_into_this_network(issuer: Provider) -> None:
    """The control is the same address written down by the administrator, who may."""
    port = issuer.issuer.rpartition(":")[2]
    issuer.description = {"jwks_uri": f"https://127.0.0.1:{port}/keys"}
    room = fresh(issuer)
    status, text = answer(room, issuer.token())
    assert status == 502 and "127.0.0.1" not in text and fetched(issuer) == 0
    issuer.description = {}
    assert answer(fresh(issuer, jwks_url=f"https://127.0.0.1:{port}/keys", jwks_ca_pem=issuer.ca_pem), issuer.token()) == (200, "")


UNUSABLE: list[Any] = [7, None, "key", {}, {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "x"}]


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ([], 400),
        ([jwk(KEY, "x", d="AQAB")], 400),
        ([jwk(KEY, "x", use="enc")], 400),
        ([jwk(KEY, "x", alg="RS512")], 400),
        ([jwk(KEY, "y")], 400),
        (UNUSABLE, 400),
        ([*UNUSABLE, jwk(KEY, "x")], 200),
        ("no list", 502),
        ([{}] * 129, 502),
        ([{"kty": "RSA", "filler": "x" * 300_000}], 502),
    ],
)
def test_a_key_set_is_read_as_an_outsiders(issuer: Provider, keys: Any, status: int) -> None:
    room = fresh(issuer, **ways(issuer)["key set"])
    room.clock.advance(issuers.FRESH)
    issuer.instead["/keys"] = Answered(200, {"keys": keys})
    now = room.clock.now() // SECOND
    token = signed(KEY, {"sub": "x", "aud": "strongroom", "iat": now, "exp": now + 60}, header={"kid": "x"})
    assert answer(room, token)[0] == status
