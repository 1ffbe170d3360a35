"""The environment of Vault's clients is understood, and ours wins over it."""

from __future__ import annotations

import pytest

from strongroom.client.errors import BadSettings
from strongroom.client.settings import DEFAULT_ADDRESS, Settings, from_environment, seconds

TABLE = [
    ("ADDR", "address", "http://x:1", "http://x:1"),
    ("TOKEN", "token", "srs_x", "srs_x"),
    ("NAMESPACE", "namespace", "team", "team"),
    ("CACERT", "ca_cert", "/ca.pem", "/ca.pem"),
    ("CAPATH", "ca_path", "/cas", "/cas"),
    ("CLIENT_CERT", "client_cert", "/c.pem", "/c.pem"),
    ("CLIENT_KEY", "client_key", "/k.pem", "/k.pem"),
    ("TLS_SERVER_NAME", "server_name", "vault", "vault"),
    ("WRAP_TTL", "wrap_ttl", "5m", "5m"),
    ("SKIP_VERIFY", "skip_verify", "true", True),
    ("CLIENT_TIMEOUT", "timeout", "1m30s", 90.0),
    ("MAX_RETRIES", "max_retries", "7", 7),
]


@pytest.mark.parametrize(("name", "field", "text", "value"), TABLE)
@pytest.mark.parametrize("prefix", ["VAULT_", "STRONGROOM_"])
def test_each_variable_reaches_its_setting(prefix: str, name: str, field: str, text: str, value: object) -> None:
    assert getattr(from_environment({prefix + name: text}), field) == value


def test_our_own_variable_wins_and_an_empty_one_counts_as_not_set() -> None:
    assert from_environment({"VAULT_ADDR": "http://a:1", "STRONGROOM_ADDR": "http://b:1"}).address == "http://b:1"
    assert from_environment({"VAULT_ADDR": "http://a:1", "STRONGROOM_ADDR": ""}).address == "http://a:1"
    assert from_environment({}).address == DEFAULT_ADDRESS


@pytest.mark.parametrize(("text", "value"), [("60", 60), ("60s", 60), ("1h2m3s", 3723), ("250ms", 0.25), ("1.5m", 90), ("1d", 86400)])
def test_durations_are_go_s_or_seconds(text: str, value: float) -> None:
    assert seconds(text, "x") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "0", "-1", "soon", "1x", "s", "1m 3s", "1..2"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(BadSettings):
        seconds(text, "VAULT_CLIENT_TIMEOUT")


@pytest.mark.parametrize("name", ["SKIP_VERIFY", "CLIENT_TIMEOUT", "MAX_RETRIES"])
def test_a_bad_value_names_its_variable(name: str) -> None:
    with pytest.raises(BadSettings, match=f"VAULT_{name}"):
        from_environment({f"VAULT_{name}": "perhaps"})


def test_the_token_is_not_in_the_repr() -> None:
    assert "srs_secret" not in repr(Settings(token="srs_secret"))
