"""sys/leases: a lease that was ended counts as gone at once, and what it gave is undone until that succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core import areas
from strongroom.core.tombstones import Tombstone, covered
from tests.engines.api_kit import Api
from tests.sys.kit import Lender, allowed, enter, house, lend, refused


@pytest.fixture
def api() -> Api:
    return house()


@contextmanager
def _no_timers(api: Api) -> Iterator[None]:
    """Timers stand still inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.room, "run_due", lambda limit=0: 0)
        yield


def gone(api: Api, lease: str) -> bool:
    reply = api.post("sys/leases/lookup", {"lease_id": lease})
    return reply.status == 400


def test_a_lookup_has_the_members_that_clients_read(api: Api) -> None:
    lease = lend(api)
    assert lease.startswith("lend/creds/x/")
    assert api.post("sys/leases/lookup", {"lease_id": lease}).data == {
        "id": lease,
        "path": "lend/creds/x",
        "issue_time": "2026-01-01T00:00:00Z",
        "expire_time": "2026-01-01T00:01:00Z",
        "last_renewal": None,
        "ttl": 60,
        "renewable": True,
    }


@pytest.mark.parametrize("path", ["sys/leases/renew", "sys/renew"])
def test_renewing_repeats_the_lease_by_body_and_by_path(api: Api, path: str) -> None:
    lease = lend(api)
    api.room.advance(30)
    reply = api.send("PUT", path, {"lease_id": lease, "increment": "90s"})
    assert (reply.status, reply.body["lease_id"], reply.body["lease_duration"], reply.body["renewable"]) == (200, lease, 90, True)
    assert api.post(f"{path}/{lease}", {"increment": 5}).body["lease_duration"] == 5
    looked = api.post("sys/leases/lookup", {"lease_id": lease}).data
    assert (looked["ttl"], looked["last_renewal"]) == (5, "2026-01-01T00:00:30Z")
    api.room.advance(5)
    assert gone(api, lease)
    assert Lender.returned == ["x"]


@pytest.mark.parametrize("lease", ["", "none", "lend/creds/x/none", "auth/door/login/ann/h" + "0" * 64, "a//b", "x" * 3_000])
def test_unknown_leases_are_a_400(api: Api, lease: str) -> None:
    assert api.post("sys/leases/lookup", {"lease_id": lease}).status == 400
    assert api.post("sys/leases/renew", {"lease_id": lease}).status == 400


@pytest.mark.parametrize("path", ["sys/leases/revoke", "sys/revoke"])
def test_revoking_ends_a_lease_at_once(api: Api, path: str) -> None:
    one, two, three = (lend(api, name) for name in ("one", "two", "three"))
    assert api.post(path, {"lease_id": one}).status == 204
    assert api.post(path, {"lease_id": two, "sync": False}).status == 202
    assert api.post(f"{path}/{three}").status == 204
    assert all(gone(api, lease) for lease in (one, two, three))
    assert sorted(Lender.returned) == ["one", "three", "two"]
    assert api.post(path, {"lease_id": one}).status == 204, "again is no error"
    assert api.post(path, {}).status == 400


@pytest.mark.parametrize("path", ["sys/leases/revoke-prefix", "sys/revoke-prefix"])
def test_revoking_a_prefix_ends_what_is_below_it_and_nothing_beside_it(api: Api, path: str) -> None:
    below, beside = lend(api, "x"), lend(api, "xy")
    assert api.send("PUT", f"{path}/lend/creds/x").status == 204
    assert gone(api, below)
    assert not gone(api, beside)
    after = lend(api, "x")
    api.room.advance(1)
    assert not gone(api, after), "what is issued later is not ended"
    assert Lender.returned == ["x"]
    assert api.post(f"{path}/lend", {"sync": False}).status == 202
    assert gone(api, after)
    assert gone(api, beside)


def test_a_prefix_may_be_one_whole_lease(api: Api) -> None:
    one, two = lend(api), lend(api)
    assert api.post(f"sys/leases/revoke-prefix/{one}").status == 204
    assert gone(api, one)
    assert not gone(api, two)


