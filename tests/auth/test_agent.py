"""agent: enrolment, logins, rotation and revocation, and what a stranger or a thief gets (T1.1, T1.2, T1.6, T1.8, T2.1, T10.3)."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from strongroom.auth.agent import challenges, keys, login, proofs
from strongroom.auth.agent import store as rows
from strongroom.auth.agent.challenges import BadChallenge, message, new_challenge, open_challenge, token_id
from strongroom.auth.agent.keys import KINDS, SMALL_ORDER, verify
from strongroom.auth.agent.model import agent_name
from strongroom.client import agent_key
from strongroom.client.agent_key import AgentKey, new_key
from strongroom.core.request import Operation, Peer
from strongroom.crypto.errors import InvalidSignature, UnusableKey
from strongroom.crypto.mac import Mac
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.testing import Strongroom
from tests.auth.agents import AGENT, INVALID, OK, ROLE, Machine, enrol_token, enrolled, fresh, lives, text
from tests.auth.audited import audit_to, reasons
from tests.auth.failpoints import lines_until

DAY = 86_400
BAD_TOKEN = (400, "invalid enrolment token or proof")


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return fresh()


# -- roles ----------------------------------------------------------------------------------------------------------


def test_every_field_of_a_role_is_read_back(room: Strongroom) -> None:
    fields = {
        "key_types": ["ml-dsa-65"],
        "max_agents": 7,
        "enrol_ttl": 600,
        "enrol_bound_cidrs": ["10.0.0.0/8"],
        "token_ttl": 300,
        "token_max_ttl": 900,
        "token_policies": ["a", "b"],
        "token_bound_cidrs": ["10.0.0.0/8"],
        "token_num_uses": 3,
        "token_no_default_policy": True,
        "token_type": "service",
    }
    room.write(AGENT + "role/full", fields)
    found = room.json(room.read(AGENT + "role/full"))
    assert {name: found[name] for name in fields} == fields
    assert "key" not in found
    room.write(AGENT + "role/full", {"max_agents": 8, "key_types": ""})
    found = room.json(room.read(AGENT + "role/full"))
    assert (found["max_agents"], found["key_types"], found["enrol_ttl"]) == (8, ["ed25519", "ml-dsa-65"], 600)
    assert "full" in room.list(AGENT + "role")
    room.delete(AGENT + "role/full")
    with pytest.raises(NotFound):
        room.read(AGENT + "role/full")


@pytest.mark.parametrize(
    "fields",
    [
        {"key_types": "rsa"},
        {"max_agents": -1},
        {"enrol_ttl": "31d"},
        {"enrol_ttl": -1},
        {"enrol_bound_cidrs": "here"},
        {"token_ttl": 20, "token_max_ttl": 10},
        {"token_policies": "root"},
        {"token_policies": " Root"},
    ],
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write(AGENT + "role/wrong", fields)
    with pytest.raises(NotFound):
        room.read(AGENT + "role/wrong")


@pytest.mark.parametrize("name", ["root", "Root", " root", "root\t", "ＲＯＯＴ", "ro\u00adot", "a,Root", "response-wrapping"])
@pytest.mark.parametrize("field", ["token_policies", "policies"])
def test_no_role_gets_root_or_what_resembles_it(room: Strongroom, name: str, field: str) -> None:
    before = room.json(room.read(ROLE))
    for value in (name, [name]):
        with pytest.raises(InvalidRequest):
            room.write(ROLE, {field: value})
    assert room.json(room.read(ROLE)) == before


@settings(max_examples=300)
@given(st.text(st.characters(max_codepoint=127) | st.characters(), max_size=140) | st.from_regex(r"[A-Za-z0-9._-]{1,130}", fullmatch=True))
def test_an_agents_name_has_one_form(given_name: str) -> None:
    try:
        name = agent_name(given_name)
    except InvalidRequest:
        return
    assert agent_name(name) == name == name.lower()
    assert name.isascii() and 1 <= len(name) <= 128 and "/" not in name


def stored_rows(room: Strongroom) -> list[bytes]:
    """What the mount's rows hold, in the clear."""
    area = room.core.mounts.table(room.core.transaction(None)).by_path[AGENT].uuid
    return [value for _, value in room.transact(lambda call: call.transaction.scan(area, area + b"\xff" * 40, 100))]


