"""STS and IAM as far as logins need them, over TLS with an authority of its own: GetCallerIdentity, AssumeRole, GetUser, GetRole.

Rules of this file:
- A request is answered only if its Signature Version 4 verifies, for the service it is for, within the times that AWS allows.
- Answers are AWS's documents. `trouble` makes it answer something else.
- As STS does, it answers in JSON whoever asks for that, and takes any action: what keeps logins safe has to be on the other side.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from strongroom.clock import Clock, SystemClock
from strongroom.crypto import sigv4
from strongroom.crypto.errors import InvalidSignature
from tests.support.elsewhere import Answered, Asked, Elsewhere

STS = "https://sts.amazonaws.com/doc/2011-06-15/"
IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
ACCOUNT = "123456789012"
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"


class Holder(NamedTuple):
    """Whose access key it is."""

    arn: str
    user_id: str
    secret: str = "secret/of+the+holder"
    session_token: str = ""

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]


ALICE = Holder(f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAALICE")
DEPLOY = Holder(f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/build-7", "AROADEPLOY:build-7", session_token="session/token==")
SERVER = Holder(f"arn:aws:iam::{ACCOUNT}:user/strongroom", "AIDASERVER")


def identity_document(arn: str, user_id: str, account: str) -> bytes:
    """The answer of GetCallerIdentity."""
    inner = f"<Arn>{arn}</Arn><UserId>{user_id}</UserId><Account>{account}</Account>"
    return document("GetCallerIdentity", STS, inner)


def document(action: str, namespace: str, inner: str) -> bytes:
    """An answer in AWS's form."""
    result = f"<{action}Result>{inner}</{action}Result><ResponseMetadata><RequestId>1-2-3</RequestId></ResponseMetadata>"
    return f'<{action}Response xmlns="{namespace}">\n  {result}\n</{action}Response>\n'.encode()


def xml(body: bytes, status: int = 200) -> Answered:
    return Answered(status, body, {"content-type": "text/xml"})


class Aws(Elsewhere):
    """The services. What they hold may be changed between requests."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        super().__init__(directory, self._respond)
        self.clock = clock or SystemClock()
        self.keys = {"AKIAALICE": ALICE, "ASIADEPLOY": DEPLOY, "AKIASERVER": SERVER}
        self.known = {
            f"{ACCOUNT}:alice": (f"arn:aws:iam::{ACCOUNT}:user/team/alice", "AIDAALICE"),
            f"{ACCOUNT}:deploy": (f"arn:aws:iam::{ACCOUNT}:role/ci/deploy", "AROADEPLOY"),
        }
        """What IAM knows, by account and name: the whole ARN and the unique id."""
        self.assumable: dict[str, str] = {}
        """Roles that may be assumed, and the external id that takes."""
        self.trouble: Answered | None = None

    def _respond(self, asked: Asked) -> Answered:
        if self.trouble is not None:
            return self.trouble
        request = sigv4.Request(asked.method, asked.path, "", tuple(asked.headers.items()), asked.body)
        try:
            holder, service = self._signer(request)
        except InvalidSignature as error:
            return xml(
                f"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>{error}</Message></Error></ErrorResponse>".encode(), 403
            )
        question = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        return _ANSWERS[service, question["Action"]](self, holder, question, asked.headers.get("accept", ""))

    def _signer(self, request: sigv4.Request) -> tuple[Holder, str]:
        claimed = sigv4.authorization_of(request, self.clock.now(), ("host", "x-amz-date"), 15 * 60)
        holder = self.keys.get(claimed.access_key)
        if holder is None:
            raise InvalidSignature("unknown access key")
        sigv4.verify(request, holder.secret, self.clock.now(), ("host", "x-amz-date"), 15 * 60)
        if holder.session_token and request.values("x-amz-security-token") != [holder.session_token]:
            raise InvalidSignature("the session token is not that of the key")
        return holder, claimed.scope.service

    def _caller(self, holder: Holder, question: dict[str, str], accept: str) -> Answered:
        if accept == "application/json":
            members = {"Arn": holder.arn, "UserId": holder.user_id, "Account": holder.account}
            return Answered(200, {"GetCallerIdentityResponse": {"GetCallerIdentityResult": members}})
        return xml(identity_document(holder.arn, holder.user_id, holder.account))

    def _web_identity(self, holder: Holder, question: dict[str, str], accept: str) -> Answered:
        """What CVE-2020-16250 used: STS repeats what the caller's token says, here an answer to another question."""
        return Answered(200, {"SubjectFromWebIdentityToken": question["WebIdentityToken"]})

    def _assume(self, holder: Holder, question: dict[str, str], accept: str) -> Answered:
        role = question["RoleArn"]
        if role not in self.assumable or self.assumable[role] != question.get("ExternalId", ""):
            return xml(b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", 403)
        account = role.split(":")[4]
        self.keys["ASIAASSUMED"] = Holder(f"arn:aws:sts::{account}:assumed-role/x/strongroom", "AROAX:strongroom", "made", "made-token")
        inner = "<AccessKeyId>ASIAASSUMED</AccessKeyId><SecretAccessKey>made</SecretAccessKey><SessionToken>made-token</SessionToken>"
        return xml(document("AssumeRole", STS, f"<Credentials>{inner}</Credentials>"))

    def _get(self, holder: Holder, question: dict[str, str], accept: str) -> Answered:
        kind = question["Action"].removeprefix("Get")
        found = self.known.get(f"{holder.account}:{question[kind + 'Name']}")
        if found is None:
            return xml(b"<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>", 404)
        inner = f"<{kind}><Path>/</Path><Arn>{found[0]}</Arn><{kind}Id>{found[1]}</{kind}Id></{kind}>"
        return xml(document(question["Action"], IAM, inner))


_ANSWERS: dict[tuple[str, str], Callable[[Aws, Holder, dict[str, str], str], Answered]] = {
    ("sts", "GetCallerIdentity"): Aws._caller,
    ("sts", "AssumeRole"): Aws._assume,
    ("sts", "AssumeRoleWithWebIdentity"): Aws._web_identity,
    ("iam", "GetUser"): Aws._get,
    ("iam", "GetRole"): Aws._get,
}


def handed_over(
    access_key: str = "AKIAALICE",
    holder: Holder = ALICE,
    *,
    now: int,
    url: str = "https://sts.amazonaws.com/",
    body: bytes = BODY,
    signed: dict[str, str] | None = None,
    unsigned: dict[str, str] | None = None,
    service: str = "sts",
    region: str = "us-east-1",
    **changes: Any,
) -> dict[str, Any]:
    """What a client hands over, signed as AWS's SDKs do; `changes` replaces fields after that."""
    host = url.split("/")[2]
    headers = {"host": host, "content-type": "application/x-www-form-urlencoded; charset=utf-8"} | (signed or {})
    credentials = sigv4.Credentials(access_key, holder.secret, holder.session_token)
    added = sigv4.sign(sigv4.Request("POST", "/", "", tuple(headers.items()), body), credentials, region, service, now)
    sent = {name: [value] for name, value in (headers | dict(added) | (unsigned or {})).items()}
    fields = {
        "iam_http_request_method": "POST",
        "iam_request_url": b64encode(url.encode()).decode(),
        "iam_request_body": b64encode(body).decode(),
        "iam_request_headers": b64encode(json.dumps(sent).encode()).decode(),
    }
    return fields | changes
