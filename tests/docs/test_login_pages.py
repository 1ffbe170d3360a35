"""Pages about logins that somebody else judges work as pasted, with a stand-in for him: real TLS, on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.server import Running
from tests.docs.pages import DOCS, script
from tests.docs.test_examples import run, up
from tests.support.kubernetes_api import AUDIENCE, REVIEWER, Cluster, projected, signed
from tests.support.slapd import MOUNT_PASSWORD, needs_slapd, running_slapd
from tests.support.stub import running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for these pages."""
    for server in up(tmp_path_factory.mktemp("logins")):
        server.client().sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        yield server


def paste(page: str, server: Running, directory: Path, **variables: str) -> str:
    """Run a page's commands in a directory that has the files it speaks of; what they printed."""
    own = {name: value for name, value in server.environment().items() if name.startswith("VAULT_")}
    return run(script(DOCS / page), directory, own | variables).stdout


def test_a_pod_logs_in_as_the_page_says(server: Running, tmp_path: Path) -> None:
    with running(Cluster(tmp_path / "cluster")) as api:
        pod = signed(projected(aud=["strongroom", AUDIENCE], exp=int(time.time()) + 600))
        for name, text in {"ca.crt": api.ca, "reviewer.jwt": REVIEWER + "\n", "token": pod}.items():
            (tmp_path / name).write_text(text)
        assert paste("kubernetes.md", server, tmp_path, KUBERNETES_HOST=api.url).count("correct-horse") == 2


@needs_slapd
def test_a_person_of_the_directory_logs_in_as_the_page_says(server: Running, tmp_path: Path) -> None:
    with running_slapd(tmp_path / "private") as slapd:
        for name, text in {"directory-ca.pem": slapd.ca, "bindpass": MOUNT_PASSWORD, "password": "wonderland"}.items():
            (tmp_path / name).write_text(text)
        assert paste("ldap.md", server, tmp_path, LDAP_URL=slapd.tls_url).count("correct-horse") == 2
