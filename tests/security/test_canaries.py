"""T14.1 and the grep of the store: what goes through the server is found again in no file, log, metric, error or audit line.

Values (secrets, passwords, tokens, everything audit hashes) must be nowhere; names (paths, user names, display names, metadata that the
audit log shows as Vault's does) must not be in the store. Half of the requests are malformed; then everything again while commits fail,
while audit fails, and while every route raises an exception that quotes its request.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from strongroom.storage.directory import DATABASE
from tests.support.http import Client, Reply
from tests.support.search import Canaries, Hit, files, forms, search
from tests.support.server import Server, serving
from tests.support.tokens import pem, rsa_key, signed

FAULTY = ("-m", "tests.support.faulty_server")
SKIPPED = frozenset({"/sys/seal", "/auth/token/revoke-self", "/sys/step-down"})
"""What would end the run."""

NAMES = frozenset(
    "role display_name meta metadata policies token_policies allowed_policies name entity_alias type from to path paths".split()
)
"""Body members that are names: the audit log shows them as Vault does, in `auth` or as member names of an answer."""

LEAST = 300


class Operation(NamedTuple):
    """One verb of one path, as the server describes itself."""

    verb: str
    path: str
    members: dict[str, Any]


class Traffic:
    """Everything that is sent, and what came back that was an error."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.client = client
        self.values = Canaries("v1")
        self.names = Canaries("n0")
        self.errors: dict[str, bytes] = {}
        self.statuses: dict[int, int] = {}
        self.malformed = 0
        self.mode = ""
        self.broken: list[str] = []
        self.known = list(self.operations())

    def send(self, verb: str, path: str, body: object = None, **headers: str) -> Reply:
        reply = self.client.ask(verb, path, body, **headers)
        self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
        if reply.status >= 500 and not self.mode:
            self.broken.append(f"{verb} {path[:60]}: {reply.status} {reply.text[:200]}")
        if reply.status >= 400:
            self.errors[f"{reply.status} of {verb} {path[:40]} number {len(self.errors)}"] = reply.body
        return reply

    def fault(self, mode: str) -> None:
        self.mode = mode
        (self.server.directory / "fault").write_text(mode)

    # -- what is sent --------------------------------------------------------------------------------------------

    def operations(self) -> Iterator[Operation]:
        """From the server's own description: each verb of each path."""
        document = self.client.read("sys/internal/specs/openapi").json
        for path, item in document["paths"].items():
            if path in SKIPPED:
                continue
            for verb in ("get", "post", "patch", "delete"):
                if verb in item:
                    content = item[verb].get("requestBody", {}).get("content", {})
                    schema = next(iter(content.values()))["schema"] if content else {}
                    yield Operation(verb.upper(), path, schema.get("properties", {}))

    def path(self, operation: Operation) -> str:
        return re.sub(r"\{[^}]+\}", lambda _: self.names.new(), operation.path).lstrip("/")

    def body(self, operation: Operation) -> dict[str, Any]:
        return {name: self.member(name, schema) for name, schema in operation.members.items()}

    def member(self, name: str, schema: dict[str, Any]) -> Any:
        text = self.names.new() if name in NAMES else self.values.awkward()
        kind = schema.get("type", "string")
        if kind == "object":
            return {self.names.new(): text}
        if kind == "array":
            return [text]
        return {"integer": 3, "boolean": False, "number": 2.5}.get(kind, text)

    def walk(self, *, malformed: bool) -> None:
        for operation in self.known:
            path, body = self.path(operation), self.body(operation)
            if operation.verb in ("GET", "DELETE"):
                self.send(operation.verb, path)
                if malformed:
                    self.send(operation.verb, f"{path}?limit={self.values.new()}&version={self.values.new()}")
                continue
            patch = {"content_type": "application/merge-patch+json"} if operation.verb == "PATCH" else {}
            self.send(operation.verb, path, body, **patch)
            if malformed:
                self.malform(operation, path)

    def malform(self, operation: Operation, path: str) -> None:
        """What is wrong in one way each."""
        new = self.values.new
        text = json.dumps({"data": {"password": new()}, "input": new(), "key": new()}).encode()
        wrong: list[tuple[bytes, dict[str, str]]] = [
            (text[:-3], {}),
            (text[:-1] + b", NaN}", {}),
            (text[:-1] + b',"data":1}', {}),
            (b'{"data":"\xff\xfe' + new().encode() + b'"}', {}),
            (json.dumps([new()]).encode(), {}),
            (json.dumps(new()).encode(), {}),
            (json.dumps({name: [[self.names.new() if name in NAMES else new()]] for name in operation.members}).encode(), {}),
            (json.dumps({name: self.names.new() if name in NAMES else new() for name in operation.members}).encode(), {}),
            (new().encode(), {"content_type": "text/plain"}),
            (f"data={new()}&data={new()}".encode(), {"content_type": "application/x-www-form-urlencoded"}),
            (b"<secret>" + new().encode() + b"</secret>", {"content_type": "application/xml"}),
        ]
        for body, headers in wrong:
            self.malformed += 1
            self.send(operation.verb, path, body, **headers)

    def by_hand(self) -> None:
        """The ways in that no schema names."""
        new, send = self.values.new, self.send
        name = self.names.new()
        send("POST", f"secret/data/{name}/{self.names.new()}", {"data": {self.names.new(): self.values.awkward()}})
        send("POST", f"secret/data/{name}/{self.names.new()}", {"data": {"password": new() * 100}})
        send("POST", f"secret/metadata/{name}", {"custom_metadata": {self.names.new(): new()}})
        send("POST", f"sys/mounts/{self.names.new()}", {"type": "kv", "description": new(), "options": {"version": "1"}})
        send("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
        send("POST", f"kv1/{self.names.new()}", {"password": new()})
        send("POST", f"cubbyhole/{self.names.new()}", {"password": new()})
        send("POST", "sys/auth/userpass", {"type": "userpass", "description": new()})
        user = self.names.new().lower()
        password = new()
        assert send("POST", f"auth/userpass/users/{user}", {"password": password}).status == 204
        assert send("POST", f"auth/userpass/login/{user}", {"password": password}, token="").status == 200
        send("POST", f"auth/userpass/login/{user}", {"password": new()}, token="")
        send("POST", f"auth/userpass/login/{self.names.new()}", {"password": new()}, token="")
        self._approle()
        self._jwt()
        rule = f'path "secret/data/{self.names.new()}" {{ capabilities = ["read"] allowed_parameters = {{ "a" = ["{new()}"] }} }}'
        assert send("POST", f"sys/policies/acl/{self.names.new().lower()}", {"policy": rule}).status == 204
        made = send("POST", "auth/token/create", {"id": new(), "meta": {"who": self.names.new()}})
        assert made.status == 200
        send("GET", "auth/token/lookup-self", token=made.json["auth"]["client_token"])
        wrapped = send("POST", "sys/wrapping/wrap", {"password": new()}, X_Vault_Wrap_TTL="5m")
        assert send("POST", "sys/wrapping/unwrap", {"token": wrapped.json["wrap_info"]["token"]}).status == 200
        for token in (new(), f"srs_{new()}", f"srb_{new()}", f"hvs.{new()}"):
            send("GET", "secret/data/x", token=token)
            send("GET", "auth/token/lookup-self", token="", Authorization=f"Bearer {token}")
        send("GET", "secret/data/x", Authorization=f"Basic {new()}")
        send("GET", "secret/data/x", X_Vault_Wrap_TTL=new())
        send("GET", f"secret/data/x?version={new()}&{self.names.new()}={new()}")
        send("POST", "secret/data/big", b'{"data":{"a":"' + (new() * 90_000).encode() + b'"}}')
        send("POST", "sys/unseal", {"key": new()})
        send("POST", "sys/unseal", {"key": [new()]})

    def _approle(self) -> None:
        """Secret ids that were chosen and wrong ones, at the role and at the login."""
        new, send = self.values.new, self.send
        role = f"auth/approle/role/{self.names.new().lower()}"
        secret = new()
        send("POST", "sys/auth/approle", {"type": "approle"})
        assert send("POST", role, {"role_id": self.names.new().lower()}).status == 204
        own = send("GET", f"{role}/role-id").json["data"]["role_id"]
        assert send("POST", f"{role}/custom-secret-id", {"secret_id": secret}).status == 200
        assert send("POST", "auth/approle/login", {"role_id": own, "secret_id": secret}, token="").status == 200
        for verb in ("lookup", "destroy"):
            assert send("POST", f"{role}/secret-id/{verb}", {"secret_id": secret}).status in (200, 204)
        for role_id in (own, self.names.new()):
            assert send("POST", "auth/approle/login", {"role_id": role_id, "secret_id": new()}, token="").status == 400

    def _jwt(self) -> None:
        """Tokens of an issuer, good and bad, and what a browser login carries."""
        new, send = self.values.new, self.send
        key, name = rsa_key(), self.names.new().lower()
        for kind in ("jwt", "azure", "gcp"):
            send("POST", f"sys/auth/{kind}", {"type": kind})
        assert send("POST", "auth/jwt/config", {"jwt_validation_pubkeys": pem(key), "bound_issuer": "https://issuer.example"}).status == 204
        send("POST", "auth/jwt/config", {"oidc_discovery_url": "https://localhost:1", "oidc_client_id": new(), "oidc_client_secret": new()})
        bound = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a", "bound_claims": {"env": (right := new())}}
        assert send("POST", f"auth/jwt/role/{name}", bound).status == 204
        now = int(time.time())
        claims = {"iss": "https://issuer.example", "aud": "a", "sub": self.names.new(), "iat": now, "exp": now + 60, "jti": new()}
        tokens = [signed(key, {**claims, "env": env}) for env in (right, new())]
        assert [send("POST", "auth/jwt/login", {"role": name, "jwt": token}, token="").status for token in tokens] == [200, 400]
        for token in (f"{tokens[0][:-4]}AAAA", signed(key, {**claims, "sub": new() + "é", "env": right}), f"{new()}.{new()}.{new()}"):
            for kind in ("jwt", "azure", "gcp"):
                assert send("POST", f"auth/{kind}/login", {"role": name, "jwt": token}, token="").status == 400
        send("GET", f"auth/jwt/oidc/callback?state={new()}&code={new()}&client_nonce={new()}&error_description={new()}", token="")
        send("POST", "auth/jwt/oidc/callback", {"state": new(), "code": new(), "id_token": new(), "user_code": new()}, token="")
        send("POST", "auth/jwt/oidc/poll", {"state": new(), "client_nonce": new()}, token="")
        send("POST", "auth/gcp/config", {"credentials": json.dumps({"client_email": self.names.new(), "private_key": new()})})


class Done(NamedTuple):
    """A finished run: the server stopped, and everything that it left."""

    traffic: Traffic
    server: Server
    metrics: bytes

    def haystacks(self) -> dict[str, bytes]:
        left = files(self.server.directory, [self.server.config])
        return {**left, **self.traffic.errors, "metrics": self.metrics}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    with serving(tmp_path_factory.mktemp("canaries"), entry=FAULTY) as (server, client):
        traffic = Traffic(server, client)
        traffic.by_hand()
        traffic.walk(malformed=True)
        for mode in ("storage", "audit", "bug"):
            traffic.fault(mode)
            traffic.walk(malformed=False)
        traffic.fault("")
        metrics = client.read("sys/metrics?format=prometheus").body
        assert client.read("secret/config").status == 200, "it recovered from all of that"
        server.kill()
        yield Done(traffic, server, metrics)


def shown(hits: list[Hit]) -> str:
    return "\n".join(f"{hit.where} ({hit.form}): {hit.around!r}" for hit in hits[:10])


def test_the_run_went_everywhere(done: Done) -> None:
    """The control of the run itself: enough canaries, half of them malformed, and every kind of outcome."""
    traffic = done.traffic
    assert traffic.values.used >= LEAST
    assert traffic.malformed >= LEAST
    assert {200, 204, 400, 403, 404, 413, 500, 503} <= traffic.statuses.keys(), traffic.statuses
    assert b"injected: " not in b"".join(traffic.errors.values())
    assert {f"store/{DATABASE}", f"store/{DATABASE}-wal", "audit.log", "server.log"} <= done.haystacks().keys()
    assert len(done.metrics) > 1_000


def test_no_malformed_request_is_a_fault_of_the_servers(done: Done) -> None:
    """T15.3: whatever is sent to whatever route, as long as nothing is injected."""
    assert done.traffic.broken == []


def test_no_value_is_found_anywhere(done: Done) -> None:
    hits = search(done.haystacks(), done.traffic.values.marker)
    assert not hits, shown(hits)


def test_no_name_is_found_in_the_store(done: Done) -> None:
    store = {where: content for where, content in done.haystacks().items() if where.startswith("store/")}
    assert len(store) >= 4
    hits = search(store, done.traffic.names.marker)
    assert not hits, shown(hits)
    assert search({"audit": done.haystacks()["audit.log"]}, done.traffic.names.marker), "the control: paths do stand in the audit log"


def test_a_row_in_the_clear_would_be_found(done: Done, tmp_path: Path) -> None:
    """The negative control of the grep: one plaintext row, in every form."""
    for number, (form, needle) in enumerate(forms(done.traffic.values.new()).items()):
        path = tmp_path / f"{number}.db"
        connection = apsw.Connection(str(path))
        connection.execute("CREATE TABLE entries (key BLOB, value BLOB)")
        connection.execute("INSERT INTO entries VALUES (?, ?)", (b"key", b"before" + needle + b"after"))
        connection.close()
        assert search(files(tmp_path, []), done.traffic.values.marker), form
        path.unlink()


def test_one_logged_value_would_be_found(tmp_path: Path) -> None:
    """The negative control of the run: the same server, printing what it writes."""
    with serving(tmp_path, entry=FAULTY) as (server, client):
        values = Canaries("v2")
        (server.directory / "fault").write_text("leak")
        assert client.write("secret/data/one", {"data": {"password": values.new()}}).status == 200
        server.kill()
        hits = search(files(server.directory, [server.config]), values.marker)
        assert [hit.where for hit in hits] == ["server.log"]