def test_a_prefix_of_hundreds_is_ended_before_any_job_ran_and_swept_in_steps(api: Api) -> None:
    leases = [lend(api, f"n{number}") for number in range(250)]
    with _no_timers(api):
        assert api.post("sys/leases/revoke-prefix/lend").status == 204
        assert all(gone(api, lease) for lease in leases)
        assert Lender.returned == []
    api.room.run_due(2_000)
    assert len(Lender.returned) == 250
    assert api.core.tombstones.standing(api.core.transaction(None)) == ()


def test_tokens_below_a_prefix_end_at_once_with_their_children_and_leases(api: Api) -> None:
    api.policy("default", 'path "*" { capabilities = ["read", "update", "sudo", "create"] }')
    token = enter(api)
    child = str(api.post("auth/token/create", {"policies": ["default"]}, token=token).body["auth"]["client_token"])
    lease = lend(api, "hers", token=child)
    other = lend(api, "ours")
    with _no_timers(api):
        assert api.post("sys/leases/revoke-prefix/auth/door").status == 204
        for old in (token, child):
            assert refused(api.get("auth/token/lookup-self", token=old))
        assert gone(api, lease)
    api.room.run_due()
    assert Lender.returned == ["hers"]
    assert not gone(api, other)
    assert api.get("auth/token/lookup-self", token=enter(api)).status == 200


def test_a_prefix_deeper_in_a_login_path_ends_those_logins_only(api: Api) -> None:
    ann, bob = enter(api), enter(api, "auth/door/login/bob")
    assert api.post("sys/leases/revoke-prefix/auth/door/login/ann").status == 204
    assert refused(api.get("auth/token/lookup-self", token=ann))
    assert api.get("auth/token/lookup-self", token=bob).status == 200


def test_batch_tokens_below_a_prefix_never_come_back(api: Api) -> None:
    token = enter(api, "auth/door/batch/ann")
    api.post("sys/leases/revoke-prefix/auth/door")
    for days in (0, 10, 21):
        api.room.advance(days * 86_400)
        assert refused(api.get("auth/token/lookup-self", token=token))
    api.room.advance(2 * 86_400)
    assert api.core.tombstones.standing(api.core.transaction(None)) == ()


def test_repeated_and_wider_tombstones_take_the_place_of_older_ones(api: Api) -> None:
    for prefix in ("auth/door/login/ann", "auth/door", "auth/door", "auth/door/login/bob"):
        api.post(f"sys/leases/revoke-prefix/{prefix}")
    standing = api.core.tombstones.standing(api.core.transaction(None))
    assert [stone.prefix for stone in standing] == ["auth/door", "auth/door/login/bob"]


segments = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map("/".join)


@given(prefix=segments, path=segments, made=st.integers(0, 3), era=st.integers(1, 3))
def test_a_tombstone_covers_whole_segments_of_earlier_eras(prefix: str, path: str, made: int, era: int) -> None:
    inside = path.split("/")[: prefix.count("/") + 1] == prefix.split("/")
    assert covered(Tombstone(era, prefix), path, made) == (inside and made < era)


# -- what resists -------------------------------------------------------------------------------------------------


def test_a_stubborn_lease_is_shown_and_forgotten_by_force_only(api: Api) -> None:
    lease = lend(api)
    Lender.stuck = True
    assert api.post("sys/leases/revoke", {"lease_id": lease}).status == 204
    assert gone(api, lease)
    for _ in range(8):
        api.room.advance(300)
    shown = api.get("sys/leases?type=irrevocable").data
    accessor = api.get("sys/mounts/lend").data["accessor"]
    assert shown["lease_count"] == 1
    assert [entry["lease_id"] for entry in shown["leases"]] == [lease]
    assert api.get("sys/leases/count?type=irrevocable").data == {"lease_count": 1, "counts": {accessor: 1}}
    api.post("sys/leases/revoke-prefix/lend")
    assert api.get("sys/leases?type=irrevocable").data["lease_count"] == 1
    assert api.post("sys/leases/revoke-force/lend").status == 204
    assert api.get("sys/leases?type=irrevocable").data["lease_count"] == 0
    assert Lender.returned == []
    assert api.core.leases.stored(api.core.transaction(None), lease) is None


