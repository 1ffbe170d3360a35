"""hvac's `auth.azure` against a real server, which asks a stub of Entra ID."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import Provider, oidc_provider

TENANT, RESOURCE, OID = "00000000-1111-2222-3333-444444444444", "https://vault.example", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
ISSUER = f"https://sts.windows.net/{TENANT}/"


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("entra")) as provider:
        described = {"issuer": ISSUER, "jwks_uri": f"{provider.issuer}/keys"}
        provider.instead[f"/{TENANT}/.well-known/openid-configuration"] = Answered(200, described)
        provider.claims = {"iss": ISSUER, "aud": RESOURCE, "oid": OID}
        yield provider


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh azure mount."""
    client.sys.enable_auth_method("azure", path=name)
    yield name
    client.sys.disable_auth_method(name)


def test_a_configuration_comes_and_goes(client: hvac.Client, mount: str) -> None:
    fields = {"tenant_id": TENANT, "resource": RESOURCE, "environment": "AzureUSGovernmentCloud", "client_id": "id"}
    client.auth.azure.configure(**fields, client_secret="hunter2", mount_point=mount)
    found = client.auth.azure.read_config(mount_point=mount)
    assert {name: found[name] for name in fields} == fields and "client_secret" not in found
    assert client.auth.azure.delete_config(mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.azure.read_config(mount_point=mount)


def test_roles_come_and_go(client: hvac.Client, mount: str) -> None:
    bounds = {
        "bound_service_principal_ids": [OID],
        "bound_subscription_ids": ["s"],
        "bound_resource_groups": ["g"],
        "bound_scale_sets": ["x"],
    }
    client.auth.azure.create_role("testrole", policies=["p"], ttl="1h", max_ttl="2h", num_uses=3, mount_point=mount, **bounds)
    found = client.auth.azure.read_role("testrole", mount_point=mount)
    assert {name: found[name] for name in bounds} == bounds
    assert (found["token_policies"], found["token_ttl"], found["num_uses"]) == (["p"], 3_600, 3)
    assert client.auth.azure.list_roles(mount_point=mount)["keys"] == ["testrole"]
    assert client.auth.azure.delete_role("testrole", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.azure.list_roles(mount_point=mount)
    with pytest.raises(exceptions.InvalidRequest, match="must have at least one bound constraint"):
        client.auth.azure.create_role("testrole", mount_point=mount)


def test_a_machine_logs_in(server: Running, client: hvac.Client, mount: str, entra: Provider) -> None:
    where = {"authority_url": entra.issuer, "authority_ca_pem": entra.ca_pem}
    client.write(f"auth/{mount}/config", tenant_id=TENANT, resource=RESOURCE, **where)
    client.auth.azure.create_role("machines", policies="p", bound_service_principal_ids=[OID], mount_point=mount)
    own = server.client("")
    auth = own.auth.azure.login("machines", entra.token(), vm_name="not-in-the-token", mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "p"] and auth["metadata"] == {"role": "machines"}
    with pytest.raises(exceptions.InvalidRequest, match="service principal not authorized"):
        own.auth.azure.login("machines", entra.token(oid="another"), mount_point=mount)
