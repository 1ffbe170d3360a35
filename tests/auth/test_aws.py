"""aws: whoever AWS says signed, and nobody else, gets what his role says (T12.3, T12.5, T20.1, T21.3)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as BotoCredentials  # type: ignore[import-untyped]

from strongroom.auth.aws import proof, services
from strongroom.auth.aws.arn import check_bound, parse_arn
from strongroom.clock import SECOND, SystemClock
from strongroom.core.request import Operation, Peer
from strongroom.core.response import Auth
from strongroom.errors import InvalidRequest, NotFound, Unavailable
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.testing import FakeClock, Strongroom
from tests.support.aws_api import (
    ACCOUNT,
    ALICE,
    BODY,
    DEPLOY,
    SERVER,
    STS,
    Aws,
    Holder,
    document,
    handed_over,
    identity_document,
    xml,
)
from tests.support.elsewhere import Answered

AUTH = "auth/aws/"
LOGIN = AUTH + "login"
ALICE_ARN = f"arn:aws:iam::{ACCOUNT}:user/alice"
DEPLOY_ARN = f"arn:aws:iam::{ACCOUNT}:role/deploy"
OTHER = "999999999999"
CLOCK = FakeClock()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with closing(Aws(tmp_path_factory.mktemp("aws"), CLOCK)) as made:
        yield made


@pytest.fixture
def room(aws: Aws) -> Strongroom:
    """A server that asks the stand-in as if it were AWS, and roles for alice and deploy."""
    aws.keys = {"AKIAALICE": ALICE, "ASIADEPLOY": DEPLOY, "AKIASERVER": SERVER}
    aws.assumable, aws.trouble = {}, None
    aws.known = {
        f"{ACCOUNT}:alice": (f"arn:aws:iam::{ACCOUNT}:user/team/alice", "AIDAALICE"),
        f"{ACCOUNT}:deploy": (f"arn:aws:iam::{ACCOUNT}:role/ci/deploy", "AROADEPLOY"),
    }
    room = Strongroom(clock=CLOCK, outbound=Outbound(roots=aws.ca_pem))
    room.write("sys/auth/aws", {"type": "aws"})
    client = {"sts_endpoint": aws.url, "iam_endpoint": aws.url, "access_key": "AKIASERVER", "secret_key": SERVER.secret}
    room.write(AUTH + "config/client", client)
    plain = {"resolve_aws_unique_ids": False, "token_policies": "reader", "token_ttl": "10m"}
    room.write(AUTH + "role/alice", {"bound_iam_principal_arn": ALICE_ARN, **plain})
    room.write(AUTH + "role/deploy", {"bound_iam_principal_arn": DEPLOY_ARN, **plain})
    aws.asked.clear()
    return room


def alice(**options: Any) -> dict[str, Any]:
    return handed_over(now=CLOCK.now(), **options)


def deploy(**options: Any) -> dict[str, Any]:
    return handed_over("ASIADEPLOY", DEPLOY, now=CLOCK.now(), **options)


def answer(room: Strongroom, fields: dict[str, Any], peer: Peer | None = None) -> tuple[int, str]:
    work = room.request(Operation.UPDATE, LOGIN, fields, token="", peer=peer)
    return (200, "") if work.error is None else (work.error.status, str(work.error))


def refused(room: Strongroom, fields: dict[str, Any], text: str, status: int = 400) -> None:
    found = answer(room, fields)
    assert found[0] == status and text in found[1], found


def login(room: Strongroom, fields: dict[str, Any]) -> Auth:
    return room.login(LOGIN, fields)


# -- what a login gives -----------------------------------------------------------------------------------------------------------


def test_a_user_logs_in(room: Strongroom) -> None:
    auth = login(room, alice(role="alice"))
    assert auth.policies == ("default", "reader") and auth.lease_duration == 600 and auth.orphan
    role_id = room.json(room.read(AUTH + "role/alice"))["role_id"]
    assert auth.metadata == {"role_id": role_id, "account_id": ACCOUNT, "auth_type": "iam"}
    looked = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert looked["display_name"] == "aws-alice" and looked["path"] == LOGIN and looked["entity_id"]


def test_a_role_that_was_assumed_logs_in_with_its_session_token(room: Strongroom) -> None:
    room.write(AUTH + "config/identity", {"iam_metadata": ["client_arn", "canonical_arn", "client_user_id"]})
    assert login(room, deploy()).metadata == {
        "role_id": room.json(room.read(AUTH + "role/deploy"))["role_id"],
        "client_arn": DEPLOY.arn,
        "canonical_arn": DEPLOY_ARN,
        "client_user_id": "AROADEPLOY",
    }


def test_without_a_role_the_one_with_the_principals_name_is_meant(room: Strongroom) -> None:
    assert login(room, alice()).policies == ("default", "reader")
    room.delete(AUTH + "role/alice")
    refused(room, alice(), "entry for role alice not found")


def test_what_is_sent_is_what_was_signed_and_nothing_else(room: Strongroom, aws: Aws) -> None:
    """T21.3. The headers that the client did not sign stay here."""
    login(room, alice(role="alice", unsigned={"accept": "application/json", "x-extra": "1", "cookie": "a=b"}))
    (asked,) = aws.asked
    assert (asked.method, asked.path, asked.body, asked.headers["host"]) == ("POST", "/", BODY, "sts.amazonaws.com")
    assert asked.headers.keys() == {
        "host",
        "connection",
        "accept-encoding",
        "content-length",
        "user-agent",
        "content-type",
        "x-amz-date",
        "authorization",
    }


def test_what_botocore_signs_logs_in(room: Strongroom, aws: Aws) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", "https://sts.amazonaws.com/", headers=headers, data=BODY)
    SigV4Auth(BotoCredentials("ASIADEPLOY", DEPLOY.secret, DEPLOY.session_token), "sts", "us-east-1").add_auth(request)
    aws.clock = SystemClock()
    CLOCK._now, before = SystemClock().now(), CLOCK._now
    try:
        for form in (dict(request.headers), {name: [value] for name, value in request.headers.items()}):
            fields = deploy(role="deploy", iam_request_headers=form)
            assert login(room, fields).policies == ("default", "reader")
    finally:
        aws.clock, CLOCK._now = CLOCK, before


@pytest.mark.parametrize(("alias", "same"), [("role_id", True), ("unique_id", False), ("canonical_arn", False), ("full_arn", False)])
def test_an_alias_is_what_the_configuration_says(room: Strongroom, aws: Aws, alias: str, same: bool) -> None:
    room.write(AUTH + "config/identity", {"iam_alias": alias})
    room.write(AUTH + "role/both", {"bound_iam_principal_arn": [ALICE_ARN, DEPLOY_ARN], "resolve_aws_unique_ids": False})
    assert (login(room, alice(role="both")).entity_id == login(room, deploy(role="both")).entity_id) is same
    assert login(room, alice(role="both")).entity_id == login(room, alice(role="both")).entity_id


def test_renewal_goes_by_the_role_and_ends_with_it(room: Strongroom) -> None:
    token = login(room, alice()).client_token.reveal()
    room.write(AUTH + "role/alice", {"token_ttl": "5m"})
    renewed = room.write("auth/token/renew-self", token=token).auth
    assert renewed is not None and renewed.lease_duration == 300
    room.write(AUTH + "role/alice", {"bound_iam_principal_arn": DEPLOY_ARN})
    with pytest.raises(InvalidRequest, match="no longer bound"):
        room.write("auth/token/renew-self", token=token)
    room.delete(AUTH + "role/alice")
    assert room.request(Operation.READ, "auth/token/lookup-self", token=token).error is not None


# -- CVE-2020-16250: the question, where it goes, and the answer, are not the client's to choose ----------------------------------------


def test_another_action_is_not_sent(room: Strongroom, aws: Aws) -> None:
    """STS would repeat what the client's token says: an answer to GetCallerIdentity, say."""
    forged = identity_document(ALICE_ARN, "AIDAALICE", ACCOUNT).decode()
    for body in (
        f"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken={forged}".encode(),
        BODY + b"&Action=AssumeRoleWithWebIdentity",
        BODY + b"&",
        b"Action=GetCallerIdentity",
        b"action=GetCallerIdentity&Version=2011-06-15",
        b"Action=GetCallerIdentit%79&Version=2011-06-15",
        b"Version=2011-06-15&Action=GetSessionToken",
    ):
        refused(room, alice(role="alice", body=body), "iam_request_body is not")
    for url in (f"https://sts.amazonaws.com/?{BODY.decode()}", "https://sts.amazonaws.com/x", "https://sts.amazonaws.com/?Action=x"):
        refused(room, alice(role="alice", url=url), "more than a host")
    assert aws.asked == []
    login(room, alice(role="alice", body=b"Version=2011-06-15&Action=GetCallerIdentity"))  # the control: the other order


