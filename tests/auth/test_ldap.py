"""ldap: configuration, local users and groups, logins against a real slapd, and what guessing costs.

T1.1, T1.3, T1.4, T2.1, T6.1, T13.1–T13.3.
"""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.auth.ldap import directory, login
from strongroom.auth.ldap.config import OLD_TLS, Config, ConfigBody, changed_config
from strongroom.auth.ldap.directory import sid_text
from strongroom.core import areas
from strongroom.core.request import Operation, Peer
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, StrongroomError
from strongroom.outbound.ldap.connection import Connection, DirectoryError
from strongroom.outbound.ldap.messages import Answer
from strongroom.testing import Strongroom
from tests.auth.audited import audit_to, reasons
from tests.client.certificates import make_authority, make_certificate
from tests.support.scripted_directory import BIND, SEARCH, bind_name, entry, result, scripted, search_base
from tests.support.slapd import BASE, BLIND, LIMITED, MOUNT, MOUNT_PASSWORD, Slapd, needs_slapd, running_slapd

CONFIG = "auth/ldap/config"
LOGIN = "auth/ldap/login/"
USERS = "auth/ldap/users/"
GROUPS = "auth/ldap/groups/"

FAILED = (400, login.FAILED)
LOCKED = (403, "permission denied")


def fresh(**config: Any) -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/ldap", {"type": "ldap"})
    if config:
        room.write(CONFIG, config)
    return room


def answer(room: Strongroom, name: str, password: str) -> tuple[int, str]:
    """Status and text of a login."""
    work = room.request(Operation.UPDATE, LOGIN + name, {"password": password}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


# -- configuration --------------------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "url": "ldaps://ldap.example.com:3269,ldaps://[fd12::1]",
    "starttls": True,
    "insecure_tls": False,
    "tls_min_version": "tls12",
    "tls_max_version": "tls12",
    "binddn": "cn=strongroom,dc=example,dc=com",
    "userdn": "ou=people,dc=example,dc=com",
    "userattr": "samaccountname",
    "userfilter": "(&(objectClass=user)({{.UserAttr}}={{.Username}}))",
    "upndomain": "example.com",
    "discoverdn": True,
    "deny_null_bind": True,
    "groupdn": "ou=groups,dc=example,dc=com",
    "groupfilter": "(member={{.UserDN}})",
    "groupattr": "memberOf",
    "anonymous_group_search": True,
    "use_token_groups": True,
    "username_as_alias": True,
    "case_sensitive_names": True,
    "dereference_aliases": "always",
    "max_page_size": 500,
    "request_timeout": 20,
    "connection_timeout": 10,
    "token_ttl": 600,
    "token_max_ttl": 1_200,
    "token_policies": ["a", "b"],
    "token_bound_cidrs": ["10.0.0.0/8"],
    "token_num_uses": 3,
    "token_type": "service",
}


def test_a_mount_that_was_not_configured_shows_defaults_and_lets_nobody_in() -> None:
    room = fresh()
    found = room.json(room.read(CONFIG))
    assert (found["url"], found["userattr"], found["request_timeout"]) == ("ldap://127.0.0.1", "cn", 90)
    assert answer(room, "alice", "wonderland") == (400, login.NOT_CONFIGURED)


