"""hvac's `auth.gcp` against a real server, which asks a stub of Google."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running
from tests.support.oidc_provider import Provider, oidc_provider

EMAIL, UNIQUE = "builder@project-1.iam.gserviceaccount.com", "104000000000000000001"


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("google")) as provider:
        yield provider


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh gcp mount."""
    client.sys.enable_auth_method("gcp", path=name)
    yield name
    client.sys.disable_auth_method(name)


def test_a_configuration_is_written_and_read_back(client: hvac.Client, mount: str) -> None:
    client.auth.gcp.configure(json.dumps({"client_email": EMAIL, "private_key": "secret", "project_id": "project-1"}), mount_point=mount)
    found = client.auth.gcp.read_config(mount_point=mount)
    assert (found["client_email"], found["project_id"]) == (EMAIL, "project-1") and "secret" not in str(found)
    assert found["google_certs_endpoint"].startswith("https://www.googleapis.com/")
    with pytest.raises(exceptions.UnexpectedError):  # the 405 that Vault answers
        client.auth.gcp.delete_config(mount_point=mount)


def test_roles_come_and_go(client: hvac.Client, mount: str) -> None:
    accounts = [EMAIL, UNIQUE]
    client.auth.gcp.create_role(
        "builders", "iam", "project-1", bound_service_accounts=accounts, policies=["p"], ttl="1h", mount_point=mount
    )
    client.auth.gcp.create_role("machines", "gce", "project-1", bound_zones=["z"], bound_labels=["env:prod"], mount_point=mount)
    found = client.auth.gcp.read_role("builders", mount_point=mount)
    assert found["bound_service_accounts"] == accounts and found["bound_projects"] == ["project-1"] and found["policies"] == ["p"]
    assert client.auth.gcp.list_roles(mount_point=mount)["keys"] == ["builders", "machines"]
    client.auth.gcp.edit_service_accounts_on_iam_role("builders", add=["x@y.iam.gserviceaccount.com"], remove=[UNIQUE], mount_point=mount)
    found = client.auth.gcp.read_role("builders", mount_point=mount)
    assert found["bound_service_accounts"] == [EMAIL, "x@y.iam.gserviceaccount.com"]
    client.auth.gcp.edit_labels_on_gce_role("machines", add=["team:a"], remove=["env"], mount_point=mount)
    assert client.auth.gcp.read_role("machines", mount_point=mount)["bound_labels"] == {"team": "a"}
    client.auth.gcp.delete_role("machines", mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.gcp.read_role("machines", mount_point=mount)
    with pytest.raises(exceptions.InvalidRequest, match="IAM role type must have at least one service account"):
        client.auth.gcp.create_role("nobody", "iam", "project-1", mount_point=mount)


def test_an_account_logs_in(server: Running, client: hvac.Client, mount: str, google: Provider) -> None:
    client.write(f"auth/{mount}/config", google_certs_endpoint=f"{google.issuer}/keys", google_certs_ca_pem=google.ca_pem)
    client.auth.gcp.create_role("builders", "iam", "project-1", bound_service_accounts=[EMAIL], policies=["p"], mount_point=mount)
    now = int(time.time())
    claims = {"iss": "https://accounts.google.com", "sub": UNIQUE, "email": EMAIL, "email_verified": True, "iat": now, "exp": now + 3_600}
    own = server.client("")
    auth = own.auth.gcp.login("builders", google.sign({**claims, "aud": "http://vault/builders"}), mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated() and auth["policies"] == ["default", "p"]
    with pytest.raises(exceptions.InvalidRequest, match="must end in"):
        own.auth.gcp.login("builders", google.sign({**claims, "aud": "http://vault/others"}), mount_point=mount)
