"""hvac's `auth.kubernetes` against a real server, which asks an API server over TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running
from tests.support.kubernetes_api import REVIEWER, Cluster, Holder, projected, signed


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with closing(Cluster(tmp_path_factory.mktemp("kubernetes"))) as cluster:
        yield cluster


@pytest.fixture
def mount(client: hvac.Client, name: str, api: Cluster) -> Iterator[str]:
    """A mount that is configured for the cluster."""
    client.sys.enable_auth_method("kubernetes", path=name)
    client.auth.kubernetes.configure(api.url, kubernetes_ca_cert=api.ca_pem, token_reviewer_jwt=REVIEWER, mount_point=name)
    yield name
    client.sys.disable_auth_method(name)


def test_the_configuration_is_read_back(client: hvac.Client, mount: str, api: Cluster) -> None:
    done = client.auth.kubernetes.configure(
        api.url, kubernetes_ca_cert=api.ca_pem, token_reviewer_jwt=REVIEWER, pem_keys=[api.ca_pem], issuer="me", mount_point=mount
    )
    assert done.status_code == 204
    data = client.auth.kubernetes.read_config(mount_point=mount)
    assert data == {
        "kubernetes_host": api.url,
        "kubernetes_ca_cert": api.ca_pem,
        "token_reviewer_jwt_set": True,
        "pem_keys": [api.ca_pem.strip()],
        "issuer": "me",
        "disable_iss_validation": True,
        "disable_local_ca_jwt": False,
        "use_annotations_as_alias_metadata": False,
    }


def test_roles_are_written_read_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        client.auth.kubernetes.list_roles(mount_point=mount)
    done = client.auth.kubernetes.create_role(
        "till", "till,other", "*", ttl="10m", max_ttl="1h", period=0, policies="a,b", token_type="service", audience="x", mount_point=mount
    )
    assert done.status_code in (200, 204)
    data = client.auth.kubernetes.read_role("till", mount_point=mount)
    assert data["bound_service_account_names"] == ["till", "other"] and data["bound_service_account_namespaces"] == ["*"]
    assert (data["token_ttl"], data["token_max_ttl"], data["token_policies"], data["audience"]) == (600, 3600, ["a", "b"], "x")
    assert client.auth.kubernetes.list_roles(mount_point=mount)["keys"] == ["till"]
    assert client.auth.kubernetes.delete_role("till", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.kubernetes.read_role("till", mount_point=mount)


def test_a_pod_logs_in(server: Running, client: hvac.Client, mount: str, api: Cluster) -> None:
    client.auth.kubernetes.create_role("till", ["till"], ["shop"], policies=["not_root"], mount_point=mount)
    own = server.client("")
    auth = own.auth.kubernetes.login("till", signed(projected(exp=int(time.time()) + 600)), mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "not_root"] and auth["metadata"]["service_account_name"] == "till"
    data = own.auth.token.lookup_self()["data"]
    assert data["display_name"] == f"{mount}-shop-till" and data["path"] == f"auth/{mount}/login" and data["entity_id"]
    assert "reviewer" not in server.output() and REVIEWER not in server.output()


def test_who_the_cluster_does_not_know_is_denied(server: Running, client: hvac.Client, mount: str, api: Cluster) -> None:
    client.auth.kubernetes.create_role("till", ["till"], ["shop"], policies=["not_root"], mount_point=mount)
    for token, text in {
        signed(projected(exp=1)): "token is expired",
        signed(projected(Holder(uid="gone"))): "permission denied",
        "x.y.z": "permission denied",
    }.items():
        with pytest.raises(exceptions.Forbidden, match=text):
            server.client("").auth.kubernetes.login("till", token, mount_point=mount)
    with pytest.raises(exceptions.InvalidRequest, match="invalid role name"):
        server.client("").auth.kubernetes.login("none", signed(projected()), mount_point=mount)
