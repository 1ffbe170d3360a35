"""What the Terraform provider does: look the token up, make a child token, write resources, and read back every field it wrote."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.conformance.http import Http
from tests.conformance.server import Running
from tests.support.tokens import pem, rsa_key, signed

KEY = rsa_key()
PUBLIC = pem(KEY).strip()
JWT = signed(KEY, {"sub": "reviewer"})


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
HOSTS: dict[str, Any] = {"token_bound_cidrs": ["10.148.1.1/32", "10.150.0.0/20", "10.150.2.1", "::1/128"]}
"""The provider keeps each form as it was written."""
KUBERNETES: dict[str, Any] = {
    "kubernetes_host": "http://example.com:443", "kubernetes_ca_cert": "{certificate}", "token_reviewer_jwt": "{jwt}",
    "pem_keys": "{public},{public}", "issuer": "api", "disable_iss_validation": False, "disable_local_ca_jwt": True,
    "use_annotations_as_alias_metadata": True,
}  # fmt: skip
LDAP: dict[str, Any] = {
    "url": "ldaps://example.org", "starttls": True, "case_sensitive_names": False, "tls_min_version": "tls11", "tls_max_version": "tls12",
    "insecure_tls": False, "binddn": "cn=example.com", "bindpass": "a password", "discoverdn": False, "deny_null_bind": True,
    "userfilter": "({{.UserAttr}}={{.Username}})", "username_as_alias": True, "use_token_groups": True, "connection_timeout": 30,
    "request_timeout": 60, "dereference_aliases": "always", "anonymous_group_search": False, "max_page_size": -1,
    "certificate": "{certificate}",
}  # fmt: skip
JWT_ROLE: dict[str, Any] = {
    "role_type": "jwt", "bound_audiences": ["https://myco.test"], "user_claim": "https://vault/user", "user_claim_json_pointer": False,
    "bound_subject": "me", "groups_claim": "https://vault/groups", "bound_claims_type": "glob", "clock_skew_leeway": 1, "max_age": 4,
    "bound_claims": {"department": ["engineering", "admin"], "sector": "7g"}, "claim_mappings": {"group": "group"}, "expiration_leeway": 2,
    "not_before_leeway": 3, "verbose_oidc_logging": True, "allowed_redirect_uris": ["http://localhost:8080"], "oidc_scopes": ["email"],
}  # fmt: skip
CERTIFICATE_ROLE: dict[str, Any] = {
    "certificate": "{certificate}", "allowed_names": ["a.example"], "allowed_common_names": ["a"], "allowed_dns_sans": ["d.example"],
    "allowed_email_sans": ["e@example.com"], "allowed_uri_sans": ["spiffe://x/y"], "allowed_organizational_units": ["ou"],
    "required_extensions": ["1.2.3.4:abc"], "display_name": "shown",
}  # fmt: skip
AWS_CLIENT: dict[str, Any] = {
    "access_key": "AWSACCESSKEY", "secret_key": "a secret", "endpoint": "http://vault.test/ec2", "iam_endpoint": "http://vault.test/iam",
    "sts_endpoint": "http://vault.test/sts", "sts_region": "vault-test", "iam_server_id_header_value": "vault.test", "max_retries": -1,
}  # fmt: skip
AZURE_ROLE: dict[str, Any] = {
    "bound_service_principal_ids": ["a"], "bound_group_ids": ["g"], "bound_locations": ["l"], "bound_subscription_ids": ["s"],
    "bound_resource_groups": ["rg"], "bound_scale_sets": ["ss"],
}  # fmt: skip
GCP_ROLE: dict[str, Any] = {"type": "iam", "bound_service_accounts": ["a"], "bound_projects": ["p"], "add_group_aliases": True}


def method(kind: str) -> tuple[str, dict[str, Any]]:
    """What enables an auth method first."""
    return "sys/auth/{name}", {"type": kind}


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
    "token role of either type": Resource(
        "auth/token/roles/{name}",
        {"orphan": True, "token_period": 86_400, "token_explicit_max_ttl": 115_200, "renewable": False, "token_type": "default-batch"},
    ),
    "approle role": Resource(
        "auth/{name}/role/r",
        {
            **LOGIN_FIELDS, **HOSTS, "bind_secret_id": True, "secret_id_bound_cidrs": ["10.148.0.0/20"], "secret_id_ttl": 600,
            "secret_id_num_uses": 5,
        },
        first=method("approle"),
    ),
    "ldap": Resource("auth/{name}/config", {**LOGIN_FIELDS, **LDAP}, {"bindpass": None}, first=method("ldap")),
    "ldap group": Resource("auth/{name}/groups/g", {"policies": ["default", "foo"]}, first=method("ldap")),
    "kubernetes": Resource(
        "auth/{name}/config", KUBERNETES, {"pem_keys": ["{public}", "{public}"], "token_reviewer_jwt": None}, first=method("kubernetes")
    ),
    "kubernetes role": Resource(
        "auth/{name}/role/r",
        {
            **LOGIN_FIELDS, "bound_service_account_names": ["*"], "bound_service_account_namespaces": ["a"], "audience": "vault",
            "alias_name_source": "serviceaccount_name",
        },
        first=method("kubernetes"),
    ),
    "jwt": Resource(
        "auth/{name}/config",
        {
            "jwt_validation_pubkeys": ["{public}"], "bound_issuer": "api://default", "jwt_supported_algs": ["RS512", "RS256"],
            "default_role": "api",
        },
        {"oidc_discovery_url": "", "oidc_client_id": "", "jwks_url": "", "oidc_response_types": [], "namespace_in_state": True},
        first=method("jwt"),
    ),
    "jwt role": Resource("auth/{name}/role/r", {**LOGIN_FIELDS, **JWT_ROLE}, first=method("jwt")),
    "certificate role": Resource("auth/{name}/certs/c", {**LOGIN_FIELDS, **CERTIFICATE_ROLE}, first=method("cert")),
    "github": Resource(
        "auth/{name}/config",
        {**LOGIN_FIELDS, "organization": "unknown", "organization_id": 2999, "base_url": "https://ghe.example/"},
        first=method("github"),
    ),
    "okta": Resource(
        "auth/{name}/config", {**LOGIN_FIELDS, "organization": "example", "token": "a secret", "bypass_okta_mfa": False}, {"token": None},
        first=method("okta"),
    ),
    "okta user": Resource("auth/{name}/users/foo", {"groups": ["dummy"], "policies": []}, first=method("okta")),
    "aws client": Resource("auth/{name}/config/client", AWS_CLIENT, {"secret_key": None}, first=method("aws")),
    "azure role": Resource("auth/{name}/role/r", {**LOGIN_FIELDS, **AZURE_ROLE}, first=method("azure")),
    "gcp role": Resource("auth/{name}/role/r", {**LOGIN_FIELDS, **GCP_ROLE}, first=method("gcp")),
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
    return [filled(each, **names) for each in value] if isinstance(value, list) else value


def contains(found: dict[str, Any], member: str, expected: Any, name: str) -> bool:
    """Whether an answer shows a member: itself, below the header's name, or among the requested headers of CORS."""
    shown = found.get(member, found.get(f"x-{name}", {}).get(member) if isinstance(found.get(f"x-{name}"), dict) else None)
    if member == "allowed_headers":
        return set(expected) <= set(shown or ())
    return bool(shown == expected)


@pytest.mark.parametrize("kind", RESOURCES)
def test_every_field_that_was_written_is_read_back(server: Running, name: str, kind: str) -> None:
    assert server.ca is not None
    names = {"name": name, "directory": str(server.directory), "certificate": server.ca.read_text().strip(), "jwt": JWT, "public": PUBLIC}
    http, declared = Http(server), RESOURCES[kind]
    resource = declared._replace(**{part: filled(getattr(declared, part), **names) for part in ("path", "sent", "shown", "read")})
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
    gone = http("POST", "auth/token/lookup", {"token": auth["client_token"]})
    assert gone.status == 403 and gone.body["errors"] == ["bad token"]


def test_an_expiring_root_token_makes_no_eternal_one(server: Running) -> None:
    http = Http(server)
    own = Http(server, http("POST", "auth/token/create", {"ttl": "10m", "policies": ["root"]}).body["auth"]["client_token"])
    assert own("POST", "auth/token/create", {"policies": ["root"]}).status == 400