def test_every_field_is_read_back_and_secrets_never(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = (path.read_text() for path in make_certificate(tmp_path, authority, "strongroom"))
    secret = {"bindpass": "hush", "client_tls_cert": certificate, "client_tls_key": key}
    public = EVERYTHING | {"certificate": authority.path.read_text()}
    room = fresh(**public, **secret)
    shown = room.json(room.read(CONFIG))
    assert {name: shown[name] for name in public} == public
    assert shown.keys().isdisjoint(secret)
    room.write(CONFIG, {"userattr": "uid"})
    assert room.json(room.read(CONFIG)) == shown | {"userattr": "uid"}
    stored = room.transact(lambda call: call.transaction.view(mount_uuid(room)).get("config", Config))
    assert (stored.bindpass, stored.client_tls_key) == ("hush", key)
    assert repr(stored) == "Config()"


def mount_uuid(room: Strongroom) -> bytes:
    uuid: bytes = room.transact(lambda call: room.core.mounts.table(call.transaction).by_path["auth/ldap/"].uuid)
    return uuid


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://ldap.example.com"), ("url", "ldap://"), ("url", "ldap://a b"), ("url", "ldap://user:pass@host"), ("url", "ldap://h/dc=x"),
        ("url", "ldap://h:0"), ("url", "ldap://h:70000"), ("url", ""), ("url", ",".join(["ldap://h"] * 9)), ("url", "ldap://2130706433"),
        ("url", "ldapi://%2fvar%2frun"), ("insecure_tls", True), ("tls_min_version", "ssl3"), ("tls_max_version", "tls11"),
        ("tls_min_version", "TLSv1.2"), ("certificate", "no PEM"), ("client_tls_cert", "alone"), ("client_tls_key", "alone"),
        ("userdn", "people"), ("groupdn", "ou=a,,dc=b"), ("userattr", "a=b"), ("userattr", ""), ("groupattr", "a*"),
        ("userfilter", "uid={{.Username}}"), ("userfilter", "(uid={{.Password}})"), ("userfilter", "(uid={{.UserDN}})"),
        ("userfilter", "({{.Username}}=a)"), ("userfilter", "({{.UserAttr}}\\2a=a)"),
        ("groupfilter", "(member={{.UserAttr}})"), ("groupfilter", "("), ("upndomain", "a b"), ("upndomain", "@x"),
        ("dereference_aliases", "sometimes"), ("max_page_size", 10_001), ("max_page_size", -2), ("request_timeout", 0),
        ("request_timeout", "10m"), ("connection_timeout", -1), ("token_ttl", -1), ("token_type", "other"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_right_is_not_stored(field: str, value: object) -> None:
    room = fresh(url="ldaps://before.example.com")
    with pytest.raises(InvalidRequest) as caught:
        room.write(CONFIG, {field: value})
    assert str(value) not in str(caught.value) or len(str(value)) < 12
    assert room.json(room.read(CONFIG))["url"] == "ldaps://before.example.com"


def test_tls_versions_are_in_order() -> None:
    with pytest.raises(InvalidRequest, match="tls_max_version"):
        fresh(tls_min_version="tls13", tls_max_version="tls12")


@pytest.mark.parametrize("version", ["tls10", "tls11"])
def test_an_old_least_version_is_read_back_and_means_tls_1_2(version: str) -> None:
    room = fresh(url="ldaps://h", tls_min_version=version, tls_max_version="tls12")
    answer = room.read(CONFIG)
    assert room.json(answer)["tls_min_version"] == version and answer.warnings == (OLD_TLS,)
    assert Config(tls_min_version=version).context().minimum_version == ssl.TLSVersion.TLSv1_2
    room.write(CONFIG, {"tls_min_version": "tls12"})
    assert room.read(CONFIG).warnings == ()


@pytest.mark.parametrize("field", ["token_policies", "policies"])
@pytest.mark.parametrize("name", ["root", "Root", " root", "root\t", "ＲＯＯＴ", "ro\u00adot", "a,Root", "response-wrapping"])
def test_nobody_gets_root_or_what_resembles_it(field: str, name: str) -> None:
    """T6.1."""
    room = fresh(url="ldaps://h")
    for path in (CONFIG, GROUPS + "dev", USERS + "alice"):
        if path == CONFIG or field == "policies":
            with pytest.raises(InvalidRequest):
                room.write(path, {field: name})
    assert room.json(room.read(CONFIG))["token_policies"] == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"url": "ldap://ldap.example.com"}, "in the clear"),
        ({"url": "ldaps://a,ldap://b"}, "in the clear"),
        ({"userfilter": "(mail={{.Username}})"}, "colliding entity aliases"),
        ({"deny_null_bind": False}, "no effect"),
    ],
)
def test_what_is_accepted_but_unwise_is_said(config: dict[str, Any], says: str) -> None:
    room = fresh()
    room.write(CONFIG, config)
    assert any(says in warning for warning in room.read(CONFIG).warnings)


@pytest.mark.parametrize("config", [{"url": "ldap://h", "starttls": True}, {"url": "ldaps://h"}, {"url": "ldap://localhost"}])
def test_what_is_well_configured_has_no_warning(config: dict[str, Any]) -> None:
    room = fresh()
    room.write(CONFIG, config)
    assert room.read(CONFIG).warnings == ()


@pytest.mark.parametrize(
    ("config", "says"), [({"url": "ldap://h", "deny_null_bind": False}, 0), ({"userfilter": "(mail={{.Username}})"}, 1)]
)
def test_a_write_says_no_more_than_vaults_since_clients_wait_for_a_204(config: dict[str, Any], says: int) -> None:
    assert len(fresh().write(CONFIG, config).warnings) == says


# -- local users and groups -----------------------------------------------------------------------------------------


