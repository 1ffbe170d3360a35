"""azure: tokens of Entra ID, from a stub that signs and publishes as Entra ID does (CVE-2025-3879)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from strongroom.clock import SECOND
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.testing import FakeClock, Strongroom
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import Provider, oidc_provider

TENANT = "00000000-1111-2222-3333-444444444444"
RESOURCE = "https://vault.example"
OID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
ISSUER = f"https://sts.windows.net/{TENANT}/"
MACHINE = "/subscriptions/12345678-0000-0000-0000-000000000000/resourcegroups/My-Group/providers/Microsoft.Compute/virtualMachines/vm-1"
SCALE_SET = MACHINE.replace("virtualMachines/vm-1", "virtualMachineScaleSets/set-1/virtualMachines/0")
IDENTITY = MACHINE.replace("Microsoft.Compute/virtualMachines/vm-1", "Microsoft.ManagedIdentity/userAssignedIdentities/id-1")
SUBSCRIPTION = "12345678-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("entra")) as provider:
        described = {"issuer": ISSUER, "jwks_uri": f"{provider.issuer}/keys"}
        provider.instead[f"/{TENANT}/.well-known/openid-configuration"] = Answered(200, described)
        provider.claims = {}
        yield provider


@pytest.fixture(scope="module")
def room(entra: Provider) -> Strongroom:
    room = Strongroom(clock=FakeClock(int(time.time()) * 1_000_000_000))
    room.write("sys/auth/azure", {"type": "azure"})
    config = {"tenant_id": TENANT, "resource": RESOURCE, "authority_url": entra.issuer, "authority_ca_pem": entra.ca_pem}
    room.write("auth/azure/config", config)
    return room


def token(entra: Provider, **changes: Any) -> str:
    return entra.token(**{"iss": ISSUER, "aud": RESOURCE, "oid": OID, "sub": OID, **changes})


def role(room: Strongroom, **fields: Any) -> None:
    room.delete("auth/azure/role/machines")
    room.write("auth/azure/role/machines", fields or {"bound_service_principal_ids": OID})


def answer(room: Strongroom, jwt: str, **sent: Any) -> tuple[int, str]:
    work = room.request(Operation.UPDATE, "auth/azure/login", {"role": "machines", "jwt": jwt, **sent}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


def test_a_configuration_is_read_back_and_the_secret_is_not_even_kept() -> None:
    room = Strongroom()
    room.write("sys/auth/azure", {"type": "azure"})
    with pytest.raises(NotFound):
        room.read("auth/azure/config")
    sent = {
        "tenant_id": TENANT,
        "resource": RESOURCE,
        "environment": "AzureChinaCloud",
        "client_id": "id",
        "max_retries": 5,
    }
    more = {"client_secret": "hunter2", "root_password_ttl": "1h", "retry_delay": "7s"}
    warnings = room.write("auth/azure/config", {**sent, **more}).warnings
    found = room.json(room.read("auth/azure/config"))
    assert {name: found[name] for name in sent} == sent and found["root_password_ttl"] == 3_600
    assert (found["retry_delay"], found["max_retry_delay"]) == (7 * SECOND, 60 * SECOND)
    assert "client_secret" not in found and any("client_secret was not kept" in warning for warning in warnings)
    room.write("auth/azure/config", {"resource": "other"})
    assert room.json(room.read("auth/azure/config"))["tenant_id"] == TENANT
    room.delete("auth/azure/config")
    with pytest.raises(NotFound):
        room.read("auth/azure/config")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"resource": RESOURCE}, "tenant_id is required"),
        ({"tenant_id": TENANT}, "resource is required"),
        ({"tenant_id": "../common", "resource": RESOURCE}, "tenant_id is an id or a domain"),
        ({"tenant_id": "..", "resource": RESOURCE}, "tenant_id is an id or a domain"),
        ({"tenant_id": TENANT, "resource": RESOURCE, "authority_url": "http://a.example"}, "a URL here begins with https://"),
        ({"tenant_id": TENANT, "resource": RESOURCE, "authority_url": "https://a.example/?x="}, "'authority_url' is a URL with a query"),
        ({"tenant_id": TENANT, "resource": RESOURCE, "environment": "AzureMoon"}, "there is no such environment"),
        ({"tenant_id": TENANT, "resource": RESOURCE, "authority_ca_pem": "x"}, "could not parse CA PEM value successfully"),
    ],
)
def test_a_configuration_that_cannot_be_right_is_not_stored(fields: dict[str, Any], text: str) -> None:
    room = Strongroom()
    room.write("sys/auth/azure", {"type": "azure"})
    with pytest.raises(InvalidRequest, match=text):
        room.write("auth/azure/config", fields)


def test_every_field_of_a_role_is_read_back(room: Strongroom) -> None:
    fields = {
        "bound_service_principal_ids": ["a"],
        "bound_group_ids": ["b", "c"],
        "bound_subscription_ids": ["d"],
        "bound_resource_groups": ["e"],
        "bound_locations": ["westeurope"],
        "bound_scale_sets": ["f"],
        "token_policies": ["p"],
        "token_ttl": 60,
        "token_num_uses": 3,
    }
    warnings = room.write("auth/azure/role/Full", fields).warnings
    found = room.json(room.read("auth/azure/role/full"))
    assert {name: found[name] for name in fields} == fields and "policies" not in found
    assert any("bound_locations" in each for each in warnings)
    assert "full" in room.list("auth/azure/role")
    room.delete("auth/azure/role/full")
    with pytest.raises(NotFound):
        room.read("auth/azure/role/full")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "must have at least one bound constraint when creating/updating a role"),
        ({"bound_group_ids": "*", "bound_service_principal_ids": "*"}, "both cannot be '\\*'"),
        ({"bound_group_ids": ["x"] * 257}, "a bound has at most 256 values"),
        ({"bound_group_ids": "x", "token_policies": "Root"}, "root"),
        ({"bound_group_ids": "x", "token_ttl": 2, "token_max_ttl": 1}, "'token_ttl' cannot be greater"),
    ],
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        room.write("auth/azure/role/wrong", fields)
    with pytest.raises(NotFound):
        room.read("auth/azure/role/wrong")


def test_a_machine_logs_in_by_what_its_token_says(room: Strongroom, entra: Provider) -> None:
    role(room, bound_service_principal_ids=OID, token_policies="p")
    auth = room.login("auth/azure/login", {"role": "MACHINES", "jwt": token(entra, xms_mirid=MACHINE, appid="app-1")})
    assert auth.token_policies == ("default", "p")
    group = {"subscription_id": SUBSCRIPTION, "resource_group_name": "my-group"}
    assert auth.metadata == {"role": "machines", "vm_name": "vm-1", "app_id": "app-1", **group}
    shown = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert shown["display_name"] == f"azure-{OID}"
    room.delete("auth/azure/role/machines")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=auth.client_token.reveal())


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://sts.windows.net/99999999-1111-2222-3333-444444444444/"},
        {"iss": None},
        {"aud": f"{RESOURCE}/"},
        {"aud": "https://management.azure.com/"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": int(time.time()) + 3_600},
        {"oid": None},
        {"oid": "another"},
        {"oid": [OID]},
        {"xms_mirid": 7},
        {"xms_mirid": "/subscriptions/../x"},
    ],
)
def test_a_token_that_is_not_right_is_refused(room: Strongroom, entra: Provider, changes: dict[str, Any]) -> None:
    role(room)
    assert answer(room, token(entra))[0] == 200
    assert answer(room, token(entra, **changes))[0] == 400


@pytest.mark.parametrize(
    ("bounds", "claims", "allowed"),
    [
        ({"bound_service_principal_ids": "*"}, {}, True),
        ({"bound_group_ids": "g1,g2"}, {"groups": ["g2"]}, True),
        ({"bound_group_ids": "g1,g2"}, {"groups": ["g3"]}, False),
        ({"bound_group_ids": "g1,g2"}, {}, False),
        ({"bound_group_ids": "*"}, {}, True),
        ({"bound_group_ids": "g1"}, {"groups": "g1"}, False),
        ({"bound_subscription_ids": SUBSCRIPTION.upper()}, {"xms_mirid": MACHINE}, True),
        ({"bound_subscription_ids": SUBSCRIPTION}, {"xms_mirid": MACHINE.replace("12345678", "22345678")}, False),
        ({"bound_subscription_ids": SUBSCRIPTION}, {}, False),
        ({"bound_resource_groups": "my-group"}, {"xms_az_rid": MACHINE}, True),
        ({"bound_resource_groups": "my-group"}, {"xms_mirid": IDENTITY}, False),
        ({"bound_resource_groups": "my-group"}, {"xms_mirid": IDENTITY, "xms_az_rid": MACHINE}, True),
        ({"bound_scale_sets": "set-1"}, {"xms_az_rid": SCALE_SET}, True),
        ({"bound_scale_sets": "set-1"}, {"xms_az_rid": MACHINE}, False),
        ({"bound_locations": "westeurope"}, {"xms_az_rid": MACHINE}, False),
    ],
)
def test_a_role_takes_whom_it_binds(
    room: Strongroom, entra: Provider, bounds: dict[str, Any], claims: dict[str, Any], allowed: bool
) -> None:
    role(room, **bounds)
    assert (answer(room, token(entra, **claims))[0] == 200) is allowed


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"subscription_id": SUBSCRIPTION, "resource_group_name": "MY-GROUP", "vm_name": "VM-1", "resource_id": MACHINE}, 200),
        ({"subscription_id": "99999999-0000-0000-0000-000000000000"}, 400),
        ({"resource_group_name": "other"}, 400),
        ({"vm_name": "vm-2"}, 400),
        ({"resource_id": SCALE_SET}, 400),
    ],
)
def test_what_is_sent_beside_the_token_proves_nothing(room: Strongroom, entra: Provider, sent: dict[str, Any], status: int) -> None:
    role(room, bound_resource_groups="my-group")
    assert answer(room, token(entra, xms_mirid=MACHINE), **sent)[0] == status
    assert answer(room, token(entra), **{**sent, "resource_group_name": "my-group"})[0] == 400, "it does not stand in for a claim"
    role(room)
    auth = room.login("auth/azure/login", {"role": "machines", "jwt": token(entra), **sent})
    assert auth.metadata == {"role": "machines"}


def test_what_is_missing_is_named(room: Strongroom, entra: Provider) -> None:
    role(room)
    assert answer(room, "") == (400, "jwt is required")
    assert answer(room, token(entra), role="") == (400, "role is required")
    assert answer(room, token(entra), role="none") == (400, 'invalid role name "none"')
