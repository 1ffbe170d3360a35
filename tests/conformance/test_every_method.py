"""No method of hvac's classes that strongroom answers is forgotten: each is called by a test here, or excluded with a reason."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import hvac
import pytest
from hvac.api.auth_methods.approle import AppRole
from hvac.api.auth_methods.aws import Aws
from hvac.api.auth_methods.azure import Azure
from hvac.api.auth_methods.cert import Cert
from hvac.api.auth_methods.gcp import Gcp
from hvac.api.auth_methods.github import Github
from hvac.api.auth_methods.jwt import JWT
from hvac.api.auth_methods.kubernetes import Kubernetes
from hvac.api.auth_methods.ldap import Ldap
from hvac.api.auth_methods.oidc import OIDC
from hvac.api.auth_methods.okta import Okta
from hvac.api.auth_methods.radius import Radius
from hvac.api.auth_methods.token import Token
from hvac.api.auth_methods.userpass import Userpass
from hvac.api.secrets_engines.identity import Identity
from hvac.api.secrets_engines.kv import Kv
from hvac.api.secrets_engines.kv_v1 import KvV1
from hvac.api.secrets_engines.kv_v2 import KvV2
from hvac.api.system_backend import SystemBackend

RECEIVERS: dict[str, type] = {
    "sys": SystemBackend,
    "kv": Kv,
    "v1": KvV1,
    "v2": KvV2,
    "token": Token,
    "userpass": Userpass,
    "approle": AppRole,
    "cert": Cert,
    "radius": Radius,
    "ldap": Ldap,
    "identity": Identity,
    "kubernetes": Kubernetes,
    "aws": Aws,
    "github": Github,
    "okta": Okta,
    "jwt": JWT,
    "oidc": OIDC,
    "azure": Azure,
    "gcp": Gcp,
}
"""The attribute through which a test reaches a class, as in `client.sys.seal`; anything else is the client's own."""

CLASSES = (*RECEIVERS.values(), hvac.Client)

LATER = "its engine comes later"
ENTERPRISE = "Vault Enterprise only: Sentinel policies"
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(("SystemBackend.create_namespace", "SystemBackend.delete_namespace", "SystemBackend.list_namespaces"), LATER),
    **{f"SystemBackend.{name}": LATER for name in ("create_or_update_quota", "delete_quota", "list_quotas", "read_quota")},
    **{
        f"SystemBackend.{verb}_{kind}_polic{end}": ENTERPRISE
        for kind in ("rgp", "egp")
        for verb, end in (("create_or_update", "y"), ("read", "y"), ("delete", "y"), ("list", "ies"))
    },
    **{
        f"SystemBackend.{name}": "there is no Raft here: several nodes share a PostgreSQL"
        for name in (
            "join_raft_cluster", "read_raft_config", "remove_raft_node",
        )
    },
    **{
        f"Identity.{name}": LATER
        for name in (
            "create_or_update_entity", "create_or_update_entity_by_name", "update_entity", "delete_entity", "delete_entity_by_name",
            "merge_entities", "create_or_update_entity_alias", "update_entity_alias", "delete_entity_alias", "create_or_update_group",
            "read_group", "update_group", "delete_group", "list_groups", "list_groups_by_name", "create_or_update_group_by_name",
            "read_group_by_name", "delete_group_by_name", "create_or_update_group_alias", "update_group_alias", "read_group_alias",
            "delete_group_alias", "list_group_aliases", "lookup_group", "configure_tokens_backend", "read_tokens_backend_configuration",
            "create_named_key", "read_named_key", "delete_named_key", "list_named_keys", "rotate_named_key", "create_or_update_role",
            "read_role", "delete_role", "list_roles", "generate_signed_id_token", "introspect_signed_id_token",
            "read_well_known_configurations", "read_active_public_keys",
        )
    },
    "SystemBackend.get_private_attr_name": "sends nothing",
    "Identity.validate_member_id_params_for_group_type": "sends nothing",
}  # fmt: skip
"""`Class.method` → why no test calls it."""


def methods(cls: type) -> set[str]:
    """The public methods of a class, as `Class.method`."""
    return {f"{cls.__name__}.{name}" for name, _ in inspect.getmembers(cls, inspect.isroutine) if not name.startswith("_")}


def called(source: str) -> set[str]:
    """The methods that a piece of source names behind one of the receivers, or behind a client."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute | ast.Name | ast.Call):
            behind = node.value.attr if isinstance(node.value, ast.Attribute) else ""
            found.add(f"{RECEIVERS.get(behind, hvac.Client).__name__}.{node.attr}")
    return found


def called_here() -> set[str]:
    """The methods that the tests of this directory name."""
    return set().union(*(called(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("test_*.py")))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_method_is_called_or_excluded(cls: type) -> None:
    assert methods(cls) - called_here() - EXCLUDED.keys() == set()


def test_the_excluded_list_holds_nothing_that_is_gone_or_called() -> None:
    known: set[Any] = set().union(*(methods(cls) for cls in CLASSES))
    assert EXCLUDED.keys() <= known
    assert not EXCLUDED.keys() & called_here()


def test_a_method_that_nobody_calls_would_be_noticed() -> None:
    """The negative control."""
    assert called("client.sys.seal(); client.auth.token.create(ttl='1h').x; client.read('a')") >= {
        "SystemBackend.seal", "Token.create", "Client.read",
    }  # fmt: skip
    assert (
        "SystemBackend.unseal_twice"
        in methods(type("SystemBackend", (SystemBackend,), {"unseal_twice": lambda self: None})) - called_here()
    )