def test_groups_are_written_read_listed_and_deleted() -> None:
    room = fresh()
    room.write(GROUPS + "Domain Admins", {"policies": "B,a"})
    room.write(GROUPS + "dev", {"policies": ["c"]})
    assert room.list("auth/ldap/groups") == ["dev", "domain admins"]
    assert room.json(room.read(GROUPS + "domain ADMINS")) == {"policies": ["a", "b"]}
    room.write(GROUPS + "dev", {})
    assert room.json(room.read(GROUPS + "dev")) == {"policies": []}
    room.delete(GROUPS + "DEV")
    assert room.list("auth/ldap/groups") == ["domain admins"]
    with pytest.raises(NotFound):
        room.read(GROUPS + "dev")


def test_groups_count_with_case_where_the_mount_says_so() -> None:
    room = fresh(case_sensitive_names=True)
    room.write(GROUPS + "Dev", {"policies": "a"})
    with pytest.raises(NotFound):
        room.read(GROUPS + "dev")
    assert room.list("auth/ldap/groups") == ["Dev"]


@pytest.mark.parametrize("name", [" dev", "dev ", "de\x00v", "de\nv", "d" * 257, "de\u200bv", "de\u00adv"])
def test_group_names_that_look_like_others_are_refused(name: str) -> None:
    with pytest.raises(StrongroomError):
        fresh().write(GROUPS + name, {"policies": "a"})


def test_users_are_written_read_listed_and_deleted() -> None:
    room = fresh()
    room.write(USERS + "Alice", {"policies": "b,a", "groups": "Dev, ops"})
    assert room.list("auth/ldap/users") == ["alice"]
    assert room.json(room.read(USERS + "ALICE")) == {"policies": ["a", "b"], "groups": "dev,ops"}
    room.write(USERS + "alice", {"policies": "c"})
    assert room.json(room.read(USERS + "alice")) == {"policies": ["c"], "groups": ""}
    for name in ("al ice", "ａlice", "alice,ou=x", "*"):
        with pytest.raises(InvalidRequest):
            room.write(USERS + name, {"policies": "c"})
    with pytest.raises(InvalidRequest):
        room.write(USERS + "bob", {"groups": ["a,b"]})
    room.delete(USERS + "alice")
    with pytest.raises(NotFound):
        room.read(USERS + "alice")


# -- logins against slapd -------------------------------------------------------------------------------------------

TREE = {"userdn": f"ou=people,{BASE}", "userattr": "uid", "groupdn": f"ou=groups,{BASE}"}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with running_slapd(tmp_path_factory.mktemp("slapd") / "private") as server:
        yield server


def direct(slapd: Slapd, **more: Any) -> Strongroom:
    """A mount that puts names together from what was typed."""
    return fresh(**{"url": slapd.url, "starttls": True, "certificate": slapd.ca, **TREE, **more})


def searching(slapd: Slapd, **more: Any) -> Strongroom:
    """A mount with an account that looks for users."""
    return fresh(**{"url": slapd.tls_url, "certificate": slapd.ca, "binddn": MOUNT, "bindpass": MOUNT_PASSWORD, **TREE, **more})


@needs_slapd
def test_a_login_gives_the_policies_of_mount_groups_and_user(slapd: Slapd) -> None:
    room = searching(slapd, token_policies="everybody")
    for group, policy in (
        ("dev", "develop"),
        ("DOMAIN admins", "administer"),
        ("posix", "shell"),
        ("night", "watch"),
        ("other", "nothing"),
    ):
        room.write(GROUPS + group, {"policies": policy})
    room.write(USERS + "alice", {"policies": "own", "groups": "night"})
    auth = room.login(LOGIN + "Alice", {"password": "wonderland"})
    assert auth.policies == ("administer", "default", "develop", "everybody", "own", "shell", "watch")
    assert auth.metadata == {"username": "alice"}
    found = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert (found["display_name"], found["path"], found["type"]) == ("ldap-alice", "auth/ldap/login/alice", "service")
    assert room.login(LOGIN + "bob", {"password": "builder"}).policies == ("default", "develop", "everybody")


@needs_slapd
def test_somebody_in_no_group_is_told_so(slapd: Slapd) -> None:
    room = searching(slapd, username_as_alias=True)
    warnings = room.write(LOGIN + "twice", {"password": "twofold"}, token="").warnings
    assert any("no LDAP groups found in groupDN" in warning for warning in warnings)


