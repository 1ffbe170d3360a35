"""The Vault codec: bytes to a Request and back, without a core."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.api.vault import Answer, answer, decode, failure
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import NOTHING, Bare, Json, LeaseInfo, Response
from strongroom.core.secret import Secret
from strongroom.errors import (
    InternalError,
    InvalidRequest,
    InvalidToken,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    Sealed,
    StrongroomError,
    TooManyRequests,
    UnsupportedMediaType,
    UnsupportedOperation,
)

ENVELOPE = ["request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth", "mount_type"]


def read_in(verb: str, target: str, body: bytes = b"", **headers: str) -> Request:
    names = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    return decode(verb.encode(), b"/v1/" + target.encode(), names, body, Peer("127.0.0.1", 1))


def parsed(reply: Answer) -> Any:
    return msgspec.json.decode(reply.body)


def request(operation: Operation) -> Request:
    verb = {Operation.UPDATE: "POST"}.get(operation, "GET" if operation is Operation.READ else operation.value.upper())
    return read_in(verb, "a", content_type="application/merge-patch+json")


@pytest.mark.parametrize(
    ("verb", "target", "operation", "path"),
    [
        ("GET", "a/b", Operation.READ, "a/b"),
        ("HEAD", "a/b", Operation.READ, "a/b"),
        ("GET", "a/b/", Operation.READ, "a/b"),
        ("DELETE", "a/b/", Operation.DELETE, "a/b"),
        ("POST", "a/b", Operation.UPDATE, "a/b"),
        ("PUT", "a/b", Operation.UPDATE, "a/b"),
        ("PATCH", "a/b", Operation.PATCH, "a/b"),
        ("LIST", "a/b", Operation.LIST, "a/b/"),
        ("LIST", "a/b/", Operation.LIST, "a/b/"),
        ("SCAN", "a/b", Operation.SCAN, "a/b/"),
        ("GET", "a/b?list=true", Operation.LIST, "a/b/"),
        ("GET", "a/b?list=1", Operation.LIST, "a/b/"),
        ("GET", "a/b?list=T", Operation.LIST, "a/b/"),
        ("GET", "a/b?scan=TRUE", Operation.SCAN, "a/b/"),
        ("LIST", "a/b?list=true", Operation.LIST, "a/b/"),
        ("GET", "a/b?list=false", Operation.READ, "a/b"),
        ("GET", "a/b?list=0&scan=", Operation.READ, "a/b"),
        ("GET", "a/b?help=1", Operation.HELP, "a/b"),
        ("GET", "a?help=1&list=false", Operation.HELP, "a"),
        ("POST", "a/b?help=1", Operation.UPDATE, "a/b"),
        ("POST", "a/b?list=true", Operation.UPDATE, "a/b"),
    ],
)
def test_verb_and_query_say_the_operation(verb: str, target: str, operation: Operation, path: str) -> None:
    made = read_in(verb, target, content_type="application/merge-patch+json")
    assert (made.operation, made.path) == (operation, path)
    assert not {"list", "scan", "help"} & made.data.keys()


@pytest.mark.parametrize("target", ["a?list=true&scan=true", "a?list=yes", "a?scan=2", "a?help=maybe", "a?list=true&help=1"])
def test_a_flag_that_cannot_be_read_is_refused(target: str) -> None:
    with pytest.raises(InvalidRequest):
        read_in("GET", target)


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
def test_a_write_to_a_folder_is_refused(verb: str) -> None:
    with pytest.raises(InvalidRequest, match="ending in"):
        read_in(verb, "a/", content_type="application/merge-patch+json")


@pytest.mark.parametrize("verb", ["LINK", "OPTIONS", "TRACE", "get", "HELP", "CREATE", ""])
def test_other_verbs_name_no_operation(verb: str) -> None:
    with pytest.raises(UnsupportedOperation):
        read_in(verb, "a")


def test_queries_are_data_where_there_is_no_body() -> None:
    assert read_in("GET", "a?version=2&x=%20y", b'{"version":3}').data == {"version": "2", "x": " y"}
    assert read_in("DELETE", "a?versions=1", b'{"versions":3}').data == {"versions": "1"}
    assert read_in("LIST", "a?after=m&limit=3").data == {"after": "m", "limit": "3"}
    assert read_in("POST", "a?version=2", b'{"version":3}').data == {"version": 3}
    assert read_in("GET", "a", b"not json").raw == b""


def test_a_cancellation_may_bring_its_nonce_in_a_body_and_no_other_deletion_anything() -> None:
    assert read_in("DELETE", "sys/rekey/init?nonce=x", b'{"nonce": "y"}').data == {"nonce": "y"}
    assert read_in("DELETE", "sys/rekey/init?nonce=x").data == {"nonce": "x"}
    assert read_in("DELETE", "a/b", b'{"nonce": "y"}').data == {} == read_in("GET", "sys/rekey/init", b'{"nonce": "y"}').data
    with pytest.raises(InvalidRequest):
        read_in("DELETE", "sys/rekey/init", b"{")


def test_bodies_are_json_or_forms_whatever_the_type_says() -> None:
    form = "application/x-www-form-urlencoded"
    assert read_in("POST", "a", b'{"a":1}').data == {"a": 1}
    assert read_in("POST", "a", b'{"a":1}', content_type=form).data == {"a": 1}
    made = read_in("POST", "a", b"a=1&b=x+y", content_type=form)
    assert made.data == {"a": "1", "b": "x y"}
    assert msgspec.json.decode(made.raw) == made.data
    for empty in (b"", b"  \n", b"null"):
        assert read_in("PUT", "a", empty).data == {}
    for wrong in (b"a=1", b"[]", b'"x"', b'{"a":1', b'{"a":1}{}', b'{"a":1,"a":2}', b"\xff"):
        with pytest.raises(InvalidRequest):
            read_in("POST", "a", wrong, content_type="application/json")


def test_a_patch_needs_its_type_and_nothing_else_does() -> None:
    for right in ("application/merge-patch+json", "Application/Merge-Patch+JSON; charset=utf-8"):
        assert read_in("PATCH", "a", b"{}", content_type=right).operation is Operation.PATCH
    with pytest.raises(UnsupportedMediaType, match=r"merge-patch\+json, provided application/json$"):
        read_in("PATCH", "a", b"{}", content_type="application/json; charset=utf-8")
    with pytest.raises(InvalidRequest, match="no media type"):
        read_in("PATCH", "a", b"{}")
    assert read_in("POST", "a", b"{}", content_type="text/plain").data == {}


def test_the_slash_that_a_path_lost_is_remembered() -> None:
    assert [read_in("DELETE", path).slashed for path in ("a/", "a", "a/b/")] == [True, False, True]
    assert not read_in("LIST", "a/").slashed


def test_the_token_comes_by_either_header_and_never_by_two() -> None:
    assert read_in("GET", "a", x_vault_token="s.one").credential.reveal() == "s.one"
    assert read_in("GET", "a", authorization="Bearer s.one").credential.reveal() == "s.one"
    assert read_in("GET", "a", authorization="bearer  s.one ").credential.reveal() == "s.one"
    assert read_in("GET", "a", x_vault_token="s.one", authorization="Bearer s.one").credential.reveal() == "s.one"
    assert read_in("GET", "a", x_vault_token="s.one", authorization="Basic xyz").credential.reveal() == "s.one"
    assert read_in("GET", "a", x_vault_token="s.one", authorization="Bearer ").credential.reveal() == "s.one"
    assert not read_in("GET", "a").credential
    with pytest.raises(InvalidRequest) as refused:
        read_in("GET", "a", x_vault_token="s.one", authorization="Bearer s.two")
    assert "s.one" not in str(refused.value)
    assert "s.two" not in str(refused.value)


@pytest.mark.parametrize("token", ["\xe9\xff", "x" * 100_000, " ", "\x00"])
def test_a_strange_token_is_a_token_like_any_other(token: str) -> None:
    assert read_in("GET", "a", x_vault_token=token).credential.reveal() == token


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("5m", 300), ("1h30m", 5400), ("", 0), ("0", 0)])
def test_the_wrap_ttl_is_a_duration(text: str, seconds: int) -> None:
    assert read_in("GET", "a", x_vault_wrap_ttl=text).wrap_ttl == seconds


@pytest.mark.parametrize("text", ["-1", "-5m", "soon", "1e3", "99999999999999999999", "1 m", "\xb5"])
def test_a_wrap_ttl_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_in("GET", "a", x_vault_wrap_ttl=text)


def test_namespaces_are_named_as_clients_do() -> None:
    for root in ("", "/", "root", "root/"):
        assert read_in("GET", "a", x_vault_namespace=root).namespace == ""
    assert read_in("GET", "a", x_vault_namespace="/team/x/").namespace == "team/x"


@given(verb=st.binary(max_size=8), target=st.binary(max_size=60), token=st.binary(max_size=20), body=st.binary(max_size=60))
def test_any_bytes_are_a_request_or_a_refusal(verb: bytes, target: bytes, token: bytes, body: bytes) -> None:
    headers = {b"x-vault-token": token, b"x-vault-wrap-ttl": target[:4], b"x-vault-namespace": body[:5], b"content-type": body[:40]}
    for chosen in (verb, b"GET", b"POST", b"LIST"):
        try:
            made = decode(chosen, b"/v1/" + target, headers, body, Peer())
        except (InvalidRequest, UnsupportedOperation):
            pass
        else:
            assert made.path.endswith("/") == (made.operation in (Operation.LIST, Operation.SCAN))
            assert "//" not in made.path or made.path == "/"


# ---- out


def test_an_answer_has_all_nine_members() -> None:
    reply = answer(request(Operation.READ), Response(data={"a": 1}), None)
    assert reply.status == 200
    assert reply.content_type == "application/json"
    assert list(parsed(reply)) == ENVELOPE
    spliced = answer(request(Operation.READ), Response(data=Json(b'{"n":1.10}'), lease=LeaseInfo(duration=5)), None)
    assert b'"data":{"n":1.10}' in spliced.body
    assert parsed(spliced)["lease_duration"] == 5


@pytest.mark.parametrize("nothing", [NOTHING, Response()])
def test_nothing_is_404_for_reads_and_204_for_writes(nothing: Response) -> None:
    for operation in (Operation.READ, Operation.LIST, Operation.SCAN):
        reply = answer(request(operation), nothing, None)
        assert (reply.status, parsed(reply)) == (404, {"errors": []})
    for operation in (Operation.UPDATE, Operation.PATCH, Operation.DELETE):
        reply = answer(request(operation), nothing, None)
        assert (reply.status, reply.body) == (204, b"")


def test_warnings_alone_are_an_answer() -> None:
    for operation in (Operation.LIST, Operation.UPDATE):
        reply = answer(request(operation), Response(warnings=("w",)), None)
        assert reply.status == 200
        assert parsed(reply)["warnings"] == ["w"]
        assert parsed(reply)["data"] is None


def test_a_route_may_choose_its_status() -> None:
    assert answer(request(Operation.UPDATE), Response(warnings=("later",), status=202), None).status == 202
    assert answer(request(Operation.UPDATE), Response(status=202), None).status == 202
    bare = answer(request(Operation.READ), Response(bare=Bare(b"x", "text/plain", 503, (("A", "b"),))), None)
    assert bare == Answer(503, b"x", "text/plain", (("A", "b"),))


def test_members_of_old_routes_stand_at_the_top_too() -> None:
    body = parsed(answer(request(Operation.READ), Response(data={"keys": ["a"], "data": 1}, mirror=True), None))
    assert body["keys"] == ["a"]
    assert body["data"] == {"keys": ["a"], "data": 1}


def test_every_refusal_is_the_same_body() -> None:
    """Of whom is let in; who shows no token, or none that is known, learns that and no more."""
    known = read_in("GET", "a", x_vault_token="t")
    stranger = msgspec.structs.replace(known, credential=Secret(""))
    for error in (PermissionDenied(), PermissionDenied("why", "reason")):
        assert parsed(failure(error, known)) == {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        assert parsed(failure(error, stranger)) == {"errors": ["permission denied"]}
    assert parsed(failure(InvalidToken(), known)) == {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}


def test_a_404_with_data_or_warnings_is_a_whole_envelope() -> None:
    for error in (NotFound(data={"data": None}), NotFound("text", warnings=["Invalid path"])):
        reply = failure(error, request(Operation.READ))
        assert reply.status == 404
        assert list(parsed(reply)) == ENVELOPE
    assert parsed(failure(NotFound())) == {"errors": []}
    assert parsed(failure(NotFound("no handler"))) == {"errors": ["no handler"]}


def test_an_error_may_carry_data() -> None:
    assert parsed(failure(InvalidRequest("a", "b", data={"x": 1}))) == {"errors": ["a", "b"], "data": {"x": 1}}


@pytest.mark.parametrize(("error", "seconds"), [(Sealed(), "1"), (TooManyRequests("slow down", 7), "7"), (OutcomeUnknown(b"x"), "1")])
def test_who_should_come_back_is_told_when(error: StrongroomError, seconds: str) -> None:
    reply = failure(error, request(Operation.READ))
    assert reply.status == error.status
    assert ("Retry-After", seconds) in reply.headers


def test_a_500_names_its_request() -> None:
    made = request(Operation.READ)
    assert made.id in parsed(failure(InternalError(), made))["errors"][1]
    assert parsed(failure(InternalError()))["errors"] == ["internal error"]
