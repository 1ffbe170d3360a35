"""Web pages of other origins: nothing is said to them unless an operator let their origin in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http import Client, Reply
from tests.support.server import Server, serving

PAGE = "https://ui.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("cors")) as (server, root):
        assert root.write("secret/data/one", {"data": {"n": 1}}).status == 200
        yield server


@pytest.fixture
def root(server: Server) -> Iterator[Client]:
    with server.client() as root:
        yield root
        assert root.ask("DELETE", "sys/config/cors").status == 204


def let_in(root: Client, *origins: str, **more: object) -> None:
    assert root.write("sys/config/cors", {"allowed_origins": list(origins), **more}).status == 204


def preflight(root: Client, origin: str = PAGE, method: str = "LIST") -> Reply:
    return root.ask("OPTIONS", "secret/data/one", token="", Origin=origin, Access_Control_Request_Method=method)


def said(reply: Reply) -> list[str]:
    return sorted(name for name in reply.headers if name.startswith("access-control-"))


def test_while_it_is_off_an_origin_changes_nothing(root: Client) -> None:
    reply = root.read("secret/data/one", Origin=PAGE)
    assert (reply.status, said(reply)) == (200, [])
    assert preflight(root).status == 405


def test_an_allowed_page_may_read_answers_and_errors(root: Client) -> None:
    let_in(root, PAGE)
    for path, token, status in (("secret/data/one", None, 200), ("secret/data/one", "wrong", 403), ("secret/data/none", None, 404)):
        for _ in range(3):  # also where the read was kept for repetition
            reply = root.read(path, token=token, Origin=PAGE)
            assert reply.status == status
            assert reply.headers["access-control-allow-origin"] == PAGE
    assert said(root.read("secret/data/one")) == [], "who sends no origin is told nothing"


def test_a_write_that_waits_for_its_commit_is_answered_with_the_headers_too(root: Client) -> None:
    let_in(root, PAGE)
    reply = root.write("secret/data/two", {"data": {"n": 2}}, Origin=PAGE)
    assert reply.status == 200
    assert said(reply)


def test_a_preflight_says_what_a_page_may_send(root: Client) -> None:
    let_in(root, PAGE, allowed_headers=["X-Own"])
    reply = preflight(root)
    headers = reply.headers
    assert reply.status == 200
    assert headers["access-control-allow-origin"] == PAGE
    assert "X-Vault-Token" in headers["access-control-allow-headers"]
    assert "X-Own" in headers["access-control-allow-headers"]
    assert "LIST" in headers["access-control-allow-methods"]
    assert "origin" in headers["vary"].lower()
    assert "access-control-allow-credentials" not in headers, "no cookie is a credential here"
    assert preflight(root, method="TRACE").status == 405


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "http://ui.example.com", "https://ui.example.com.evil.com", "null", PAGE + ":8443"]
)
def test_another_page_is_refused_before_anything_happens(root: Client, origin: str) -> None:
    let_in(root, PAGE)
    for reply in (root.write("secret/data/evil", {"data": {}}, Origin=origin), preflight(root, origin)):
        assert (reply.status, said(reply)) == (403, [])
    assert root.read("secret/data/evil").status == 404


def test_the_wildcard_lets_every_page_in(root: Client) -> None:
    let_in(root, "*")
    assert said(root.read("secret/data/one", Origin="https://anybody.example"))


def test_a_page_of_this_very_host_needs_no_leave(server: Server, root: Client) -> None:
    let_in(root, PAGE)
    host = root.send(
        b"GET /v1/secret/data/one HTTP/1.1\r\nHost: here:8200\r\nOrigin: http://here:8200\r\nX-Vault-Token: %b\r\n\r\n"
        % server.token.encode()
    )
    assert (host.status, said(host)) == (200, [])
    other = root.send(
        b"GET /v1/secret/data/one HTTP/1.1\r\nHost: here:8200\r\nOrigin: http://here:8201\r\nX-Vault-Token: %b\r\n\r\n"
        % server.token.encode()
    )
    assert other.status == 403


def test_switched_off_it_is_off_at_once_on_standing_connections(root: Client) -> None:
    let_in(root, PAGE)
    assert said(root.read("secret/data/one", Origin=PAGE))
    assert root.ask("DELETE", "sys/config/cors").status == 204
    assert said(root.read("secret/data/one", Origin=PAGE)) == []


def test_a_file_reaches_a_page_that_was_let_in(root: Client) -> None:
    let_in(root, PAGE)
    reply = root.read("sys/storage/raft/snapshot", Origin=PAGE)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
    assert len(reply.body) == int(reply.headers["content-length"])
