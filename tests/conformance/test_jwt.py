"""hvac's `auth.jwt` and `auth.oidc` against a real server, which asks a provider that is played on the loopback."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from subprocess import PIPE
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import urlopen

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running, free_port
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, fetch, oidc_provider
from tests.support.tokens import pem, rsa_key, signed

REDIRECT = "http://localhost:8250/oidc/callback"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("provider")) as provider:
        provider.claims = {"sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "groups": ["dev"]}
        provider.redirect_uris = [REDIRECT]
        yield provider


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh jwt mount."""
    client.sys.enable_auth_method("jwt", path=name)
    yield name
    client.sys.disable_auth_method(name)


def test_a_configuration_is_read_back(client: hvac.Client, mount: str, provider: Provider) -> None:
    config = {"oidc_discovery_url": provider.issuer, "oidc_discovery_ca_pem": provider.ca_pem, "bound_issuer": provider.issuer}
    assert client.auth.jwt.configure(**config, default_role="ci", path=mount).status_code == 204
    found = client.auth.jwt.read_config(path=mount)["data"]
    assert {name: found[name] for name in config} == config and found["default_role"] == "ci"
    with pytest.raises(exceptions.InvalidRequest, match="exactly one of"):
        client.auth.jwt.configure(path=mount)
    with pytest.raises(exceptions.InvalidRequest, match="error checking oidc discovery URL"):
        client.auth.jwt.configure(oidc_discovery_url="https://localhost:1", path=mount)


