"""What strangers hand to the kubernetes and aws methods, whatever it is, is taken or refused; nothing else happens."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from functools import partial
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from strongroom.auth.aws.arn import check_bound, parse_arn
from strongroom.auth.aws.config import Client
from strongroom.auth.aws.proof import BODIES, LoginBody, read_proof
from strongroom.auth.aws.services import STS_NAMESPACE, _result
from strongroom.auth.kubernetes.account import account
from strongroom.auth.kubernetes.selector import parse_selector
from strongroom.crypto import jwk, jws, sigv4
from strongroom.crypto.errors import InvalidSignature, InvalidToken, UnusableKey
from strongroom.errors import InvalidRequest
from strongroom.outbound.url import base_url
from strongroom.outbound.wire import Answer
from tests.support.aws_api import identity_document

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NOW = 1_767_225_600 * 10**9


def b64(data: bytes) -> str:
    return b64encode(data).decode()


@given(
    st.text(max_size=60)
    | st.tuples(JSON, JSON, st.binary(max_size=8)).map(
        lambda parts: ".".join(b64(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip("=") for part in parts)
    )
)
@example("é.é.é")
@example("\ud800.a.a")
@example("." * 70_000)
def test_a_token_parses_or_is_invalid(text: str) -> None:
    with contextlib.suppress(InvalidToken):
        jws.parse(text).unverified_claims()


@given(JSON)
def test_keys_and_claims_are_read_or_refused(value: Any) -> None:
    members = value if isinstance(value, dict) else {"kubernetes.io": value, "kty": value}
    for read, refusal in ((jwk.from_jwk, UnusableKey), (jwk.from_key_set, UnusableKey), (account, InvalidToken)):
        with contextlib.suppress(refusal):
            read(members)


@given(st.text(max_size=80))
@example("[::ffff:169.254.169.254")
@example("\ud800")
def test_texts_of_administrators_and_strangers_are_read_or_refused(text: str) -> None:
    for read in (parse_arn, check_bound, partial(base_url, field="x"), parse_selector):
        with contextlib.suppress(InvalidRequest):
            read(text)
    with contextlib.suppress(InvalidSignature):
        sigv4.parse_authorization(text)


@given(
    url=st.text(max_size=30) | st.sampled_from(["https://sts.amazonaws.com/", "https://[::1", "https://sts.amazonaws.com/\x00"]),
    body=st.binary(max_size=20) | st.sampled_from(sorted(BODIES)),
    headers=JSON | st.dictionaries(st.sampled_from(["host", "Host", "authorization", "x-amz-date", "é", ""]), JSON, max_size=4),
    method=st.sampled_from(["POST", "GET", "post"]),
    encoded=st.booleans(),
)
def test_what_is_handed_over_is_a_proof_or_refused(url: str, body: bytes, headers: Any, method: str, encoded: bool) -> None:
    given = b64(json.dumps(headers).encode()) if encoded else headers
    texts = (b64(url.encode("utf-8", "surrogatepass")), b64(body))
    login = LoginBody(iam_http_request_method=method, iam_request_url=texts[0], iam_request_body=texts[1], iam_request_headers=given)
    with contextlib.suppress(InvalidRequest):
        read_proof(login, Client(), NOW)


GOOD = identity_document("arn:aws:iam::123456789012:user/alice", "AIDAALICE", "123456789012")


@given(
    at=st.integers(0, len(GOOD)),
    cut=st.integers(0, 12),
    put=st.binary(max_size=12),
    kind=st.sampled_from(["text/xml", ""]),
)
def test_an_answer_is_the_document_or_none(at: int, cut: int, put: bytes, kind: str) -> None:
    answer = Answer("sts", 200, {"content-type": kind}, GOOD[:at] + put + GOOD[at + cut :])
    with contextlib.suppress(InvalidRequest):
        _result(answer, "GetCallerIdentity", STS_NAMESPACE)