@needs_slapd
@pytest.mark.parametrize(
    ("more", "alias"),
    [
        ({}, "alice"),
        ({"discoverdn": True, "binddn": "", "bindpass": ""}, "alice"),
        ({"binddn": "", "bindpass": ""}, f"uid=alice,ou=people,{BASE}"),
        ({"binddn": "", "bindpass": "", "username_as_alias": True}, "alice"),
        ({"userattr": "cn", "userfilter": "(uid={{.Username}})"}, "alice liddell"),
        ({"userfilter": "(|(uid={{.Username}})(mail={{.Username}}@example.com))"}, "alice"),
        ({"starttls": True, "tls_min_version": "tls13"}, "alice"),
    ],
)
def test_each_way_to_find_somebody_names_the_alias(slapd: Slapd, more: dict[str, Any], alias: str) -> None:
    room = searching(slapd, **more)
    room.write(GROUPS + "dev", {"policies": "develop"})
    auth = room.login(LOGIN + "alice", {"password": "wonderland"})
    assert auth.policies == ("default", "develop")
    assert aliases(room) == [alias]
    assert answer(room, "alice", "wrong") == FAILED


def aliases(room: Strongroom) -> list[str]:
    """The names of all aliases of the mount."""
    accessor = room.transact(lambda call: room.core.mounts.table(call.transaction).by_path["auth/ldap/"].accessor)
    found = room.transact(lambda call: call.transaction.view(areas.IDENTITY).list(f"alias/{accessor}"))
    return list(found)


@needs_slapd
def test_groups_are_found_by_pages_and_never_in_part(slapd: Slapd) -> None:
    room = searching(slapd, binddn=LIMITED)
    room.write(GROUPS + "posix", {"policies": "shell"})
    work = room.request(Operation.UPDATE, LOGIN + "alice", {"password": "wonderland"}, token="")
    assert isinstance(work.error, DirectoryError) and "sizeLimitExceeded" in work.error.reason
    room.write(CONFIG, {"max_page_size": 2})
    assert room.login(LOGIN + "alice", {"password": "wonderland"}).policies == ("default", "shell")


@needs_slapd
def test_groups_are_looked_for_with_the_rights_that_are_configured(slapd: Slapd) -> None:
    room = searching(slapd, binddn=BLIND)
    room.write(GROUPS + "dev", {"policies": "develop"})
    assert answer(room, "alice", "wonderland")[0] == 502
    room.write(CONFIG, {"anonymous_group_search": True})
    assert room.login(LOGIN + "alice", {"password": "wonderland"}).policies == ("default", "develop")
    room.write(CONFIG, {"anonymous_group_search": False, "groupfilter": "(&(objectClass=inetOrgPerson)(uid={{.Username}}))"})
    room.write(CONFIG, {"groupdn": f"ou=people,{BASE}", "groupattr": "memberOf"})
    assert room.login(LOGIN + "alice", {"password": "wonderland"}).policies == ("default",)


@needs_slapd
@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "wrong"), ("nobody", "wonderland"), ("bob", "wonderland"), ("elsewhere", "x"), ("umlaut", "jörg"), ("alice", "wonderland ")],
)
@pytest.mark.parametrize("way", [direct, searching])
def test_wrong_names_and_passwords_get_the_same_answer(slapd: Slapd, way: Any, name: str, password: str) -> None:
    assert answer(way(slapd), name, password) == FAILED


@needs_slapd
def test_a_filter_that_finds_several_lets_nobody_in(slapd: Slapd) -> None:
    room = searching(slapd, userfilter="(|(uid=alice)(uid=bob))")
    assert answer(room, "alice", "wonderland") == FAILED == answer(room, "bob", "builder")
    room.write(CONFIG, {"userfilter": "(|(uid=alice)(uid=nobody))"})
    assert answer(room, "alice", "wonderland") == (200, ""), "the control"


@needs_slapd
def test_an_entry_without_one_name_of_its_own_is_refused_only_behind_its_password(slapd: Slapd) -> None:
    """What is wrong with the entry is no business of somebody who only guesses."""
    room = searching(slapd)
    assert answer(room, "twice", "wrong") == FAILED
    assert answer(room, "twice", "twofold")[0] == 502
    room = searching(slapd, userattr="cn", userfilter="(uid={{.Username}})")
    assert answer(room, "umlaut", "wrong") == FAILED
    assert answer(room, "umlaut", "umlaut")[0] == 502


@needs_slapd
def test_nobody_follows_a_reference(slapd: Slapd) -> None:
    """T13.3: a part of the tree lies on another server, which never hears of a login."""
    room = searching(slapd)
    assert answer(room, "alice", "wonderland") == (200, "")
    assert answer(direct(slapd, userdn=f"ou=elsewhere,ou=people,{BASE}"), "alice", "wonderland")[0] in (400, 502)
    assert not slapd.referred()


