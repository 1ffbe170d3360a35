"""hvac's `auth.github` against a real server, which asks a GitHub that is played on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import hvac
import pytest
from hvac import exceptions

from tests.conformance.conftest import configured, open_up
from tests.conformance.server import Running
from tests.support.elsewhere import elsewhere
from tests.support.github_api import GitHubApi, Person


class Place(NamedTuple):
    """A server, root's client, and the API it asks."""

    server: Running
    client: hvac.Client
    api: GitHubApi
    url: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    api = GitHubApi({"acme": 41}, {"ghp_ada": Person("ada", ["acme"], [("acme", "dev")]), "ghp_eve": Person("eve")})
    with elsewhere(tmp_path_factory.mktemp("github"), api) as host:
        with configured(tmp_path_factory.mktemp("server"), {"SSL_CERT_FILE": str(host.authority.ca)}) as server:
            open_up(server)
            client = server.client()
            client.sys.enable_auth_method("github")
            yield Place(server, client, api, host.url + "/api/v3")


def test_a_member_logs_in(place: Place) -> None:
    assert place.client.auth.github.configure("acme", base_url=place.url, ttl="30m", max_ttl="48h").status_code == 204
    data = place.client.auth.github.read_configuration()["data"]
    assert (data["organization"], data["organization_id"], data["ttl"], data["max_ttl"]) == ("acme", 41, 1_800, 172_800)
    assert place.client.auth.github.map_team("dev", ["dev-policy", "reader"]).status_code == 204
    assert place.client.auth.github.map_user("ada", ["ada-policy"]).status_code == 204
    assert place.client.auth.github.read_team_mapping("dev")["data"] == {"key": "dev", "value": "dev-policy,reader"}
    assert place.client.auth.github.read_user_mapping("ada")["data"] == {"key": "ada", "value": "ada-policy"}
    own = place.server.client("")
    auth = own.auth.github.login("ghp_ada")["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["ada-policy", "default", "dev-policy", "reader"]
    assert auth["metadata"] == {"org": "acme", "username": "ada"} and auth["lease_duration"] == 1_800
    assert own.auth.token.renew_self()["auth"]["renewable"]


def test_others_do_not(place: Place) -> None:
    place.client.auth.github.configure("acme", base_url=place.url)
    for token, text in (("ghp_eve", "user is not part of required org"), ("ghp_nobody", "GitHub does not accept the token")):
        with pytest.raises(exceptions.InvalidRequest, match=text):
            place.server.client("").auth.github.login(token)


def test_an_unknown_organization_is_told_at_once(place: Place) -> None:
    with pytest.raises(exceptions.InvalidRequest, match="organization_id not found for nowhere"):
        place.client.auth.github.configure("nowhere", base_url=place.url)


def test_an_empty_mapping_gives_nothing(place: Place) -> None:
    place.client.auth.github.map_team("none")
    assert place.client.auth.github.read_team_mapping("none")["data"]["value"] == ""
    assert place.client.auth.github.read_team_mapping("nowhere")["data"] is None
