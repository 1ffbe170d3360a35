"""What the Terraform provider does: look the token up, make a child token, write resources, and read back every field it wrote."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.conformance.http import Http
from tests.conformance.server import Running


class Resource(NamedTuple):
    """A path that is written and read back; `shown` where that differs from what is sent."""

    path: str
    sent: dict[str, Any]
    shown: dict[str, Any] = {}
    read: str = ""
    first: tuple[str, dict[str, Any]] | None = None


TOKEN_FIELDS: dict[str, Any] = {
    "token_bound_cidrs": ["10.0.0.0/8"],
    "token_explicit_max_ttl": 7200,
    "token_no_default_policy": True,
    "token_num_uses": 3,
    "token_period": 600,
    "token_type": "service",
}
LOGIN_FIELDS: dict[str, Any] = {**TOKEN_FIELDS, "token_ttl": 60, "token_max_ttl": 120, "token_policies": ["a", "b"]}
PASSWORD_POLICY = 'length = 20\nrule "charset" {\n  charset = "abcdefghijklmnopqrstuvwxyz"\n}\n'

RULES = 'path "x" { capabilities = ["read"] }'
V2: dict[str, Any] = {"type": "kv", "options": {"version": "2"}}
V1: dict[str, Any] = {"type": "kv", "options": {"version": "1"}}
USERPASS: dict[str, Any] = {"type": "userpass"}

RESOURCES = {
    "policy": Resource("sys/policy/{name}", {"policy": RULES}, {"rules": RULES}),
    "acl policy": Resource("sys/policies/acl/{name}", {"policy": RULES}),
    "password policy": Resource("sys/policies/password/{name}", {"policy": PASSWORD_POLICY}),
    "mount": Resource(
        "sys/mounts/{name}",
        {"type": "kv", "description": "d", "options": {"version": "2"}, "local": False, "seal_wrap": False},
        read="sys/mounts/{name}",
    ),
    "mount tuning": Resource(
        "sys/mounts/{name}/tune",
        {
            "description": "e", "default_lease_ttl": "30m", "max_lease_ttl": "1h", "listing_visibility": "unauth",
            "audit_non_hmac_request_keys": ["a"], "audit_non_hmac_response_keys": ["b"], "passthrough_request_headers": ["X-A"],
            "allowed_response_headers": ["X-B"], "options": {"version": "2"},
        },
        {"default_lease_ttl": 1800, "max_lease_ttl": 3600},
        first=("sys/mounts/{name}", V2),
    ),
    "auth method tuning": Resource(
        "sys/auth/{name}/tune",
        {
            "description": "e", "default_lease_ttl": "30m", "max_lease_ttl": "1h", "listing_visibility": "unauth",
            "audit_non_hmac_request_keys": ["a"], "audit_non_hmac_response_keys": ["b"], "passthrough_request_headers": ["X-A"],
            "allowed_response_headers": ["X-B"], "token_type": "default-batch",
        },
        {"default_lease_ttl": 1800, "max_lease_ttl": 3600},
        first=("sys/auth/{name}", USERPASS),
    ),
    "token role": Resource(
        "auth/token/roles/{name}",
        {
            **TOKEN_FIELDS, "allowed_policies": ["a"], "allowed_policies_glob": ["a*"], "disallowed_policies": ["b"],
            "disallowed_policies_glob": ["b*"], "orphan": True, "renewable": False, "path_suffix": "s", "allowed_entity_aliases": ["x"],
        },
    ),
    "user": Resource(
        "auth/{name}/users/me", {**LOGIN_FIELDS, "password": "a password"}, {"password": None}, first=("sys/auth/{name}", USERPASS)
    ),
    "kv settings": Resource(
        "{name}/config",
        {"max_versions": 5, "cas_required": True, "delete_version_after": "1h30m"},
        {"delete_version_after": "1h30m0s"},
        first=("sys/mounts/{name}", V2),
    ),
    "kv secret": Resource(
        "{name}/data/a", {"data": {"n": 1.10, "big": 2**60, "s": "t"}}, first=("sys/mounts/{name}", V2)
    ),
    "kv v1 secret": Resource("{name}/a", {"n": 1, "s": "t"}, first=("sys/mounts/{name}", V1)),
    "audit device": Resource(
        "sys/audit/{name}",
        {"type": "file", "description": "d", "local": False, "options": {"file_path": "{directory}/audit/{name}.log"}},
        read="sys/audit",
    ),
    "cors": Resource(
        "sys/config/cors",
        {"allowed_origins": ["https://one.example"], "allowed_headers": ["X-One"]},
        {"enabled": True},
    ),
    "audited header": Resource("sys/config/auditing/request-headers/x-{name}", {"hmac": True}),
    "key rotation": Resource(
        "sys/rotate/config", {"max_operations": 2_000_000_000, "interval": "9000h", "enabled": True}, {"interval": "9000h0m0s"}
    ),
}  # fmt: skip


def filled(value: Any, **names: str) -> Any:
    """A value with its {names} replaced, in texts at any depth."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {key: filled(each, **names) for key, each in value.items()}
    return value