# -- enrolment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_enrols_once_and_logs_in_with_its_key(kind: str) -> None:
    room = fresh()
    token = enrol_token(room, metadata={"rack": "7"})
    machine = Machine(room, kind=kind)
    assert machine.enrol(token) == OK
    auth = room.login(AGENT + "login", machine.answer())
    assert auth.token_policies == ("default", "reader")
    assert auth.metadata == {"rack": "7", "agent": "web-1", "role": "web"}
    found = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert (found["display_name"], found["path"], found["orphan"]) == ("agent-web-1", "auth/agent/login", True)
    shown = room.json(room.read(AGENT + "agents/web-1"))
    assert (shown["key_type"], shown["public_key"], shown["role"], shown["revoked"]) == (kind, text(machine.key.public), "web", False)
    assert shown["last_login_time"] and shown["last_login_address"] == "127.0.0.1" and shown["enrolment_token_id"] == token_id(token)
    assert room.list(AGENT + "agents") == ["web-1"]


def test_an_enrolment_token_is_good_for_one_agent(room: Strongroom) -> None:
    token = enrol_token(room)
    assert Machine(room, "first").enrol(token) == OK
    assert Machine(room, "second").enrol(token) == BAD_TOKEN
    assert "second" not in room.list(AGENT + "agents")


def test_an_enrolment_that_fails_leaves_its_token_good(room: Strongroom) -> None:
    token = enrol_token(room)
    machine = Machine(room, "patient")
    assert machine.enrol(token, signature=text(bytes(64)))[0] == 400
    assert machine.enrol(token) == OK


def test_an_enrolment_token_ends() -> None:
    room = fresh(enrol_ttl=60)
    token, longer = enrol_token(room), enrol_token(room, ttl="2h")
    machine = Machine(room)
    assert len(room.list(ROLE + "/enrol-token")) == 2
    room.advance(60)
    assert machine.enrol(token) == BAD_TOKEN
    assert room.list(ROLE + "/enrol-token") == [token_id(longer)]
    assert machine.enrol(longer) == OK
    with pytest.raises(NotFound):
        room.list(ROLE + "/enrol-token")


def test_an_enrolment_token_that_is_over_is_none_before_its_timer_ran() -> None:
    room = fresh(enrol_ttl=30)
    machine = Machine(room)
    body = machine.enrolment(enrol_token(room))
    room.clock.advance(30)
    assert machine.ask("enrol", body) == BAD_TOKEN


def test_an_enrolment_token_is_shown_by_its_id_and_taken_back(room: Strongroom) -> None:
    made = room.json(room.write(ROLE + "/enrol-token", {"agent": "Db-1", "bound_cidrs": "127.0.0.1", "ttl": "5m"}))
    path = f"{ROLE}/enrol-token/{made['enrol_token_id']}"
    shown = room.json(room.read(path))
    assert (shown["agent"], shown["bound_cidrs"], shown["id"]) == ("db-1", ["127.0.0.1"], token_id(made["enrol_token"]))
    assert made["enrol_token"] not in str(shown)
    room.delete(path)
    assert Machine(room, "db-1").enrol(made["enrol_token"]) == BAD_TOKEN
    with pytest.raises(NotFound):
        room.read(path)


@pytest.mark.parametrize("fields", [{"ttl": 0}, {"ttl": "31d"}, {"agent": "no such/name"}, {"metadata": {"a": "x" * 600}}])
def test_an_enrolment_token_that_cannot_be_right_is_not_made(room: Strongroom, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write(ROLE + "/enrol-token", fields)


def test_the_token_is_stored_as_a_keyed_hash_only() -> None:
    room = fresh()
    token = enrol_token(room)
    plain = b"".join(stored_rows(room))
    assert token_id(token).encode() in plain, "the control: rows are seen in the clear here"
    assert token.encode() not in plain and token[4:47].encode() not in plain


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"public_key": text(new_key("ed25519").public)},
        {"signature": ""},
        {"signature": "?"},
        {"challenge": ""},
    ],
)
def test_what_was_not_signed_is_not_enrolled(changes: dict[str, Any]) -> None:
    room = fresh()
    assert Machine(room).enrol(enrol_token(room), **changes)[0] == 400
    with pytest.raises(NotFound):
        room.list(AGENT + "agents")


