"""gcp: service accounts and machines of Google Cloud, from a stub that signs and publishes as Google does (CVE-2020-16251)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from strongroom.auth.gcp.config import Config
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, NotFound, UnsupportedOperation
from strongroom.testing import FakeClock, Strongroom
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import Provider, oidc_provider
from tests.support.tokens import jwk, rsa_key, signed

EMAIL, UNIQUE = "builder@project-1.iam.gserviceaccount.com", "104000000000000000001"
GOOGLE = "https://accounts.google.com"
MACHINE = {
    "instance_id": "7000000000000000001",
    "instance_name": "web-1",
    "project_id": "project-1",
    "project_number": 739,
    "zone": "europe-west1-b",
    "instance_creation_timestamp": 1_700_000_000,
}
KEY = rsa_key()
"""A service account's own."""


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("google")) as provider:
        for name in (EMAIL, UNIQUE):
            provider.instead[f"/service_accounts/v1/jwk/{name}"] = Answered(200, {"keys": [jwk(KEY, "own")]})
        provider.claims = {}
        yield provider


@pytest.fixture(scope="module")
def room(google: Provider) -> Strongroom:
    room = Strongroom(clock=FakeClock(int(time.time()) * 1_000_000_000))
    room.write("sys/auth/gcp", {"type": "gcp"})
    where = {"google_certs_endpoint": f"{google.issuer}/keys", "google_certs_ca_pem": google.ca_pem}
    room.write("auth/gcp/config", {**where, "custom_endpoint": {"api": google.issuer}})
    return room


def by_google(google: Provider, machine: Any = None, **changes: Any) -> str:
    """An identity token of a machine, or of an account without one."""
    now = int(time.time())
    usual = {"iss": GOOGLE, "aud": "http://vault/ci", "sub": UNIQUE, "email": EMAIL, "email_verified": True, "iat": now, "exp": now + 3_600}
    extra = {"google": {"compute_engine": machine}} if machine is not None else {}
    return google.sign({name: value for name, value in {**usual, **extra, **changes}.items() if value is not None})


def by_account(**changes: Any) -> str:
    """A token that an account signed itself."""
    found = {"aud": "vault/ci", "sub": UNIQUE, "exp": int(time.time()) + 600, **changes}
    return signed(KEY, {name: value for name, value in found.items() if value is not None}, header={"kid": "own"})


def role(room: Strongroom, kind: str = "iam", **fields: Any) -> None:
    room.delete("auth/gcp/role/ci")
    room.write("auth/gcp/role/ci", {"type": kind, "bound_service_accounts": UNIQUE, **fields})


def answer(room: Strongroom, token: str, name: str = "ci") -> tuple[int, str]:
    work = room.request(Operation.UPDATE, "auth/gcp/login", {"role": name, "jwt": token}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


# -- configuration and roles ------------------------------------------------------------------------------------------


def test_a_configuration_is_read_back_and_the_private_key_is_not_even_kept() -> None:
    room = Strongroom()
    room.write("sys/auth/gcp", {"type": "gcp"})
    before = room.json(room.read("auth/gcp/config"))
    assert set(before) == {"iam_metadata", "gce_metadata", "identity_token_audience", "identity_token_ttl"}, "what is not set is not told"
    named = {"client_email": EMAIL, "client_id": UNIQUE, "private_key_id": "k1", "project_id": "project-1"}
    credentials = json.dumps({**named, "private_key": "-----BEGIN PRIVATE KEY-----", "type": "service_account"})
    sent = {"iam_alias": "role_id", "gce_alias": "role_id", "iam_metadata": ["role"], "custom_endpoint": {"api": "https://x.example"}}
    warnings = room.write("auth/gcp/config", {**sent, "credentials": credentials, "gce_metadata": "default"}).warnings
    found = room.json(room.read("auth/gcp/config"))
    assert {name: found[name] for name in (*sent, *named)} == {**sent, **named} and len(found["gce_metadata"]) == 9
    assert "PRIVATE" not in json.dumps(found) and any("private key was not kept" in each for each in warnings)
    room.write("auth/gcp/config", {"iam_alias": "", "google_certs_endpoint": "", "identity_token_ttl": "1m"})
    after = room.json(room.read("auth/gcp/config"))
    assert "iam_alias" not in after and after["identity_token_ttl"] == 60
    with pytest.raises(UnsupportedOperation):
        room.delete("auth/gcp/config")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"credentials": "{"}, "credentials are a service account's JSON"),
        ({"google_certs_endpoint": "file:///etc/passwd"}, "a URL is https://"),
        ({"google_certs_ca_pem": "-----BEGIN CERTIFICATE-----"}, "could not parse CA PEM value successfully"),
        ({"custom_endpoint": {"api": "http://a.example"}}, "a URL here begins with https://"),
        ({"iam_alias": "email"}, "invalid IAM alias type: must be one of: role_id, unique_id"),
        ({"gce_alias": "name"}, "invalid GCE alias type: must be one of: instance_id, role_id"),
        ({"iam_metadata": "zone"}, "iam_metadata has names that are none"),
        ({"custom_endpoint": {"evil": "https://x.example"}}, "custom_endpoint may have"),
    ],
)
def test_a_configuration_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        room.write("auth/gcp/config", fields)