def test_roles_come_and_go(client: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        client.auth.jwt.list_roles(path=mount)
    made = client.auth.jwt.create_role(
        "Ci",
        "sub",
        [REDIRECT],
        bound_audiences=["strongroom"],
        bound_claims={"repository": "acme/*"},
        bound_claims_type="glob",
        claim_mappings={"repository": "repo"},
        token_ttl="10m",
        token_policies=["reader"],
        path=mount,
    )
    assert made.status_code == 204
    found = client.auth.jwt.read_role("ci", path=mount)["data"]
    assert found["bound_claims"] == {"repository": "acme/*"} and found["token_ttl"] == 600 and found["role_type"] == "jwt"
    assert client.auth.jwt.list_roles(path=mount)["data"]["keys"] == ["ci"]
    assert client.auth.jwt.delete_role("ci", path=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.jwt.read_role("ci", path=mount)


@pytest.mark.parametrize("way", ["discovery", "key set", "keys"])
def test_a_job_logs_in_with_its_token(server: Running, client: hvac.Client, mount: str, provider: Provider, way: str) -> None:
    key = rsa_key()
    ways: dict[str, dict[str, Any]] = {
        "discovery": {"oidc_discovery_url": provider.issuer, "oidc_discovery_ca_pem": provider.ca_pem},
        "key set": {"jwks_url": f"{provider.issuer}/keys", "jwks_ca_pem": provider.ca_pem},
        "keys": {"jwt_validation_pubkeys": [pem(key)]},
    }
    client.auth.jwt.configure(**ways[way], path=mount)
    client.auth.jwt.create_role("ci", "sub", [], bound_audiences=[CLIENT_ID], groups_claim="groups", token_policies=["reader"], path=mount)
    own = server.client("")
    token = provider.token()
    auth = own.auth.jwt.jwt_login("ci", token if way != "keys" else signed(key, _claims(token)), path=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "reader"] and auth["metadata"] == {"role": "ci"} and auth["entity_id"]
    assert own.auth.token.lookup_self()["data"]["path"] == f"auth/{mount}/login"
    with pytest.raises(exceptions.InvalidRequest, match="error validating token"):
        server.client("").auth.jwt.jwt_login("ci", f"{token[:-6]}AAAAAA", path=mount)


def _claims(token: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def test_an_unknown_role_is_told(server: Running, client: hvac.Client, mount: str) -> None:
    client.auth.jwt.configure(jwt_validation_pubkeys=[pem(rsa_key())], path=mount)
    with pytest.raises(exceptions.InvalidRequest, match='role "none" could not be found'):
        server.client("").auth.jwt.jwt_login("none", "x.y.z", path=mount)


# -- oidc -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def browsers(client: hvac.Client, name: str, provider: Provider) -> Iterator[str]:
    """An oidc mount whose role `people` is for browsers."""
    client.sys.enable_auth_method("oidc", path=name)
    client.auth.oidc.configure(
        oidc_discovery_url=provider.issuer,
        oidc_discovery_ca_pem=provider.ca_pem,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        default_role="people",
        path=name,
    )
    client.auth.oidc.create_role("people", "sub", [REDIRECT], token_policies=["reader"], path=name)
    yield name
    client.sys.disable_auth_method(name)


def test_the_default_path_of_each_kind_is_its_name(client: hvac.Client) -> None:
    assert (client.auth.jwt.resolve_path(None), client.auth.oidc.resolve_path(None)) == ("jwt", "oidc")
    for kind, method in (("jwt", client.auth.jwt), ("oidc", client.auth.oidc)):
        client.sys.enable_auth_method(kind)
        method.configure(jwt_validation_pubkeys=[pem(rsa_key())])
        assert method.read_config()["data"]["jwt_validation_pubkeys"]
        assert client.sys.list_auth_methods()["data"][f"{kind}/"]["type"] == kind
        client.sys.disable_auth_method(kind)


def test_the_class_for_tokens_knows_browsers_too(server: Running, browsers: str, provider: Provider) -> None:
    own = server.client("")
    url = own.auth.jwt.oidc_authorization_url_request("people", REDIRECT, path=browsers)["data"]["auth_url"]
    sent = provider.browse(url)
    assert own.auth.jwt.oidc_callback(sent["state"], "unused", sent["code"], path=browsers)["auth"]["client_token"]
    refused = own.auth.jwt.oidc_authorization_url_request("people", "https://evil.example/callback", path=browsers)
    assert refused["data"] == {"auth_url": ""}


def test_a_user_logs_in_in_a_browser(server: Running, client: hvac.Client, browsers: str, provider: Provider) -> None:
    found = client.auth.oidc.read_role("people", path=browsers)["data"]
    assert found["role_type"] == "oidc" and found["allowed_redirect_uris"] == [REDIRECT]
    assert client.auth.oidc.list_roles(path=browsers)["data"]["keys"] == ["people"]
    assert "oidc_client_secret" not in client.auth.oidc.read_config(path=browsers)["data"]
    own = server.client("")
    url = own.auth.oidc.oidc_authorization_url_request("people", REDIRECT, path=browsers)["data"]["auth_url"]
    sent = provider.browse(url)
    nonce = dict(parse_qsl(urlsplit(url).query))["nonce"]
    auth = own.auth.oidc.oidc_callback(sent["state"], nonce, sent["code"], path=browsers)["auth"]
    assert auth["policies"] == ["default", "reader"]
    assert server.client(auth["client_token"]).is_authenticated()
    with pytest.raises(exceptions.InvalidRequest, match="Expired or missing OAuth state"):
        own.auth.oidc.oidc_callback(sent["state"], nonce, sent["code"], path=browsers)
    with pytest.raises(exceptions.InvalidRequest, match="role with oidc role_type is not allowed"):
        own.auth.oidc.jwt_login("people", provider.token(), path=browsers)
    assert client.auth.oidc.delete_role("people", path=browsers).status_code == 204


def test_a_browser_that_is_led_to_the_server_sees_a_page(server: Running, client: hvac.Client, browsers: str, provider: Provider) -> None:
    """Direct mode as over the wire: the callback in the browser, the user's code typed in, then the client polls."""
    here = f"{server.address.replace('127.0.0.1', 'localhost')}/v1/auth/{browsers}/oidc/callback"
    provider.redirect_uris = [REDIRECT, here]
    client.write(f"auth/{browsers}/role/people", callback_mode="direct", user_claim="sub", allowed_redirect_uris=[here])
    begun = client.write(f"auth/{browsers}/oidc/auth_url", redirect_uri=here, client_nonce="abc")["data"]
    sent = provider.browse(begun["auth_url"])
    assert server.ca is not None
    ca_pem = server.ca.read_text()
    query = "&".join(f"{name}={value}" for name, value in sent.items())
    status, _, body = fetch(f"{here}?{query}", ca_pem)
    assert status == 200 and b"Type in the code" in body
    poll = f"auth/{browsers}/oidc/poll"
    with pytest.raises(exceptions.InvalidRequest, match="authorization_pending"):
        client.write(poll, state=begun["state"], client_nonce="abc")
    form = {"state": begun["state"], "ticket": _ticket(body)}
    assert fetch(here, ca_pem, {**form, "user_code": "WRNG-CODE"})[0] == 400
    status, _, body = fetch(here, ca_pem, {**form, "user_code": begun["user_code"]})
    assert status == 200 and b"Signed in" in body
    assert client.write(poll, state=begun["state"], client_nonce="abc")["auth"]["client_token"]


def _ticket(body: bytes) -> str:
    """What the page that asks for the code was given."""
    return body.partition(b'name="ticket" value="')[2].partition(b'"')[0].decode()


@pytest.mark.parametrize("way", ["query", "form_post", "direct"])
def test_the_command_line_logs_in_in_a_browser(server: Running, client: hvac.Client, browsers: str, provider: Provider, way: str) -> None:
    port = free_port()
    listening = f"http://localhost:{port}/oidc/callback"
    here = f"{server.address.replace('127.0.0.1', 'localhost')}/v1/auth/{browsers}/oidc/callback"
    provider.redirect_uris = [REDIRECT, listening, here]
    if way == "direct":
        client.write(f"auth/{browsers}/role/people", callback_mode="direct", poll_interval=1, allowed_redirect_uris=here)
    config = {**client.auth.oidc.read_config(path=browsers)["data"], "oidc_response_mode": "form_post" if way == "form_post" else "query"}
    client.write_data(f"auth/{browsers}/config", data=config)
    words = ["login", "-method=oidc", f"-path={browsers}", "-token-only", f"port={port}", "skip_browser=true"]
    environment = {name: value for name, value in server.environment().items() if name != "VAULT_TOKEN"}
    with subprocess.Popen([sys.executable, "-m", "strongroom", *words], env=environment, stdout=PIPE, stderr=PIPE, text=True) as command:
        assert command.stderr is not None and server.ca is not None
        said = ""
        while (way == "direct" and "code there: " not in said) or "/authorize?" not in said:
            said += command.stderr.readline()
        sent = provider.browse(next(word for word in said.split() if "/authorize?" in word))
        if way == "direct":
            code = said.rpartition("code there: ")[2].strip()
            body = fetch(f"{here}?{urlencode(sent)}", server.ca.read_text())[2]
            form = {"state": sent["state"], "ticket": _ticket(body), "user_code": code}
            assert fetch(here, server.ca.read_text(), form)[0] == 200
        else:
            urlopen(
                listening if way == "form_post" else f"{listening}?{urlencode(sent)}",
                urlencode(sent).encode() if way == "form_post" else None,
            )
        token = command.communicate(timeout=30)[0].strip()
    assert server.client(token).auth.token.lookup_self()["data"]["policies"] == ["default", "reader"]
