"""What somebody without rights learns and can do, over the wire: T2.3, T7.1, T7.2, T7.3, T8.1, T21.2, T25.1."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from typing import Any

import pytest

from tests.support.http import Client, Reply
from tests.support.server import Server

MIB = 1 << 20
PROFILE = os.environ.get("STRONGROOM_TEST_PROFILE", "ci")
ANONYMOUS_TRIES = 10_000 if PROFILE == "long" else 500

PUBLIC = re.compile(
    r"/sys/(health|seal-status|leader|init|unseal|internal/ui/(mounts|namespaces).*|internal/specs/openapi|wrapping/(lookup|unwrap|pubkey)"
    r"|decode-token|replication/status|(rekey|rekey-recovery-key|generate-root)/.*)|/auth/[^/]+/login.*"
)
"""The reviewed list: tests/sys/test_routes.py has the reasons."""


def stranger(live: Server) -> Client:
    return live.client("")


def names(reply: Reply) -> list[str]:
    return list(reply.headers)


# -- T2.3 ---------------------------------------------------------------------------------------------------------------

TOKENS = ("", "wrong", "srs_" + "A" * 49, "srb_" + "A" * 80, "hvs.CAESIJ", "ü".encode().decode("latin-1"))


def test_a_refusal_is_the_same_bytes_whatever_is_or_is_not_there(live: Server) -> None:
    """It says what the caller knows, whether he sent a token, and that this is none; nothing of what he asked for."""
    live.client().write("secret/data/there", {"data": {"a": 1}})
    answers: dict[str, set[object]] = {token: set() for token in TOKENS}
    client = stranger(live)
    for path in (
        "secret/data/there",
        "secret/data/missing",
        "nomount/x",
        "sys/mounts",
        "sys/nothing",
        "auth/none/x",
        "cubbyhole/x",
        "identity/x",
    ):
        for namespace in ({}, {"X_Vault_Namespace": "other"}, {"X_Vault_Namespace": "root/other"}):
            for token in TOKENS:
                for verb in ("GET", "PUT", "DELETE", "LIST"):
                    reply = client.ask(verb, path, token=token, **namespace)
                    assert reply.status == 403
                    answers[token].add((tuple(reply.headers.items()), reply.body))
    assert {token: len(said) for token, said in answers.items()} == dict.fromkeys(TOKENS, 1)


def test_a_refusal_with_another_token_would_be_seen(live: Server) -> None:
    """The control: with rights the same requests differ."""
    client = live.client()
    assert len({client.ask("GET", path).body for path in ("secret/data/missing", "nomount/x", "sys/mounts")}) == 3


# -- T7 -----------------------------------------------------------------------------------------------------------------


def operations(live: Server) -> list[tuple[str, str]]:
    document = live.client().read("sys/internal/specs/openapi").json
    verbs = ("get", "post", "patch", "delete")
    return [(verb.upper(), path) for path, item in document["paths"].items() for verb in verbs if verb in item]


def open_to_strangers(live: Server) -> list[str]:
    """Operations of the live server that answer something else than 403 without a token."""
    client, found = stranger(live), []
    for verb, path in operations(live):
        filled = re.sub(r"\{[^}]+\}", "x", path).lstrip("/")
        reply = client.ask(verb, filled, {} if verb in ("POST", "PATCH") else None, content_type="application/merge-patch+json")
        if reply.status != 403:
            found.append(path)
    return found


def test_every_operation_of_the_live_server_needs_a_token_or_is_on_the_list(live: Server) -> None:
    assert len(operations(live)) > 150
    found = open_to_strangers(live)
    assert not [path for path in found if not PUBLIC.fullmatch(path)]
    assert found, "the control: what is public does answer, so the walk tells the two apart"


def test_strangers_can_neither_see_nor_disturb_a_ceremony(live: Server) -> None:
    root, client = live.client(), stranger(live)
    assert root.write("sys/generate-root-token/attempt", {}).status == 200
    assert root.write("sys/rotate/recovery/init", {"secret_shares": 1, "secret_threshold": 1}).status == 200
    ceremonies = ("sys/generate-root-token/attempt", "sys/rotate/recovery/init")
    before = [root.read(path).data["nonce"] for path in ceremonies]
    client.read("sys/health")
    resident, lines = live.resident(), live.audit.read_bytes().count(b"\n")
    tried = 0
    for number in range(ANONYMOUS_TRIES):
        for verb, path in (("PUT", "attempt"), ("DELETE", "attempt")):
            for where in ("sys/generate-root", "sys/generate-root-token"):
                assert client.ask(verb, f"{where}/{path}", {}).status in (403, 405)
                tried += 1
        for where in ("sys/rekey", "sys/rekey-recovery-key", "sys/rotate/recovery", "sys/rotate/root"):
            verb = ("PUT", "DELETE")[number % 2]
            assert client.ask(verb, f"{where}/init", {"secret_shares": 1, "secret_threshold": 1}).status in (403, 405)
            tried += 1
    assert [root.read(path).data["nonce"] for path in ceremonies] == before
    assert live.resident() - resident < 5 * MIB
    assert live.audit.read_bytes().count(b"\n") - lines >= tried, "every try is in the audit log"
    for path in ceremonies:
        assert root.ask("DELETE", path).status in (200, 204)


def test_status_pages_name_no_address_host_or_mount(live: Server) -> None:
    client = stranger(live)
    for path in ("sys/health", "sys/seal-status", "sys/leader", "sys/init", "sys/unseal"):
        text = client.ask("PUT" if path == "sys/unseal" else "GET", path, {"reset": True} if path == "sys/unseal" else None).text
        for hint in (socket.gethostname(), "127.0.0.1", "secret/", "/tmp", str(live.directory), str(live.port)):
            assert hint not in text, (path, hint)
        for version in re.findall(r'"version":"([^"]*)"', text):
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)


# -- T8.1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", "RENEW REVOKE ROLLBACK HELP CREATE UPDATE READ LINK TRACE OPTIONS PROPFIND list Get X".split())
def test_there_is_no_verb_for_an_operation_of_the_servers_own(live: Server, verb: str) -> None:
    with live.client() as client:
        assert client.ask(verb, "secret/data/there").status in (400, 405)


@pytest.mark.parametrize("query", ["operation=revoke", "op=create", "rollback=1", "renew=true", "method=DELETE", "_method=DELETE"])
def test_a_query_does_not_change_the_operation(live: Server, query: str) -> None:
    client = live.client()
    client.write("secret/data/t8", {"data": {"a": 1}})
    client.ask("GET", f"secret/data/t8?{query}")
    client.ask("GET", "secret/data/t8", X_HTTP_Method_Override="DELETE", X_Vault_Operation="revoke")
    assert client.read("secret/data/t8").data["data"] == {"a": 1}
    assert client.ask("GET", "secret/data/t8?list=true&help=1").status == 400


# -- T21.2 --------------------------------------------------------------------------------------------------------------


def test_two_different_tokens_are_refused_and_two_equal_ones_are_one(live: Server) -> None:
    client = live.client()
    assert client.read("auth/token/lookup-self", Authorization="Bearer other").status == 400
    assert client.read("auth/token/lookup-self", Authorization=f"Bearer {live.token}").status == 200
    assert stranger(live).read("auth/token/lookup-self", Authorization=f"Bearer {live.token}").status == 200


# -- T25.1 --------------------------------------------------------------------------------------------------------------


def wrapped(live: Server, ttl: str = "5m") -> tuple[str, dict[str, Any]]:
    info = live.client().write("sys/wrapping/wrap", {"password": "inside"}, X_Vault_Wrap_TTL=ttl).json["wrap_info"]
    return info["token"], info


def at_once(live: Server, token: str, verb: str, path: str) -> list[Reply]:
    """What a hundred get that ask for the same in the same instant."""
    clients = [live.client(token) for _ in range(100)]
    gate, answers = threading.Barrier(len(clients)), list[Reply]()

    def ask(client: Client) -> None:
        client.read("sys/health", token="")
        gate.wait()
        answers.append(client.ask(verb, path))

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    return answers


def test_of_a_hundred_that_unwrap_at_once_one_succeeds(live: Server) -> None:
    token, _ = wrapped(live)
    answers = at_once(live, token, "POST", "sys/wrapping/unwrap")
    good = [reply for reply in answers if reply.status == 200]
    assert [reply.data for reply in good] == [{"password": "inside"}]
    assert {reply.status for reply in answers} <= {200, 400, 403}
    assert not [reply for reply in answers if reply.status != 200 and "inside" in reply.text]


def test_a_hundred_that_may_all_are_all_served(live: Server) -> None:
    """The control: with a token that is good for any number of uses all hundred succeed."""
    live.client().write("secret/data/hundred", {"data": {"password": "inside"}})
    assert [reply.status for reply in at_once(live, live.token, "GET", "secret/data/hundred")] == [200] * 100


def test_a_wrapping_token_opens_its_envelope_and_nothing_else(live: Server) -> None:
    token, info = wrapped(live)
    looked = stranger(live).write("sys/wrapping/lookup", {"token": token}).data
    assert (looked["creation_path"], looked["creation_ttl"]) == ("sys/wrapping/wrap", 300)
    assert looked["creation_time"] == info["creation_time"]
    for verb, path in (
        ("GET", "secret/data/there"), ("GET", "auth/token/lookup-self"), ("POST", "auth/token/renew-self"), ("POST", "auth/token/create"),
        ("GET", "sys/mounts"), ("LIST", "cubbyhole"), ("POST", "sys/capabilities-self"),
    ):  # fmt: skip
        client = live.client(wrapped(live)[0])
        assert client.ask(verb, path, {} if verb == "POST" else None).status in (400, 403), path
        assert client.write("sys/wrapping/unwrap").status in (400, 403), "the try has used it up, as any use does"
    client = live.client(token)
    assert client.write("sys/wrapping/unwrap").data == {"password": "inside"}
    assert client.write("sys/wrapping/unwrap").status in (400, 403)


def test_unwrapping_is_in_the_audit_log_and_a_second_wrapping_shows(live: Server) -> None:
    token, info = wrapped(live)
    moved = live.client().write("sys/wrapping/rewrap", {"token": token}).json["wrap_info"]
    assert moved["token"] != token
    assert stranger(live).write("sys/wrapping/lookup", {"token": moved["token"]}).data["creation_path"] == "sys/wrapping/wrap"
    stolen = live.client(moved["token"]).write("sys/wrapping/unwrap")
    again = live.client().write("sys/wrapping/wrap", stolen.data, X_Vault_Wrap_TTL="5m").json["wrap_info"]
    assert again["accessor"] not in (info["accessor"], moved["accessor"])
    lines = [json.loads(line) for line in live.audit.read_bytes().splitlines()]
    asked = [line for line in lines if line["type"] == "response" and line["request"]["path"] == "sys/wrapping/unwrap"]
    assert asked
    assert "inside" not in live.audit.read_text()
