"""Tokens that kept keys verify are checked at once; only what must be fetched waits in the line for other hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from strongroom.core.call import Call
from strongroom.core.request import Operation
from strongroom.testing import FakeClock, Strongroom
from tests.support.oidc_provider import CLIENT_ID, oidc_provider
from tests.support.tokens import rsa_key, signed


class Waited(Exception):
    """A call waits for another host."""


@pytest.mark.parametrize("way", ["discovery", "key set"])
def test_a_login_by_kept_keys_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    room = Strongroom(clock=FakeClock(int(time.time()) * 1_000_000_000))
    room.write("sys/auth/jwt", {"type": "jwt"})
    with oidc_provider(tmp_path) as issuer:
        sources = {
            "discovery": {"oidc_discovery_url": issuer.issuer, "oidc_discovery_ca_pem": issuer.ca_pem},
            "key set": {"jwks_url": f"{issuer.issuer}/keys", "jwks_ca_pem": issuer.ca_pem},
        }
        room.write("auth/jwt/config", sources[way])
        room.write("auth/jwt/role/ci", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": CLIENT_ID})
        login = {"role": "ci", "jwt": issuer.token()}
        assert room.login("auth/jwt/login", login).client_token

        def waits(*_: Any, **__: Any) -> Any:
            raise Waited

        monkeypatch.setattr(Call, "outside", waits)
        for _ in range(300):  # more than may wait in line
            assert room.request(Operation.UPDATE, "auth/jwt/login", login, token="").error is None
        with pytest.raises(Waited):  # the control: what no kept key verifies does wait
            room.request(Operation.UPDATE, "auth/jwt/login", {"role": "ci", "jwt": signed(rsa_key(), {"sub": "x"})}, token="")
