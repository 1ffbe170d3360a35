"""Every route of every engine: T7.1, who may call it without a token; T14.2, what audit does with its fields; which need sudo."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from strongroom.core.engine import CLASSES, Engine, Route
from strongroom.core.registry import engine_class, kinds
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.testing.room import Strongroom
from tests.engines.api_kit import Api

VERBS = {Operation.READ: "GET", Operation.CREATE: "POST", Operation.UPDATE: "POST"}

OPEN: dict[str, tuple[str, ...]] = {
    "secrets": (),
    "system/system": (
        r"internal/ui/mounts(/.*)?",
        r"internal/ui/namespaces",  # asks for a token itself
        r"init|unseal|seal-status|health|leader",  # before there is a token
        r"internal/specs/openapi",
        r"wrapping/(lookup|unwrap|pubkey)",  # the wrapping token is what is shown
        r"decode-token",
        r"replication/status",  # says the same to everybody, always
        r"mfa/validate",
        r"(rekey|rekey-recovery-key|generate-root)/.*",  # only where a listener opens them
    ),
    "auth/agent": (r"login|challenge|enrol", r"agents/\{name\}/rotate"),  # each but the challenge proves a key or an enrolment token
    "auth": (r"(cel/)?login(/.*)?", r"(oidc|webauthn)/(auth_url|callback|poll|login)(/.*)?"),
}
"""The reviewed list of routes that are declared public, by family and where there is one kind by kind. A new kind is added by review."""


def classes() -> Iterator[type[Engine]]:
    """Every engine that this installation has, in every variant."""
    for family in ("secrets", "auth", "system"):
        for kind in kinds(family):
            with suppress(InvalidRequest):  # a module beside the engines is no engine
                engine_class(family, kind)
    own = {"lender", "doorman"}
    yield from (found for (_, kind, _), found in CLASSES.items() if kind not in own and found.__module__.startswith("strongroom"))


def routes() -> list[tuple[type[Engine], Route]]:
    return [(engine, route) for engine in classes() for route in engine.router.routes]


def reviewed(engine: type[Engine], route: Route) -> bool:
    patterns = OPEN.get(f"{engine.family}/{engine.kind}", OPEN.get(engine.family, ()))
    return any(re.fullmatch(pattern, route.pattern) for pattern in patterns)


def test_the_walk_sees_the_routes() -> None:
    found = routes()
    assert len(found) > 150
    assert {("system", "system"), ("secrets", "kv"), ("auth", "userpass"), ("system", "token")} <= {(e.family, e.kind) for e, _ in found}


def test_public_routes_are_those_on_the_reviewed_list() -> None:
    strange = [(engine.kind, route.pattern) for engine, route in routes() if route.public and not reviewed(engine, route)]
    assert not strange, "routes that need no token are added to the reviewed list above, after a review"


def test_a_new_public_route_is_found() -> None:
    """The negative control."""
    engine, route = next((engine, route) for engine, route in routes() if not route.public and engine.kind == "kv")
    assert not reviewed(engine, msgspec.structs.replace(route, public=True))


def filled(route: Route) -> str:
    return re.sub(r"\{\w+(\.\.\.)?\}", "x", route.pattern)


def mounted() -> list[tuple[str, Operation, str]]:
    """Every route that is not public, at a path where its engine is mounted."""
    room = Strongroom()
    for family, kind in (("secrets", "kv"), ("auth", "userpass")):
        room.write(f"sys/{'auth' if family == 'auth' else 'mounts'}/all-{kind}", {"type": kind})
    asked = []
    for mount in room.core.mounts.table(room.core.transaction(None)).by_path.values():
        try:
            engine = engine_class(mount.family, mount.kind, mount.options.get("version", ""))
        except Exception:
            continue
        asked += [
            (mount.path + filled(route), operation, mount.path)
            for route in engine.router.routes
            if not route.public
            for operation in route.operations
        ]
    return asked


def test_without_a_token_every_other_route_answers_403_and_nothing_else() -> None:
    room = Strongroom()
    room.write("sys/mounts/all-kv", {"type": "kv"})
    room.write("sys/auth/all-userpass", {"type": "userpass"})
    asked = mounted()
    assert len(asked) > 150
    before = room.storage.begin(0, ())
    gsn = before.gsn
    before.abandon()
    for path, operation, _ in asked:
        for token in ("", "srs_nobody"):
            work = room.request(operation, path, {"x": "y"}, token=token)
            assert isinstance(work.error, PermissionDenied), (operation, path, work)
    after = room.storage.begin(0, ())
    assert after.gsn == gsn, "nothing was committed on behalf of strangers"
    after.abandon()


def test_a_token_that_may_nothing_gets_403_everywhere_too() -> None:
    api = Api()
    api.room.write("sys/mounts/all-kv", {"type": "kv"})
    api.room.write("sys/auth/all-userpass", {"type": "userpass"})
    token = api.token("none")
    for path, operation, _ in mounted():
        work = api.room.request(operation, path, {"x": "y"}, token=token)
        assert isinstance(work.error, PermissionDenied), (operation, path, work)


SUDO = (
    "auth/x", "auth/x/tune", "remount", "audit", "audit/x", "config/cors", "config/auditing/request-headers",
    "config/auditing/request-headers/x", "config/ui/headers/", "config/ui/headers/x", "plugins/catalog/auth/x", "leases",
    "leases/lookup/", "leases/lookup/x/", "leases/revoke-prefix/x", "leases/revoke-force/x", "revoke-prefix/x", "revoke-force/x",
    "internal/inspect/router/x", "rotate", "rotate/keyring", "seal", "step-down",
)  # fmt: skip
"""Paths below sys/ that need the sudo capability, by Vault's list."""