@pytest.mark.parametrize(
    "fields",
    [
        {
            "type": "iam",
            "bound_service_accounts": [EMAIL, UNIQUE],
            "max_jwt_exp": 60,
            "allow_gce_inference": False,
            "bound_projects": ["p"],
        },
        {"type": "gce", "bound_projects": ["p"], "bound_zones": ["z"], "bound_regions": ["r"], "bound_instance_groups": ["g"]},
        {"type": "gce", "bound_projects": ["p"], "token_policies": ["x"], "token_ttl": 60, "token_max_ttl": 120, "token_type": "service"},
    ],
)
def test_every_field_of_a_role_is_read_back(room: Strongroom, fields: dict[str, Any]) -> None:
    room.write("auth/gcp/role/Full", fields)
    found = room.json(room.read("auth/gcp/role/full"))
    assert {name: found[name] for name in fields} == fields and len(found["role_id"]) == 36
    assert "full" in room.list("auth/gcp/role") and "full" in room.list("auth/gcp/roles")
    room.write("auth/gcp/role/full", {"token_ttl": 30})
    assert room.json(room.read("auth/gcp/role/full"))["role_id"] == found["role_id"]
    room.delete("auth/gcp/role/full")
    with pytest.raises(NotFound):
        room.read("auth/gcp/role/full")


IAM = {"type": "iam", "bound_service_accounts": EMAIL}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bound_service_accounts": EMAIL}, "role type cannot be empty"),
        ({"type": "ec2"}, "role type is invalid"),
        ({"type": "iam"}, "IAM role type must have at least one service account"),
        ({**IAM, "bound_zones": "z"}, "invalid args found for role of type iam: bound_zones"),
        ({"type": "gce", "max_jwt_exp": 60}, "invalid args found for role of type gce: max_jwt_exp"),
        ({**IAM, "max_jwt_exp": "2h"}, "max_jwt_exp cannot be more than 60 minutes"),
        ({**IAM, "bound_service_accounts": f"*,{EMAIL}"}, "cannot provide IAM service account wildcard"),
        ({"type": "gce", "bound_instance_groups": "g"}, "region or zone information must be specified if an instance group is given"),
        ({"type": "gce", "bound_labels": "no-colon"}, "invalid labels given"),
        ({**IAM, "bound_projects": "a", "project_id": "b"}, 'cannot specify both "project_id" and "bound_projects"'),
    ],
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        room.write("auth/gcp/role/wrong", fields)
    assert text in str(caught.value)


def test_group_aliases_are_read_back_and_said_to_be_none(room: Strongroom) -> None:
    assert "add_group_aliases adds none" in room.write("auth/gcp/role/groups", {**IAM, "add_group_aliases": True}).warnings[0]
    assert room.json(room.read("auth/gcp/role/groups"))["add_group_aliases"] is True
    assert room.write("auth/gcp/role/groups", {"add_group_aliases": False}).warnings == ()


def test_a_custom_endpoint_may_be_a_bare_host() -> None:
    room = Strongroom()
    room.write("sys/auth/gcp", {"type": "gcp"})
    room.write("auth/gcp/config", {"custom_endpoint": {"api": "www.example.com", "crm": "crm.example.com:8443"}})
    assert room.json(room.read("auth/gcp/config"))["custom_endpoint"] == {"api": "www.example.com", "crm": "crm.example.com:8443"}
    assert Config(custom_endpoint={"api": "www.example.com"}).account("a").url.startswith("https://www.example.com/service_accounts/")


