"""sys/config, the catalog and what an operator looks at."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.core.core import Settings
from strongroom.core.cors import cors
from strongroom.testing import Strongroom
from tests.engines.api_kit import Api
from tests.sys.kit import allowed, house, refused


@pytest.fixture
def api() -> Api:
    return house()


def test_cors_is_off_until_it_is_set_and_reads_back(api: Api) -> None:
    reply = api.get("sys/config/cors")
    assert (reply.data, reply.body["enabled"]) == ({"enabled": False}, False)
    body = {"allowed_origins": "https://a.example,https://b.example:8443", "allowed_headers": ["X-Extra", "x-vault-token"]}
    assert api.post("sys/config/cors", body).status == 204
    data = api.get("sys/config/cors").data
    assert data["enabled"] is True
    assert data["allowed_origins"] == ["https://a.example", "https://b.example:8443"]
    assert data["allowed_headers"][-1] == "X-Extra"
    assert data["allowed_headers"].count("X-Vault-Token") == 1
    stored = cors(api.core.transaction(None))
    assert stored.allows("https://a.example")
    assert not any(stored.allows(origin) for origin in ("https://a.example.evil", "http://a.example", "null", ""))
    assert api.send("DELETE", "sys/config/cors").status == 204
    assert api.get("sys/config/cors").data == {"enabled": False}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"allowed_origins": "*,https://a.example"},
        {"allowed_origins": "a.example"},
        {"allowed_origins": "https://a.example/"},
        {"allowed_origins": "https://user@a.example"},
        {"allowed_origins": "https://a.example:port"},
        {"allowed_origins": "javascript:alert"},
        {"allowed_origins": "*", "allowed_headers": ["a b"]},
    ],
)
def test_cors_settings_that_cannot_be_are_a_400(api: Api, body: dict[str, Any]) -> None:
    assert api.post("sys/config/cors", body).status == 400
    assert api.get("sys/config/cors").data == {"enabled": False}


def test_headers_of_the_console_are_listed_read_written_and_deleted(api: Api) -> None:
    assert api.send("LIST", "sys/config/ui/headers").status == 404
    assert api.post("sys/config/ui/headers/X-Frame-Options", {"values": ["DENY"]}).status == 200
    assert api.send("LIST", "sys/config/ui/headers").data == {"keys": ["X-Frame-Options"]}
    assert api.get("sys/config/ui/headers/x-frame-options").data == {"value": "DENY"}
    assert api.get("sys/config/ui/headers/x-frame-options?multivalue=true").data == {"values": ["DENY"]}
    assert api.send("DELETE", "sys/config/ui/headers/x-frame-options").status == 204
    assert api.get("sys/config/ui/headers/x-frame-options").status == 404


@pytest.mark.parametrize(
    ("name", "body"),
    [("X-Vault-Token", {"values": ["x"]}), ("x", {}), ("x", {"values": ["a\r\nb: c"]}), ("a%20b", {"values": ["x"]})],
)
def test_headers_that_cannot_be_are_a_400(api: Api, name: str, body: dict[str, Any]) -> None:
    assert api.post(f"sys/config/ui/headers/{name}", body).status == 400


def test_the_configuration_is_shown_without_credentials_and_reloaded(api: Api) -> None:
    data = api.get("sys/config/state/sanitized").data
    assert data["cluster_name"] == "strongroom"
    assert not any(word in str(data).lower() for word in ("secret", "password", "root_key"))
    assert api.post("sys/config/reload/tls").status == 204
    api.room.process.answered()
    assert "reload" in api.room.process.asked
    assert api.post("sys/config/reload/licence").status == 404


def test_the_catalog_names_the_kinds_there_are(api: Api) -> None:
    data = api.get("sys/plugins/catalog").data
    assert {"kv"} <= set(data["secret"])
    assert {"userpass"} <= set(data["auth"])
    assert data["database"] == []
    assert "cubbyhole" not in data["secret"]
    assert {entry["name"] for entry in data["detailed"]} == {*data["secret"], *data["auth"]}
    assert api.send("LIST", "sys/plugins/catalog/secret").data == {"keys": data["secret"]}
    one = api.get("sys/plugins/catalog/secret/kv").data
    assert (one["name"], one["builtin"], one["args"]) == ("kv", True, None)
    assert api.get("sys/plugins/catalog/secret/none").status == 404
    assert api.get("sys/plugins/catalog/colour/kv").status == 400


def test_no_plugin_can_be_registered(api: Api) -> None:
    body = {"command": "sh", "sha256": "00"}
    assert api.post("sys/plugins/catalog/secret/mine", body).status == 405
    assert api.send("DELETE", "sys/plugins/catalog/secret/kv").status == 405


def test_reloading_engines_succeeds_because_there_is_nothing_to_do(api: Api) -> None:
    for path, body in (("backend", {"plugin": "kv"}), ("secret/kv", {})):
        reply = api.post(f"sys/plugins/reload/{path}", body)
        assert (reply.status, reply.body["warnings"]) == (200, None)
    assert api.post("sys/plugins/reload/backend", {"plugin": "nothing"}).body["warnings"] == ["no plugins were reloaded"]
    assert api.post("sys/plugins/reload/backend", {"mounts": "nothing"}).status == 400
    reply = api.post("sys/plugins/reload/backend", {"mounts": "secret/", "scope": "global"})
    assert reply.status == 202
    assert reply.data["reload_id"]
    assert api.post("sys/plugins/reload/backend", {}).status == 400
    assert api.post("sys/plugins/reload/backend", {"plugin": "kv", "mounts": ["x"]}).status == 400


def test_diagnostics_answer_to_those_who_may(api: Api) -> None:
    assert api.get("sys/host-info").data["host"]["os"]
    assert len(api.get("sys/in-flight-req").body) == 1
    history = api.send("LIST", "sys/version-history").data
    assert history["keys"] == ["1.18.0"]
    assert history["key_info"]["1.18.0"]["timestamp_installed"] == "2026-01-01T00:00:00Z"
    token = api.token("default")
    for verb, path in (("GET", "host-info"), ("GET", "in-flight-req"), ("LIST", "version-history"), ("GET", "metrics")):
        assert refused(api.send(verb, f"sys/{path}", token=token))


def test_a_node_by_itself_is_listed_with_its_address() -> None:
    room = Strongroom(settings=Settings(api_addr="https://one.example:8200"))
    (node,) = room.json(room.read("sys/ha-status"))["nodes"]
    assert (node["api_address"], node["active_node"], node["last_echo"]) == ("https://one.example:8200", True, None)


@pytest.mark.parametrize("path", ["sys", "sys/mounts", "auth/token", "auth/token/lookup-self", "secret/data/app"])
def test_help_is_a_text_and_lists_what_else_to_read(api: Api, path: str) -> None:
    body = api.send("GET", f"{path}?help=1").body
    assert set(body) == {"help", "see_also", "openapi"}
    assert isinstance(body["help"], str) and body["see_also"] is None


def test_metrics_are_text_for_prometheus_and_json_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'# HELP a b\na 1\nb{x="y",z="w"} 2.5\n'
    monkeypatch.setattr(api.room.process, "metrics", lambda: text)
    work = api.room.read("sys/metrics", {"format": "prometheus"})
    assert work.bare is not None
    assert work.bare.body == text
    assert work.bare.content_type.startswith("text/plain")
    gauges = api.get("sys/metrics").body["Gauges"]
    assert gauges[0] == {"Name": "a", "Value": 1.0, "Labels": {}}
    assert gauges[1]["Labels"] == {"x": "y", "z": "w"}


def test_metrics_have_the_names_and_lists_that_readers_of_vault_know(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"""# TYPE vault_core_unsealed gauge
vault_core_unsealed 1
# TYPE vault_audit_log_request_failure_total counter
vault_audit_log_request_failure_total 2
# TYPE vault_core_handle_request summary
vault_core_handle_request_count 3
"""
    monkeypatch.setattr(api.room.process, "metrics", lambda: text)
    body = api.get("sys/metrics").body
    assert body["Gauges"] == [{"Name": "vault.core.unsealed", "Value": 1.0, "Labels": {}}]
    assert body["Counters"] == [{"Name": "vault.audit.log_request_failure", "Count": 2.0, "Sum": 2.0, "Labels": {}}]
    assert body["Samples"] == [{"Name": "vault.core.handle_request", "Count": 3.0, "Sum": 3.0, "Labels": {}}]
    assert body["Points"] == []


def test_settings_need_sudo(api: Api) -> None:
    token = allowed(api, "sys/config/*:create read update delete list")
    assert refused(api.get("sys/config/cors", token=token))
    assert refused(api.post("sys/config/cors", {"allowed_origins": "*"}, token=token))
    assert refused(api.post("sys/config/ui/headers/x", {"values": ["y"]}, token=token))
    assert api.get("sys/config/state/sanitized", token=token).status == 200
