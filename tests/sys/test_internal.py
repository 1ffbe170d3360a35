"""sys/internal: the preflight and the lists tell a caller of what it can reach, and of nothing else."""

from __future__ import annotations

import pytest

from strongroom.core.call import Call
from strongroom.core.response import Grant
from tests.engines.api_kit import Api
from tests.sys.kit import allowed, enter, house, refused

NOBODY = {"headers": {b"x-vault-token": b""}}


@pytest.fixture
def api() -> Api:
    return house()


def test_the_preflight_finds_the_mount_of_a_path(api: Api) -> None:
    token = allowed(api, "secret/data/team/*:read")
    for path in ("secret", "secret/data/team/x", "secret/anything"):
        data = api.get(f"sys/internal/ui/mounts/{path}", token=token).data
        assert (data["path"], data["type"], data["options"]) == ("secret/", "kv", {"version": "2"})
        assert {"accessor", "uuid", "config", "description", "local", "seal_wrap"} <= set(data)
    assert api.get("sys/internal/ui/mounts/auth/door").data["path"] == "door/"


def test_no_mount_and_no_right_sound_the_same(api: Api) -> None:
    token = allowed(api, "secret/*:read", "plain/*:deny")
    replies = [api.get(f"sys/internal/ui/mounts/{path}", token=token) for path in ("lend", "none", "plain", "auth/door")]
    for reply, path in zip(replies, ("lend", "none", "plain", "auth/door"), strict=True):
        assert reply.status == 403
        text = f'preflight capability check returned 403, please ensure client\'s policies grant access to path "{path}/"'
        assert reply.errors == [text]
    assert refused(api.get("sys/internal/ui/mounts/secret", **NOBODY))
    assert refused(api.get("sys/internal/ui/mounts/secret", token="srs_nobody"))


def test_the_list_shows_reachable_mounts_whole(api: Api) -> None:
    token = allowed(api, "secret/data/team/*:read", "auth/door/+:update")
    data = api.get("sys/internal/ui/mounts", token=token).data
    assert (set(data["secret"]), set(data["auth"])) == ({"secret/"}, {"door/"})
    assert data["secret"]["secret/"]["accessor"]
    everything = api.get("sys/internal/ui/mounts").data
    assert set(everything["secret"]) == {"cubbyhole/", "identity/", "lend/", "plain/", "secret/", "sys/"}
    assert set(everything["auth"]) == {"door/", "token/"}


def test_strangers_see_what_is_listed_for_everybody_and_little_of_it(api: Api) -> None:
    assert api.get("sys/internal/ui/mounts", **NOBODY).data == {"auth": {}, "secret": {}}
    assert refused(api.get("sys/internal/ui/mounts", token="srs_nobody"))  # so that a console knows that it has to log in again
    api.post("sys/auth/door/tune", {"listing_visibility": "unauth", "description": "come in"})
    api.post("sys/mounts/lend/tune", {"listing_visibility": "hidden"})
    expected = {"auth": {"door/": {"type": "doorman", "description": "come in", "options": {}}}, "secret": {}}
    assert api.get("sys/internal/ui/mounts", **NOBODY).data == expected


def bound_token(api: Api, network: str) -> str:
    """A token that may be used from there only."""
    grant = Grant(policies=("default",), ttl=60, bound_cidrs=(network,))

    def issue(call: Call) -> str:
        return api.core.tokens.issue(call.transaction, grant, "auth/token/create", None).client_token.reveal()

    return str(api.room.transact(issue))


def test_a_token_bound_elsewhere_or_used_up_is_a_strangers(api: Api) -> None:
    bound = bound_token(api, "10.0.0.0/8")
    assert refused(api.get("sys/internal/ui/mounts/cubbyhole", token=bound))
    assert refused(api.get("sys/internal/ui/mounts", token=bound))
    assert api.get("sys/internal/ui/mounts/cubbyhole", token=bound_token(api, "127.0.0.0/8")).status == 200
    auth = api.post("auth/token/create", {"policies": ["default"], "num_uses": 1}).body["auth"]
    api.get("auth/token/lookup-self", token=auth["client_token"])
    assert refused(api.get("sys/internal/ui/mounts/cubbyhole", token=auth["client_token"]))


