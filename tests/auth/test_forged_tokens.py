"""Several hundred forged tokens, none of which is let in (T12.1, T12.2).

Each is wrong in one way only: tests/support/forged_tokens.py has a verifier that takes it as soon as it leaves out the one check that the
forgery is about. That is the negative control of its class; good tokens, made by the same generator, are the control of the whole.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import pytest

from strongroom.auth.jwt import claims as judged
from strongroom.auth.jwt import config
from strongroom.core.request import Operation
from strongroom.crypto import claims as registered
from strongroom.crypto import jwk, jws
from strongroom.testing import Strongroom
from tests.support import forged_tokens as forged
from tests.support.forged_tokens import CHECKS, Forged, Issuer, Refused, corpus, lenient

ROOM = Strongroom()
ISSUER = Issuer(ROOM.clock.now() // 1_000_000_000)
TOKENS = list(corpus(ISSUER))


@pytest.fixture(scope="module", autouse=True)
def mounted() -> None:
    ROOM.write("sys/auth/jwt", {"type": "jwt"})
    config = {"jwt_validation_pubkeys": ISSUER.pems, "jwt_supported_algs": forged.ALLOWED, "bound_issuer": forged.ISSUER}
    ROOM.write("auth/jwt/config", {**config, "jwt_supported_algs": list(forged.ALLOWED)})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": forged.AUDIENCE, "bound_subject": forged.SUBJECT}
    ROOM.write("auth/jwt/role/ci", {**role, "bound_claims": {"env": "prod"}})


def status(token: str) -> int:
    work = ROOM.request(Operation.UPDATE, "auth/jwt/login", {"role": "ci", "jwt": token}, token="")
    return 200 if work.error is None else work.error.status


def test_there_are_enough_of_every_class() -> None:
    counts = Counter(each.check for each in TOKENS)
    assert len(TOKENS) >= 250 and set(counts) == set(CHECKS) and min(counts.values()) >= 5
    assert len({(each.check, each.name) for each in TOKENS}) == len(TOKENS) == len({each.token for each in TOKENS})


@pytest.mark.parametrize("algorithm", forged.ALLOWED)
def test_the_control_is_let_in(algorithm: str) -> None:
    assert status(ISSUER.good(algorithm)) == 200
    assert status(ISSUER.good(algorithm, aud=["other", forged.AUDIENCE], env=["dev", "prod"], extra={"a": [1, 2.5, None]})) == 200
    assert status(ISSUER.signed(ISSUER.claims(), algorithm, {"kid": "1", "x5t": "abc"})) == 200
    lenient(ISSUER.good(algorithm), ISSUER)


@pytest.mark.parametrize("each", TOKENS, ids=lambda each: f"{each.check}-{each.name}"[:60])
def test_a_forged_token_is_refused(each: Forged) -> None:
    assert status(each.token) == 400


@pytest.mark.parametrize("check", CHECKS)
def test_each_is_wrong_in_the_way_it_is_meant_to_be(check: str) -> None:
    for each in TOKENS:
        if each.check == check:
            with pytest.raises(Refused):
                lenient(each.token, ISSUER)
            lenient(each.token, ISSUER, without=check)


def _first_of_two(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


OUR_CHECKS: dict[str, list[tuple[object, str, object]]] = {
    "algorithm": [(config.Config, "algorithms", jwk.ALGORITHMS)],
    "header members": [(jws, "HEADERS", frozenset(("alg", "typ", "kid", "crit", "exp", "b64", "zip", "enc", "cty")))],
    "type": [(jws, "TYPES", frozenset(("logout+jwt", "dpop+jwt")))],
    "signature": [(jwk.Key, "verify", lambda *_: None)],
    "brought key": [(jwk.Key, "verify", lambda *_: None), (jws, "HEADERS", frozenset(("alg", "typ", "kid", "jku", "x5u")))],
    "spelling": [(jws, "decode", lambda part: base64.urlsafe_b64decode(part + "=="))],
    "duplicates": [(jws, "_members", _first_of_two)],
    "times": [(registered, "check_times", lambda *_: None)],
    "time types": [(registered, "check_times", lambda *_: None)],
    "issuer": [(registered, "check_issuer", lambda *_: None)],
    "audience": [(registered, "check_audience", lambda *_: None)],
    "bound claim": [(judged, "check_bound", lambda *_, **__: None)],
}
"""What to take out of the server, by check. The others are made in several places: their control is `lenient`."""


@pytest.mark.parametrize("check", OUR_CHECKS)
def test_without_its_check_the_server_would_let_some_in(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, replacement in OUR_CHECKS[check]:
        monkeypatch.setattr(owner, name, replacement)
    assert 200 in [status(each.token) for each in TOKENS if each.check == check]
