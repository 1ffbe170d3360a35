"""The servers under load: the bare responder, and a real strongroom, initialised and filled."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

POLICIES = 5
RULES = 50
LISTED = 1_000
ENTRY = {"username": "app", "password": "correct horse battery staple", "host": "db.internal", "port": "5432", "note": "x" * 80}


class Running(NamedTuple):
    """A strongroom that serves."""

    pid: int
    url: str
    tls_url: str
    root: str
    token: str
    started: float
    strict: str = ""
    """A token with one policy of `RULES` rules."""


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _pinned(command: list[str], cpu: int | None) -> list[str]:
    return ["taskset", "-c", str(cpu), *command] if cpu is not None else command


@contextlib.contextmanager
def process(command: list[str], log: Path, cpu: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, for as long as it is needed."""
    with log.open("ab") as out:
        process = subprocess.Popen(_pinned(command, cpu), stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, seconds: float = 20) -> float:
    """Wait until a port takes connections; how long it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic() - started
        time.sleep(0.005)
    raise TimeoutError(f"nothing listens on {port}")


@contextlib.contextmanager
def bare(directory: Path, size: int, cpu: int | None) -> Iterator[tuple[int, str]]:
    """The bare responder: its pid and URL."""
    port = free_port()
    command = [sys.executable, "-m", "bench.bare", "--port", str(port), "--size", str(size)]
    with process(command, directory / "bare.log", cpu) as serving:
        wait_for(port)
        yield serving.pid, f"http://127.0.0.1:{port}"


def call(url: str, method: str, path: str, token: str = "", body: Any = None) -> Any:
    """One request; the parsed answer, None for an empty one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/v1/{path}", data=data, method=method, headers={"X-Vault-Token": token} if token else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def _config(directory: Path, port: int, tls_port: int, storage: str) -> Path:
    from strongroom.clock import SystemClock
    from strongroom.server.certificates import make_authority

    files = make_authority(directory / "tls", ["localhost"], ["127.0.0.1"], SystemClock().now())
    path = directory / "server.hcl"
    path.write_text(
        f"""
{storage or f'storage "sqlite" {{ path = "{directory / "store"}" }}'}
listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}
listener "tcp" {{
  address = "127.0.0.1:{tls_port}"
  tls_cert_file = "{files.cert}"
  tls_key_file = "{files.key}"
  tls_disable_client_certs = true
}}
audit "file" "file" {{ options {{ file_path = "{directory / "audit.log"}" }} }}
log_level = "warn"
"""
    )
    return path


@contextlib.contextmanager
def strongroom(
    directory: Path, cpu: int | None, unseal: dict[str, str] | None = None, *, workers: int = 1, storage: str = ""
) -> Iterator[Running]:
    """A server in a directory: initialised, unsealed, with a token of five policies. `unseal` carries keys over restarts."""
    port, tls_port = free_port(), free_port()
    config = _config(directory, port, tls_port, storage)
    url = f"http://127.0.0.1:{port}"
    keys = unseal if unseal is not None else {}
    command = [sys.executable, "-m", "strongroom", "server", "-workers", str(workers), "-config", str(config)]
    with process(command, directory / "server.log", cpu) as serving:
        started = wait_for(port)
        if "key" not in keys:
            made = call(url, "PUT", "sys/init", body={"secret_shares": 1, "secret_threshold": 1})
            keys["key"], keys["root"] = made["keys"][0], made["root_token"]
        before = time.monotonic()
        call(url, "PUT", "sys/unseal", body={"key": keys["key"]})
        started += time.monotonic() - before
        if "token" not in keys:
            keys["token"], keys["strict"] = prepare(url, keys["root"])
        yield Running(serving.pid, url, f"https://127.0.0.1:{tls_port}", keys["root"], keys["token"], started, keys["strict"])


def prepare(url: str, root: str) -> tuple[str, str]:
    """The bench's mount and policies; a token with five of them, and one with a policy of many rules."""
    call(url, "POST", "sys/mounts/kv", root, {"type": "kv", "options": {"version": "2"}})
    names = [f"bench-{number}" for number in range(POLICIES)]
    for name in names:
        rules = (
            'path "kv/data/*" { capabilities = ["create", "read", "update"] }\n'
            f'path "other/{name}/+/x" {{ capabilities = ["read", "list"] }}\n'
            'path "kv/metadata/*" { capabilities = ["list"] }\n'
            'path "auth/token/create" { capabilities = ["create", "update"] }\n'
        )
        call(url, "PUT", f"sys/policies/acl/{name}", root, {"policy": rules})
    made = call(url, "POST", "auth/token/create", root, {"policies": names, "ttl": "24h"})
    call(url, "PUT", "sys/policies/acl/strict", root, {"policy": _fifty_rules()})
    strict = call(url, "POST", "auth/token/create", root, {"policies": ["strict"], "ttl": "24h"})
    return str(made["auth"]["client_token"]), str(strict["auth"]["client_token"])


def _fifty_rules() -> str:
    """Globs and `+` in turn; the one that allows the bench's reads is the last."""
    paths = [f"team{number}/+/secret/*" if number % 2 else f"kv/data/team{number}/*" for number in range(RULES - 1)]
    return "".join(f'path "{path}" {{ capabilities = ["read", "list"] }}\n' for path in (*paths, "kv/+/*"))


def approle_login(server: Running) -> str:
    """The body of a login that gets a token of five policies, as often as it is sent."""
    if "bench/" not in call(server.url, "GET", "sys/auth", server.root)["data"]:
        call(server.url, "POST", "sys/auth/bench", server.root, {"type": "approle"})
    call(
        server.url,
        "POST",
        "auth/bench/role/ci",
        server.root,
        {"token_policies": [f"bench-{n}" for n in range(POLICIES)], "token_ttl": "1h"},
    )
    role = call(server.url, "GET", "auth/bench/role/ci/role-id", server.root)["data"]["role_id"]
    secret = call(server.url, "POST", "auth/bench/role/ci/secret-id", server.root, {})["data"]["secret_id"]
    return json.dumps({"role_id": role, "secret_id": secret})


def environment() -> dict[str, str]:
    """The environment without what would send a client elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_", "STRONGROOM_"))}