def test_a_proof_for_another_token_or_mount_is_none() -> None:
    room = fresh()
    room.write("sys/auth/second", {"type": "agent"})
    machine, token = Machine(room), enrol_token(room)
    assert machine.enrol(token, enrol_token=enrol_token(room)) == BAD_TOKEN
    challenge = machine.challenge()
    signed = message("enrol", "auth_agent_another", "web-1", challenge, token_id(token).encode(), b"ed25519", machine.key.public)
    assert machine.enrol(token, challenge=challenge, signature=machine.key.sign(signed)) == BAD_TOKEN
    assert machine.enrol(token) == OK


@pytest.mark.parametrize(
    ("role", "asked", "peer"),
    [({"enrol_bound_cidrs": "10.0.0.0/8"}, {}, "192.0.2.1"), ({}, {"bound_cidrs": "10.0.0.0/8"}, "192.0.2.1")],
)
def test_enrolments_come_from_where_they_may(role: dict[str, Any], asked: dict[str, Any], peer: str) -> None:
    room = fresh(**role)
    token = enrol_token(room, **asked)
    assert Machine(room).enrol(token, Peer(peer, 1)) == BAD_TOKEN
    assert Machine(room).enrol(token, Peer("10.1.1.1", 1)) == OK


def test_names_keys_and_places_are_taken_once() -> None:
    room = fresh(max_agents=2, key_types="ed25519")
    first = enrolled(room)
    copied = Machine(room, "copy")
    copied.key = first.key
    assert "another agent has this public key" in copied.enrol(enrol_token(room))[1]
    assert "an agent of this name is enrolled" in Machine(room, "web-1").enrol(enrol_token(room))[1]
    assert "for another agent's name" in Machine(room, "web-2").enrol(enrol_token(room, agent="web-3"))[1]
    assert "key_type must be one" in Machine(room, "web-2", "ml-dsa-65").enrol(enrol_token(room))[1]
    enrolled(room, "web-2")
    assert "has its 2 agents" in Machine(room, "web-3").enrol(enrol_token(room))[1]
    room.delete(AGENT + "agents/web-2")
    enrolled(room, "web-3")


@pytest.mark.parametrize("key", sorted(SMALL_ORDER))
def test_a_key_for_which_anybody_can_sign_is_refused(key: bytes) -> None:
    """The control first: some trivial signature fits some of a few messages of such a key."""
    found = 0
    for number in range(64):
        try:
            verify("ed25519", key, b"\x01" + bytes(63), b"message %d" % number)
            found += 1
        except InvalidSignature:
            continue
    assert found or key[0] in (0xED, 0xEE), "OpenSSL itself refuses spellings beyond the field"
    for sign in (0, 0x80):
        with pytest.raises(UnusableKey, match="small order"):
            keys.public_key("ed25519", text(key[:31] + bytes([key[31] | sign])))


@pytest.mark.parametrize(
    "bad",
    ["", "AA==", "not base64", text(bytes(33)), text(b"\x05" * 32)[:-1], text(b"\x05" * 32).rstrip("="), text(b"\x05" * 32)[:-2] + "V="],
)
def test_a_public_key_has_one_spelling(bad: str) -> None:
    with pytest.raises(UnusableKey):
        keys.public_key("ed25519", bad)


# -- logins ---------------------------------------------------------------------------------------------------------


def refused(room: Strongroom, machine: Machine, case: str) -> tuple[int, str]:
    """One way in which a login fails."""
    stranger = Machine(room, "nobody", machine.key.kind)
    other = enrolled(room, "other", machine.key.kind)
    if case == "unknown":
        return stranger.login()
    if case == "wrong key":
        return machine.login(key=stranger.key)
    if case == "another agent's key":
        return machine.login(key=other.key)
    if case == "another agent's challenge":
        return machine.login(challenge=other.challenge())
    if case == "late":
        body = machine.answer()
        room.clock.advance(challenges.CHALLENGE_SECONDS)
        return machine.ask("login", body)
    if case == "again":
        body = machine.answer()
        assert machine.ask("login", body) == OK
        return machine.ask("login", body)
    if case == "for another purpose":
        challenge = machine.challenge()
        signed = message("rotate", machine.accessor, machine.name, challenge)
        return machine.login(challenge=challenge, signature=machine.key.sign(signed))
    body = machine.answer()
    if case == "revoked":
        room.write(AGENT + f"agents/{machine.name}/revoke")
    elif case == "elsewhere":
        room.write(ROLE, {"token_bound_cidrs": "10.0.0.0/8"})
    else:  # before the job that removes the role's agents
        room.request(Operation.DELETE, ROLE)
        if case == "role made anew":
            room.request(Operation.UPDATE, ROLE, {})
    return machine.ask("login", body)


