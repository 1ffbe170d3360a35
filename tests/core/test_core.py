"""The spine: what is decided before what, what a stranger learns, and what holds when calls share a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from strongroom.api.vault import answer
from strongroom.core import areas, registry
from strongroom.core.audit.broker import Broker
from strongroom.core.call import Call
from strongroom.core.core import Core, Settings
from strongroom.core.engine import CLASSES, Engine, ListBody, keys_response, list_, patch, read, scan, write
from strongroom.core.group import GroupRun, perform
from strongroom.core.mounts import MountTable, Ttls, new_mount
from strongroom.core.policy import acl
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Grant, LeaseTerms, Response
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import (
    InvalidRequest,
    NotFound,
    PermissionDenied,
    StrongroomError,
    UnsupportedOperation,
)
from strongroom.testing.room import FakeClock, Strongroom
from tests.core.audit.kit import Memory, device

READ, UPDATE, LIST, SCAN, PATCH, DELETE, HELP = (
    Operation.READ,
    Operation.UPDATE,
    Operation.LIST,
    Operation.SCAN,
    Operation.PATCH,
    Operation.DELETE,
    Operation.HELP,
)


class ThingBody(msgspec.Struct, frozen=True):
    name: str = ""
    size: int = 0
    tags: dict[str, Any] = {}


class Shown(Engine, kind="shown"):
    """An engine that shows what reached it."""

    @read("things/{name}")
    def read_thing(self, name: str) -> Response:
        """Read a thing."""
        if name == "none":
            raise NotFound
        return Response(data={"name": name})

    @write("things/{name}", body=ThingBody, exists="there")
    def write_thing(self, name: str, body: ThingBody) -> Response | None:
        """Write a thing."""
        body.tags["seen"] = True
        return (
            None
            if name == "quiet"
            else Response(data={"name": name, "body": body.name, "as": self.call.operation.value, "tags": body.tags})
        )

    @patch("things/{name}", body=ThingBody)
    def patch_thing(self, name: str, body: ThingBody) -> Response:
        """Change a thing."""
        return Response(data={"name": name})

    @list_("things/", body=ListBody)
    def things(self, body: ListBody) -> Response:
        """List things."""
        names = [name for name in "abcdefgh" if name > body.after]
        return keys_response(names[: body.limit] if body.limit > 0 else names, {name: {"about": name} for name in names})

    @scan("things/", body=ListBody)
    def deep(self, body: ListBody) -> Response:
        """List things."""
        return self.things(body)

    @read("loan")
    def loan(self) -> Response:
        """A secret that ends."""
        return Response(data={"x": 1}, terms=LeaseTerms())

    @read("bare")
    def nothing(self) -> Response:
        """A route that takes nothing."""
        return Response(data={"ttls": [self.default_ttl, self.max_ttl]})

    @write("open/{name}", public=True)
    def open(self, name: str) -> Response:
        """Anybody."""
        if name == "in":
            return Response(grant=Grant(policies=("default",)))
        return Response(data={"who": bool(self.call.token)})

    def there(self, name: str) -> bool:
        if name == "raises":
            raise InvalidRequest("the name is wrong")
        return name.startswith("old")


class Api:
    """A room with the engine at `shown/`."""

    def __init__(self, **settings: Any) -> None:
        self.room = Strongroom(settings=Settings(dev=True, **settings))
        self.core: Core = self.room.core
        self.room.transact(lambda call: self.core.mounts.add(call.transaction, new_mount("shown/", "shown", "secrets")))

    def policy(self, text: str) -> str:
        """A token with this policy."""
        self.room.write("sys/policies/acl/p", {"policy": text})
        return self.room.create_token("p", no_default_policy=True)

    def ask(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Work:
        return self.room.request(operation, path, data, **options)

    def error(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> StrongroomError:
        error = self.ask(operation, path, data, **options).error
        assert error is not None
        return error

    def ok(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Response:
        work = self.ask(operation, path, data, **options)
        assert work.error is None, work.error
        assert work.response is not None
        return work.response


@pytest.fixture
def api() -> Api:
    return Api()


# ---- what a stranger learns


def message(work: Work) -> tuple[Any, ...]:
    return answer(work.request, work.response, work.error)


PATHS = "shown/things/a shown/things/raises shown/zzz shown nowhere/x gone/x sys/mounts sys/nothing x".split()


@pytest.mark.parametrize("operation", [READ, UPDATE, LIST, SCAN, PATCH, DELETE, HELP])
@pytest.mark.parametrize("token", ["", "srs_unknown", "x" * 5_000, "\xff\xe9"])
def test_without_rights_every_path_looks_the_same(api: Api, operation: Operation, token: str) -> None:
    """T2.3: existing, missing, wrong verb, no route, no mount, missing engine, bad body, other namespace."""
    api.room.transact(lambda call: api.core.mounts.add(call.transaction, new_mount("gone/", "nosuchengine", "secrets")))
    limited = api.policy('path "cubbyhole/*" { capabilities = ["read"] }')
    for presented in (token, limited) if operation is not HELP else (token,):  # help is for everybody with a token, as in Vault
        answers = set()
        for path in PATHS:
            answers.add(message(api.ask(operation, path, {"size": "no number"}, token=presented)))
        elsewhere = Request(uuid4_text(), operation, "shown/things/a", {}, b"", Secret(presented), Peer(), namespace="other")
        answers.add(message(perform(api.core, Work(elsewhere, lambda _work: None), _raise)))
        assert len(answers) == 1
        assert next(iter(answers))[0] == 403


def test_whoever_may_is_told_what_is_wrong(api: Api) -> None:
    cases: list[tuple[Operation, str, type[StrongroomError], str]] = [
        (READ, "nowhere/x", NotFound, 'no handler for route "nowhere/x". route entry not found.'),
        (READ, "sys/nothing", NotFound, "unsupported path"),
        (READ, "shown/zzz", NotFound, "unsupported path"),
        (DELETE, "shown/things/a", UnsupportedOperation, "unsupported operation"),
        (LIST, "shown/things/a", NotFound, "unsupported path"),
        (READ, "shown/things", UnsupportedOperation, "unsupported operation"),
        (UPDATE, "shown/bare", UnsupportedOperation, "unsupported operation"),
        (UPDATE, "shown/things/raises", InvalidRequest, 'for field "size": it takes a whole number'),
    ]
    for operation, path, kind, text in cases:
        error = api.error(operation, path, {"size": "no number"})
        assert type(error) is kind, path
        assert text in error.messages[0], path
    elsewhere = Request(uuid4_text(), READ, "shown/things/a", {}, b"", Secret(api.room.token), Peer(), namespace="other")
    assert isinstance(perform(api.core, Work(elsewhere, lambda _work: None), _raise).error, NotFound)


@pytest.mark.parametrize("token", ["", "nonsense", "root"])
def test_a_wrong_verb_where_strangers_have_business_is_told(api: Api, token: str) -> None:
    """Who sends his login by GET is not to think that his password was wrong. What else there is strangers are not told."""
    api.room.write("sys/auth/userpass", {"type": "userpass"})
    presented = api.room.token if token == "root" else token
    for operation, path in ((READ, "auth/userpass/login/ann"), (DELETE, "auth/userpass/login/ann"), (READ, "sys/decode-token")):
        error = api.room.request(operation, path, token=presented).error
        assert isinstance(error, UnsupportedOperation)
        assert error.messages == ("unsupported operation",)
    if token != "root":
        for path in ("auth/userpass/users/ann", "auth/userpass/login", "auth/nowhere/login/ann", "sys/mounts", "sys/nowhere"):
            error = api.room.request(DELETE, path, token=presented).error
            assert isinstance(error, PermissionDenied), path


NAMES = (
    (UPDATE, "auth/userpass/users/admin/password", "auth/userpass/users/Admin/password"),
    (READ, "auth/approle/role/prod/role-id", "auth/approle/role/PROD/role-id"),
    (LIST, "auth/approle/role/prod/secret-id/", "auth/approle/role/PROD/secret-id/"),
    (UPDATE, "sys/policies/acl/rights", "sys/policies/acl/Rights"),
    (READ, "sys/policy/rights", "sys/policy/RIGHTS"),
    (UPDATE, "sys/policies/password/long", "sys/policies/password/Long"),
    (UPDATE, "sys/config/ui/headers/x-one", "sys/config/ui/headers/X-One"),
    (READ, "identity/entity/name/ada", "identity/entity/name/Ada"),
)


@pytest.mark.parametrize(("operation", "stored", "written"), NAMES)
def test_a_denial_is_not_got_round_by_another_spelling_of_a_name(
    api: Api, operation: Operation, stored: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("userpass", "approle"):
        api.room.write(f"sys/auth/{kind}", {"type": kind})
    above = stored.partition("/")[0]
    grant = f'path "{above}/*" {{ capabilities = ["create", "read", "update", "list", "sudo"] }}'
    token = api.policy(f'{grant} path "{stored}" {{ capabilities = ["deny"] }}')
    for path in (stored, written):
        assert isinstance(api.room.request(operation, path, {}, token=token).error, PermissionDenied)
    monkeypatch.setattr(acl, "_of_both", lambda written, _stored: written)
    assert not isinstance(api.room.request(operation, written, {}, token=token).error, PermissionDenied), "the negative control"


def test_what_counts_with_case_has_one_spelling(api: Api) -> None:
    token = api.policy('path "auth/token/*" { capabilities = ["read"] } path "auth/token/roles/ci" { capabilities = ["deny"] }')
    assert isinstance(api.room.request(READ, "auth/token/roles/CI", token=token).error, NotFound)


def test_a_mount_whose_engine_is_missing_says_so_to_those_who_may(api: Api) -> None:
    api.room.transact(lambda call: api.core.mounts.add(call.transaction, new_mount("gone/", "nosuchengine", "secrets")))
    assert "plugin not found in the catalog" in api.error(READ, "gone/x").messages[0]


def test_rights_in_one_namespace_are_none_in_another(api: Api) -> None:
    token = api.policy('path "shown/*" { capabilities = ["read"] }')
    elsewhere = Request(uuid4_text(), READ, "shown/things/a", {}, b"", Secret(token), Peer(), namespace="other")
    assert isinstance(perform(api.core, Work(elsewhere, lambda _work: None), _raise).error, PermissionDenied)


def test_public_routes_ask_for_no_token_and_a_bad_one_is_none(api: Api) -> None:
    for token, known in (("", False), ("nobody", False), (api.room.token, True)):
        assert api.ok(UPDATE, "shown/open/x", {}, token=token).data == {"who": known}


# ---- create or update


def test_existence_tells_create_from_update(api: Api) -> None:
    for capability, new, old in (("create", 200, 403), ("update", 403, 200)):
        token = api.policy(f'path "shown/*" {{ capabilities = ["{capability}"] }}')
        assert statuses(api.ask(UPDATE, "shown/things/new", {}, token=token)) == [new]
        assert statuses(api.ask(UPDATE, "shown/things/old", {}, token=token)) == [old]
    assert api.ok(UPDATE, "shown/things/new", {}).data["as"] == "create"  # type: ignore[index]
    assert api.ok(UPDATE, "shown/things/old", {}).data["as"] == "update"  # type: ignore[index]


# ---- bodies and warnings


def test_members_without_effect_are_named_as_vault_does(api: Api) -> None:
    response = api.ok(UPDATE, "shown/things/x", {"name": "other", "b": 1, "a": 2, "size": 3})
    assert response.warnings == (
        "Endpoint ignored these unrecognized parameters: [a b]",
        "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name]",
    )
    assert response.data["body"] == "x", "the path's name counts"  # type: ignore[index]
    assert api.ok(READ, "shown/bare", {"q": "1"}).warnings == ("Endpoint ignored these unrecognized parameters: [q]",)
    assert api.ok(LIST, "shown/things", {"q": "1", "limit": "2"}).warnings == ("Endpoint ignored these unrecognized parameters: [q]",)


def test_an_answer_of_nothing_stays_nothing(api: Api) -> None:
    assert message(api.ask(UPDATE, "shown/things/quiet", {"zzz": 1}))[0] == 204
    assert message(api.ask(READ, "shown/things/none", {"zzz": "1"}))[0] == 404


def test_requests_share_no_defaults(api: Api) -> None:
    for _ in range(2):
        assert api.ok(UPDATE, "shown/things/x", {}).data["tags"] == {"seen": True}  # type: ignore[index]
    assert next(route for route in Shown.router.routes if route.name == "write_thing").fields.defaults["tags"] == {}  # type: ignore[union-attr]


# ---- help


def test_help_shows_what_is_declared(api: Api) -> None:
    data = shown_help(api, "shown/things/x")
    assert "a thing" in data["help"]
    whole = shown_help(api, "shown")
    assert "An engine that shows what reached it." in whole["help"]
    assert "/shown/things/{name}" in whole["openapi"]["paths"]
    assert isinstance(api.error(HELP, "shown/zzz"), NotFound)
    assert isinstance(api.error(HELP, "nowhere/x"), NotFound)
    token = api.policy('path "shown/things/*" { capabilities = ["read"] }')
    assert api.ok(HELP, "shown/things/x", token=token).bare


def shown_help(api: Api, path: str) -> dict[str, Any]:
    """Help has no envelope: the Go client reads its members at the top."""
    bare = api.ok(HELP, path).bare
    assert bare is not None
    return msgspec.json.decode(bare.body, type=dict[str, Any])


# ---- listings


def test_a_limit_of_the_rule_is_never_exceeded(api: Api) -> None:
    token = api.policy('path "shown/things/*" { capabilities = ["list"] pagination_limit = 3 }')
    for limit in (None, "0", "-1", "max", "3", "8"):
        data = {} if limit is None else {"limit": limit}
        assert api.ok(LIST, "shown/things", data, token=token).data["keys"] == ["a", "b", "c"]  # type: ignore[index]
    assert api.ok(LIST, "shown/things", {"limit": "2", "after": "b"}, token=token).data["keys"] == ["c", "d"]  # type: ignore[index]
    for limit in ("9223372036854775808", "1e9", "x"):
        assert isinstance(api.error(LIST, "shown/things", {"limit": limit}, token=token), InvalidRequest)


def test_a_scan_hides_what_is_denied_and_still_fills_its_page(api: Api) -> None:
    token = api.policy(
        'path "shown/things/*" { capabilities = ["scan", "read"] } path "shown/things/a" { capabilities = ["deny"] }'
        ' path "shown/things/b" { capabilities = ["deny"] }'
    )
    data = api.ok(SCAN, "shown/things", {"limit": "2"}, token=token).data
    assert isinstance(data, Mapping)
    assert data["keys"] == ["c", "d"]
    assert set(data["key_info"]) == {"c", "d"}
    assert api.ok(SCAN, "shown/things", {"limit": "2"}).data["keys"] == ["a", "b"]  # type: ignore[index]


# ---- wrapping, leases, durations


def test_a_read_that_wraps_or_lends_commits(api: Api) -> None:
    assert api.ok(READ, "shown/things/x", wrap_ttl=60).wrap is not None
    lent = api.ok(READ, "shown/loan")
    assert lent.lease is not None
    assert lent.lease.id.startswith("shown/loan/")
    assert api.ok(UPDATE, "shown/things/quiet", {}, wrap_ttl=60).wrap is None


def test_the_servers_durations_are_honoured() -> None:
    api = Api(default_lease_ttl=600, max_lease_ttl=1200)
    assert api.core.mounts.ttls(None) == Ttls(600, 1200)
    assert api.ok(READ, "shown/bare").data == {"ttls": [600, 1200]}
    assert api.ok(READ, "shown/loan").lease.duration == 600  # type: ignore[union-attr]
    auth = api.room.write("auth/token/create", {"policies": ["default"]}).auth
    assert auth is not None
    assert auth.lease_duration == 600
    capped = api.room.write("auth/token/create", {"policies": ["default"], "ttl": "5h"})
    assert capped.auth is not None
    assert capped.auth.lease_duration == 1200
    assert capped.warnings
    assert api.room.json(api.room.read("sys/mounts/shown/tune"))["max_lease_ttl"] == 1200
    api.room.write("sys/mounts/shown/tune", {"default_lease_ttl": "100s"})
    assert api.ok(READ, "shown/bare").data == {"ttls": [100, 1200]}
    assert Api().core.mounts.ttls(None) == Ttls(2_764_800, 2_764_800)
    assert Api(max_lease_ttl=60).core.mounts.ttls(None) == Ttls(60, 60)


# ---- calls that share a group


def group(api: Api, *works: Work) -> None:
    """Run works as one group."""
    run = GroupRun(api.core, api.room.storage.begin(api.core.committed.gsn, ()), _raise)
    for work in works:
        assert run.admit(work) is None
    wrote = run.apply()
    run.settle(wrote, run.end(wrote))


def made(operation: Operation, path: str, data: Mapping[str, Any] | None, token: str) -> Work:
    return Work(Request(uuid4_text(), operation, path, data or {}, b"{}", Secret(token), Peer("127.0.0.1", 1)), lambda _work: None)


def statuses(*works: Work) -> list[int]:
    return [work.error.status if work.error else 200 for work in works]


def test_a_policy_changed_in_the_group_counts_for_its_later_calls(api: Api) -> None:
    token = api.policy('path "shown/*" { capabilities = ["create", "update"] }')
    root = api.room.token
    works = (
        made(UPDATE, "shown/things/a", None, token),
        made(UPDATE, "sys/policies/acl/p", {"policy": 'path "x" { capabilities = ["read"] }'}, root),
        made(UPDATE, "shown/things/a", None, token),
        made(UPDATE, "sys/policies/acl/p", {"policy": 'path "shown/*" { capabilities = ["create"] }'}, root),
        made(UPDATE, "shown/things/a", None, token),
    )
    group(api, *works)
    assert statuses(*works) == [200, 200, 403, 200, 200]
    assert statuses(api.ask(UPDATE, "shown/things/a", token=token)) == [200]


def test_a_token_revoked_in_the_group_is_refused_by_its_later_calls(api: Api) -> None:
    token = api.policy('path "shown/*" { capabilities = ["create"] }')
    works = (
        made(UPDATE, "shown/things/a", None, token),
        made(UPDATE, "auth/token/revoke", {"token": token}, api.room.token),
        made(UPDATE, "shown/things/a", None, token),
    )
    group(api, *works)
    assert statuses(*works) == [200, 200, 403]
    assert statuses(api.ask(READ, "shown/things/a", token=token)) == [403]


def test_a_mount_made_or_removed_in_the_group_counts_for_its_later_calls(api: Api) -> None:
    root = api.room.token
    works = (
        made(UPDATE, "new/things/a", None, root),
        made(UPDATE, "sys/mounts/new", {"type": "kv"}, root),
        made(UPDATE, "new/x", {"a": 1}, root),
        made(DELETE, "sys/mounts/new", None, root),
        made(UPDATE, "new/x", {"a": 1}, root),
        made(DELETE, "sys/mounts/shown", None, root),
        made(UPDATE, "shown/things/a", None, root),
    )
    group(api, *works)
    assert statuses(*works) == [404, 200, 200, 200, 404, 200, 404]
    assert statuses(api.ask(READ, "shown/things/a")) == [404]


def test_a_counted_token_is_counted_within_a_group_and_when_denied(api: Api) -> None:
    api.room.write("sys/policies/acl/p", {"policy": 'path "shown/*" { capabilities = ["create"] }'})
    token = api.room.create_token("p", num_uses=3)
    works = [made(UPDATE, path, None, token) for path in ("shown/things/a", "sys/policies/acl/q", "shown/things/a", "shown/things/a")]
    group(api, *works)
    assert statuses(*works) == [200, 403, 200, 403]
    probe = api.room.create_token("p", num_uses=2)
    assert [statuses(api.ask(READ, "sys/mounts", token=probe))[0] for _ in range(2)] == [403, 403]
    assert statuses(api.ask(UPDATE, "shown/things/a", token=probe)) == [403], "probing cost it its uses"


def test_a_policy_ends_when_its_time_has_come(api: Api) -> None:
    token = api.policy('path "shown/*" { capabilities = ["read"] }')
    assert statuses(api.ask(READ, "shown/things/a", token=token)) == [200]
    api.room.write("sys/policies/acl/p", {"policy": 'path "shown/*" { capabilities = ["read"] }', "ttl": "60s"})
    api.room.clock.advance(59)
    assert statuses(api.ask(READ, "shown/things/a", token=token)) == [200]
    api.room.clock.advance(1)
    assert statuses(api.ask(READ, "shown/things/a", token=token)) == [403]


# ---- tables


def test_the_longest_mount_answers_for_a_path() -> None:
    mounts = [new_mount(path, "shown", "secrets") for path in ("sys/", "a/b/", "auth/token/", "auth/team/ldap/", "auth/team2/")]
    table = MountTable(mounts)

    def at(path: str) -> str:
        mount = table.match(path)
        return mount.path if mount else ""

    assert at("a/b/c/d") == at("a/b/") == at("a/b") == "a/b/"
    assert at("auth/team/ldap/login/x") == "auth/team/ldap/"
    assert at("auth/team2/login") == "auth/team2/"
    for path in ("a", "a/bc/d", "auth/x", "auth/team/", "", "/", "b/a/b/c", "sysx/y"):
        assert at(path) == ""
    assert table.conflict("a/") == table.conflict("a/b/c/") == "a/b/"
    assert table.conflict("a/bc/") == ""


def test_kinds_are_closed_names() -> None:
    for kind in ("../kv", "kv.item", "os", "KV", "", "a" * 41, "kv/item", "__init__", "kv\n"):
        with pytest.raises(InvalidRequest):
            registry.engine_class("secrets", kind)
    assert "kv" in registry.kinds("secrets")
    assert registry.engine_class("secrets", "kv", "2") is not registry.engine_class("secrets", "kv", "1")


def test_two_routes_for_one_thing_are_refused() -> None:
    with pytest.raises(TypeError, match="two routes"):

        class Twice(Engine, kind="twice"):
            """Twice."""

            @read("a/{x}")
            def one(self, x: str) -> None:
                """One."""

            @read("a/{x}")
            def two(self, x: str) -> None:
                """Two."""

    with pytest.raises(TypeError, match="docstring"):

        class Silent(Engine, kind="silent"):
            """Silent."""

            @read("a")
            def one(self) -> None:
                pass

    assert ("secrets", "twice", "") not in CLASSES


def _raise(error: BaseException, _call: Call | None) -> None:
    raise error


def test_a_rule_dropped_for_the_callers_own_value_is_in_the_audit_line() -> None:
    """T5.1: the rule is gone, the login works, and auditors see why."""
    sink = Memory()
    broker = Broker(FakeClock(), "test")
    broker.enable(device(sink))
    room = Strongroom(broker=broker)
    room.write("sys/auth/userpass", {"type": "userpass"})
    text = 'path "secret/data/{{identity.entity.metadata.team}}/*" { capabilities = ["read"] }'
    room.write("sys/policies/acl/team", {"policy": text})
    room.write("auth/userpass/users/u", {"password": "a long password", "token_policies": "team"})
    auth = room.login("auth/userpass/login/u", {"password": "a long password"})

    def rename(call: Call) -> None:
        entity = room.core.identities.entity(call.transaction, auth.entity_id)
        assert entity is not None
        changed = msgspec.structs.replace(entity, metadata={"team": "a/../*"})
        call.transaction.view(areas.IDENTITY).put(f"entity/{auth.entity_id}", changed)

    room.transact(rename)
    assert isinstance(room.request(READ, "secret/data/a/x", token=auth.client_token.reveal()).error, PermissionDenied)
    line = sink.lines[-1]
    assert line["auth"]["template_value_rejected"] == [{"policy": "team", "path": "secret/data/{{identity.entity.metadata.team}}/*"}]
    assert "a/../*" not in sink.taken.decode()
    room.read("sys/mounts")
    assert "template_value_rejected" not in sink.lines[-1]["auth"]
