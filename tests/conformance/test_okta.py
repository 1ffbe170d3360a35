"""hvac's `auth.okta` against a real server, which asks an Okta that is played on the loopback."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import pytest
from hvac import exceptions

from tests.conformance.conftest import configured, open_up
from tests.conformance.server import Running
from tests.support.elsewhere import elsewhere
from tests.support.okta_api import API_TOKEN, OktaApi, Person

ADA = Person("00u1", "ada@example.com", "right", ["Everyone", "dev"])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that trusts the authority of that Okta, with the method mounted and configured.

    The address of an organization is `<org_name>.<base_url>`, and 127.0.0.1 has dots, too.
    """
    with elsewhere(tmp_path_factory.mktemp("okta"), OktaApi([ADA])) as host:
        with configured(tmp_path_factory.mktemp("server"), {"SSL_CERT_FILE": str(host.authority.ca)}) as server:
            open_up(server)
            client = server.client()
            client.sys.enable_auth_method("okta")
            client.auth.okta.configure("127", api_token=API_TOKEN, base_url=f"0.0.1:{host.port}", ttl="30m", max_ttl="48h")
            yield server


@pytest.fixture
def okta(own: Running) -> hvac.Client:
    """Root's client of it."""
    return own.client()


def test_the_configuration_is_read_back(okta: hvac.Client) -> None:
    answer = okta.auth.okta.read_config()
    assert answer["data"]["org_name"] == "127" and answer["data"]["bypass_okta_mfa"] is False
    assert answer["data"]["ttl"] == 1_800 and API_TOKEN not in str(answer)


def test_users_and_groups(okta: hvac.Client) -> None:
    assert okta.auth.okta.register_group("ops", policies=["operator"]).status_code == 204
    assert okta.auth.okta.read_group("ops")["data"] == {"policies": ["operator"]}
    assert okta.auth.okta.register_user("bob", groups=["ops"], policies=["own"]).status_code == 204
    assert okta.auth.okta.read_user("bob")["data"] == {"groups": ["ops"], "policies": ["own"]}
    assert "bob" in okta.auth.okta.list_users()["data"]["keys"] and "ops" in okta.auth.okta.list_groups()["data"]["keys"]
    assert okta.auth.okta.delete_user("bob").status_code == 204 and okta.auth.okta.delete_group("ops").status_code == 204
    for gone in (lambda: okta.auth.okta.read_user("bob"), lambda: okta.auth.okta.read_group("ops")):
        with pytest.raises(exceptions.InvalidPath):
            gone()


def test_a_person_logs_in_and_renews(own: Running, okta: hvac.Client) -> None:
    okta.auth.okta.register_group("dev", policies=["developer"])
    client = own.client("")
    auth = client.auth.okta.login("ada@example.com", "right")["auth"]
    assert client.token == auth["client_token"] and client.is_authenticated()
    assert auth["policies"] == ["default", "developer"] and auth["lease_duration"] == 1_800
    assert client.auth.token.renew_self()["auth"]["renewable"]


def test_a_wrong_password_is_refused_and_locks(own: Running) -> None:
    for _ in range(5):
        with pytest.raises(exceptions.InvalidRequest, match="okta authentication failed"):
            own.client("").auth.okta.login("eve@example.com", "wrong")
    with pytest.raises(exceptions.Forbidden):
        own.client("").auth.okta.login("eve@example.com", "wrong")