REASONS = {
    "unknown": "nobody: there is no such agent",
    "wrong key": "web-1: the signature is not by the agent's key",
    "another agent's key": "web-1: the signature is not by the agent's key",
    "another agent's challenge": "web-1: not a challenge of this mount for this agent",
    "late": "web-1: the challenge is over",
    "again": "web-1: the challenge was answered before",
    "for another purpose": "web-1: the signature is not by the agent's key",
    "revoked": "web-1: the agent was revoked",
    "role gone": "web-1: the agent's role was deleted",
    "role made anew": "web-1: the agent's role was deleted",
    "elsewhere": "the role's networks do not have this address",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", REASONS)
def test_every_login_that_fails_sounds_the_same_and_the_audit_log_says_why(case: str, kind: str, tmp_path: Path) -> None:
    room = fresh()
    machine = enrolled(room, kind=kind)
    before = room.list("auth/token/accessors")
    file = audit_to(room, tmp_path)
    assert refused(room, machine, case) == INVALID
    assert reasons(file)[-1] == REASONS[case]
    made = 1 if case == "again" else 0
    assert len(room.list("auth/token/accessors")) == len(before) + made


@pytest.mark.parametrize("code", [login.Agents.login.__code__, proofs.Proofs.proved.__code__, login.Agents._granted.__code__])
def test_a_login_that_breaks_at_any_line_makes_no_token(code: CodeType) -> None:
    room = fresh()
    machine = enrolled(room)
    before = room.list("auth/token/accessors")
    for stop in range(1, 60):
        body = machine.answer()
        seen = lines_until(stop, code, lambda body=body: room.request(Operation.UPDATE, AGENT + "login", body, token=""))  # type: ignore[misc]
        if seen < stop:
            break
        assert room.list("auth/token/accessors") == before
    assert stop > 3, "the failpoints were never reached"
    assert len(room.list("auth/token/accessors")) == len(before) + 1, "the control, without a failpoint, makes one"


@pytest.mark.parametrize("name", ["", "ａgent", "no/name", "x" * 129, "web-1 ", "WEB-1\0", "al\u0131ce"])
def test_names_that_no_agent_has_are_refused_like_all_others(room: Strongroom, name: str) -> None:
    body = {"name": name, "challenge": "x", "signature": text(bytes(64))}
    assert Machine(room).ask("login", body) == INVALID
    assert Machine(room).ask("challenge", {"name": name})[0] == 400


def test_a_name_counts_without_case() -> None:
    room = fresh()
    machine = enrolled(room)
    body = machine.answer()
    assert machine.ask("login", body | {"name": "WEB-1"}) == OK
    assert machine.ask("login", body | {"name": "web-1"}) == INVALID, "the challenge was answered, under whatever spelling"


def test_a_login_is_for_the_networks_of_the_role_and_so_is_its_token() -> None:
    room = fresh(token_bound_cidrs="10.0.0.0/8")
    machine = Machine(room)
    machine.enrol(enrol_token(room))
    token = room.login(AGENT + "login", machine.answer(), peer=Peer("10.2.3.4", 1)).client_token.reveal()
    assert not lives(room, token)
    room.read("auth/token/lookup-self", token=token, peer=Peer("10.2.3.4", 1))


@pytest.mark.parametrize("kind", KINDS)
def test_who_knows_the_key_that_is_checked_in_vain_is_nobody(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    machine = enrolled(room, kind=next(other for other in KINDS if other != kind))
    known = new_key(kind)
    monkeypatch.setitem(KINDS, kind, KINDS[kind]._replace(dummy=lambda: known.public))
    assert machine.login(key=known) == INVALID
    assert Machine(room, "nobody").login(key=known) == INVALID
    assert machine.login() == OK


def test_the_time_does_not_say_whether_there_is_such_an_agent() -> None:
    room = fresh()
    machine, stranger = enrolled(room), Machine(room, "nobody")
    room.write(AGENT + "agents/web-1/revoke")
    other = new_key("ed25519")
    spent: dict[str, list[float]] = {"unknown": [], "wrong": [], "revoked": []}
    for _ in range(200):
        for case, asked, key in (("unknown", stranger, other), ("wrong", machine, other), ("revoked", machine, machine.key)):
            body = asked.answer(key=key)
            start = time.perf_counter()
            assert asked.ask("login", body) in (INVALID, (429, "this agent logs in too often; keep the token and renew it"))
            spent[case].append(time.perf_counter() - start)
    assert abs(statistics.median(spent["unknown"]) - statistics.median(spent["wrong"])) < 0.001


def test_a_flood_of_challenges_stores_nothing() -> None:
    room = fresh()
    machine = enrolled(room)
    gsn = room.core.committed.gsn
    for _ in range(300):
        machine.challenge()
        assert machine.login(key=new_key("ed25519")) == INVALID
    assert room.core.committed.gsn == gsn


def test_logins_of_one_agent_are_bounded_and_so_is_what_is_kept_of_them() -> None:
    room = fresh()
    machine = enrolled(room)
    found = [machine.login()[0] for _ in range(proofs.MAX_ANSWERED + 3)]
    assert found == [200] * proofs.MAX_ANSWERED + [429] * 3
    room.advance(challenges.CHALLENGE_SECONDS + proofs.KEPT_SECONDS)
    assert machine.login() == OK


def test_a_challenge_stays_answered_through_a_restart_and_where_the_login_failed_after_it() -> None:
    room = fresh()
    machine = enrolled(room)
    body = machine.answer()
    room.write(ROLE, {"token_bound_cidrs": "10.0.0.0/8"})
    assert machine.ask("login", body) == INVALID
    room.write(ROLE, {"token_bound_cidrs": ""})
    room.restart()
    room.unseal()
    assert machine.ask("login", body) == INVALID
    assert machine.login() == OK


def test_without_the_mark_a_challenge_would_serve_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(proofs.Proofs, "_mark", lambda *_: None)
    room = fresh()
    machine = enrolled(room)
    body = machine.answer()
    assert [machine.ask("login", body) for _ in range(2)] == [OK, OK]


def test_nobody_inherits_who_an_agent_of_his_name_was() -> None:
    room = fresh()
    room.write(AGENT + "role/other", {})
    first = room.login(AGENT + "login", enrolled(room).answer()).entity_id
    room.delete(AGENT + "agents/web-1")
    second = room.login(AGENT + "login", enrolled(room, role=AGENT + "role/other").answer()).entity_id
    assert first and second and first != second


def test_renewal_goes_by_the_role_as_it_is_now() -> None:
    room = fresh()
    token = enrolled(room).token()
    room.write(ROLE, {"token_ttl": 60})
    renewed = room.write("auth/token/renew-self", token=token).auth
    assert renewed is not None and renewed.lease_duration == 60
    room.write(ROLE, {"token_policies": "other"})
    with pytest.raises(InvalidRequest, match="policies have changed, not renewing"):
        room.write("auth/token/renew-self", token=token)


# -- rotation, revocation, deletion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_changed_by_both_keys(kind: str) -> None:
    room = fresh()
    machine = enrolled(room)
    old, entity = machine.key, room.login(AGENT + "login", machine.answer()).entity_id
    token = machine.token()
    assert machine.rotate(kind) == OK
    assert machine.login(key=old) == INVALID
    assert room.login(AGENT + "login", machine.answer()).entity_id == entity
    assert lives(room, token), "the agent is the same"
    assert room.json(room.read(AGENT + "agents/web-1"))["rotated_time"]
    copied = Machine(room, "late")
    copied.key = machine.key
    assert "another agent has this public key" in copied.enrol(enrol_token(room))[1]


def test_rotations_leave_no_rows_behind() -> None:
    room = fresh()
    machine = enrolled(room)
    counts = []
    for _ in range(3):
        assert machine.rotate() == OK
        counts.append(len(stored_rows(room)))
    assert counts == counts[:1] * 3


def test_a_rotation_can_end_what_the_old_key_led_to() -> None:
    room = fresh()
    machine = enrolled(room)
    token = machine.token()
    assert machine.rotate(revoke_tokens=True) == OK
    assert not lives(room, token)
    assert lives(room, machine.token())


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": text(bytes(64))},
        {"new_signature": text(bytes(64))},
        {"signature": ""},
        {"new_signature": ""},
        {"public_key": text(new_key("ed25519").public)},
        {"challenge": "x"},
    ],
)
def test_one_key_alone_changes_nothing(changes: dict[str, Any]) -> None:
    room = fresh()
    machine = enrolled(room)
    assert machine.rotate(**changes) == INVALID
    assert machine.login() == OK


