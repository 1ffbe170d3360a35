"""login -method=aws: a signed question to AWS of who is asking, which the server sends on.

Rules of this file:
- The question (sts GetCallerIdentity) is signed here and sent by the server; credentials stay on this machine.
- Credentials are those given, else those of the environment, else of the shared credentials file: never of a metadata service.
- Signature Version 4 for this one request; the client shares no code with the server, which verifies none of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import NamedTuple

from strongroom.cli.errors import LOCAL, CommandError
from strongroom.cli.methods import taken
from strongroom.cli.session import Session
from strongroom.client.client import Answer
from strongroom.client.values import Object

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
SERVER_ID = "X-Vault-AWS-IAM-Server-ID"

_FIELDS = {
    "role": "",
    "header_value": "",
    "region": "",
    "aws_access_key_id": "",
    "aws_secret_access_key": "",
    "aws_security_token": "",
}


class Credentials(NamedTuple):
    """Of an AWS user or role."""

    key_id: str
    secret: str
    session: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.key_id})"


def login(session: Session, mount: str, fields: Object) -> Answer:
    """Log in as whoever the AWS credentials belong to."""
    options = taken(fields, _FIELDS)
    region = options["region"] or session.environment.get("AWS_REGION") or session.environment.get("AWS_DEFAULT_REGION") or ""
    host = f"sts.{region}.amazonaws.com" if region else "sts.amazonaws.com"
    headers = signed_headers(_credentials(session, options), host, region or "us-east-1", options["header_value"], time.time())
    body: Object = {
        "role": options["role"],
        "iam_http_request_method": "POST",
        "iam_request_url": _base64(f"https://{host}/"),
        "iam_request_body": _base64(BODY),
        "iam_request_headers": _base64(json.dumps({name: [value] for name, value in headers.items()})),
    }
    return session.client.request("PUT", f"auth/{mount}/login", body=body, token="")


def signed_headers(credentials: Credentials, host: str, region: str, server_id: str, now: float) -> dict[str, str]:
    """The headers of the question, its signature among them."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(BODY)), "Host": host, "X-Amz-Date": stamp}
    if server_id:
        headers[SERVER_ID] = server_id
    if credentials.session:
        headers["X-Amz-Security-Token"] = credentials.session
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    names = ";".join(sorted(lower))
    listed = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower))
    request = f"POST\n/\n\n{listed}\n{names}\n{_sha256(BODY)}"
    scope = f"{stamp[:8]}/{region}/sts/aws4_request"
    signature = _mac(_key(credentials.secret, scope), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{_sha256(request)}").hex()
    given = f"AWS4-HMAC-SHA256 Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "Authorization": given}


def _key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _credentials(session: Session, options: dict[str, str]) -> Credentials:
    """The first complete pair. Raises CommandError."""
    environment = session.environment
    given = Credentials(options["aws_access_key_id"], options["aws_secret_access_key"], options["aws_security_token"])
    exported = Credentials(
        environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", ""), environment.get("AWS_SESSION_TOKEN", "")
    )
    for found in (given, exported):
        if found.key_id and found.secret:
            return found
    found = _shared(environment.get("AWS_SHARED_CREDENTIALS_FILE") or f"{environment.get('HOME', '')}/.aws/credentials", session)
    if not found.key_id or not found.secret:
        raise CommandError("there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", LOCAL)
    return found


def _shared(path: str, session: Session) -> Credentials:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        raise CommandError(f"the credentials file {path} cannot be read: it is not an INI file", LOCAL) from None
    profile = session.environment.get("AWS_PROFILE") or "default"
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return Credentials(*(parser.get(profile, name, fallback="") for name in names))