@needs_slapd
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"certificate": ""}, "certificate is not trusted"),
        ({"tls_max_version": "tls12", "tls_min_version": "tls12", "starttls": True}, ""),
        ({"bindpass": "wrong"}, "does not accept binddn"),
        ({"groupdn": f"ou=nowhere,{BASE}"}, "noSuchObject"),
        ({"url": "ldap://127.0.0.1:1"}, "cannot be reached"),
        ({"url": "ldap://169.254.169.254"}, "link-local"),
    ],
)
def test_a_directory_that_cannot_be_asked_says_why_to_the_audit_log_only(
    slapd: Slapd, tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    room = searching(slapd, **config)
    file = audit_to(room, tmp_path)
    status, text = answer(room, "alice", "wonderland")
    assert status == (502 if reason else 200)
    if reason:
        assert reason in reasons(file)[-1] and reason not in text and "localhost" not in text


@needs_slapd
def test_the_name_in_the_url_must_be_the_certificates(slapd: Slapd, tmp_path: Path) -> None:
    room = searching(slapd, url=slapd.tls_url.replace("localhost", "127.0.0.1"))
    file = audit_to(room, tmp_path)
    assert answer(room, "alice", "wonderland")[0] == 502
    room.write(CONFIG, {"url": slapd.url.replace("localhost", "127.0.0.1"), "starttls": True, "bindpass": MOUNT_PASSWORD})
    assert answer(room, "alice", "wonderland")[0] == 502
    assert [("certificate is not trusted" in reason) for reason in reasons(file)].count(True) == 2


@needs_slapd
def test_several_directories_are_tried_in_order(slapd: Slapd) -> None:
    room = searching(slapd, url=f"ldaps://127.0.0.1:1,{slapd.tls_url}")
    assert answer(room, "alice", "wonderland") == (200, "")
    room.write(CONFIG, {"url": f"{slapd.tls_url},ldaps://127.0.0.1:1"})
    assert answer(room, "alice", "wonderland") == (200, "")


@needs_slapd
def test_a_client_certificate_is_shown_where_the_directory_wants_one(tmp_path: Path) -> None:
    with running_slapd(tmp_path / "private", verify="demand") as strict:
        certificate, key = (path.read_text() for path in make_certificate(tmp_path, strict.authority, "strongroom"))
        room = searching(strict)
        assert answer(room, "alice", "wonderland")[0] == 502
        room.write(CONFIG, {"client_tls_cert": certificate, "client_tls_key": key})
        assert answer(room, "alice", "wonderland") == (200, "")


# -- names and passwords of strangers -------------------------------------------------------------------------------

HOSTILE = [
    "*", "a)(uid=*", "a,dc=x", "a\\00", "#04024869", "alice)(|(uid=*", "alice*", "(alice)", "alice\0", "al\u0131ce", "ａlice",
    "\u202ealice",     "alice ", " alice", "al  ice", "alice+uid=bob",
    "alice\\,ou=admins", "{{.Username}}", "a" * 129, "a" * 1_000_000, "alice&", "|alice",
    "!alice", "alice=",
]  # fmt: skip


@needs_slapd
@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: name[:20].encode("unicode_escape").decode())
@pytest.mark.parametrize("way", [direct, searching])
def test_hostile_names_are_refused_and_never_reach_a_directory(monkeypatch: pytest.MonkeyPatch, slapd: Slapd, way: Any, name: str) -> None:
    """T13.1."""
    room = way(slapd)
    monkeypatch.setattr(directory.Directory, "_connected", lambda *_: pytest.fail("the directory was asked"))
    work = room.request(Operation.UPDATE, LOGIN + name, {"password": "wonderland"}, token="")
    assert work.error is not None and work.error.status in (400, 403, 404)
    assert room.transact(lambda call: call.transaction.view(areas.LOCKOUT).digests(b"")) == []


@needs_slapd
@pytest.mark.parametrize("name", ["*", "a)(uid=*", "alice)(|(uid=*", "star*", "alice,ou=people", "#04", "alice\0", "a\\"])
def test_past_that_check_a_hostile_name_still_finds_its_own_entry_or_none(monkeypatch: pytest.MonkeyPatch, slapd: Slapd, name: str) -> None:
    """The control of the one above: filters and names hold by themselves. `star*` is somebody's name, `*` is nobody's."""
    monkeypatch.setattr(login, "canonical_name", lambda text: text)
    for way in (direct, searching):
        room = way(slapd, username_as_alias=True)
        for password in ("wonderland", "starred"):
            expected = (200, "") if (name, password) == ("star*", "starred") else FAILED
            assert answer(room, name, password) == expected