def test_the_resultant_acl_has_the_three_members(api: Api) -> None:
    token = allowed(api, "secret/data/a:read", "secret/*:list", "auth/+/x:update", "sys/internal/ui/resultant-acl:read")
    data = api.get("sys/internal/ui/resultant-acl", token=token).data
    assert data["root"] is False
    assert data["exact_paths"]["secret/data/a"] == {"capabilities": ["read"]}
    assert data["glob_paths"] == {"secret/": {"capabilities": ["list"]}, "auth/+/x": {"capabilities": ["update"]}}
    assert api.get("sys/internal/ui/resultant-acl").data["root"] is True
    assert api.get("sys/internal/ui/resultant-acl", token=api.token("default")).status == 200


def test_namespaces_are_none_and_need_a_token(api: Api) -> None:
    assert api.get("sys/internal/ui/namespaces", token=api.token("default")).data == {"keys": [""]}
    assert refused(api.get("sys/internal/ui/namespaces", **NOBODY))


def test_counters_count(api: Api) -> None:
    before = api.get("sys/internal/counters/tokens").data["counters"]["service_tokens"]["total"]
    enter(api)
    assert api.get("sys/internal/counters/tokens").data["counters"]["service_tokens"]["total"] == before + 1
    assert api.get("sys/internal/counters/entities").data == {"counters": {"entities": {"total": 0}}}


def test_router_tables_are_for_sudo(api: Api) -> None:
    assert api.send("LIST", "sys/internal/inspect/router").data["keys"] == ["accessor", "root", "storage", "uuid"]
    table = api.get("sys/internal/inspect/router/root").data["root"]
    assert table["secret/"]["accessor"] == api.get("sys/mounts/secret").data["accessor"]
    assert api.get("sys/internal/inspect/router/none").status == 404
    assert refused(api.get("sys/internal/inspect/router/root", token=allowed(api, "sys/internal/inspect/*:read list")))


# -- OpenAPI ------------------------------------------------------------------------------------------------------


def test_the_document_shows_strangers_open_routes_only(api: Api) -> None:
    paths = api.get("sys/internal/specs/openapi", **NOBODY).body["paths"]
    assert "/sys/internal/ui/mounts" in paths
    assert not any(path.startswith(("/secret/", "/lend/", "/auth/door/")) for path in paths), "a mount is not given away"
    assert all(item.get("x-vault-unauthenticated") for item in paths.values())
    api.post("sys/auth/door/tune", {"listing_visibility": "unauth"})
    assert "/auth/door/login/{name}" in api.get("sys/internal/specs/openapi", **NOBODY).body["paths"]


def test_the_document_shows_a_caller_what_its_policies_reach(api: Api) -> None:
    token = allowed(api, "lend/creds/*:read")
    paths = api.get("sys/internal/specs/openapi", token=token).body["paths"]
    assert "/lend/creds/{name}" in paths
    assert "/sys/mounts/{path}" not in paths
    assert "/sys/mounts/{path}" in api.post("sys/internal/specs/openapi", {}).body["paths"]


def test_mount_paths_may_be_parameters(api: Api) -> None:
    paths = api.get("sys/internal/specs/openapi?generic_mount_paths=true").body["paths"]
    assert "/{lender_mount_path}/creds/{name}" in paths
    assert "/auth/{doorman_mount_path}/login/{name}" in paths
    assert "/sys/mounts/{path}" in paths


def test_the_document_is_well_formed(api: Api) -> None:
    reply = api.get("sys/internal/specs/openapi")
    document = reply.body
    assert document["openapi"].startswith("3.")
    names: dict[str, str] = {}
    for path, item in document["paths"].items():
        holes = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert {parameter["name"] for parameter in item.get("parameters", ()) if parameter["in"] == "path"} == holes, path
        for verb in ("get", "post", "patch", "delete"):
            operation = item.get(verb)
            if operation is None:
                continue
            assert operation["summary"]
            assert "200" in operation["responses"]
            assert names.setdefault(operation["operationId"], path) == path, "an operation id stands for one path"
