"""Pages about logins that another host decides work as pasted: that host is played on the loopback, the server trusts its authority."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.conftest import configured, open_up
from tests.docs.pages import DOCS, script
from tests.docs.test_examples import run
from tests.support import aws_api, github_api, kubernetes_api, okta_api
from tests.support.elsewhere import Elsewhere, elsewhere
from tests.support.freeradius import PROGRAM, freeradius
from tests.support.slapd import MOUNT_PASSWORD, needs_slapd, running_slapd


def paste(page: str, host: Elsewhere, directory: Path, **variables: str) -> None:
    """Run a page's commands against a new server that trusts the host's authority."""
    (directory / "server").mkdir()
    with configured(directory / "server", {"SSL_CERT_FILE": str(host.authority.ca)}) as server:
        open_up(server)
        server.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        own = {name: value for name, value in server.environment().items() if name.startswith("VAULT_")}
        run(script(DOCS / page), directory, own | variables)


def test_a_person_logs_in_with_a_github_token(tmp_path: Path) -> None:
    api = github_api.GitHubApi({"acme": 41}, {"ghp_ada": github_api.Person("ada", ["acme"], [("acme", "dev")])})
    with elsewhere(tmp_path / "github", api) as host:
        paste("github.md", host, tmp_path, GITHUB_API=host.url + "/api/v3/", GITHUB_TOKEN="ghp_ada")


def test_a_person_logs_in_with_an_okta_password(tmp_path: Path) -> None:
    (tmp_path / "api-token").write_text(okta_api.API_TOKEN)
    (tmp_path / "password").write_text("right")
    api = okta_api.OktaApi([okta_api.Person("00u1", "ada@example.com", "right", ["Everyone", "dev"])])
    with elsewhere(tmp_path / "okta", api) as host:  # 127.0.0.1 as an organization's address
        paste("okta.md", host, tmp_path, ORG_NAME="127", BASE_URL=f"0.0.1:{host.port}")


def test_a_pod_logs_in_with_the_token_of_its_service_account(tmp_path: Path) -> None:
    claims = kubernetes_api.projected(aud=["strongroom", kubernetes_api.AUDIENCE], exp=int(time.time()) + 600)
    with closing(kubernetes_api.Cluster(tmp_path / "cluster")) as api:
        files = {"ca.crt": api.ca_pem, "reviewer.jwt": kubernetes_api.REVIEWER + "\n", "token": kubernetes_api.signed(claims)}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        paste("kubernetes.md", api, tmp_path, KUBERNETES_HOST=api.url)


@pytest.mark.skipif(PROGRAM is None, reason="freeradius is not installed")
def test_a_person_logs_in_through_freeradius(tmp_path: Path) -> None:
    for name in ("server", "freeradius"):
        (tmp_path / name).mkdir()
    (tmp_path / "ada-password").write_text("right")
    with freeradius(tmp_path / "freeradius", {"ada": "right"}) as radius, configured(tmp_path / "server") as server:
        (tmp_path / "radius-secret").write_text(radius.secret)
        open_up(server)
        server.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        own = {name: value for name, value in server.environment().items() if name.startswith("VAULT_")}
        run(script(DOCS / "radius.md"), tmp_path, own | {"RADIUS_HOST": "127.0.0.1", "RADIUS_PORT": str(radius.port)})


@needs_slapd
def test_a_person_logs_in_with_what_a_directory_knows(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with running_slapd(tmp_path / "private") as slapd, configured(tmp_path / "server") as server:
        for name, text in {"directory-ca.pem": slapd.ca, "bindpass": MOUNT_PASSWORD, "password": "wonderland"}.items():
            (tmp_path / name).write_text(text)
        open_up(server)
        server.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        own = {name: value for name, value in server.environment().items() if name.startswith("VAULT_")}
        run(script(DOCS / "ldap.md"), tmp_path, own | {"LDAP_URL": slapd.tls_url})


def test_a_job_logs_in_with_its_iam_role(tmp_path: Path) -> None:
    with closing(aws_api.Aws(tmp_path / "aws")) as api:
        (tmp_path / "asking-secret-key").write_text(aws_api.SERVER.secret)
        deploy = aws_api.DEPLOY
        job = {"AWS_ACCESS_KEY_ID": "ASIADEPLOY", "AWS_SECRET_ACCESS_KEY": deploy.secret, "AWS_SESSION_TOKEN": deploy.session_token}
        paste("aws.md", api, tmp_path, STS_ENDPOINT=api.url, IAM_ENDPOINT=api.url, ASKING_KEY_ID="AKIASERVER", **job)