def contains(found: dict[str, Any], member: str, expected: Any, name: str) -> bool:
    """Whether an answer shows a member: itself, below the header's name, or among the requested headers of CORS."""
    shown = found.get(member, found.get(f"x-{name}", {}).get(member) if isinstance(found.get(f"x-{name}"), dict) else None)
    if member == "allowed_headers":
        return set(expected) <= set(shown or ())
    return bool(shown == expected)


@pytest.mark.parametrize("kind", RESOURCES)
def test_every_field_that_was_written_is_read_back(server: Running, name: str, kind: str) -> None:
    http, names = Http(server), {"name": name, "directory": str(server.directory)}
    declared = RESOURCES[kind]
    resource = declared._replace(
        path=filled(declared.path, **names), sent=filled(declared.sent, **names), read=filled(declared.read, **names)
    )
    if resource.first is not None:
        assert http("POST", filled(resource.first[0], **names), resource.first[1]).status == 204
    for _ in range(2):
        assert http("PUT", resource.path, resource.sent).status in (200, 204), "writing the same again changes nothing"
        if kind in ("mount", "audit device"):
            break
    found = http("GET", resource.read or resource.path).body["data"]
    found = found.get(f"{name}/", found)
    missing = {
        member: (expected, found.get(member))
        for member, expected in {**resource.sent, **resource.shown}.items()
        if not contains(found, member, expected, name) and not (kind == "policy" and member == "policy")
    }
    assert not missing, "what was written, and what is shown"


def test_a_run_of_the_provider(server: Running, name: str) -> None:
    http = Http(server)
    assert http("GET", "auth/token/lookup-self").body["data"]["policies"] == ["root"]
    child = {"display_name": "terraform", "explicit_max_ttl": "1200s", "num_uses": 0, "ttl": "1200s", "renewable": False, "policies": None}
    auth = http("POST", "auth/token/create", child).body["auth"]
    assert auth["lease_duration"] == 1200 and auth["policies"] == ["root"] and auth["renewable"] is False
    own = Http(server, auth["client_token"])
    assert own("GET", "auth/token/lookup-self").body["data"]["display_name"] == "token-terraform"
    assert own("GET", "sys/seal-status").body["version"]
    assert own("POST", f"sys/mounts/{name}", {"type": "kv-v2"}).status == 204
    entry = own("GET", "sys/mounts").body["data"][f"{name}/"]
    assert entry["type"] == "kv" and entry["options"] == {"version": "2"}
    assert own("PUT", f"{name}/data/app", {"data": {"a": "b"}, "options": {"cas": 0}}).body["data"]["version"] == 1
    assert own("GET", f"{name}/metadata/app").body["data"]["current_version"] == 1
    assert own("DELETE", f"{name}/metadata/app").status == 204
    assert own("DELETE", f"sys/mounts/{name}").status == 204
    assert own("PUT", "auth/token/revoke-self").status == 204
    assert own("GET", "auth/token/lookup-self").status == 403


def test_an_expiring_root_token_makes_no_eternal_one(server: Running) -> None:
    http = Http(server)
    own = Http(server, http("POST", "auth/token/create", {"ttl": "10m", "policies": ["root"]}).body["auth"]["client_token"])
    assert own("POST", "auth/token/create", {"policies": ["root"]}).status == 400