def test_trying_goes_on_and_succeeds_once_the_other_side_is_back(api: Api) -> None:
    lease = lend(api)
    Lender.stuck = True
    api.post("sys/leases/revoke", {"lease_id": lease})
    for _ in range(8):
        api.room.advance(300)
    Lender.stuck = False
    api.room.advance(300)
    assert Lender.returned == ["x"]
    assert api.get("sys/leases/count?type=irrevocable").data["lease_count"] == 0


@pytest.mark.parametrize("query", ["", "?type=other", "?type=irrevocable&limit=0", "?type=irrevocable&limit=x"])
def test_bad_questions_about_leases_are_a_400(api: Api, query: str) -> None:
    assert api.get(f"sys/leases{query}").status == 400


def test_tidy_is_accepted(api: Api) -> None:
    reply = api.post("sys/leases/tidy")
    assert reply.status == 202
    assert "started" in reply.body["warnings"][0]


# -- lists --------------------------------------------------------------------------------------------------------


def test_leases_are_listed_level_by_level_tokens_among_them(api: Api) -> None:
    lease = lend(api)
    enter(api)
    assert api.send("LIST", "sys/leases/lookup/lend").data["keys"] == ["creds/"]
    assert api.send("LIST", "sys/leases/lookup/lend/creds/x").data["keys"] == [lease.rpartition("/")[2]]
    assert {"auth/", "lend/"} <= set(api.send("LIST", "sys/leases/lookup").data["keys"])
    (name,) = api.send("LIST", "sys/leases/lookup/auth/door/login/ann").data["keys"]
    assert name.startswith("h")
    assert api.send("LIST", "sys/leases/lookup/none").status == 404


def test_a_token_is_looked_up_and_revoked_as_a_lease_but_not_renewed(api: Api) -> None:
    token = enter(api)
    (name,) = api.send("LIST", "sys/leases/lookup/auth/door/login/ann").data["keys"]
    lease = f"auth/door/login/ann/{name}"
    looked = api.post("sys/leases/lookup", {"lease_id": lease}).data
    assert (looked["id"], looked["ttl"], looked["renewable"]) == (lease, 2_764_800, True)
    assert "auth/token/renew" in api.post("sys/leases/renew", {"lease_id": lease}).errors[0]
    assert gone(api, f"auth/door/login/bob/{name}"), "the path is part of the name"
    assert api.post("sys/leases/revoke", {"lease_id": lease}).status == 204
    assert refused(api.get("auth/token/lookup-self", token=token))


def test_lists_prefixes_and_counts_of_all_need_sudo(api: Api) -> None:
    lease = lend(api)
    token = allowed(
        api, "sys/leases/*:create read update list", "sys/leases:read", "sys/revoke-prefix/*:update", "sys/revoke-force/*:update"
    )
    assert api.post("sys/leases/lookup", {"lease_id": lease}, token=token).status == 200
    assert api.post("sys/leases/renew", {"lease_id": lease}, token=token).status == 200
    for reply in (
        api.send("LIST", "sys/leases/lookup/lend", token=token),
        api.send("LIST", "sys/leases/lookup", token=token),
        api.get("sys/leases?type=irrevocable", token=token),
        api.post("sys/leases/revoke-prefix/lend", token=token),
        api.post("sys/leases/revoke-force/lend", token=token),
        api.post("sys/revoke-prefix/lend", token=token),
        api.post("sys/revoke-force/lend", token=token),
    ):
        assert refused(reply)
    assert not gone(api, lease)


def test_the_default_policy_renews_and_looks_up_but_does_not_revoke(api: Api) -> None:
    lease = lend(api)
    token = api.token("default")
    assert api.post("sys/leases/lookup", {"lease_id": lease}, token=token).status == 200
    assert api.post("sys/renew", {"lease_id": lease}, token=token).status == 200
    assert refused(api.post("sys/leases/revoke", {"lease_id": lease}, token=token))


def test_no_tombstone_row_is_left_by_a_prefix_outside_auth(api: Api) -> None:
    api.post("sys/leases/revoke-prefix/nothing/here")
    assert api.core.transaction(None).view(areas.TOMBSTONES).list("stone") == []
