"""Several hundred forged tokens, none of which is let in (T12.1, T12.2).

Each is wrong in one way only: tests/support/forged_tokens.py has a verifier that takes it as soon as it leaves out the one check that the
forgery is about. That is the negative control of its class; good tokens, made by the same generator, are the control of the whole.
"""

from __future__ import annotations

from collections import Counter

import pytest

from strongroom.core.request import Operation
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
