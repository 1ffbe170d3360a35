"""Pages about logins with tokens of issuers work as pasted; the issuers are played on the loopback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import configured, open_up
from tests.docs.pages import DOCS, blocks, script
from tests.docs.test_examples import run
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, oidc_provider

TENANT = "00000000-1111-2222-3333-444444444444"
WEB = "/subscriptions/12345678-0000-0000-0000-000000000000/resourceGroups/web/providers/Microsoft.Compute/virtualMachines/web-1"


def paste(page: str, directory: Path, files: dict[str, str], **variables: str) -> str:
    """Run a page's commands against a new server."""
    for name, text in files.items():
        (directory / name).write_text(text)
    (directory / "server").mkdir()
    with configured(directory / "server") as server:
        open_up(server)
        server.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        own = {name: value for name, value in server.environment().items() if name.startswith("VAULT_")}
        return run(script(DOCS / page), directory, own | variables).stdout


def job(provider: Provider, **claims: Any) -> str:
    """A token of a CI job."""
    usual = {"aud": "strongroom", "sub": "repo:acme/shop:ref:main", "repository": "acme/shop", "environment": "prod", "ref": "main"}
    return provider.token(**{**usual, **claims})


@pytest.mark.parametrize("page", ["jwt.md", "ci.md"])
def test_a_job_logs_in_with_the_token_of_its_ci_system(page: str, tmp_path: Path) -> None:
    if page == "jwt.md":
        pytest.importorskip("cel")
    with oidc_provider(tmp_path / "issuer") as provider:
        files = {"issuer-ca.pem": provider.ca_pem, "job-token": job(provider)}
        assert "correct-horse" in paste(page, tmp_path, files, ISSUER=provider.issuer)


def test_a_provider_is_set_up_for_browsers(tmp_path: Path) -> None:
    with oidc_provider(tmp_path / "issuer") as provider:
        files = {"issuer-ca.pem": provider.ca_pem, "client-secret": CLIENT_SECRET}
        said = paste("oidc.md", tmp_path, files, ISSUER=provider.issuer, CLIENT_ID=CLIENT_ID)
        assert f"{provider.issuer}/authorize?" in said and "user_code" in said


def test_a_machine_of_azure_logs_in(tmp_path: Path) -> None:
    with oidc_provider(tmp_path / "entra") as provider:
        issuer = f"https://sts.windows.net/{TENANT}/"
        described = {"issuer": issuer, "jwks_uri": f"{provider.issuer}/keys"}
        provider.instead[f"/{TENANT}/.well-known/openid-configuration"] = Answered(200, described)
        token = provider.token(iss=issuer, aud="https://strongroom.example.com", oid="object-1", xms_mirid=WEB)
        files = {"authority-ca.pem": provider.ca_pem, "azure-token": token}
        paste("azure.md", tmp_path, files, TENANT_ID=TENANT, AUTHORITY=provider.issuer)


def test_a_machine_of_google_logs_in(tmp_path: Path) -> None:
    machine = {"instance_id": "7", "instance_name": "web-1", "project_id": "project-1", "zone": "europe-west1-b"}
    now = int(time.time())
    claims = {"iss": "https://accounts.google.com", "aud": "http://vault/web", "sub": "104", "iat": now, "exp": now + 3_600}
    with oidc_provider(tmp_path / "google") as provider:
        token = provider.sign({**claims, "google": {"compute_engine": machine}})
        paste("gcp.md", tmp_path, {"google-ca.pem": provider.ca_pem, "gcp-token": token}, GOOGLE_CERTS=f"{provider.issuer}/keys")


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_the_workflow_on_the_page_is_what_the_command_prints(kind: str, tmp_path: Path) -> None:
    command = f"strongroom ci setup -field=snippet {kind} -repo=acme/shop -environment=prod -secret=secret/shop/prod"
    printed = run(command, tmp_path, {"VAULT_ADDR": "https://strongroom.example.com:8200"}).stdout
    assert printed.strip() in [text.strip() for language, text in blocks(DOCS / "ci.md") if language == "yaml"]