def test_a_key_that_somebody_has_is_not_taken() -> None:
    room = fresh(key_types="ed25519")
    machine, other = enrolled(room), enrolled(room, "other")
    assert machine.ask("agents/web-1/rotate", machine.rotation(other.key))[0] == 400
    assert machine.ask("agents/web-1/rotate", machine.rotation(machine.key))[0] == 400
    assert machine.rotate("ml-dsa-65")[0] == 400
    assert machine.login() == OK


def test_a_revoked_agent_is_out_at_once_and_for_good() -> None:
    room = fresh()
    machine, other = enrolled(room), enrolled(room, "other")
    token, kept = machine.token(), other.token()
    room.write(ROLE, {"token_type": "batch"})
    batch = machine.token()
    room.request(Operation.UPDATE, AGENT + "agents/WEB-1/revoke")
    assert not lives(room, token) and not lives(room, batch)
    assert lives(room, kept)
    assert machine.login() == INVALID
    assert machine.rotate() == INVALID
    assert room.json(room.read(AGENT + "agents/web-1"))["revoked"] is True
    found = room.ask(Operation.LIST, AGENT + "agents").data
    assert isinstance(found, dict) and found["key_info"]["web-1"] == {"role": "web", "revoked": True}
    again = Machine(room, "other-name")
    again.key = machine.key
    assert "another agent has this public key" in again.enrol(enrol_token(room))[1], "its key does not come back under another name"