def test_with_these_checks_out_another_action_gets_through(room: Strongroom, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: the request would reach STS, and only the check of its answer would be left."""
    forged = identity_document(ALICE_ARN, "AIDAALICE", ACCOUNT).decode()
    body = f"Action=AssumeRoleWithWebIdentity&WebIdentityToken={forged}".replace("+", "%2B").replace("\n", "%0A").encode()
    monkeypatch.setattr(proof, "BODIES", frozenset((body,)))
    refused(room, alice(role="alice", body=body), "not the XML of AWS")
    assert aws.asked[0].body == body


@pytest.mark.parametrize(
    "url",
    [
        "https://sts.evil.example/",
        "https://sts.amazonaws.com.evil.example/",
        "https://evil.example/sts.amazonaws.com",
        "https://sts.amazonaws.com@evil.example/",
        "https://sts.amazonaws.com:8443/",
        "https://iam.amazonaws.com/",
        "https://sts.amazonaws.com.cn.evil/",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "http://sts.amazonaws.com/",
        "//sts.amazonaws.com/",
        "file:///etc/passwd",
        "",
    ],
)
def test_where_it_goes_is_configured(room: Strongroom, aws: Aws, url: str) -> None:
    """CVE-2020-16250, CVE-2025-49827: neither the URL nor the Host header leads to another host, or has this one take it for another."""
    encoded = b64encode(url.encode()).decode()
    assert answer(room, alice(role="alice", iam_request_url=encoded))[0] == 400
    if url.count("/") > 2 and "//" in url and "." in url:
        assert answer(room, alice(role="alice", url=url))[0] == 400
    assert aws.asked == []
    login(room, alice(role="alice"))  # the control


def test_a_host_header_is_the_urls_host(room: Strongroom, aws: Aws) -> None:
    fields = alice(role="alice")
    headers = json.loads(b64decode(fields["iam_request_headers"]))
    for host in ("iam.amazonaws.com", "sts.eu-west-1.amazonaws.com", "STS.amazonaws.com", ""):
        refused(room, fields | {"iam_request_headers": headers | {"host": [host]}}, "Host header")
    for twice in ({"Host": ["sts.amazonaws.com"]}, {"HOST": "x"}):
        refused(room, fields | {"iam_request_headers": headers | twice}, "not there exactly once")
    assert aws.asked == []
    del headers["host"]  # the control: SDKs leave it out, the URL says it
    assert answer(room, fields | {"iam_request_headers": headers}) == (200, "")


def test_of_awss_own_endpoints_only_the_one_that_is_asked_is_signed_for(room: Strongroom, aws: Aws) -> None:
    dialled: list[str] = []

    def resolve(host: str, timeout: float) -> list[str]:
        dialled.append(host)
        raise OSError("no name servers")

    own = Strongroom(clock=CLOCK, outbound=Outbound(Dialer(resolve=resolve)))
    own.write("sys/auth/aws", {"type": "aws"})
    own.write(AUTH + "role/alice", {"bound_iam_principal_arn": ALICE_ARN, "resolve_aws_unique_ids": False})
    ireland = {"url": "https://sts.eu-west-1.amazonaws.com/", "region": "eu-west-1"}
    refused(own, alice(role="alice", **ireland), "of another endpoint than sts.amazonaws.com")
    assert dialled == []
    refused(own, alice(role="alice"), "could not be asked", 503)
    own.write(AUTH + "config/client", {"use_sts_region_from_client": True})
    refused(own, alice(role="alice", **ireland), "could not be asked", 503)
    refused(own, alice(role="alice", url="https://sts.cn-north-1.amazonaws.com.cn/", region="cn-north-1"), "could not be asked", 503)
    assert dialled == ["sts.amazonaws.com", "sts.eu-west-1.amazonaws.com", "sts.cn-north-1.amazonaws.com.cn"]
    for region in ("evil", "x-y", "eu-west-1-evil"):
        refused(own, alice(role="alice", url=f"https://sts.{region}.amazonaws.com/", region=region), "a region that is none")
    assert len(dialled) == 3


HEADERS: list[tuple[dict[str, str], str]] = [
    ({"accept": "application/json"}, "invalid request header: accept"),
    ({"x-amz-target": "AWSSecurityTokenServiceV20110615.AssumeRole"}, "invalid request header: x-amz-target"),
    ({"x-evil": "1"}, "invalid request header: x-evil"),
    ({"content-type": "application/x-amz-json-1.1"}, "content-type is application/x-www-form-urlencoded"),
    ({"content-type": "application/json; x=application/x-www-form-urlencoded"}, "content-type is"),
    ({"content-length": "7"}, "Content-Length"),
    ({"connection": "close"}, "invalid request header: connection"),
    ({"transfer-encoding": "chunked"}, "invalid request header: transfer-encoding"),
]


@pytest.mark.parametrize(("signed", "text"), HEADERS, ids=str)
def test_the_answers_form_and_the_frame_are_not_the_clients(room: Strongroom, aws: Aws, signed: dict[str, str], text: str) -> None:
    refused(room, alice(role="alice", signed=signed), text)
    room.write(AUTH + "config/client", {"allowed_sts_header_values": "Accept,X-Amz-Target,Connection,Transfer-Encoding"})
    if signed != {"x-evil": "1"}:
        refused(room, alice(role="alice", signed=signed), text)
    assert aws.asked == []
    assert answer(room, alice(role="alice", signed={"user-agent": "x/1", "content-length": str(len(BODY))})) == (200, "")  # the control


def test_more_headers_may_be_signed_where_that_is_configured(room: Strongroom, aws: Aws) -> None:
    refused(room, alice(role="alice", signed={"x-amz-extra": "1"}), "invalid request header: x-amz-extra")
    room.write(AUTH + "config/client", {"allowed_sts_header_values": "X-Amz-Extra"})
    login(room, alice(role="alice", signed={"x-amz-extra": "1"}))
    assert aws.asked[-1].headers["x-amz-extra"] == "1"


GOOD = identity_document(ALICE_ARN, "AIDAALICE", ACCOUNT)
NOT_THE_ANSWER: dict[str, Answered] = {
    "JSON": Answered(200, {"GetCallerIdentityResponse": {"GetCallerIdentityResult": {"Arn": ALICE_ARN}}}),
    "JSON with the document inside": Answered(200, {"Subject": GOOD.decode()}),
    "the document as JSON": Answered(200, GOOD),
    "the document after other text": xml(b"noise " + GOOD),
    "the document before other text": xml(GOOD + b"noise"),
    "two documents": xml(GOOD + GOOD),
    "the document inside another": xml(document("AssumeRole", STS, GOOD.decode())),
    "the answer to another question": xml(GOOD.replace(b"GetCallerIdentity", b"GetSessionToken")),
    "another namespace": xml(GOOD.replace(b"2011-06-15", b"2011-06-16")),
    "no namespace": xml(GOOD.replace(f' xmlns="{STS}"'.encode(), b"")),
    "two results": xml(GOOD.replace(b"</GetCallerIdentityResult>", b"</GetCallerIdentityResult><GetCallerIdentityResult/>")),
    "two ARNs": xml(GOOD.replace(b"<UserId>", f"<Arn>{DEPLOY_ARN}</Arn><UserId>".encode())),
    "an ARN with an element in it": xml(GOOD.replace(b"</Arn>", b"<x/></Arn>")),
    "no ARN": xml(GOOD.replace(f"<Arn>{ALICE_ARN}</Arn>".encode(), b"")),
    "an empty user id": xml(GOOD.replace(b"AIDAALICE", b"")),
    "a comment": xml(GOOD.replace(b"user/alice", b"user/al<!-- -->ice")),
    "CDATA": xml(GOOD.replace(b"AIDAALICE", b"<![CDATA[AIDAALICE]]>")),
    "a DOCTYPE": xml(b'<!DOCTYPE x [<!ENTITY a "b">]>' + GOOD),
    "a processing instruction": xml(GOOD.replace(b"<Arn>", b"<?x y?><Arn>")),
    "UTF-16": xml(GOOD.decode().encode("utf-16")),
    "UTF-16 without its mark": xml(GOOD.decode().encode("utf-16-le")),
    "not ASCII": xml(GOOD.replace(b"alice", "аlice".encode())),
    "nothing": xml(b""),
    "HTML": Answered(200, b"<html></html>", {"content-type": "text/html"}),
    "another account": xml(GOOD.replace(f"<Account>{ACCOUNT}".encode(), f"<Account>{OTHER}".encode())),
    "an ARN that is none": xml(GOOD.replace(b"arn:aws:iam", b"arn:aws:ec2")),
    "a redirect": Answered(302, GOOD, {"content-type": "text/xml", "location": "https://evil.example/"}),
}


@pytest.mark.parametrize("form", NOT_THE_ANSWER)
def test_only_the_one_document_is_an_answer(room: Strongroom, aws: Aws, form: str) -> None:
    aws.trouble = NOT_THE_ANSWER[form]
    status, text = answer(room, alice(role="alice"))
    assert status == 400 and ("error" in text or "unrecognized" in text)
    for good in (GOOD, b'<?xml version="1.0"?>\n' + GOOD):  # the control
        aws.trouble = xml(good)
        assert answer(room, alice(role="alice")) == (200, "")


def test_what_aws_says_no_to_is_refused_with_its_word(room: Strongroom, aws: Aws) -> None:
    for forged in (
        alice(role="alice", holder=ALICE._replace(secret="wrong")),
        alice(role="alice", access_key="AKIANOBODY"),
        handed_over("ASIADEPLOY", DEPLOY._replace(session_token="other"), now=CLOCK.now(), role="deploy"),
    ):
        refused(room, forged, "received error code 403 from AWS: SignatureDoesNotMatch")
    aws.trouble = xml(b"<Error><Code>evil<script></Code></Error>", 400)
    refused(room, alice(role="alice"), "error code 400 from AWS: no reason given")
    for status in (429, 500, 503):
        aws.trouble = xml(b"", status)
        refused(room, alice(role="alice"), f"AWS answered {status}", 503)
    aws.trouble = xml(b" " * (services.MAX_ANSWER + 1))
    refused(room, alice(role="alice"), "could not be asked", 503)


# -- whom it was signed for, and when -------------------------------------------------------------------------------------------------


def test_a_login_that_was_signed_for_another_server_is_refused(room: Strongroom, aws: Aws) -> None:
    """Whoever has somebody log in at his own server could log in here as him otherwise."""
    room.write(AUTH + "config/client", {"iam_server_id_header_value": "vault.example.com"})
    name = "x-vault-aws-iam-server-id"
    refused(room, alice(role="alice"), 'missing header "X-Vault-AWS-IAM-Server-ID"')
    refused(room, alice(role="alice", signed={name: "other.example.com"}), 'expected "vault.example.com"')
    refused(room, alice(role="alice", signed={name: "vault.example.com.evil"}), 'expected "vault.example.com"')
    refused(room, alice(role="alice", unsigned={name: "vault.example.com"}), "vault header wasn't signed")
    assert aws.asked == []
    login(room, alice(role="alice", signed={name: "vault.example.com"}))  # the control


def test_an_old_signature_is_not_asked_about(room: Strongroom, aws: Aws) -> None:
    for seconds in (-901, 901):
        refused(room, handed_over(now=CLOCK.now() + seconds * SECOND, role="alice"), "too old")
    assert aws.asked == []
    for seconds in (-899, 899):
        login(room, handed_over(now=CLOCK.now() + seconds * SECOND, role="alice"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"iam_http_request_method": "GET"}, "currently only 'POST' is supported"),
        ({"iam_http_request_method": ""}, "currently only 'POST' is supported"),
        ({"iam_request_url": ""}, "missing iam_request_url"),
        ({"iam_request_url": "%%%"}, "failed to base64 decode iam_request_url"),
        ({"iam_request_body": ""}, "missing iam_request_body"),
        ({"iam_request_body": "!"}, "failed to base64 decode iam_request_body"),
        ({"iam_request_headers": ""}, "missing iam_request_headers"),
        ({"iam_request_headers": "!"}, "failed to base64 decode iam_request_headers"),
        ({"iam_request_headers": "[1]"}, "failed to base64 decode"),
        ({"iam_request_headers": {"a": {"b": "c"}}}, "not a JSON object of texts"),
        ({"iam_request_headers": {"a": ["b", "c"]}}, "not there exactly once"),
        ({"iam_request_headers": {"a": []}}, "not there exactly once"),
        ({"iam_request_headers": {"a": "b\r\nhost: evil"}}, "characters"),
        ({"iam_request_headers": {"a": "é"}}, "characters"),
        ({"iam_request_headers": {"host": "sts.amazonaws.com"}}, "authorization is there 0 times"),
        ({"iam_request_headers": {"authorization": "Bearer x"}}, "Signature Version 4"),
        ({"pkcs7": "x"}, "supplied auth values for both ec2 and iam auth types"),
        ({"role": "none"}, "entry for role none not found"),
        ({"role": "../x"}, "a role's name"),
    ],
    ids=str,
)
def test_what_is_handed_over_has_one_form(room: Strongroom, aws: Aws, change: dict[str, Any], text: str) -> None:
    refused(room, alice(role="alice") | change, text)
    assert aws.asked == []


def test_a_signature_for_another_service_is_none(room: Strongroom, aws: Aws) -> None:
    refused(room, alice(role="alice", service="iam"), "another service than sts")
    assert aws.asked == []


def test_logins_of_the_ec2_type_are_refused_with_a_sentence(room: Strongroom) -> None:
    refused(room, {"pkcs7": "x", "role": "alice"}, "have instances log in by their IAM role")
    refused(room, {"role": "alice"}, "didn't supply required authentication values")
    room.write(AUTH + "role/instances", {"auth_type": "ec2", "bound_ami_id": "ami-1"})
    refused(room, alice(role="instances"), "auth method iam not allowed for role instances")
    room.write(
        AUTH + "role/inferred", {"inferred_entity_type": "ec2_instance", "inferred_aws_region": "eu-west-1", "bound_ami_id": "ami-1"}
    )
    refused(room, alice(role="inferred"), "infers EC2 instances")


# -- who is bound -------------------------------------------------------------------------------------------------------------------


def test_a_principal_of_another_account_is_another(room: Strongroom, aws: Aws) -> None:
    """CVE-2025-11621: a user or role of the same name elsewhere, also just after the right one logged in."""
    room.write(AUTH + "role/wild", {"bound_iam_principal_arn": f"arn:aws:iam::{ACCOUNT}:*"})
    login(room, alice(role="alice"))
    login(room, alice(role="wild"))
    aws.keys["AKIAEVIL"] = evil = Holder(f"arn:aws:iam::{OTHER}:user/alice", "AIDAEVIL")
    for role in ("alice", "wild"):
        refused(room, alice(role=role, access_key="AKIAEVIL", holder=evil), "does not belong to the role")
    aws.keys["AKIAEVIL"] = evil = Holder(f"arn:aws-cn:iam::{ACCOUNT}:user/alice", "AIDAEVIL")
    refused(room, alice(role="alice", access_key="AKIAEVIL", holder=evil), "does not belong to the role")


def test_a_user_is_not_a_role_and_a_session_is_not_a_name(room: Strongroom, aws: Aws) -> None:
    for arn in (
        f"arn:aws:iam::{ACCOUNT}:user/deploy",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/other/deploy",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy2/x",
    ):
        aws.keys["AKIAEVIL"] = evil = Holder(arn, "AIDAEVIL")
        refused(room, alice(role="deploy", access_key="AKIAEVIL", holder=evil), "does not belong to the role")
    for arn in (f"arn:aws:sts::{ACCOUNT}:federated-user/deploy", f"arn:aws:iam::{ACCOUNT}:root"):
        aws.keys["AKIAEVIL"] = evil = Holder(arn, "AIDAEVIL")
        refused(room, alice(role="deploy", access_key="AKIAEVIL", holder=evil), "unrecognized arn")


def test_a_resolved_role_is_bound_to_who_had_the_name_then(room: Strongroom, aws: Aws) -> None:
    room.write(AUTH + "role/resolved", {"bound_iam_principal_arn": [ALICE_ARN, DEPLOY_ARN]})
    assert room.json(room.read(AUTH + "role/resolved"))["bound_iam_principal_id"] == ["AIDAALICE", "AROADEPLOY"]
    login(room, alice(role="resolved"))
    aws.keys["AKIAALICE"] = ALICE._replace(user_id="AIDAANOTHER")  # deleted, and made anew
    refused(room, alice(role="resolved"), "does not belong to the role")
    login(room, alice(role="alice"))  # the control: a role that is bound to the name


def test_resolving_takes_credentials_and_an_answer(room: Strongroom, aws: Aws) -> None:
    fields = {"bound_iam_principal_arn": ALICE_ARN}
    aws.known = {}
    with pytest.raises(InvalidRequest, match=r"unable to resolve ARN .* to internal ID: .*NoSuchEntity"):
        room.write(AUTH + "role/resolved", fields)
    aws.known = {f"{ACCOUNT}:alice": (f"arn:aws:iam::{OTHER}:user/alice", "AIDAEVIL")}
    with pytest.raises(InvalidRequest, match="of another account"):
        room.write(AUTH + "role/resolved", fields)
    aws.trouble = xml(b"", 500)
    with pytest.raises(Unavailable, match="unable to resolve ARN"):
        room.write(AUTH + "role/resolved", fields)
    room.write(AUTH + "config/client", {"access_key": ""})
    with pytest.raises(InvalidRequest, match="set access_key and secret_key in config/client"):
        room.write(AUTH + "role/resolved", fields)
    with pytest.raises(NotFound):
        room.read(AUTH + "role/resolved")


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [("role/ci/*", True), ("role/*", True), ("role/ci/dep*", True), ("role/other/*", False), ("user/*", False), ("role/deploy*", False)],
)
def test_a_wildcard_is_of_the_whole_arn_that_iam_knows(room: Strongroom, aws: Aws, pattern: str, holds: bool) -> None:
    room.write(AUTH + "role/wild", {"bound_iam_principal_arn": f"arn:aws:iam::{ACCOUNT}:{pattern}"})
    assert (answer(room, deploy(role="wild"))[0] == 200) is holds
    if holds:
        aws.known[f"{ACCOUNT}:deploy"] = (f"arn:aws:iam::{ACCOUNT}:role/ci/deploy", "AROAANEW")
        refused(room, deploy(role="wild"), "does not belong to the role")  # the session is of a role that is gone


def test_an_account_is_asked_about_through_its_role(room: Strongroom, aws: Aws) -> None:
    bob = Holder(f"arn:aws:iam::{OTHER}:user/bob", "AIDABOB")
    aws.keys["AKIABOB"], aws.known[f"{OTHER}:bob"] = bob, (f"arn:aws:iam::{OTHER}:user/bob", "AIDABOB")
    fields = {"bound_iam_principal_arn": bob.arn}
    with pytest.raises(InvalidRequest, match="NoSuchEntity"):
        room.write(AUTH + "role/bob", fields)
    role = f"arn:aws:iam::{OTHER}:role/asked"
    room.write(AUTH + f"config/sts/{OTHER}", {"sts_role": role, "external_id": "x"})
    with pytest.raises(InvalidRequest, match="AccessDenied"):
        room.write(AUTH + "role/bob", fields)
    aws.assumable[role] = "x"
    room.write(AUTH + "role/bob", fields)
    login(room, alice(role="bob", access_key="AKIABOB", holder=bob))


def test_a_login_comes_from_the_roles_networks(room: Strongroom, aws: Aws) -> None:
    room.write(AUTH + "role/alice", {"token_bound_cidrs": "10.0.0.0/8"})
    assert answer(room, alice(role="alice")) == (403, "permission denied") and aws.asked == []
    assert answer(room, alice(role="alice"), Peer("10.1.2.3", 1)) == (200, "")


def test_arns_are_read_whole() -> None:
    assert parse_arn(DEPLOY.arn) == ("aws", ACCOUNT, "role", "deploy", "build-7")
    assert parse_arn(f"arn:aws-us-gov:iam::{ACCOUNT}:user/a/b/c").canonical == f"arn:aws-us-gov:iam::{ACCOUNT}:user/c"
    for text in (
        "",
        f"arn:aws:iam::{ACCOUNT}:user/",
        f"arn:aws:iam::{ACCOUNT}:group/x",
        f"arn:aws:iam::{ACCOUNT}:user/x\n",
        f"arn:aws:iam:eu-west-1:{ACCOUNT}:user/x",
        "arn:aws:iam::123:user/x",
        "arn:aws:iam::１２３４５６７８９０１２:user/x",
        f"arn:evil:iam::{ACCOUNT}:user/x",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/x",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/x/y/z",
        f"xarn:aws:iam::{ACCOUNT}:user/x",
    ):
        with pytest.raises(InvalidRequest):
            parse_arn(text)
    for text in ("*", "arn:aws:iam::*:user/x", f"arn:aws:iam::{ACCOUNT}:user/*/x", f"arn:aws:iam::{ACCOUNT}:group/x", "alice"):
        with pytest.raises(InvalidRequest):
            check_bound(text)


def test_a_metadata_address_is_never_asked() -> None:
    """T20.1."""
    dialled: list[str] = []

    def connect(address: object, port: int, timeout: float) -> Any:
        dialled.append(str(address))
        raise OSError("unreachable")

    own = Strongroom(clock=CLOCK, outbound=Outbound(Dialer(resolve=lambda name, timeout: ["169.254.169.254"], connect=connect)))
    own.write("sys/auth/aws", {"type": "aws"})
    own.write(AUTH + "role/alice", {"bound_iam_principal_arn": ALICE_ARN, "resolve_aws_unique_ids": False})
    refused(own, alice(role="alice"), "could not be asked", 503)
    own.write(AUTH + "config/client", {"sts_endpoint": "https://169.254.169.254"})
    refused(own, alice(role="alice"), "could not be asked", 503)
    assert dialled == []
    own.write(AUTH + "config/client", {"sts_endpoint": "https://10.0.0.1"})
    refused(own, alice(role="alice"), "could not be asked", 503)
    assert dialled == ["10.0.0.1"]  # the control