@pytest.mark.parametrize("password", ["", " ", "\t\n", "\0", "\0secret", "secret\0", "x" * 1_025, None])
def test_an_empty_or_blank_password_never_reaches_the_directory(password: str | None) -> None:
    """T13.2. The directory here takes anything for a success, as some do for a bind without a password."""
    with scripted(result) as fake:
        room = fresh(url=fake.url, userdn="ou=people", deny_null_bind=False)
        work = room.request(Operation.UPDATE, LOGIN + "alice", {} if password is None else {"password": password}, token="")
        assert work.error is not None and (work.error.status, str(work.error)) == (400, login.NO_PASSWORD)
        assert fake.connections == 0
        assert answer(room, "alice", "anything") == (200, ""), "the control: this directory lets everybody in"


def test_the_check_before_the_directory_is_what_keeps_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: without it such a password is let in there."""
    monkeypatch.setattr(login, "_check_password", lambda _password: None)
    with scripted(result) as fake:
        room = fresh(url=fake.url, userdn="ou=people")
        assert answer(room, "alice", "\0") == answer(room, "alice", " ") == (200, "")


# -- guessing -------------------------------------------------------------------------------------------------------


@needs_slapd
@pytest.mark.parametrize("way", [direct, searching])
def test_five_wrong_passwords_lock_every_spelling_for_fifteen_minutes(slapd: Slapd, way: Any) -> None:
    """T1.1."""
    room = way(slapd)
    for name in ("alice", "ALICE", "Alice", "aLiCe", "alicE"):
        assert answer(room, name, "wrong") == FAILED
    assert answer(room, "alice", "wonderland") == LOCKED == answer(room, "ALICE", "wonderland")
    room.advance(899)
    assert answer(room, "alice", "wonderland") == LOCKED
    room.advance(1)
    assert answer(room, "alice", "wonderland") == (200, "")


@needs_slapd
@pytest.mark.parametrize("way", [direct, searching])
def test_a_right_password_forgets_the_failures(slapd: Slapd, way: Any) -> None:
    room = way(slapd)
    for _ in range(3):
        assert [answer(room, "alice", "wrong") for _ in range(4)] == [FAILED] * 4
        assert answer(room, "alice", "wonderland") == (200, "")


@needs_slapd
def test_names_that_exist_and_names_that_do_not_are_locked_alike(slapd: Slapd) -> None:
    """T1.4."""
    room = searching(slapd)
    known = [answer(room, "alice", "wrong") for _ in range(7)]
    unknown = [answer(room, "nobody", "wrong") for _ in range(7)]
    assert known == unknown == [FAILED] * 5 + [LOCKED] * 2


@needs_slapd
def test_a_locked_name_is_not_tried_in_the_directory(monkeypatch: pytest.MonkeyPatch, slapd: Slapd) -> None:
    room = searching(slapd)
    for _ in range(5):
        answer(room, "alice", "wrong")
    monkeypatch.setattr(directory.Directory, "_connected", lambda *_: pytest.fail("the directory was asked"))
    assert answer(room, "alice", "wonderland") == LOCKED


@needs_slapd
def test_every_spelling_of_somebody_is_one_entity_and_one_counter(slapd: Slapd) -> None:
    """T1.3: directories ignore case."""
    spellings = ["".join(letters) for letters in itertools.product(*(f"{letter}{letter.upper()}" for letter in "alice"))]
    room = searching(slapd)
    entities = {room.login(LOGIN + name, {"password": "wonderland"}).entity_id for name in spellings}
    assert len(entities) == 1 and aliases(room) == ["alice"]
    assert [answer(room, name, "wrong") for name in spellings] == [FAILED] * 5 + [LOCKED] * (len(spellings) - 5)


@needs_slapd
@pytest.mark.parametrize("more", [{}, {"username_as_alias": True}, {"userattr": "cn"}])
def test_a_second_name_for_the_same_entry_gives_no_further_guesses(slapd: Slapd, more: dict[str, Any]) -> None:
    room = searching(slapd, userfilter="(|(uid={{.Username}})(mail={{.Username}}))", **more)
    names = itertools.cycle(["alice", "alice@example.com"])
    assert [answer(room, next(names), "wrong") for _ in range(6)] == [FAILED] * 5 + [LOCKED]
    assert answer(room, "alice", "wonderland") == LOCKED == answer(room, "alice@example.com", "wonderland")
    locked = room.json(room.read("sys/locked-users"))["by_namespace"][0]["mount_accessors"][0]
    assert locked["alias_identifiers"] == ["alice liddell" if more.get("userattr") == "cn" else "alice"]
    room.write(f"sys/locked-users/{locked['mount_accessor']}/unlock/{locked['alias_identifiers'][0]}")
    assert answer(room, "alice@example.com", "wonderland") == (200, "") == answer(room, "alice", "wonderland")
    assert len(aliases(room)) == (2 if more.get("username_as_alias") else 1)


@needs_slapd
def test_a_directory_that_cannot_say_counts_no_guess(slapd: Slapd) -> None:
    room = searching(slapd)
    room.write(CONFIG, {"bindpass": "wrong"})
    assert {answer(room, "alice", "wonderland")[0] for _ in range(7)} == {502}
    room.write(CONFIG, {"bindpass": MOUNT_PASSWORD})
    assert answer(room, "alice", "wonderland") == (200, "")


def test_a_slow_directory_keeps_nobody_longer_than_configured() -> None:
    def respond(request: Answer) -> bytes:
        time.sleep(3)
        return result(request)

    with scripted(respond) as fake:
        room = fresh(url=fake.url, userdn="ou=people", request_timeout=1)
        start = time.monotonic()
        assert answer(room, "alice", "wonderland")[0] == 502
        assert time.monotonic() - start < 2.5


def people(request: Answer) -> bytes:
    """A directory with one user, alice."""
    if request.kind == SEARCH:
        found = entry(request, "uid=alice,ou=people", uid=["alice"]) if b"alice" in request.body else b""
        return found + result(request)
    return result(request, 49 if bind_name(request).startswith("uid=") else 0)


def operations(name: str) -> list[str]:
    """What a directory is asked for a login with a wrong password."""
    with scripted(people) as fake:
        room = fresh(url=fake.url, userdn="ou=people", userattr="uid", binddn="cn=mount", bindpass="x")
        assert answer(room, name, "wrong") == FAILED
        return fake.operations


def test_a_name_that_does_not_exist_costs_the_directory_as_much_as_one_that_does() -> None:
    """T2.1: the time of a login is that of its questions; these are the same."""
    assert operations("alice") == operations("nobody") == ["bind", "search", "bind"]


def test_without_that_they_would_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    find = directory.Directory._find

    def hasty(self: directory.Directory, connection: Connection, name: str) -> Any:
        found = find(self, connection, name)
        if found is None:
            raise directory.Refused("there is nobody of this name")
        return found

    monkeypatch.setattr(directory.Directory, "_find", hasty)
    assert operations("alice") != operations("nobody")


def test_nobodys_password_is_tried_on_nobody() -> None:
    with scripted(people) as fake:
        room = fresh(url=fake.url, userdn="ou=people", userattr="uid", binddn="cn=mount", bindpass="x")
        for _ in range(2):
            answer(room, "nobody", "wrong")
        tried = [bind_name(request) for request in fake.asked if request.kind == BIND and bind_name(request) != "cn=mount"]
    assert len(set(tried)) == 2 and all(name.startswith("uid=") and name.endswith(",ou=people") and len(name) > 40 for name in tried)


# -- afterwards -----------------------------------------------------------------------------------------------------


@needs_slapd
def test_renewal_asks_the_directory_anew(slapd: Slapd) -> None:
    room = searching(slapd)
    room.write(GROUPS + "dev", {"policies": "develop"})
    token = room.login(LOGIN + "alice", {"password": "wonderland"}).client_token.reveal()
    room.write(CONFIG, {"token_ttl": 60})
    renewed = room.write("auth/token/renew-self", token=token).auth
    assert renewed is not None and renewed.lease_duration == 60
    room.write(GROUPS + "alumni", {"policies": "reunion"})
    with pytest.raises(InvalidRequest, match="policies have changed, not renewing"):
        room.write("auth/token/renew-self", token=token)
    room.write(GROUPS + "alumni", {})
    room.write(CONFIG, {"userfilter": "(&(uid={{.Username}})(!(uid=alice)))"})
    with pytest.raises(InvalidRequest, match="does not know the user any more, not renewing"):
        room.write("auth/token/renew-self", token=token)
    room.write(CONFIG, {"userfilter": "(uid=bob)", "groupfilter": "(member=uid=alice,ou=people,dc=example,dc=com)"})
    with pytest.raises(InvalidRequest, match="another entry of the directory now, not renewing"):
        room.write("auth/token/renew-self", token=token)


@needs_slapd
def test_without_an_account_of_the_mount_nothing_is_renewed(slapd: Slapd) -> None:
    """The password is not kept, so nobody could be asked whether the user is still there."""
    room = direct(slapd)
    token = room.login(LOGIN + "alice", {"password": "wonderland"}).client_token.reveal()
    with pytest.raises(InvalidRequest, match="binddn and bindpass"):
        room.write("auth/token/renew-self", token=token)


@needs_slapd
@pytest.mark.parametrize("path", [GROUPS + "Dev", USERS + "alice"])
def test_tokens_end_with_the_local_group_or_user_they_rest_on(slapd: Slapd, path: str) -> None:
    room = searching(slapd)
    room.write(GROUPS + "dev", {"policies": "develop"})
    room.write(USERS + "alice", {"policies": "own"})
    alice = room.login(LOGIN + "alice", {"password": "wonderland"}).client_token.reveal()
    other = room.login(LOGIN + "umlaut", {"password": "umlaut"}).client_token.reveal()
    room.delete(path)
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=alice)
    room.read("auth/token/lookup-self", token=other)


@needs_slapd
def test_a_login_from_elsewhere_is_refused_before_the_directory_is_asked(slapd: Slapd) -> None:
    room = searching(slapd, token_bound_cidrs="10.0.0.0/8")
    assert answer(room, "alice", "wonderland") == LOCKED == answer(room, "alice", "wrong")
    token = room.login(LOGIN + "alice", {"password": "wonderland"}, peer=Peer("10.1.2.3", 1)).client_token.reveal()
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)


# -- Active Directory -----------------------------------------------------------------------------------------------

SID = bytes.fromhex("010500000000000515000000dcf4dc3b833d2b46828ba62800020000")


def active_directory(request: Answer) -> bytes:
    """A user that is found by his principal name and has a nested group in tokenGroups."""
    if request.kind == BIND:
        return result(request, 0 if bind_name(request) in ("alice@corp.example", "cn=mount") else 49)
    base = search_base(request)
    if base == "cn=users":
        return entry(request, "cn=Alice,cn=users", sAMAccountName=["Alice"]) + result(request)
    if base == "cn=Alice,cn=users":
        return entry(request, base, tokenGroups=[SID]) + result(request)
    found = entry(request, "CN=Domain Users,CN=Users") if base == f"<SID={sid_text(SID)}>" else b""
    return found + result(request)


def test_a_security_identifier_is_written_as_active_directory_does() -> None:
    assert sid_text(SID) == "S-1-5-21-1004336348-1177238915-682003330-512"
    for wrong in (b"", SID[:-1], SID + b"\0", bytes(8)[:7]):
        with pytest.raises(DirectoryError):
            sid_text(wrong)


def test_somebody_logs_in_by_principal_name_with_the_groups_of_his_token() -> None:
    with scripted(active_directory) as fake:
        room = fresh(url=fake.url, userdn="cn=users", userattr="sAMAccountName", upndomain="corp.example", use_token_groups=True)
        room.write(GROUPS + "domain users", {"policies": "desk"})
        auth = room.login(LOGIN + "alice", {"password": "x"})
        assert auth.policies == ("default", "desk")
        assert aliases(room) == ["alice@corp.example"]


@given(st.binary(max_size=80))
def test_any_bytes_are_an_identifier_or_refused(value: bytes) -> None:
    try:
        assert sid_text(value).startswith("S-")
    except DirectoryError:
        assert len(value) < 8 or len(value) != 8 + 4 * value[1]


def test_defaults_pass_their_own_checks() -> None:
    body = {name: getattr(Config(), name) for name in ConfigBody.__struct_fields__ if hasattr(Config(), name)}
    assert changed_config(Config(), ConfigBody(**body)) == Config()


# -- what is written down -------------------------------------------------------------------------------------------


@needs_slapd
def test_no_password_is_in_the_audit_log_or_an_answer(slapd: Slapd, tmp_path: Path) -> None:
    """T14.1, and promise 6."""
    room = Strongroom()
    file = audit_to(room, tmp_path)
    room.write("sys/auth/ldap", {"type": "ldap"})
    room.write(CONFIG, {"url": slapd.tls_url, "certificate": slapd.ca, "binddn": MOUNT, "bindpass": MOUNT_PASSWORD, **TREE})
    said = [answer(room, "alice", "wonderland"), answer(room, "alice", "canary-password"), answer(room, "alice", "canary\0password")]
    room.write(CONFIG, {"bindpass": "canary-bindpass"})
    said.append(answer(room, "alice", "wonderland"))
    assert [status for status, _ in said] == [200, 400, 400, 502]
    text = file.read_text() + str(said)
    assert "failed to bind" in text, "the control: what may be there is"
    assert not [secret for secret in (MOUNT_PASSWORD, "wonderland", "canary") if secret in text]
