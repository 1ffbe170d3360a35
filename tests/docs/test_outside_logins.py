"""Pages about logins that another host decides work as pasted: that host is played on the loopback, the server trusts its authority."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.conftest import configured, open_up
from tests.docs.pages import DOCS, script
from tests.docs.test_examples import run
from tests.support import github_api, okta_api
from tests.support.elsewhere import Elsewhere, elsewhere


def paste(page: str, host: Elsewhere, directory: Path, **variables: str) -> None:
    """Run a page's commands against a new server that trusts the host's authority."""
    (directory / "server").mkdir()
    with configured(directory / "server", {"SSL_CERT_FILE": str(host.authority.ca)}) as server:
        open_up(server)
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
