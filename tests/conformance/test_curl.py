"""What people do with curl: its default content type, forms, nothing at all as a body, and headers in any case."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.conformance.server import Running, clean_environment

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl; install it with: sudo apt-get install curl")


def curl(server: Running, path: str, *words: str, name: str = "X-Vault-Token: ") -> tuple[int, Any]:
    """Status and JSON of one curl call with the root token, behind `name`."""
    command = ["curl", "-q", "-sS", "--cacert", str(server.ca), "-H", f"{name}{server.root_token}", "-w", "\n%{http_code}", *words]
    done = subprocess.run(
        [*command, f"{server.address}/v1/{path}"], env=clean_environment(server.directory), capture_output=True, text=True, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body.strip() else None


@pytest.mark.parametrize("method", [(), ("-X", "POST"), ("-X", "PUT")])
def test_json_under_curls_own_content_type(server: Running, v2_mount: str, method: tuple[str, ...]) -> None:
    assert curl(server, f"{v2_mount}/data/a", *method, "-d", '{"data": {"a": "b"}}')[0] == 200
    assert curl(server, f"{v2_mount}/data/a")[1]["data"]["data"] == {"a": "b"}


def test_json_under_its_content_type(server: Running, v1_mount: str) -> None:
    assert curl(server, f"{v1_mount}/a", "--json", '{"a": 1}') == (204, None)
    assert curl(server, f"{v1_mount}/a")[1]["data"] == {"a": 1}


def test_the_verbs_that_curl_is_told(server: Running, v1_mount: str) -> None:
    curl(server, f"{v1_mount}/a", "-d", '{"a": 1}')
    assert curl(server, v1_mount, "-X", "LIST")[1]["data"] == {"keys": ["a"]}
    assert curl(server, v1_mount, "-G", "-d", "list=true")[1]["data"] == {"keys": ["a"]}
    assert curl(server, f"{v1_mount}/a", "-X", "DELETE") == (204, None)
    assert curl(server, v1_mount, "-X", "LIST") == (404, {"errors": []})


def test_a_patch_needs_its_content_type(server: Running, v2_mount: str) -> None:
    curl(server, f"{v2_mount}/data/a", "-d", '{"data": {"a": "b", "c": "d"}}')
    body = ("-X", "PATCH", "-d", '{"data": {"c": null}}')
    assert curl(server, f"{v2_mount}/data/a", *body)[0] == 415
    assert curl(server, f"{v2_mount}/data/a", *body, "-H", "Content-Type: application/merge-patch+json")[0] == 200
    assert curl(server, f"{v2_mount}/data/a")[1]["data"]["data"] == {"a": "b"}


def test_a_write_without_a_body(server: Running) -> None:
    assert curl(server, "sys/rotate", "-X", "POST")[0] == 204
    assert curl(server, "auth/token/create", "-X", "POST")[1]["auth"]["policies"] == ["root"]


def test_broken_json_is_refused_and_says_so(server: Running, v1_mount: str) -> None:
    status, body = curl(server, f"{v1_mount}/a", "-d", '{"a": ')
    assert status == 400 and "error parsing JSON" in body["errors"][0]
    assert curl(server, f"{v1_mount}/a")[0] == 404


def test_headers_may_be_of_any_case_and_the_token_a_bearer(server: Running) -> None:
    path = "auth/token/lookup-self"
    for name in ("x-vault-token: ", "Authorization: Bearer ", "authorization: Bearer "):
        assert curl(server, path, name=name)[0] == 200, name
    assert curl(server, path, name="X-Not-A-Token: ")[0] == 403
    wrapped = curl(server, path, "-H", "x-vault-wrap-ttl: 60")[1]
    assert wrapped["wrap_info"]["ttl"] == 60
    assert curl(server, path, "--http1.0")[0] == 200


def test_a_form_is_read_as_members(server: Running, v1_mount: str) -> None:
    assert curl(server, f"{v1_mount}/a", "--data-urlencode", "one=1 & 2", "--data-urlencode", "two=zwei")[0] == 204
    assert curl(server, f"{v1_mount}/a")[1]["data"] == {"one": "1 & 2", "two": "zwei"}
