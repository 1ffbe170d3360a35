"""Signature Version 4: AWS's published vectors, botocore as an independent signer, and what a verifier must not take (T12.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore import auth as oracle  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as OracleCredentials  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.clock import SECOND
from strongroom.crypto import sigv4
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.sigv4 import Credentials, Request, Scope

KEY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = int(datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()) * SECOND
HOST = ("Host", "example.amazonaws.com")


def test_the_signing_key_is_that_of_the_documentation() -> None:
    made = sigv4.signing_key(KEY.secret_key, Scope("20150830", "us-east-1", "iam"))
    assert made.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "service", "expected"),
    [
        ("GET", "/", "", (HOST,), "service", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "", (HOST,), "service", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/",
            "Param2=value2&Param1=value1",
            (HOST,),
            "service",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            "/",
            "Action=ListUsers&Version=2010-05-08",
            (("host", "iam.amazonaws.com"), ("content-type", "application/x-www-form-urlencoded; charset=utf-8")),
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case", "the documentation's ListUsers"],
)
def test_published_vectors(method: str, path: str, query: str, headers: Any, service: str, expected: str) -> None:
    made = sigv4.sign(Request(method, path, query, headers, b""), KEY, "us-east-1", service, NOW)
    assert made["authorization"].endswith(f"Signature={expected}")


def oracle_signed(request: Request, url: str, credentials: OracleCredentials, service: str) -> Request:
    """The same request, signed by botocore."""
    theirs = AWSRequest(request.method, url, headers=dict(request.headers), data=request.body)
    with patch.object(oracle, "get_current_datetime", lambda: datetime.fromtimestamp(NOW // SECOND, UTC).replace(tzinfo=None)):
        oracle.SigV4Auth(credentials, service, "eu-west-1").add_auth(theirs)
    return Request(request.method, request.path, request.query, tuple((str(k), str(v)) for k, v in theirs.headers.items()), request.body)


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)


@settings(max_examples=150)
@given(
    body=st.binary(max_size=40),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.strip),
    query=st.lists(st.tuples(st.text("aB%20~-_.", max_size=4).map(lambda text: text.replace("%", "%25")), st.text("aB+/=", max_size=4))),
    token=st.sampled_from([None, "session/token=="]),
)
def test_what_botocore_signs_verifies_and_is_signed_alike(body: bytes, value: str, query: Any, token: str | None) -> None:
    text = "&".join(f"{name}={quote(part, safe='')}" for name, part in query)
    url = "https://sts.eu-west-1.amazonaws.com/" + (f"?{text}" if text else "")
    request = Request("POST", "/", text, (("host", "sts.eu-west-1.amazonaws.com"), ("x-vault-aws-iam-server-id", value)), body)
    signed = oracle_signed(request, url, OracleCredentials(KEY.access_key, KEY.secret_key, token), "sts")
    found = sigv4.verify(signed, KEY.secret_key, NOW, required=("host", "x-vault-aws-iam-server-id"))
    assert found.scope == Scope("20150830", "eu-west-1", "sts") and found.access_key == KEY.access_key
    ours = sigv4.sign(request, Credentials(KEY.access_key, KEY.secret_key, token or ""), "eu-west-1", "sts", NOW)
    assert ours["authorization"] == sigv4.one_value(signed, "authorization")


def test_paths_are_signed_as_botocore_signs_them() -> None:
    for path in ("/a%20b/c", "/a/b~c/%25", "/x/y;z"):
        request = Request("GET", path, "", (("host", "example.com"),), b"")
        signed = oracle_signed(request, f"https://example.com{path}", OracleCredentials(KEY.access_key, KEY.secret_key), "secretsmanager")
        sigv4.verify(signed, KEY.secret_key, NOW)


# -- what is not taken ----------------------------------------------------------------------------------------------------------------

TARGET = ("x-amz-target", "secretsmanager.GetSecretValue")
UNSIGNED = Request("POST", "/", "", (HOST, TARGET, ("content-type", "application/x-amz-json-1.1")), b'{"SecretId":"a"}')
SIGNED = Request(
    "POST",
    "/",
    "",
    (*UNSIGNED.headers, *sigv4.sign(UNSIGNED, KEY, "us-east-1", "secretsmanager", NOW).items()),
    UNSIGNED.body,
)
REQUIRED = ("host", "x-amz-target")


def with_header(name: str, value: str | None, *, more: bool = False) -> Request:
    """The signed request with a header changed, removed or added."""
    kept = tuple(pair for pair in SIGNED.headers if more or pair[0].lower() != name)
    return Request("POST", "/", "", kept if value is None else (*kept, (name, value)), SIGNED.body)


def refused(request: Request, now: int = NOW, secret: str = KEY.secret_key, required: Any = REQUIRED) -> str:
    with pytest.raises(InvalidSignature) as caught:
        sigv4.verify(request, secret, now, required)
    return str(caught.value)


AUTHORIZATION = sigv4.one_value(SIGNED, "authorization")


def test_a_changed_request_is_refused() -> None:
    for changed in (
        Request("GET", "/", "", SIGNED.headers, SIGNED.body),
        Request("POST", "/x", "", SIGNED.headers, SIGNED.body),
        Request("POST", "/", "a=b", SIGNED.headers, SIGNED.body),
        Request("POST", "/", "", SIGNED.headers, SIGNED.body + b" "),
        with_header("x-amz-target", "secretsmanager.DeleteSecret"),
        with_header("host", "other"),
        with_header("x-amz-date", "20150830T123601Z"),
    ):
        assert "does not belong" in refused(changed)
    assert "does not belong" in refused(SIGNED, secret=KEY.secret_key + "x")
    sigv4.verify(SIGNED, KEY.secret_key, NOW, REQUIRED)  # the control


@pytest.mark.parametrize("name", ["host", "x-amz-target", "x-amz-date", "authorization", "content-type"])
def test_a_header_that_counts_is_there_once(name: str) -> None:
    value = sigv4.one_value(SIGNED, name)
    assert "2 times" in refused(with_header(name, value, more=True))
    assert "2 times" in refused(with_header(name.upper(), value, more=True))
    assert "0 times" in refused(with_header(name, None))


@pytest.mark.parametrize("name", REQUIRED)
def test_what_must_be_signed_is(name: str) -> None:
    rest = tuple(pair for pair in UNSIGNED.headers if pair[0].lower() != name)
    bare = Request("POST", "/", "", rest, UNSIGNED.body)
    added = sigv4.sign(bare, KEY, "us-east-1", "secretsmanager", NOW)
    whole = Request("POST", "/", "", (*UNSIGNED.headers, *added.items()), UNSIGNED.body)
    assert f"{name} is not signed" in refused(whole)
    sigv4.verify(whole, KEY.secret_key, NOW, ())  # the control: nothing else is wrong with it


def test_a_signature_is_good_for_five_minutes_around_its_instant() -> None:
    for seconds in (-300, 300):
        sigv4.verify(SIGNED, KEY.secret_key, NOW + seconds * SECOND, REQUIRED)
    for seconds in (-301, 301, 86_400):
        assert "too old" in refused(SIGNED, now=NOW + seconds * SECOND)
    for text in ("20150831T123600Z", "20150830T996000Z", "20150830123600", "", "２０150830T123600Z"):
        assert "x-amz-date" in refused(with_header("x-amz-date", text))


def test_a_stated_hash_is_that_of_the_body() -> None:
    stated = (*UNSIGNED.headers, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
    bare = Request("POST", "/", "", stated, UNSIGNED.body)
    added = sigv4.sign(bare, KEY, "us-east-1", "secretsmanager", NOW)
    assert "hash of the body" in refused(Request("POST", "/", "", (*stated, *added.items()), UNSIGNED.body))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bearer x",
        AUTHORIZATION.lower(),
        AUTHORIZATION + " ",
        AUTHORIZATION + ",Signature=" + "0" * 64,
        AUTHORIZATION.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        AUTHORIZATION.replace("aws4_request", "aws5_request"),
        AUTHORIZATION.replace("host;", "host;host;"),
        AUTHORIZATION.replace("content-type;host;", "host;content-type;"),
        AUTHORIZATION.replace("us-east-1", "us east"),
        AUTHORIZATION.replace("/20150830", "/2015083"),
        AUTHORIZATION[:-1] + "G",
        AUTHORIZATION[:-1],
    ],
)
def test_an_authorization_header_has_one_form(text: str) -> None:
    with pytest.raises(InvalidSignature):
        sigv4.parse_authorization(text)


def test_nothing_shows_a_secret() -> None:
    shown = repr(KEY) + repr(SIGNED) + repr(sigv4.parse_authorization(AUTHORIZATION))
    assert KEY.secret_key not in shown and AUTHORIZATION[-64:] not in shown
