"""Tokens count only while they, all above them and what issued them stand (T10.1), and every use of a counted one counts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.mounts import Ttls
from strongroom.core.request import Operation, Peer
from strongroom.core.secret import Secret
from strongroom.core.token.entry import TokenEntry
from strongroom.core.token.terms import inside, renewal_ttl
from strongroom.core.token.tokens import MAX_DEPTH
from strongroom.errors import InvalidRequest, PermissionDenied, StrongroomError
from strongroom.testing import Strongroom
from tests.core.loans import borrow, lending_room

MAKER = 'path "auth/token/*" { capabilities = ["create", "read", "update"] }'


@pytest.fixture
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/policies/acl/maker", {"policy": MAKER})
    return room


def good(room: Strongroom, token: str) -> bool:
    """Whether the token would be accepted now; does not use it."""
    try:
        room.core.tokens.find(room.core.transaction(None), Secret(token))
    except PermissionDenied:
        return False
    return True


def child(room: Strongroom, parent: str, **fields: object) -> str:
    auth = room.write("auth/token/create", fields, token=parent).auth
    assert auth is not None
    return auth.client_token.reveal()


def token_rows(room: Strongroom) -> int:
    return len(room.core.transaction(None).view(areas.TOKENS).digests(b""))


# -- the tree -------------------------------------------------------------------------------------------------------


def test_revoking_a_root_of_a_deep_tree_ends_its_deepest_leaf_at_once(room: Strongroom) -> None:
    before = token_rows(room)
    top = leaf = room.create_token("maker")
    for _ in range(MAX_DEPTH - 2):
        leaf = child(room, leaf)
    assert good(room, leaf)
    with pytest.raises(InvalidRequest, match="deep"):
        child(room, leaf)
    room.request(Operation.UPDATE, "auth/token/revoke", {"token": top})
    assert not good(room, leaf)
    while room.run_due(1_000):
        assert not good(room, leaf)
    assert token_rows(room) == before, "nothing is left of the tree"


def test_the_name_of_a_token_that_is_removed_is_not_kept(room: Strongroom) -> None:
    """Its private rows are looked for once; names kept for that would push out those that are asked for again and again."""
    names = room.core.barrier.keys.names
    tokens = [room.create_token("default", no_parent=True) for _ in range(20)]
    before = len(names._memo) + len(names.known)
    for token in tokens:
        room.request(Operation.UPDATE, "auth/token/revoke-self", token=token)
    while room.run_due(1_000):
        pass
    assert len(names._memo) + len(names.known) <= before + 1, "how a token is revoked is a name too"


def test_hundreds_of_children_are_removed_or_spared_in_steps(room: Strongroom) -> None:
    for spared in (False, True):
        before = token_rows(room)
        parent = room.create_token("maker")
        children = [child(room, parent) for _ in range(230)]
        room.request(Operation.UPDATE, f"auth/token/revoke{'-orphan' if spared else ''}", {"token": parent})
        assert [good(room, one) for one in children] == [spared] * 230
        while room.run_due(1_000):
            assert [good(room, one) for one in children[::50]] == [spared] * 5
        assert not good(room, parent)
        assert token_rows(room) == before + (460 if spared else 0)


def test_a_parents_end_is_its_childrens_end_whatever_their_own(room: Strongroom) -> None:
    parent = room.create_token("maker", ttl=100)
    one = child(room, parent, ttl=10_000)
    room.clock.advance(99.999)
    assert good(room, one)
    room.clock.advance(0.001)
    assert not good(room, one)
    with pytest.raises(PermissionDenied):
        room.write("auth/token/renew-self", token=one)


def test_a_kept_token_is_not_better_than_its_rows(room: Strongroom) -> None:
    parent = room.create_token("maker")
    one = child(room, parent)
    for _ in range(3):
        assert good(room, one)
    room.write("auth/token/revoke", {"token": parent})
    assert not good(room, one)


# -- batch tokens ---------------------------------------------------------------------------------------------------


def test_a_batch_token_is_nowhere_stored_and_goes_with_its_parent(room: Strongroom) -> None:
    parent = room.create_token("maker")
    before = token_rows(room)
    batch = child(room, parent, type="batch", ttl=60)
    assert batch.startswith("srb_")
    assert token_rows(room) == before
    assert room.json(room.read("auth/token/lookup-self", token=batch))["accessor"] == ""
    room.write("auth/token/revoke", {"token": parent})
    assert not good(room, batch)


def test_a_batch_token_ends_in_time_and_is_not_malleable(room: Strongroom) -> None:
    batch = room.create_token("maker", type="batch", ttl=60, no_parent=True)
    for place in range(4, len(batch), 17):
        changed = "A" if batch[place] != "A" else "B"
        assert not good(room, batch[:place] + changed + batch[place + 1 :])
    for other in (batch[:-1], batch + "A", batch + "=", "srb_", "srb_!!", "srb_é", "srb_" + "A" * 5_000):
        assert not good(room, other)
    room.clock.advance(59.999)
    assert good(room, batch)
    room.clock.advance(0.001)
    assert not good(room, batch)


def test_a_batch_token_that_could_not_be_sent_is_not_made(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        child(room, room.token, type="batch", policies=["a"], meta={f"k{n}": "x" * 200 for n in range(30)})


# -- uses -----------------------------------------------------------------------------------------------------------


def test_every_use_counts_denied_or_not(room: Strongroom) -> None:
    token = room.create_token("default", num_uses=4)
    assert room.json(room.read("auth/token/lookup-self", token=token))["num_uses"] == 3
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            room.read("secret/data/x", token=token)
    assert room.json(room.read("auth/token/lookup-self", token=token))["num_uses"] == 0
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)


def test_the_last_use_may_renew_or_revoke_but_saves_nothing(room: Strongroom) -> None:
    for path in ("renew-self", "revoke-self"):
        before = token_rows(room)
        token = room.create_token("default", num_uses=1, ttl=60)
        room.request(Operation.UPDATE, f"auth/token/{path}", {}, token=token)
        assert not good(room, token)
        room.run_due()
        assert not good(room, token)
        assert token_rows(room) == before


def test_a_look_up_by_others_is_no_use(room: Strongroom) -> None:
    token = room.create_token("default", num_uses=1)
    for _ in range(3):
        assert room.json(room.write("auth/token/lookup", {"token": token}))["num_uses"] == 1


# -- what a token is made of ----------------------------------------------------------------------------------------


def test_a_grant_that_ends_ends_for_kept_tokens(room: Strongroom) -> None:
    text = 'path "auth/token/roles/x" { capabilities = ["create", "update"]  expiration = "2026-01-01T00:01:00Z" }'
    room.write("sys/policies/acl/brief", {"policy": text})
    token = room.create_token("brief")
    room.write("auth/token/roles/x", {}, token=token)
    room.clock.advance(59.999)
    room.write("auth/token/roles/x", {}, token=token)
    room.clock.advance(0.001)
    with pytest.raises(PermissionDenied):
        room.write("auth/token/roles/x", {}, token=token)


def test_a_policy_change_works_on_living_tokens_in_the_next_call(room: Strongroom) -> None:
    token = room.create_token("later")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/roles/x", token=token)
    room.write("sys/policies/acl/later", {"policy": 'path "auth/token/roles/x" { capabilities = ["read"] }'})
    room.write("auth/token/roles/x")
    room.read("auth/token/roles/x", token=token)
    room.delete("sys/policies/acl/later")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/roles/x", token=token)


def test_networks_bind_and_are_inherited_unless_the_token_is_an_orphan(room: Strongroom) -> None:
    room.write("auth/token/roles/near", {"token_bound_cidrs": "10.0.0.0/8,2001:db8::/32", "allowed_policies": "maker"})
    auth = room.write("auth/token/create/near").auth
    assert auth is not None
    near = auth.client_token.reveal()
    home = Peer("10.0.0.1", 1)
    room.read("auth/token/lookup-self", token=near, peer=home)
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=near, peer=Peer("11.0.0.1", 1))
    made = room.write("auth/token/create", {}, token=near, peer=home).auth
    assert made is not None
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=made.client_token.reveal())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("11.0.0.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("x", False),
    ],
)
def test_an_address_lies_in_a_network_in_whatever_clothes(address: str, expected: bool) -> None:
    assert inside(address, ("10.0.0.0/8", "2001:db8::/32")) is expected


@pytest.mark.parametrize("text", ["", "srs_", "srs_" + "x" * 49, "srr_" + "x" * 49, "x" * 5_000, "é", "null", "root"])
def test_what_is_no_token_is_refused(room: Strongroom, text: str) -> None:
    assert not good(room, text)


# -- renewal arithmetic ---------------------------------------------------------------------------------------------

TUNED = Ttls(default=100, max=1_000)


@pytest.mark.parametrize(
    ("terms", "age", "increment", "given"),
    [
        ({"ttl": 60}, 0, 0, 60),
        ({"ttl": 60}, 10, 30, 30),
        ({"ttl": 60}, 10, 5_000, 990),
        ({}, 10, 0, 100),
        ({"ttl": 60, "max_ttl": 500}, 460, 0, 40),
        ({"ttl": 60, "max_ttl": 5_000}, 960, 0, 40),
        ({"ttl": 60, "explicit_max_ttl": 90}, 50, 0, 40),
        ({"period": 60}, 5_000, 0, 60),
        ({"period": 60}, 5_000, 999, 60),
        ({"period": 2_000}, 5_000, 0, 1_000),
        ({"period": 60, "explicit_max_ttl": 90}, 50, 0, 40),
    ],
)
def test_a_renewal_gives(terms: dict[str, int], age: int, increment: int, given: int) -> None:
    entry = TokenEntry(accessor="", policies=(), path="", created=SECOND, **terms)  # type: ignore[arg-type]
    assert renewal_ttl(entry, increment, TUNED, SECOND + age * SECOND) == given
    if "period" not in terms:
        with pytest.raises(InvalidRequest):
            renewal_ttl(entry, increment, TUNED, SECOND + 1_000 * SECOND - 1)


def test_a_renewal_says_what_it_cut_off_and_nothing_of_a_started_second() -> None:
    entry = TokenEntry(accessor="", policies=(), path="", created=SECOND, max_ttl=600)
    said: list[str] = []
    assert renewal_ttl(entry, 600, TUNED, SECOND + 1, said) == 599 and said == []
    assert renewal_ttl(entry, 601, TUNED, SECOND + 1, said) == 599
    assert said == ['TTL of "10m1s" exceeded the effective max_ttl of "10m"; TTL value is capped accordingly']
    periodic = TokenEntry(accessor="", policies=(), path="", created=SECOND, max_ttl=600, period=3_600)
    assert renewal_ttl(periodic, 0, TUNED, 5_000 * SECOND, said) == 600, "no stretch is longer than the ceiling"
    assert said[1] == 'period of "1h" exceeded the effective max_ttl of "10m"; period value is capped accordingly'


# -- the model ------------------------------------------------------------------------------------------------------

MS = 1_000_000
INCREMENTS = st.sampled_from([0, 1, 5, 60, 10**6, 10**8])
STEPS = st.sampled_from([1, 999, 1_000, 1_001, 4_999, 5_000, 5_001, 30_000])


class Model:
    """What a token should be, worked out naively. Instants in ns."""

    def __init__(self, text: str, parent: Model | None, created: int, expires: int, limits: dict[str, int], uses: int) -> None:
        self.text, self.parent, self.created, self.expires, self.limits, self.uses = text, parent, created, expires, limits, uses
        self.revoked = False
        self.leases: list[tuple[str, int]] = []
        self.envelopes: list[list[object]] = []

    def alive(self, now: int) -> bool:
        spent = self.uses == 0
        return not self.revoked and not spent and now < self.expires and (self.parent is None or self.parent.alive(now))

    def end(self) -> int:
        """The last instant any renewal may reach."""
        hard = self.limits.get("explicit_max_ttl", 0)
        if "period" in self.limits:
            return self.created + hard * SECOND if hard else 1 << 62
        return self.created + min(filter(None, (hard, 2_764_800))) * SECOND


class Tree(RuleBasedStateMachine):
    """Random lives of tokens, their leases and their envelopes; the server must agree with the model at every instant."""

    def __init__(self) -> None:
        super().__init__()
        self.room = lending_room()
        self.tokens: list[Model] = []
        self.envelopes: list[tuple[str, int]] = []

    @property
    def now(self) -> int:
        return self.room.clock.now()

    def some(self, data: st.DataObject) -> Model:
        return data.draw(st.sampled_from(self.tokens))

    @rule(
        data=st.data(),
        ttl=st.sampled_from([1, 5, 60, 1_000]),
        hard=st.sampled_from([0, 0, 5, 7, 100]),
        period=st.sampled_from([0, 0, 5]),
        uses=st.sampled_from([-1, -1, -1, 1, 2, 3]),
        orphan=st.booleans(),
    )
    def make(self, data: st.DataObject, ttl: int, hard: int, period: int, uses: int, orphan: bool) -> None:
        makers = [token for token in self.tokens if token.alive(self.now) and token.uses < 0]
        parent = data.draw(st.sampled_from([None, *makers]))
        fields = {"ttl": ttl, "explicit_max_ttl": hard, "period": period, "num_uses": max(uses, 0), "no_parent": orphan}
        token = self.room.token if parent is None else parent.text
        auth = self.room.write("auth/token/create", {"policies": ["maker", "borrower", "default"], **fields}, token=token).auth
        assert auth is not None
        limits = {name: int(value) for name, value in (("explicit_max_ttl", hard), ("period", period)) if value}
        model = Model(
            auth.client_token.reveal(), None if orphan else parent, self.now, self.now + auth.lease_duration * SECOND, limits, uses
        )
        assert model.expires <= model.end()
        assert auth.lease_duration <= (period or ttl)
        self.tokens.append(model)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), increment=INCREMENTS)
    def renew(self, data: st.DataObject, increment: int) -> None:
        token = self.some(data)
        work = self.room.request(Operation.UPDATE, "auth/token/renew", {"token": token.text, "increment": increment})
        if not token.alive(self.now):
            assert isinstance(work.error, InvalidRequest)
            return
        if work.error is not None:
            assert token.end() - self.now < SECOND, str(work.error)
            return
        assert work.response is not None and work.response.auth is not None
        token.expires = self.now + work.response.auth.lease_duration * SECOND
        assert token.expires <= token.end()
        if "period" in token.limits:
            assert work.response.auth.lease_duration <= token.limits["period"]

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), milliseconds=st.sampled_from([-1, 0, 1]), increment=INCREMENTS)
    def renew_at_the_edge(self, data: st.DataObject, milliseconds: int, increment: int) -> None:
        token = self.some(data)
        wait = token.expires + milliseconds * MS - self.now
        if wait > 0:
            self.room.clock.advance(wait / SECOND)
        work = self.room.request(Operation.UPDATE, "auth/token/renew", {"token": token.text, "increment": increment})
        if work.error is None:
            assert token.alive(self.now)
            assert work.response is not None and work.response.auth is not None
            token.expires = self.now + work.response.auth.lease_duration * SECOND
            assert token.expires <= token.end()
        else:
            assert not token.alive(self.now) or token.end() - self.now < SECOND

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        token = self.some(data)
        work = self.room.request(Operation.READ, "auth/token/lookup-self", token=token.text)
        assert (work.error is None) is token.alive(self.now)
        if work.error is None and token.uses > 0:
            token.uses -= 1

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), spared=st.booleans())
    def revoke(self, data: st.DataObject, spared: bool) -> None:
        token = self.some(data)
        alive = token.alive(self.now)
        work = self.room.request(Operation.UPDATE, f"auth/token/revoke{'-orphan' if spared else ''}", {"token": token.text})
        if spared:
            assert (work.error is None) is alive
            for below in self.tokens if alive else ():
                if below.parent is token:
                    below.parent = None
        if alive or not spared:
            token.revoked = True

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), ttl=st.sampled_from([1, 5, 60]))
    def borrow(self, data: st.DataObject, ttl: int) -> None:
        token = self.some(data)
        if token.alive(self.now) and token.uses != 1:
            lease = borrow(self.room, token.text, ttl=ttl)
            token.leases.append((lease.id, self.now + ttl * SECOND))
            token.uses -= token.uses > 0

    @rule(ttl=st.sampled_from([1, 5, 60]))
    def wrap(self, ttl: int) -> None:
        info = self.room.write("sys/wrapping/wrap", {"a": 1}, wrap_ttl=ttl).wrap
        assert info is not None
        self.envelopes.append((info.token.reveal(), self.now + ttl * SECOND))

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data(), own=st.booleans())
    def unwrap(self, data: st.DataObject, own: bool) -> None:
        text, expires = data.draw(st.sampled_from(self.envelopes))
        body, who = ({}, text) if own else ({"token": text}, self.room.token)
        work = self.room.request(Operation.UPDATE, "sys/wrapping/unwrap", body, token=who)
        assert (work.error is None) is (self.now < expires)
        self.envelopes = [(token, end if token != text else 0) for token, end in self.envelopes]

    @rule(milliseconds=STEPS)
    def wait(self, milliseconds: int) -> None:
        self.room.clock.advance(milliseconds / 1_000)

    @rule()
    def sweep(self) -> None:
        while self.room.run_due():
            pass

    @invariant()
    def the_server_agrees(self) -> None:
        now, transaction = self.now, self.room.core.transaction(None)
        for token in self.tokens:
            alive = token.alive(now)
            assert good(self.room, token.text) is alive
            for lease, ends in token.leases:
                assert (self.room.core.leases.find(transaction, lease) is not None) is (alive and now < ends)

    def teardown(self) -> None:
        """In the end nothing is left but the first root token."""
        for token in self.tokens:
            self.room.request(Operation.UPDATE, "auth/token/revoke", {"token": token.text})
        self.room.clock.advance(3_000_000)
        while self.room.run_due():
            pass
        assert token_rows(self.room) == 2
        assert not self.room.core.transaction(None).view(areas.LEASES).digests(b"")
        assert not self.room.core.transaction(None).view(areas.WRAPPING).digests(b"")


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_model_finds_a_server_that_forgets_ancestors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: where a token's ancestors are not asked, the model says so."""
    from hypothesis.stateful import run_state_machine_as_test

    from strongroom.core.token.tokens import Tokens

    monkeypatch.setattr(Tokens, "_chain", lambda self, transaction, digest, entry: ((digest,), entry.expires))
    quick = settings(
        max_examples=5_000, stateful_step_count=20, deadline=None, database=None, phases=[Phase.generate], report_multiple_bugs=False
    )
    with pytest.raises((AssertionError, StrongroomError)):
        run_state_machine_as_test(Tree, settings=quick)
