"""A read that is answered from memory is answered anew after everything that changes its answer.

Each case sends the very same bytes before and after a change, often enough before that the server knows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.http import Client, Reply
from tests.support.server import Server

POLICY = 'path "{0}/*" {{ capabilities = ["read"] }}'
TIMES = 4


class Case:
    """A mount, a policy, a parent and a child token, and a secret that was read again and again."""

    number = 0

    def __init__(self, server: Server, kind: str = "kv-v2") -> None:
        Case.number += 1
        self.server, self.root, self.user = server, server.client(server.token), server.client("")
        self.mount = f"repeat{Case.number}"
        self.path = f"{self.mount}/data/x" if kind == "kv-v2" else f"{self.mount}/x"
        self.done("POST", f"sys/mounts/{self.mount}", {"type": kind})
        self.write({"a": "first"})
        self.done("POST", f"sys/policies/acl/{self.mount}", {"policy": POLICY.format(self.mount)})
        self.parent = self.token(self.root)
        self.child = self.token(server.client(self.parent))
        for _ in range(TIMES):
            assert self.read().status == 200

    def token(self, maker: Client) -> str:
        path = "auth/token/create"
        if maker.token != self.server.token:
            maker = self.server.client(self.server.token)
            self.done("POST", "sys/policies/acl/maker", {"policy": 'path "auth/token/create" { capabilities = ["update"] }'})
            maker = self.server.client(self.parent)
        reply = maker.write(path, {"policies": [self.mount, "maker"]} if maker.token == self.server.token else {"policies": [self.mount]})
        assert reply.status == 200, reply.text
        return str(reply.json["auth"]["client_token"])

    def write(self, data: dict[str, str]) -> None:
        self.done("POST", self.path, {"data": data} if "/data/" in self.path else data)

    def done(self, verb: str, path: str, body: object = None, **headers: str) -> Reply:
        reply = self.root.ask(verb, path, body, **headers)
        assert reply.status < 300, reply.text
        return reply

    def read(self, path: str = "", token: str = "") -> Reply:
        return self.user.ask("GET", path or self.path, token=token or self.child)


def tune(**body: object) -> Callable[[Case], object]:
    return lambda case: case.done("POST", f"sys/mounts/{case.mount}/tune", body)


def policy(text: str) -> Callable[[Case], object]:
    return lambda case: case.done("POST", f"sys/policies/acl/{case.mount}", {"policy": text.format(case.mount)})


def revoked(path: str, which: str) -> Callable[[Case], object]:
    return lambda case: case.done("POST", path, {"token": getattr(case, which)})


REFUSED: dict[str, tuple[Callable[[Case], object], int]] = {
    "its token is revoked": (revoked("auth/token/revoke", "child"), 403),
    "its token's parent is revoked": (revoked("auth/token/revoke", "parent"), 403),
    "its policy is gone": (lambda case: case.done("DELETE", f"sys/policies/acl/{case.mount}"), 403),
    "its policy denies": (policy('path "{0}/*" {{ capabilities = ["deny"] }}'), 403),
    "its policy wants wrapping": (policy('path "{0}/*" {{ capabilities = ["read"] min_wrapping_ttl = "1m" }}'), 403),
    "its policy wants a parameter": (policy('path "{0}/*" {{ capabilities = ["read"] required_parameters = ["version"] }}'), 403),
    "its policy has ended": (policy('path "{0}/*" {{ capabilities = ["read"] expiration = "2001-01-01T00:00:00Z" }}'), 403),
    "it is unmounted": (lambda case: case.done("DELETE", f"sys/mounts/{case.mount}"), 403),
    "it is moved": (lambda case: case.done("POST", "sys/remount", {"from": case.mount, "to": f"{case.mount}-moved"}), 403),
    "it is deleted": (lambda case: case.done("DELETE", case.path), 404),
    "it is destroyed": (lambda case: case.done("POST", case.path.replace("/data/", "/destroy/"), {"versions": [1]}), 404),
    "all of it is deleted": (lambda case: case.done("DELETE", case.path.replace("/data/", "/metadata/")), 404),
}


@pytest.mark.parametrize("change", REFUSED)
def test_a_read_that_was_repeated_is_refused_once(live: Server, change: str) -> None:
    case = Case(live)
    act, status = REFUSED[change]
    act(case)
    assert case.read().status in ((status, 404) if change in ("it is unmounted", "it is moved") else (status,))


def replaced(case: Case) -> None:
    case.done("DELETE", f"sys/mounts/{case.mount}")
    case.done("POST", f"sys/mounts/{case.mount}", {"type": "kv-v2"})
    case.write({"a": "third"})


CHANGED: dict[str, tuple[Callable[[Case], object], str]] = {
    "it is written": (lambda case: case.write({"a": "second"}), '"second"'),
    "its metadata is written": (
        lambda case: case.done("POST", case.path.replace("/data/", "/metadata/"), {"custom_metadata": {"own": "er"}}),
        '"own":"er"',
    ),
    "another mount takes its place": (replaced, '"third"'),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_read_that_was_repeated_shows_what_is_there_once(live: Server, change: str) -> None:
    case = Case(live)
    act, seen = CHANGED[change]
    assert seen not in case.read().text
    act(case)
    assert seen in case.read().text


def test_a_version_one_read_shows_another_lease_once_its_mount_is_tuned(live: Server) -> None:
    case = Case(live, "kv")
    tune(default_lease_ttl="77s")(case)
    assert case.read().json["lease_duration"] == 77


def test_a_version_one_read_is_gone_once_its_mount_has_versions(live: Server) -> None:
    case = Case(live, "kv")
    tune(options={"version": "2"})(case)
    assert case.read().status == 404
    assert case.read(f"{case.mount}/data/x").data["data"] == {"a": "first"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"X_Vault_Wrap_TTL": "60s"}, 200), ({"X_Vault_Namespace": "team"}, 403), ({"Authorization": "Bearer other"}, 400)],
)
def test_other_headers_beside_a_repeated_read_still_count(live: Server, headers: dict[str, str], status: int) -> None:
    case = Case(live)
    reply = case.user.ask("GET", case.path, token=case.child, **headers)
    assert reply.status == status
    assert b"first" not in reply.body


def test_head_and_query_beside_a_repeated_read_are_requests_of_their_own(live: Server) -> None:
    case = Case(live)
    assert case.user.ask("HEAD", case.path, token=case.child).body == b""
    assert case.read(f"{case.path}?version=9").status == 404
    assert case.user.ask("LIST", case.path, token=case.child).status == 403
    assert case.read(token=case.child + "x").status == 403


@pytest.fixture
def audited(live: Server) -> Iterator[Callable[[], list[str]]]:
    def lines() -> list[str]:
        return live.audit.read_text().splitlines()

    yield lines
    live.client(live.token).ask("DELETE", "sys/config/auditing/request-headers/x-trace")


def test_every_repetition_has_both_lines_and_what_audit_is_told_to_show_is_in_the_next(
    live: Server, audited: Callable[[], list[str]]
) -> None:
    case = Case(live)
    for _ in range(3):
        before = len(audited())
        request = case.read().json["request_id"]
        of_it = [json.loads(line) for line in audited()[before:] if request in line]
        assert [line["type"] for line in of_it] == ["request", "response"]
        assert "first" not in "".join(audited()[before:])
    tune(audit_non_hmac_response_keys="a")(case)
    case.read()
    assert '"a":"first"' in audited()[-1]
    for _ in range(2):
        case.user.ask("GET", case.path, token=case.child, X_Trace="one")
    case.done("POST", "sys/config/auditing/request-headers/x-trace", {"hmac": False})
    case.user.ask("GET", case.path, token=case.child, X_Trace="one")
    assert re.search(r'"headers":\{"x-trace":\["one"\]\}', audited()[-1])