def test_a_roles_type_stays_and_old_names_mean_new_ones(room: Strongroom) -> None:
    warnings = room.write("auth/gcp/role/old", {"type": "iam", "service_accounts": EMAIL, "project_id": "p"}).warnings
    found = room.json(room.read("auth/gcp/role/old"))
    assert found["bound_service_accounts"] == [EMAIL] and found["bound_projects"] == ["p"] and len(warnings) == 2
    with pytest.raises(InvalidRequest, match="role type cannot be changed for an existing role"):
        room.write("auth/gcp/role/old", {"type": "gce"})


def test_accounts_and_labels_can_be_edited(room: Strongroom) -> None:
    room.write("auth/gcp/role/accounts", IAM)
    room.write("auth/gcp/role/accounts/service-accounts", {"add": [UNIQUE, EMAIL], "remove": EMAIL})
    assert room.json(room.read("auth/gcp/role/accounts"))["bound_service_accounts"] == [UNIQUE]
    room.write("auth/gcp/role/labelled", {"type": "gce", "bound_labels": "a:1,b:2"})
    room.write("auth/gcp/role/labelled/labels", {"add": "c:3", "remove": "a"})
    assert room.json(room.read("auth/gcp/role/labelled"))["bound_labels"] == {"b": "2", "c": "3"}
    with pytest.raises(InvalidRequest, match="role is type 'iam', cannot edit attribute 'labels' \\(expected role type: 'gce'\\)"):
        room.write("auth/gcp/role/accounts/labels", {"add": "c:3"})
    with pytest.raises(InvalidRequest, match="must provide at least one value to add or remove"):
        room.write("auth/gcp/role/accounts/service-accounts", {})


# -- service accounts -------------------------------------------------------------------------------------------------


def test_an_account_logs_in_with_a_token_that_it_signed(room: Strongroom) -> None:
    role(room, token_policies="p")
    auth = room.login("auth/gcp/login", {"role": "CI", "jwt": by_account()})
    assert auth.token_policies == ("default", "p") and auth.metadata == {"role": "ci", "service_account_id": UNIQUE}
    shown = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert shown["display_name"] == f"gcp-{UNIQUE}"


def test_an_account_logs_in_with_a_token_of_google(room: Strongroom, google: Provider) -> None:
    role(room, bound_service_accounts=EMAIL, bound_projects="project-1")
    auth = room.login("auth/gcp/login", {"role": "ci", "jwt": by_google(google, MACHINE)})
    named = {"service_account_id": UNIQUE, "service_account_email": EMAIL, "project_id": "project-1"}
    assert auth.metadata == {"role": "ci", **named}
    role(room, bound_service_accounts=EMAIL, allow_gce_inference=False)
    assert answer(room, by_google(google, MACHINE)) == (400, 'Got GCE token but IAM role "ci" does not allow GCE inference')


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "vault/other"},
        {"aud": "evilvault/ci"},
        {"aud": ["vault/ci", "vault/other"]},
        {"aud": []},
        {"aud": None},
        {"exp": None},
        {"exp": 1},
        {"exp": lambda: int(time.time()) + 1_000},
        {"exp": lambda: int(time.time()) + 90_000},
        {"sub": None},
        {"sub": "104000000000000000002"},
        {"sub": "../../oauth2/v3/certs"},
        {"sub": f"{UNIQUE}?"},
        {"sub": "me@example.com"},
        {"iss": "https://other.example"},
        {"iss": GOOGLE},
        {"iss": None, "sub": EMAIL},
    ],
)
def test_an_accounts_token_that_is_not_right_is_refused(room: Strongroom, changes: dict[str, Any]) -> None:
    role(room, bound_service_accounts="*")
    assert answer(room, by_account())[0] == 200
    now = {name: value() if callable(value) else value for name, value in changes.items()}
    assert answer(room, by_account(**now))[0] == 400


def test_keys_are_fetched_for_accounts_that_the_role_binds_only(room: Strongroom, google: Provider) -> None:
    role(room, bound_service_accounts=UNIQUE)
    before = len(google.asked)
    for number in range(20):
        assert answer(room, by_account(sub=f"20400000000000000{number}")) == (400, "service account is not authorized for role")
    assert len(google.asked) == before
    role(room, bound_service_accounts="*")
    assert answer(room, by_account(sub="204000000000000000"))[0] == 400
    assert len(google.asked) == before + 1, "the control: where any account may come, its keys are asked for"


