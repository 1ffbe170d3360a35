"""Asking AWS: STS who signed a request, IAM who a principal is, STS for a role's credentials.

Rules of this file:
- Blocking code, for a pool thread. It reads; a role's credentials are used at once and forgotten.
- An answer is a document of known form: the right root in the right namespace, each element once, nothing besides text in it, no DOCTYPE,
  comment or CDATA. Anything else is no answer, whatever is found inside it.
- What AWS says of an error is its code, a word; the rest of it is not passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from strongroom.auth.aws.arn import Principal
from strongroom.auth.aws.config import GLOBAL_REGION, Assumed, Client, asked
from strongroom.auth.aws.proof import FORM, Proof, endpoint_for
from strongroom.clock import Clock
from strongroom.crypto import sigv4
from strongroom.crypto.sigv4 import Credentials
from strongroom.errors import InvalidRequest, Unavailable
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.url import parse_url
from strongroom.outbound.wire import Answer

MAX_ANSWER = 64 * 1024
"""Bytes. Answers have some hundred; a role's trust policy in GetRole a few thousand."""

STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
IAM_NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"
SESSION = "strongroom"

_IAM = {
    "aws": ("https://iam.amazonaws.com", GLOBAL_REGION),
    "aws-cn": ("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    "aws-us-gov": ("https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
}
"""IAM's endpoint and region in each partition."""

_PROLOG = re.compile(rb"\s*<\?xml [^<>?]{0,100}\?>")
_CODE = re.compile(rb"<Code>([A-Za-z.]{1,64})</Code>")


class Caller(NamedTuple):
    """Who signed a request, in AWS's words."""

    arn: str
    user_id: str
    account: str


class Known(NamedTuple):
    """What IAM knows of a principal: its whole ARN and its unique id."""

    arn: str
    unique_id: str


def caller_identity(outbound: Outbound, proof: Proof) -> Caller:
    """Send the request that a client signed. Raises InvalidRequest and Unavailable."""
    answer = _exchange(outbound, proof.endpoint, dict(proof.headers), proof.body, authority=proof.authority)
    result = _result(answer, "GetCallerIdentity", STS_NAMESPACE)
    return Caller(*(_text(result, name) for name in ("Arn", "UserId", "Account")))


class Iam:
    """Asks IAM as the configured access key or, for an account that has one, as the role to assume there."""

    def __init__(self, outbound: Outbound, clock: Clock, client: Client, assumed: Assumed | None) -> None:
        self._outbound = outbound
        self._clock = clock
        self._client = client
        self._assumed = assumed

    def know(self, principal: Principal) -> Known:
        """Look a user or role up by its name. Raises InvalidRequest and Unavailable."""
        if principal.partition not in _IAM:
            raise InvalidRequest(f"IAM's endpoint in the partition {principal.partition} is not known here")
        endpoint, region = _IAM[principal.partition]
        action, kind = ("GetUser", "User") if principal.kind == "user" else ("GetRole", "Role")
        question = {"Action": action, f"{kind}Name": principal.name, "Version": "2010-05-08"}
        answer = self._ask(self._client.iam_endpoint or endpoint, region, "iam", question, self._credentials())
        found = _only(_result(answer, action, IAM_NAMESPACE), kind)
        return Known(_text(found, "Arn"), _text(found, f"{kind}Id"))

    def _credentials(self) -> Credentials:
        own = Credentials(self._client.access_key, self._client.secret_key)
        if not own.access_key or not own.secret_key:
            raise InvalidRequest("IAM cannot be asked without credentials: set access_key and secret_key in config/client")
        return own if self._assumed is None else self._assume(own, self._assumed)

    def _assume(self, own: Credentials, assumed: Assumed) -> Credentials:
        question = {"Action": "AssumeRole", "RoleArn": assumed.sts_role, "RoleSessionName": SESSION, "Version": "2011-06-15"}
        if assumed.external_id:
            question["ExternalId"] = assumed.external_id
        region = self._client.sts_region or GLOBAL_REGION
        answer = self._ask(endpoint_for(self._client, region), region, "sts", question, own)
        found = _only(_result(answer, "AssumeRole", STS_NAMESPACE), "Credentials")
        return Credentials(*(_text(found, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))

    def _ask(self, endpoint: str, region: str, service: str, question: Mapping[str, str], credentials: Credentials) -> Answer:
        endpoint = asked(endpoint)
        headers = {"host": parse_url(endpoint).authority, "content-type": f"{FORM}; charset=utf-8"}
        request = sigv4.Request("POST", "/", "", tuple(headers.items()), urlencode(question).encode())
        signed = sigv4.sign(request, credentials, region, service, self._clock.now())
        return _exchange(self._outbound, endpoint, {"content-type": headers["content-type"], **signed}, request.body)


def _exchange(outbound: Outbound, endpoint: str, headers: Mapping[str, str], body: bytes, authority: str = "") -> Answer:
    try:
        answer = outbound.request(
            "POST", f"{endpoint}/", headers=headers, body=body, reach=Reach.CONFIGURED, limit=MAX_ANSWER, authority=authority
        )
    except OutboundError as error:
        raise Unavailable(f"error making upstream request: AWS could not be asked: {error.reason}") from None
    if answer.status == 200:
        return answer
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(f"error making upstream request: AWS answered {answer.status}; try again")
    code = _CODE.search(answer.body)
    said = code[1].decode() if code else "no reason given"
    raise InvalidRequest(f"error making upstream request: received error code {answer.status} from AWS: {said}")


def _result(answer: Answer, action: str, namespace: str) -> ET.Element:
    """The result of an action, from exactly the document that belongs there. Raises InvalidRequest."""
    body = _PROLOG.sub(b"", answer.body, count=1)
    if not _is_plain(body) or answer.headers.get("content-type", "").partition(";")[0].strip() not in ("text/xml", "application/xml"):
        raise InvalidRequest("error parsing STS response: it is not the XML of AWS")
    try:
        root = ET.fromstring(body)  # noqa: S314 — no DOCTYPE gets this far, so there are no entities to expand
    except (ET.ParseError, ValueError):
        raise InvalidRequest("error parsing STS response: it is not the XML of AWS") from None
    if next(root.iter(f"{{{namespace}}}{action}Response"), None) is not root:
        raise InvalidRequest(f"error parsing STS response: it does not answer {action}")
    return _only(root, f"{action}Result")


def _is_plain(body: bytes) -> bool:
    """Whether XML is all elements and text, in an encoding that shows it: a parser would find UTF-16 behind NULs."""
    return body.isascii() and not any(mark in body for mark in (b"<!", b"<?", b"\0"))


def _only(parent: ET.Element, name: str) -> ET.Element:
    """The one element of that name, in the parent's namespace. Raises InvalidRequest."""
    namespace = parent.tag.rpartition("}")[0]
    found = parent.findall(f"{namespace}}}{name}")
    if len(found) != 1:
        raise InvalidRequest(f"error parsing STS response: {name} is there {len(found)} times, not once")
    return found[0]


def _text(parent: ET.Element, name: str) -> str:
    found = _only(parent, name)
    if len(found) or not found.text:
        raise InvalidRequest(f"error parsing STS response: {name} is not a text")
    return found.text