def test_a_deleted_agents_tokens_end_and_its_name_is_free() -> None:
    room = fresh()
    machine = enrolled(room)
    token = machine.token()
    room.request(Operation.DELETE, AGENT + "agents/web-1")
    assert not lives(room, token)
    assert machine.login() == INVALID
    enrolled(room)
    assert machine.login() == INVALID
    assert not lives(room, token)


def test_a_deleted_role_takes_all_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PAGE", 2)
    room = fresh()
    machines = [enrolled(room, f"web-{number}") for number in range(5)]
    tokens, unused = [machine.token() for machine in machines], enrol_token(room)
    room.request(Operation.DELETE, ROLE)
    assert not any(lives(room, token) for token in tokens)
    room.write(ROLE, {})
    assert Machine(room, "late").enrol(unused) == BAD_TOKEN
    assert machines[0].login() == INVALID
    room.run_due()
    with pytest.raises(NotFound):
        room.list(AGENT + "agents")
    room.delete(ROLE)
    assert stored_rows(room) == []


def test_strangers_reach_four_routes_only(room: Strongroom) -> None:
    for path in ("role/web", "role/web/enrol-token", "agents/web-1", "agents/web-1/revoke"):
        for operation in (Operation.READ, Operation.UPDATE, Operation.DELETE):
            assert isinstance(room.request(operation, AGENT + path, {}, token="").error, PermissionDenied)


# -- the formats ----------------------------------------------------------------------------------------------------


def test_client_and_server_sign_the_same_and_lengths_keep_fields_apart() -> None:
    fields = ("enrol", "auth_agent_1234", "web-1", "challenge", b"id", b"ed25519", b"key")
    assert message(*fields) == agent_key.message(*fields)
    assert (
        message("login", "a", "b", "c").hex()
        == "7374726f6e67726f6f6d206167656e74203100" + "00056c6f67696e" + "000161" + "000162" + "000163"
    )
    assert message("login", "ab", "c", "d") != message("login", "a", "bc", "d")
    assert token_id("sre_x") == agent_key.token_id("sre_x")


