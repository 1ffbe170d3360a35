"""Configurations: Vault's and OpenBao's own files are read with warnings only; whatever is wrong is named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ConfigError
from strongroom.server.config import Config, load_config, parse_config

SAMPLES = sorted((Path(__file__).parent / "configs").iterdir())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_their_own_files_are_read(sample: Path) -> None:
    config = load_config([sample], {})
    assert config.listeners
    assert all("is ignored" in warning or "embedded store" in warning for warning in config.warnings)
    assert len(set(config.warnings)) == len(config.warnings)


def sample(name: str) -> Config:
    return load_config([Path(__file__).parent / "configs" / name], {})


def test_what_means_something_is_taken_over() -> None:
    raft = sample("vault-raft-tls.hcl")
    assert raft.storage.kind == "sqlite"
    assert raft.storage.path == "/opt/vault/data"
    assert (raft.default_lease_ttl, raft.max_lease_ttl) == (604_800, 2_592_000)
    (listener,) = raft.listeners
    assert listener.x_forwarded_for_authorized_addrs == ("10.0.0.0/8", "192.168.0.1")
    assert listener.unauthenticated_metrics_access
    assert listener.tls_disable_client_certs
    assert [seal.kind for seal in raft.seals] == ["awskms"]
    assert [listener.kind for listener in sample("vault-helm.hcl").listeners] == ["tcp", "unix"]
    audit = sample("openbao-raft-audit.hcl").audit
    assert [(device.path, device.options["file_path"]) for device in audit] == [
        ("to-stdout/", "/dev/stdout"),
        ("to-disk/", "/var/log/openbao/audit.log"),
    ]
    postgres = sample("openbao-postgresql.hcl")
    assert postgres.storage.kind == "postgresql"
    assert postgres.raw_storage_endpoint
    document = sample("openbao.json")
    assert document.storage.kind == "inmem"
    assert document.outbound_allow == ("10.1.0.0/16",)
    assert document.listeners[0].unauthenticated_metrics_access
    assert not document.unauthenticated_metrics_access


@pytest.mark.parametrize("version", ["tls10", "tls11"])
def test_a_least_tls_version_below_ours_is_no_more_than_a_warning(version: str) -> None:
    config = parse_config(f'backend "inmem" {{}}\nlistener "tcp" {{ tls_min_version = "{version}" }}', {})
    assert config.listeners[0].tls_min_version == "tls12"
    assert any(version in warning and "is ignored" in warning for warning in config.warnings)


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        ('\n\nlissener "tcp" {}\n', 3, "'lissener'"),
        ('listener "tcp" {\n  adress = "x"\n}', 2, "'adress'"),
        ('storage "raft" {\n  path = "x"\n  paht = "y"\n}', 3, "'paht'"),
        ('storage "s3" {}', 1, "'s3'"),
        ('listener "udp" {}', 1, "'udp'"),
        ('storage "inmem" {}\nstorage "inmem" {}', 2, "second storage"),
        ('api_addr = "a"\napi_addr = "b"', 2, "'api_addr'"),
        ('seal "static" {\n current_key = []\n}', 2, "'current_key'"),
        ("outbound {\n deny = []\n}", 2, "'deny'"),
    ],
)
def test_what_nobody_knows_is_named_with_its_line(text: str, line: int, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text)
    assert name in refused.value.messages[0]
    assert f"line {line}" in refused.value.messages[0]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('max_lease_ttl = "soon"', "'max_lease_ttl'"),
        ('default_lease_ttl = "2h"\nmax_lease_ttl = "1h"', "default_lease_ttl"),
        ('default_lease_ttl = "-2h"', "default_lease_ttl"),
        ('listener "tcp" { tls_disable = "perhaps" }', "'tls_disable'"),
        ('listener "tcp" { max_request_size = "big" }', "'max_request_size'"),
        ('telemetry { unauthenticated_metrics_access = "perhaps" }', "'unauthenticated_metrics_access'"),
        ("listener = 1", "'listener'"),
        ("storage {}\nstorage = []\nlistener {}\naudit = 3", "'audit'"),
    ],
)
def test_a_wrong_value_is_named(text: str, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text)
    assert name in refused.value.messages[0]


def test_the_environment_overrides_stanzas_that_occur_once() -> None:
    text = 'api_addr = "a"\nlistener "tcp" { address = "x:1" }\nstorage "file" { path = "p" }\nseal "static" { current_key = "k" }'
    given_ = {
        "STRONGROOM_API_ADDR": "b",
        "STRONGROOM_LISTENER_ADDRESS": "y:2",
        "STRONGROOM_LISTENER_TLS_DISABLE": "true",
        "STRONGROOM_STORAGE_PATH": "q",
        "STRONGROOM_SEAL_CURRENT_KEY": "l",
        "STRONGROOM_OUTBOUND_ALLOW": "10.0.0.0/8,::1",
        "STRONGROOM_MAX_LEASE_TTL": "1h",
        "UNRELATED": "x",
    }
    config = parse_config(text, given_)
    assert config.api_addr == "b"
    assert (config.listeners[0].address, config.listeners[0].tls_disable) == ("y:2", True)
    assert config.storage.path == "q"
    assert config.seals[0].options == {"current_key": "l"}
    assert config.outbound_allow == ("10.0.0.0/8", "::1")
    assert config.max_lease_ttl == 3600
    assert parse_config("", {"STRONGROOM_STORAGE_PATH": "q"}).storage.path == "q"


def test_the_environment_leaves_stanzas_that_occur_twice() -> None:
    text = 'listener "tcp" { address = "x:1" }\nlistener "tcp" { address = "x:2" }\nseal "a" {}\nseal "b" {}'
    config = parse_config(text, {"STRONGROOM_LISTENER_ADDRESS": "y", "STRONGROOM_SEAL_KEY": "k"})
    assert [listener.address for listener in config.listeners] == ["x:1", "x:2"]
    assert [seal.options for seal in config.seals] == [{}, {}]


def test_a_wrong_override_is_an_error_too() -> None:
    with pytest.raises(ConfigError, match="max_lease_ttl"):
        parse_config("", {"STRONGROOM_MAX_LEASE_TTL": "soon"})


def test_a_directory_is_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text('api_addr = "a"')
    (tmp_path / "b.json").write_text('{"listener": {"tcp": {"address": "x:1"}}}')
    (tmp_path / "c.txt").write_text("not read")
    config = load_config([tmp_path], {})
    assert (config.api_addr, config.listeners[0].address) == ("a", "x:1")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ConfigError, match=r"b\.json"):
        load_config([tmp_path], {})
    (tmp_path / "b.json").write_text('{"nobody": 1}')
    with pytest.raises(ConfigError, match=r"b\.json.*'nobody'"):
        load_config([tmp_path], {})


@pytest.mark.parametrize(
    ("stanza", "said"),
    [
        ('storage "postgresql" { max_staleness = "61s" }', "at most 60s"),
        ('storage "postgresql" { max_staleness = "-1s" }', "max_staleness"),
        ('storage "sqlite" { path = "x" max_staleness = "1s" }', "are for postgresql"),
        ('storage "sqlite" { path = "x" read_url = "postgres://db/x" }', "are for postgresql"),
    ],
)
def test_staleness_has_a_bound_and_wants_a_store_that_can_be_far_away(stanza: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(stanza)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.hcl").write_bytes(b'api_addr = "\xe9"')
    for path in (tmp_path / "missing.hcl", tmp_path / "latin.hcl"):
        with pytest.raises(ConfigError, match=path.name):
            load_config([path], {})
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="empty"):
        load_config([empty], {})


def test_a_configuration_does_not_print_what_is_secret_in_it() -> None:
    text = 'storage "postgresql" { connection_url = "postgres://u:hunter2@h/d" }\nseal "static" { current_key = "hunter3" }'
    shown = repr(parse_config(text))
    assert "hunter" not in shown
    assert "current_key" in shown


WORDS = st.sampled_from(
    'listener "tcp" "unix" { } = [ ] , storage "file" "raft" path "x" audit "file" options seal telemetry tls_disable true 1 -1 1e400 "1h"'
    " outbound allow api_addr default_lease_ttl unauthenticated_metrics_access { : null \n # <<EOF EOF".split(" ")
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=25).map(" ".join)))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    for each in (text, "{" + text, '{"listener": ' + text + "}"):
        with suppress(ConfigError):
            parse_config(each)


@given(
    st.dictionaries(st.sampled_from(["STRONGROOM_API_ADDR", "STRONGROOM_LISTENER_TLS_DISABLE", "STRONGROOM_SEAL_X"]), st.text(max_size=8))
)
def test_any_environment_is_taken_or_a_config_error(environment: dict[str, str]) -> None:
    with suppress(ConfigError):
        parse_config('listener "tcp" {}\nseal "x" {}', environment)
