"""The cubbyhole: a drawer per token, that nobody else opens and that goes with the token."""

from __future__ import annotations

import pytest

from tests.engines.api_kit import Api


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_token_reads_back_what_it_kept(api: Api) -> None:
    token = api.token("default")
    raw = b'{"n": 1.10, "k":"v"}'
    assert api.post("cubbyhole/a/b", raw, token=token).status == 204
    assert raw in api.get("cubbyhole/a/b", token=token).text
    api.post("cubbyhole/c", {"k": 1}, token=token)
    assert api.send("LIST", "cubbyhole", token=token).data["keys"] == ["a/", "c"]
    assert api.send("LIST", "cubbyhole/a", token=token).data["keys"] == ["b"]
    assert api.send("SCAN", "cubbyhole", token=token).data["keys"] == ["a/b", "c"]
    assert api.send("SCAN", "cubbyhole/a?after=a&limit=1", token=token).data["keys"] == ["b"]
    assert api.send("DELETE", "cubbyhole/a/b", token=token).status == 204
    for missing in (api.get("cubbyhole/a/b", token=token), api.send("LIST", "cubbyhole/a", token=token)):
        assert (missing.status, missing.body) == (404, {"errors": []})


def test_no_other_token_sees_it_not_even_root(api: Api) -> None:
    token = api.token("default")
    api.post("cubbyhole/a", {"k": "v"}, token=token)
    for other in (api.token("default"), ""):
        assert api.get("cubbyhole/a", token=other).status == 404
        assert api.send("LIST", "cubbyhole", token=other).status == 404
        assert api.send("DELETE", "cubbyhole/a", token=other).status == 204
    assert api.get("cubbyhole/a", token=token).data == {"k": "v"}


def test_it_goes_with_the_token(api: Api) -> None:
    before = len(api.room.storage._rows)  # type: ignore[attr-defined]
    token = api.token("default")
    for number in range(3):
        api.post(f"cubbyhole/deep/{number}", {"k": "v"}, token=token)
    api.room.advance(3_601)
    assert api.get("cubbyhole/deep/1", token=token).status == 403
    assert len(api.room.storage._rows) == before  # type: ignore[attr-defined]


@pytest.mark.parametrize(("verb", "body"), [("GET", None), ("POST", {"k": 1}), ("DELETE", None), ("LIST", None), ("SCAN", None)])
def test_batch_tokens_have_none(api: Api, verb: str, body: object) -> None:
    path = "cubbyhole" if verb in ("LIST", "SCAN") else "cubbyhole/a"
    reply = api.send(verb, path, body, token=api.token("default", kind="batch"))
    assert (reply.status, reply.errors) == (400, ['cubbyhole operations are only supported by "service" type tokens'])


def test_a_write_needs_at_least_one_member(api: Api) -> None:
    assert api.post("cubbyhole/a", {}).errors == ["missing data fields"]


def test_a_wrapping_token_finds_its_answer_at_response_once(api: Api) -> None:
    api.put("a", {"k": "v"})
    wrapped = api.get("secret/data/a", headers={b"x-vault-wrap-ttl": b"60"}).body["wrap_info"]["token"]
    reply = api.get("cubbyhole/response", token=wrapped)
    assert '"k":"v"' in reply.data["response"]
    assert api.get("cubbyhole/response", token=wrapped).status == 403
    assert api.get("cubbyhole/response").status == 404