@settings(max_examples=300)
@given(st.binary(max_size=80) | st.text(max_size=80), st.integers(0, 200), st.text("abc", max_size=4))
def test_nothing_but_a_challenge_is_one(garbage: bytes | str, flip: int, name: str) -> None:
    mac, mount = Mac(b"k" * 32), b"m" * 16
    made = new_challenge(mac, mount, "agent", 0)
    spoiled = garbage if isinstance(garbage, str) else text(garbage)
    changed = made[: flip % len(made)] + ("A" if made[flip % len(made)] != "A" else "B") + made[flip % len(made) + 1 :]
    for candidate in (spoiled, changed, made + "=", made + "A", made[:-1]):
        with pytest.raises(BadChallenge):
            open_challenge(mac, mount, "agent", candidate, 1)
    with pytest.raises(BadChallenge):
        open_challenge(mac, mount, name, made, 1)
    with pytest.raises(BadChallenge):
        open_challenge(mac, b"n" * 16, "agent", made, 1)
    assert open_challenge(mac, mount, "agent", made, 1).expires == challenges.CHALLENGE_SECONDS * 1_000_000_000


# -- any order ------------------------------------------------------------------------------------------------------

NAMES = ("a", "b")


class Agents(RuleBasedStateMachine):
    """Agents enrol, log in, change keys, are revoked and deleted, in any order and over restarts, against a model.

    The model: whose key is whose, who is revoked, and which tokens must live.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = fresh()
        self.keys: dict[str, AgentKey] = {}
        self.revoked: set[str] = set()
        self.old: list[tuple[str, AgentKey]] = []
        self.answered: list[tuple[str, dict[str, Any]]] = []
        self.tokens: dict[str, str] = {}
        self.dead: set[str] = set()

    def _machine(self, name: str) -> Machine:
        machine = Machine(self.room, name)
        machine.key = self.keys.get(name, machine.key)
        return machine

    def _end(self, name: str) -> None:
        self.dead |= {token for token, owner in self.tokens.items() if owner == name}
        self.tokens = {token: owner for token, owner in self.tokens.items() if owner != name}

    @rule(name=st.sampled_from(NAMES))
    def enrol(self, name: str) -> None:
        machine = Machine(self.room, name)
        found = machine.enrol(enrol_token(self.room))
        assert (found == OK) is (name not in self.keys)
        if found == OK:
            self.keys[name] = machine.key

    @rule(name=st.sampled_from(NAMES))
    def login(self, name: str) -> None:
        machine = self._machine(name)
        body = machine.answer()
        work = self.room.request(Operation.UPDATE, AGENT + "login", body, token="")
        allowed = name in self.keys and name not in self.revoked
        if work.error is not None and work.error.status == 429:
            return
        assert (work.error is None) is allowed
        if work.response is not None and work.response.auth is not None:
            self.tokens[work.response.auth.client_token.reveal()] = name
            self.answered.append((name, body))

    @rule()
    def replay(self) -> None:
        for name, body in self.answered[-3:]:
            assert Machine(self.room, name).ask("login", body) == INVALID

    @rule()
    def old_keys(self) -> None:
        for name, key in self.old[-3:]:
            machine = Machine(self.room, name)
            assert machine.login(key=key) == INVALID

    @rule(name=st.sampled_from(NAMES), revoke=st.booleans())
    def rotate(self, name: str, revoke: bool) -> None:
        machine = self._machine(name)
        before = machine.key
        found = machine.rotate(revoke_tokens=revoke)
        if found[0] == 429:
            return
        assert (found == OK) is (name in self.keys and name not in self.revoked)
        if found == OK:
            self.old.append((name, before))
            self.keys[name] = machine.key
            if revoke:
                self._end(name)

    @rule(name=st.sampled_from(NAMES))
    def revoke(self, name: str) -> None:
        work = self.room.request(Operation.UPDATE, AGENT + f"agents/{name}/revoke")
        assert (work.error is None) is (name in self.keys)
        if name in self.keys:
            self.revoked.add(name)
            self._end(name)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        self.room.request(Operation.DELETE, AGENT + f"agents/{name}")
        if name in self.keys:
            self.old.append((name, self.keys.pop(name)))
            self.revoked.discard(name)
            self._end(name)

    @rule(seconds=st.sampled_from([1, 59, 61, 121]))
    def time_passes(self, seconds: int) -> None:
        self.room.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.room.restart()
        self.room.unseal()

    @invariant()
    def exactly_these_tokens_live(self) -> None:
        assert all(lives(self.room, token) for token in self.tokens)
        assert not any(lives(self.room, token) for token in self.dead)


TestAgents = Agents.TestCase
TestAgents.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
