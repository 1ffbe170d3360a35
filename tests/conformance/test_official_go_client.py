"""The unmodified Go client of Vault, api and its login packages: the Go tests in `go/` against real servers over TLS.

Rules of this file:
- Nothing is downloaded here: `go mod download` in tests/conformance/go brings the modules that go.sum names; `.ci/run` does it.
- They are built once, without cgo, by whatever Go is there; none, or an older one than the client wants, skips them with the reason.
- What is another program's, a directory and a cluster, is started here and named to the Go tests in CONFORMANCE_*.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import hvac
import pytest

from tests.conformance.conftest import configured, open_up
from tests.conformance.server import Running
from tests.support.kubernetes_api import REVIEWER, Cluster, projected, signed
from tests.support.slapd import BASE, MOUNT, MOUNT_PASSWORD, SLAPADD, SLAPD, running_slapd

SOURCE: Final = Path(__file__).parent / "go"
BUILD_SECONDS: Final = 300.0
"""A build from nothing takes 40 s on two busy cores: the standard library's TLS and HTTP are most of it."""
RUN_SECONDS: Final = 120.0
STORY: Final = "TestLifecycle"
"""The one that wants a server which was never initialised."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go tests as one program."""
    if shutil.which("go") is None:
        pytest.skip("there is no Go; install it with: sudo apt-get install golang-go")
    path = tmp_path_factory.mktemp("go") / "conformance"
    offline = {**os.environ, "CGO_ENABLED": "0", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    words = ["go", "test", "-c", "-o", str(path), "."]
    done = subprocess.run(words, cwd=SOURCE, env=offline, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if "GOPROXY=off" in done.stderr:
        pytest.skip("Go's modules are not there; fetch them with: (cd tests/conformance/go && go mod download)")
    if "requires go >=" in done.stderr:
        pytest.skip(f"this Go is too old for Vault's client: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return path


def run(program: Path, variables: Mapping[str, str], *words: str) -> tuple[set[str], set[str]]:
    """The names of the Go tests that passed and that were skipped; one that failed fails here, with what it printed."""
    done = subprocess.run(
        [program, "-test.v", *words], cwd=SOURCE, env=dict(variables), capture_output=True, text=True, timeout=RUN_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = re.findall(r"^--- (PASS|SKIP): (\w+)", done.stdout, re.MULTILINE)
    passed, skipped = ({name for verdict, name in verdicts if verdict == wanted} for wanted in ("PASS", "SKIP"))
    return passed, skipped


@pytest.fixture
def directory(client: hvac.Client, name: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A directory, a method that asks it, and how to log in; nothing where there is no slapd."""
    if SLAPD is None or SLAPADD is None:
        yield {}
        return
    with running_slapd(tmp_path / "slapd") as slapd:
        client.sys.enable_auth_method("ldap", path=f"{name}ldap")
        client.auth.ldap.configure(
            url=slapd.tls_url, certificate=slapd.ca, binddn=MOUNT, bindpass=MOUNT_PASSWORD, userdn=f"ou=people,{BASE}", userattr="uid",
            groupdn=f"ou=groups,{BASE}", mount_point=f"{name}ldap",
        )  # fmt: skip
        names = {"MOUNT": f"{name}ldap", "USER": "alice", "PASSWORD": "wonderland"}
        yield {f"CONFORMANCE_LDAP_{key}": value for key, value in names.items()}
        client.sys.disable_auth_method(f"{name}ldap")


@pytest.fixture
def cluster(client: hvac.Client, name: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Kubernetes API server, a method that asks it, and a pod's token."""
    (tmp_path / "kubernetes").mkdir()
    mount, kubernetes = f"{name}kubernetes", client.auth.kubernetes
    with closing(Cluster(tmp_path / "kubernetes")) as api:
        client.sys.enable_auth_method("kubernetes", path=mount)
        kubernetes.configure(api.url, kubernetes_ca_cert=api.ca_pem, token_reviewer_jwt=REVIEWER, mount_point=mount)
        kubernetes.create_role("till", ["till"], ["shop"], mount_point=mount)
        names = {"MOUNT": mount, "ROLE": "till", "TOKEN": signed(projected(exp=int(time.time()) + 600))}
        yield {f"CONFORMANCE_KUBERNETES_{key}": value for key, value in names.items()}
        client.sys.disable_auth_method(mount)


def test_every_call_is_understood_both_ways(program: Path, server: Running, directory: dict[str, str], cluster: dict[str, str]) -> None:
    passed, skipped = run(program, {**server.environment(), **directory, **cluster}, f"-test.skip={STORY}")
    assert len(passed) > 30
    # Reading one's writes is for stores that can be behind; its test below has one.
    assert skipped <= {"TestReadYourWrites"} | ({"TestLDAPLogin"} if not directory else set())


def test_an_operator_takes_a_new_server_through_its_life(program: Path, tmp_path: Path) -> None:
    with configured(tmp_path) as fresh:
        assert run(program, fresh.environment(), f"-test.run={STORY}") == ({STORY}, set())


def test_who_wants_to_read_own_writes_does_on_postgresql(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_TEST_STORAGE", "postgresql")
    with configured(tmp_path) as node:
        open_up(node)
        assert run(program, node.environment(), "-test.run=TestReadYourWrites") == ({"TestReadYourWrites"}, set())
