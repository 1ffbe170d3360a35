"""auth/token: what each route answers, refuses and says."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.core.request import Operation, Peer
from strongroom.errors import Forbidden, InvalidRequest, NotFound, PermissionDenied, StrongroomError, several
from strongroom.testing import Strongroom

MAKER = 'path "auth/token/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
CHIEF = 'path "auth/token/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'


@pytest.fixture(scope="module")
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/policies/acl/maker", {"policy": MAKER})
    room.write("sys/policies/acl/chief", {"policy": CHIEF})
    return room


@pytest.fixture
def maker(room: Strongroom) -> str:
    return room.create_token("maker", "a", "b")


@pytest.fixture
def chief(room: Strongroom) -> str:
    return room.create_token("chief", "a", "b")


def shown(room: Strongroom, token: str) -> dict[str, Any]:
    found: dict[str, Any] = room.json(room.read("auth/token/lookup-self", token=token))
    return found


def created(room: Strongroom, token: str, path: str = "create", /, **fields: Any) -> Any:
    return room.write(f"auth/token/{path}", fields, token=token).auth


def refused(room: Strongroom, token: str, path: str = "create", /, **fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        room.write(f"auth/token/{path}", fields, token=token)
    return str(caught.value)


# -- policies -------------------------------------------------------------------------------------------------------


def test_a_child_has_its_parents_policies_where_it_asks_for_none(room: Strongroom, maker: str) -> None:
    assert created(room, maker).token_policies == ("a", "b", "default", "maker")


def test_a_child_has_no_policy_that_its_parent_lacks(room: Strongroom, maker: str) -> None:
    assert refused(room, maker, policies=["c"]) == "child policies must be subset of parent"
    assert created(room, maker, policies=["A"]).token_policies == ("a", "default")


def test_default_is_inherited_only_where_the_parent_has_it_and_can_be_refused(room: Strongroom, maker: str) -> None:
    bare = created(room, maker, no_default_policy=True)
    assert bare.token_policies == ("a", "b", "maker")
    assert created(room, bare.client_token.reveal(), policies=["a"]).token_policies == ("a",)


def test_sudo_on_the_path_grants_any_policy_but_root(room: Strongroom, chief: str) -> None:
    assert created(room, chief, policies=["z"]).token_policies == ("default", "z")
    assert refused(room, chief, policies=["root"]) == "root tokens may not be created without parent token being root"
    assert "cannot assign policy" in refused(room, chief, policies=["response-wrapping"])


def test_root_makes_root_without_an_end(room: Strongroom) -> None:
    auth = created(room, room.token)
    assert (auth.token_policies, auth.lease_duration, auth.renewable) == (("root",), 0, False)
    found = shown(room, auth.client_token.reveal())
    assert (found["expire_time"], found["ttl"], found["policies"]) == (None, 0, ["root"])


def test_root_swallows_the_other_policies(room: Strongroom) -> None:
    assert created(room, room.token, policies=["a", "root"]).token_policies == ("root",)


def test_a_root_token_that_ends_makes_none_that_does_not(room: Strongroom) -> None:
    ending = created(room, room.token, policies=["root"], ttl="1h").client_token.reveal()
    assert refused(room, ending, policies=["root"]) == "expiring root tokens cannot create non-expiring root tokens"
    assert created(room, ending, policies=["root"], explicit_max_ttl="30m").lease_duration == 1_800


@pytest.mark.parametrize(
    "name", ["Root", "ROOT", " root", "root\t", "root ", "ｒｏｏｔ", "ＲＯＯＴ", "ro\u00adot", "root\0", "ro%6ft", "x,root", "*"]
)
@pytest.mark.parametrize("shape", [lambda name: [name], lambda name: ["a", name]])
def test_what_only_resembles_root_is_refused_even_for_root(room: Strongroom, name: str, shape: Any) -> None:
    before = room.list("auth/token/accessors")
    refused(room, room.token, policies=shape(name))
    assert room.list("auth/token/accessors") == before


@pytest.mark.parametrize("text", ["a, Root", "ROOT", "a,\u00a0ROOT"])
def test_a_comma_list_hides_no_root(room: Strongroom, text: str) -> None:
    refused(room, room.token, policies=text)


# -- rights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"no_parent": True}, "root or sudo privileges required to create orphan token"),
        ({"id": "mine"}, "root or sudo privileges required to specify token id"),
        ({"period": "1h"}, "root or sudo privileges required to create periodic token"),
    ],
)
def test_what_needs_sudo_is_refused_without(room: Strongroom, maker: str, chief: str, fields: dict[str, Any], text: str) -> None:
    assert refused(room, maker, **fields) == text
    created(room, chief, **fields)


def test_create_orphan_needs_only_its_own_path(room: Strongroom, maker: str) -> None:
    orphan = created(room, maker, "create-orphan")
    assert orphan.orphan
    room.write("auth/token/revoke-self", token=maker)
    assert shown(room, orphan.client_token.reveal())["orphan"]


def test_a_counted_token_makes_no_children(room: Strongroom) -> None:
    counted = room.create_token("maker", num_uses=5)
    assert refused(room, counted) == "restricted use token cannot generate child tokens"


def test_a_batch_token_makes_no_children(room: Strongroom) -> None:
    batch = room.create_token("maker", type="batch")
    assert refused(room, batch) == "batch tokens cannot create more tokens"


@pytest.mark.parametrize("fields", [{"num_uses": 1}, {"period": 60}, {"explicit_max_ttl": 60}, {"id": "x"}])
def test_a_batch_token_has_nothing_that_would_have_to_be_stored(room: Strongroom, fields: dict[str, Any]) -> None:
    assert refused(room, room.token, type="batch", policies=["a"], **fields).startswith("batch tokens cannot have")


def test_a_batch_token_is_never_root(room: Strongroom) -> None:
    assert refused(room, room.token, type="batch") == "batch tokens cannot be root tokens"


@pytest.mark.parametrize("field", ["ttl", "explicit_max_ttl", "period", "num_uses"])
def test_nothing_is_negative(room: Strongroom, field: str) -> None:
    assert ("negative" if field == "num_uses" else "must be positive") in refused(room, room.token, **{field: -1})


@pytest.mark.parametrize("given", ["srs_mine", "srb_mine", "srr_mine", "a b", "x" * 257, "ключ", "a\nb"])
def test_an_id_that_could_be_ours_or_cannot_be_sent_is_refused(room: Strongroom, given: str) -> None:
    assert "custom token ID" in refused(room, room.token, id=given)


def test_a_chosen_id_works_once(room: Strongroom) -> None:
    assert created(room, room.token, id="chosen", policies=["a"]).client_token.reveal() == "chosen"
    assert shown(room, "chosen")["policies"] == ["a", "default"]
    assert refused(room, room.token, id="chosen") == "cannot create a token with a duplicate ID"


# -- looking --------------------------------------------------------------------------------------------------------


def test_a_look_up_shows_what_was_asked_for(room: Strongroom, maker: str) -> None:
    token = created(
        room, maker, policies=["a"], meta={"team": "x"}, display_name="ci runner!", ttl="1h", num_uses=9, explicit_max_ttl="2h"
    ).client_token.reveal()
    found = room.json(room.write("auth/token/lookup", {"token": token}))
    assert found["id"] == token
    assert len(found["accessor"]) == 24
    wanted = {
        "policies": ["a", "default"],
        "path": "auth/token/create",
        "meta": {"team": "x"},
        "display_name": "token-ci-runner",
        "num_uses": 9,
        "orphan": False,
        "creation_time": 1_767_225_600,
        "creation_ttl": 3_600,
        "expire_time": "2026-01-01T01:00:00Z",
        "issue_time": "2026-01-01T00:00:00Z",
        "ttl": 3_600,
        "explicit_max_ttl": 7_200,
        "entity_id": "",
        "type": "service",
        "renewable": True,
    }
    assert {name: found[name] for name in wanted} == wanted


def test_both_verbs_and_both_routes_show_the_same(room: Strongroom) -> None:
    whole = room.create_token("root", ttl="1h")
    self_read = shown(room, whole)
    assert room.json(room.write("auth/token/lookup-self", token=whole)) == self_read
    assert room.json(room.write("auth/token/lookup", token=whole)) == self_read
    assert room.json(room.write("auth/token/lookup", {"token": whole})) == self_read
    by_accessor = room.json(room.write("auth/token/lookup-accessor", {"accessor": self_read["accessor"]}))
    assert by_accessor == self_read | {"id": ""}


def test_unknown_tokens_and_accessors(room: Strongroom) -> None:
    with pytest.raises(Forbidden, match="bad token"):
        room.write("auth/token/lookup", {"token": "nothing"})
    assert refused(room, room.token, "lookup-accessor", accessor="nothing") == several("invalid accessor")
    assert refused(room, room.token, "renew", token="nothing") == "token not found"
    assert refused(room, room.token, "renew-accessor", accessor="nothing") == several("invalid accessor")
    assert room.write("auth/token/revoke", {"token": "nothing"}).data is None
    assert room.write("auth/token/revoke-accessor", {"accessor": "nothing"}).warnings == ("No token found with this accessor",)
    assert refused(room, room.token, "revoke-orphan", token="nothing") == "token to revoke not found"
    assert refused(room, room.token, "revoke") == "missing token ID"
    assert refused(room, room.token, "revoke-accessor") == several("missing accessor")


def test_accessors_are_listed_for_those_with_sudo(room: Strongroom, maker: str, chief: str) -> None:
    names = room.list("auth/token/accessors", token=chief)
    assert names == sorted(names)
    assert shown(room, maker)["accessor"] in names
    assert room.list("auth/token/accessors", {"after": names[0], "limit": 2}, token=chief) == names[1:3]
    with pytest.raises(PermissionDenied):
        room.list("auth/token/accessors", token=maker)


# -- extending ------------------------------------------------------------------------------------------------------


def test_each_renew_route_extends_and_only_the_accessor_form_hides_the_token() -> None:
    room = Strongroom()
    token = room.create_token("a", ttl="1h")
    accessor = shown(room, token)["accessor"]
    room.advance(1_800)
    for path, fields, who, text in (
        ("renew-self", {}, token, token),
        ("renew", {"token": token}, room.token, token),
        ("renew-accessor", {"accessor": accessor}, room.token, ""),
    ):
        auth = created(room, who, path, **fields)
        assert (auth.client_token.reveal(), auth.lease_duration, auth.renewable) == (text, 3_600, True)
    found = shown(room, token)
    assert (found["ttl"], found["last_renewal_time"], found["last_renewal"]) == (3_600, 1_767_227_400, "2026-01-01T00:30:00Z")
    assert created(room, token, "renew-self", increment="10m").lease_duration == 600


def test_what_cannot_be_renewed_says_so(room: Strongroom) -> None:
    assert refused(room, room.token, "renew-self") == "lease is not renewable"
    assert refused(room, room.create_token("a", renewable=False, ttl=60), "renew-self") == "lease is not renewable"
    assert refused(room, room.create_token("a", type="batch"), "renew-self") == "batch tokens cannot be renewed"


def test_a_renewal_past_the_ceiling_is_cut_and_says_so() -> None:
    room = Strongroom()
    token = room.create_token("a", ttl="1h", explicit_max_ttl="90m")
    room.advance(1_800)
    answer = room.write("auth/token/renew-self", token=token)
    assert answer.auth is not None and answer.auth.lease_duration == 3_600
    answer = room.write("auth/token/renew-self", {"increment": "5h"}, token=token)
    assert answer.auth is not None and answer.auth.lease_duration == 3_600
    assert "exceeded the effective max_ttl" in answer.warnings[0]
    assert "negative" in refused(room, token, "renew-self", increment=-1)


# -- ending ---------------------------------------------------------------------------------------------------------


def test_revoking_ends_all_below_and_revoke_orphan_does_not() -> None:
    room = Strongroom()
    room.write("sys/policies/acl/maker", {"policy": MAKER})
    for path, children_live in (("revoke", False), ("revoke-orphan", True)):
        parent = room.create_token("maker")
        child = created(room, parent).client_token.reveal()
        grandchild = created(room, child).client_token.reveal()
        room.write(f"auth/token/{path}", {"token": parent})
        for token in (child, grandchild):
            if children_live:
                assert shown(room, token)["orphan"] is (token == child)
            else:
                with pytest.raises(PermissionDenied):
                    shown(room, token)


def test_revoke_orphan_needs_sudo_and_batch_tokens_are_not_revoked(room: Strongroom, maker: str) -> None:
    with pytest.raises(PermissionDenied):
        room.write("auth/token/revoke-orphan", {"token": maker}, token=maker)
    batch = room.create_token("maker", type="batch")
    assert refused(room, room.token, "revoke", token=batch) == "batch tokens cannot be revoked"
    assert refused(room, batch, "revoke-self") == "batch tokens cannot be revoked"


def test_revoke_by_accessor(room: Strongroom, maker: str) -> None:
    room.write("auth/token/revoke-accessor", {"accessor": shown(room, maker)["accessor"]})
    with pytest.raises(PermissionDenied):
        shown(room, maker)


def test_tidy_answers_that_it_has_begun(room: Strongroom) -> None:
    answer = room.write("auth/token/tidy")
    assert (answer.status, len(answer.warnings)) == (202, 1)


# -- roles ----------------------------------------------------------------------------------------------------------

ROLE: dict[str, Any] = {
    "allowed_policies": ["x", "y"],
    "allowed_policies_glob": ["team-*"],
    "disallowed_policies": ["z"],
    "disallowed_policies_glob": ["*-admin"],
    "orphan": True,
    "renewable": False,
    "path_suffix": "v1",
    "allowed_entity_aliases": ["bot-*"],
    "token_bound_cidrs": ["10.0.0.0/8"],
    "token_explicit_max_ttl": 7_200,
    "token_period": 600,
    "token_type": "service",
    "token_no_default_policy": True,
    "token_num_uses": 3,
}


def test_every_field_of_a_role_is_read_back_and_kept_where_it_is_not_sent(room: Strongroom) -> None:
    room.write("auth/token/roles/full", ROLE)
    unused = {"period": 0, "explicit_max_ttl": 0}
    assert room.json(room.read("auth/token/roles/full")) == ROLE | unused | {"name": "full"}
    room.write("auth/token/roles/full", {"period": "2h"})
    found = room.json(room.read("auth/token/roles/full"))
    assert (found["token_period"], found["period"], found["token_num_uses"]) == (7_200, 7_200, 3)
    room.write("auth/token/roles/full", {"token_period": "1h"})
    assert room.json(room.read("auth/token/roles/full"))["period"] == 0
    assert "full" in room.list("auth/token/roles")
    room.delete("auth/token/roles/full")
    with pytest.raises(NotFound):
        room.read("auth/token/roles/full")
    assert refused(room, room.token, "create/full") == "unknown role full"


@pytest.mark.parametrize(
    "fields",
    [
        {"allowed_policies": ["root"]},
        {"allowed_policies": "a,Root"},
        {"disallowed_policies": ["ＲＯＯＴ"]},
        {"allowed_policies_glob": ["ro\u00adot*"]},
        {"token_type": "eternal"},
        {"token_bound_cidrs": ["here"]},
        {"path_suffix": "../x"},
        {"token_period": -1},
        {"token_num_uses": -1},
        {"token_type": "batch", "token_period": 60},
    ],
)
def test_a_role_that_cannot_be_right_changes_nothing(room: Strongroom, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write("auth/token/roles/wrong", fields)
    with pytest.raises(NotFound):
        room.read("auth/token/roles/wrong")


def test_a_role_whose_tokens_may_be_batch_tokens_keeps_limits_for_those_that_are_not(room: Strongroom) -> None:
    """As Terraform writes them; a token that cannot have what the role says is refused, not made without it."""
    fields = {"token_type": "default-batch", "token_period": 60, "token_explicit_max_ttl": 120, "renewable": True, "token_num_uses": 3}
    room.write("auth/token/roles/either", fields)
    found = room.json(room.read("auth/token/roles/either"))
    assert {name: found[name] for name in fields} == fields
    assert "cannot have a number of uses or a period" in refused(room, room.create_token("maker"), "create/either")
    assert created(room, room.create_token("maker"), "create/either", type="service").lease_duration == 60


def test_no_glob_of_a_role_gives_root(room: Strongroom, maker: str) -> None:
    room.write("auth/token/roles/wide", {"allowed_policies_glob": ["*"]})
    assert "root tokens may not be created" in refused(room, maker, "create/wide", policies=["root"])


def test_a_role_takes_the_place_of_the_parents_policies(room: Strongroom, maker: str) -> None:
    room.write(
        "auth/token/roles/team", {"allowed_policies": "x,y", "allowed_policies_glob": "team-*", "disallowed_policies_glob": "*-admin"}
    )
    assert created(room, maker, "create/team").token_policies == ("default", "x", "y")
    assert created(room, maker, "create/team", policies=["team-a"]).token_policies == ("default", "team-a")
    assert "not among the policies" in refused(room, maker, "create/team", policies=["a"])
    assert "disallowed by this role" in refused(room, maker, "create/team", policies=["team-admin"])


def test_a_role_that_only_disallows_starts_from_the_parent(room: Strongroom, maker: str) -> None:
    room.write("auth/token/roles/less", {"disallowed_policies": "z"})
    assert created(room, maker, "create/less").token_policies == ("a", "b", "default", "maker")
    assert "disallowed" in refused(room, maker, "create/less", policies=["z"])


def test_a_role_sets_period_uses_path_and_networks(room: Strongroom, maker: str) -> None:
    room.write(
        "auth/token/roles/shape",
        {"token_period": 600, "token_num_uses": 3, "path_suffix": "v2", "bound_cidrs": "127.0.0.1", "orphan": True},
    )
    answer = room.write("auth/token/create/shape", {"num_uses": 9}, token=maker)
    assert answer.auth is not None
    token = answer.auth.client_token.reveal()
    found = room.json(room.write("auth/token/lookup", {"token": token}))
    wanted = {"period": 600, "num_uses": 3, "path": "auth/token/create/shape/v2", "role": "shape", "orphan": True, "ttl": 600}
    assert {name: found[name] for name in wanted} == wanted
    assert found["bound_cidrs"] == ["127.0.0.1"]
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token, peer=Peer("10.1.1.1", 1))


def test_limits_of_call_and_role_meet_at_the_lesser(room: Strongroom) -> None:
    room.write("auth/token/roles/less2", {"token_explicit_max_ttl": 7_200})
    answer = room.write("auth/token/create/less2", {"explicit_max_ttl": 9_000, "policies": ["a"]})
    assert "using the lesser value of 7200 seconds" in answer.warnings[0]
    assert answer.auth is not None and answer.auth.lease_duration == 7_200


def test_a_token_of_a_role_renews_as_the_role_says_now() -> None:
    room = Strongroom()
    room.write("auth/token/roles/moving", {"token_period": 600})
    token = created(room, room.token, "create/moving", policies=["a"]).client_token.reveal()
    room.write("auth/token/roles/moving", {"token_period": 1_200})
    assert created(room, token, "renew-self").lease_duration == 1_200
    room.delete("auth/token/roles/moving")
    assert "could not be found, not renewing" in refused(room, token, "renew-self")


def test_an_entity_alias_needs_a_role_that_allows_it(room: Strongroom) -> None:
    room.write("auth/token/roles/bots", {"allowed_entity_aliases": "bot-*"})
    assert "only allowed in combination with token role" in refused(room, room.token, entity_alias="bot-1")
    assert refused(room, room.token, "create/bots", entity_alias="other", policies=["a"]) == "invalid 'entity_alias' value"
    first = created(room, room.token, "create/bots", entity_alias="BOT-1", policies=["a"])
    second = created(room, room.token, "create/bots", entity_alias="bot-1", policies=["a"])
    assert first.entity_id == second.entity_id != ""


# -- no answer without a right --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["create", "create-orphan", "create/x", "lookup", "renew", "revoke", "revoke-orphan", "tidy", "roles/x", "lookup-accessor"]
)
def test_without_a_right_every_route_says_the_same(room: Strongroom, path: str) -> None:
    token = room.create_token("a", no_default_policy=True)
    answers = {str(room.request(Operation.UPDATE, f"auth/token/{path}", {}, token=who).error) for who in (token, "", "unknown")}
    assert answers == {"permission denied"}


def test_a_failed_creation_leaves_no_token(room: Strongroom, maker: str) -> None:
    before = room.list("auth/token/accessors")
    for fields in (
        {"policies": ["c"]},
        {"id": "x y"},
        {"meta": {"k": "x" * 1_000}},
        {"ttl": "soon"},
        {"type": "other"},
        {"policies": [""]},
    ):
        with pytest.raises(StrongroomError):
            created(room, maker, **fields)
    assert room.list("auth/token/accessors") == before