@pytest.mark.parametrize("path", SUDO)
def test_vaults_list_of_protected_paths_is_kept(path: str) -> None:
    router = engine_class("system", "system").router
    found = [match[0] for operation in Operation if (match := router.find(operation, path)) is not None]
    assert found, f"there is no route {path}"
    assert all(route.sudo for route in found), path


def test_mounts_and_policies_are_not_on_it() -> None:
    router = engine_class("system", "system").router
    for path in ("mounts", "mounts/x", "mounts/x/tune", "policies/acl/x", "policy/x", "leases/revoke", "leases/renew", "auth"):
        found = [match[0] for operation in Operation if (match := router.find(operation, path)) is not None]
        assert found
        assert not any(route.sudo for route in found), path


# -- T7.3 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["sys/health", "sys/seal-status", "sys/leader"])
def test_what_strangers_are_told_names_no_address_host_mount_or_build(path: str) -> None:
    room = Strongroom()
    answer = room.request(Operation.READ, path, token="").response
    assert answer is not None
    assert answer.bare is not None
    text = answer.bare.body.decode()
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", text), "no IP address"
    assert not any(word in text for word in (platform.node(), "secret/", "sys/", "cubbyhole", platform.release()) if word)
    version = msgspec.json.decode(answer.bare.body).get("version", "1.0.0")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version), "no more than the semantic version"


# -- T14.2 --------------------------------------------------------------------------------------------------------


def fields(part: object, inside: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every parameter and every property of every schema in a document."""
    if isinstance(part, dict):
        for name, schema in part.get("properties", {}).items() if isinstance(part.get("properties"), dict) else ():
            yield f"{inside}.{name}", schema
        if "in" in part and "name" in part:
            yield f"{inside}:{part['name']}", part
        for name, value in part.items():
            yield from fields(value, f"{inside}/{name}")
    elif isinstance(part, list | tuple):
        for value in part:
            yield from fields(value, inside)


def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("sys/internal/specs/openapi").body
    return found


def test_every_field_says_what_audit_does_with_it() -> None:
    api = Api()
    found = dict(fields(document(api)))
    assert len(found) > 300
    assert not [name for name, schema in found.items() if schema.get("x-audit") not in ("clear", "hmac", "drop")]


def test_members_that_nobody_declared_clear_are_hashed_and_a_mounts_setting_shows() -> None:
    api = Api()
    body = dict(fields(document(api)["paths"]["/sys/policies/acl/{name}"]["post"]["requestBody"]))
    assert {schema["x-audit"] for schema in body.values()} == {"hmac"}
    api.post("sys/mounts/secret/tune", {"audit_non_hmac_request_keys": ["data"]})
    data = dict(fields(document(api)["paths"]["/secret/data/{path}"]["post"]["requestBody"]))
    (audited,) = [schema["x-audit"] for name, schema in data.items() if name.endswith(".data")]
    assert audited == "clear"


def test_a_field_without_it_is_found() -> None:
    """The negative control."""
    part = {"schema": {"properties": {"a": {"type": "string"}}}}
    assert [name for name, schema in fields(part) if "x-audit" not in schema] == ["/schema.a"]