def test_an_email_is_an_alias_only_if_nobody_can_get_it_later(room: Strongroom) -> None:
    role(room, bound_service_accounts=EMAIL)
    status, text = answer(room, by_account(sub=EMAIL))
    assert status == 400 and "use its unique id as sub" in text
    room.write("auth/gcp/config", {"iam_alias": "role_id"})
    try:
        assert answer(room, by_account(sub=EMAIL)) == (200, "")
    finally:
        room.write("auth/gcp/config", {"iam_alias": "unique_id"})


def test_an_email_that_google_did_not_verify_or_that_an_account_claims_is_not_read(room: Strongroom, google: Provider) -> None:
    role(room, bound_service_accounts=EMAIL)
    assert answer(room, by_google(google))[0] == 200, "the control"
    for token in (
        by_google(google, email_verified=False),
        by_google(google, email_verified="true"),
        by_account(email=EMAIL, email_verified=True),
    ):
        assert answer(room, token) == (400, "service account is not authorized for role")


def test_another_accounts_key_does_not_sign_for_this_one(room: Strongroom, google: Provider) -> None:
    role(room, bound_service_accounts="*")
    mine, other = rsa_key(), "104000000000000000009"
    google.instead[f"/service_accounts/v1/jwk/{other}"] = Answered(200, {"keys": [jwk(mine, "own")]})
    claims = {"aud": "vault/ci", "exp": int(time.time()) + 600}
    assert answer(room, signed(mine, {**claims, "sub": other}, header={"kid": "own"}))[0] == 200
    assert answer(room, signed(mine, {**claims, "sub": UNIQUE}, header={"kid": "own"}))[0] == 400


# -- machines ---------------------------------------------------------------------------------------------------------


def test_a_machine_logs_in_with_what_google_says_of_it(room: Strongroom, google: Provider) -> None:
    role(room, "gce", bound_projects="project-1", bound_zones="europe-west1-b", bound_service_accounts=EMAIL)
    auth = room.login("auth/gcp/login", {"role": "ci", "jwt": by_google(google, MACHINE)})
    assert auth.metadata is not None and auth.metadata["instance_name"] == "web-1" and auth.metadata["project_number"] == "739"
    shown = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert shown["display_name"] == "gcp-web-1"


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({"bound_projects": "project-1"}, True),
        ({"bound_projects": "project-2"}, False),
        ({"bound_zones": "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west1-b"}, True),
        ({"bound_zones": "europe-west1-c"}, False),
        ({"bound_regions": "europe-west1"}, True),
        ({"bound_regions": "europe-west2"}, False),
        ({"bound_regions": "europe-west1", "bound_zones": "europe-west1-c"}, False),
        ({"bound_service_accounts": "other@project-1.iam.gserviceaccount.com"}, False),
        ({"bound_labels": "env:prod"}, False),
        ({"bound_instance_groups": "g", "bound_zones": "europe-west1-b"}, False),
    ],
)
def test_a_role_takes_the_machines_it_binds(room: Strongroom, google: Provider, bounds: dict[str, Any], allowed: bool) -> None:
    role(room, "gce", **bounds)
    assert (answer(room, by_google(google, MACHINE))[0] == 200) is allowed


def test_what_an_account_says_of_a_machine_is_not_read(room: Strongroom, google: Provider) -> None:
    """CVE-2020-16251: an account signs a token that describes a machine. The control is Google's own token with the same claims."""
    forged = by_account(aud="http://vault/ci", google={"compute_engine": MACHINE})
    role(room, "gce", bound_projects="project-1")
    assert answer(room, forged)[0] == 400
    assert answer(room, by_account(aud="http://vault/ci", iss=GOOGLE, google={"compute_engine": MACHINE}))[0] == 400
    assert answer(room, by_google(google, MACHINE))[0] == 200
    role(room, "iam", bound_projects="project-1", bound_service_accounts="*")
    assert answer(room, forged)[0] == 400


@pytest.mark.parametrize("machine", [None, {}, {"instance_id": 7}, "machine", {"instance_id": "1", "project_number": "x"}])
def test_a_token_without_a_machine_is_none_for_machines(room: Strongroom, google: Provider, machine: Any) -> None:
    role(room, "gce", bound_projects="project-1")
    assert answer(room, by_google(google, machine)) == (400, "expected JWT to have claims with GCE metadata")
